"""Replaces what was found. One redactor per record: the same value has the same placeholder all through it."""

from collections import Counter
from typing import Any

import orjson

from pipeline.core.redaction.kinds import PLACEHOLDER, findings, names_secret

__all__ = ["Redactor"]


class Redactor:
    """`counts`: distinct values replaced, by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._names: dict[tuple[str, str], str] = {}

    def text(self, text: str) -> str:
        """Until nothing is found any more: what stood beside something replaced may show only then."""
        while found := findings(text):
            begin = 0
            pieces: list[str] = []
            for one in found:
                pieces += (text[begin : one.start], self._placeholder(one.kind, text[one.start : one.end]))
                begin = one.end
            text = "".join((*pieces, text[begin:]))
        return text

    def value(self, value: Any) -> Any:
        """Every text and number in a JSON value, keys too; a number that is replaced becomes text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self._member(name, each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            said = self.text(str(value))
            return value if said == str(value) else said
        return value

    def json(self, text: str) -> str:
        """JSON that stands in a text, such as a tool call's arguments: it stays JSON. What is none is text."""
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self.text(text)
        said = self.value(parsed)
        whole = text if said == parsed else orjson.dumps(said).decode()
        again = self.text(whole)
        try:
            orjson.loads(again)
        except orjson.JSONDecodeError:  # something was found across its punctuation
            return orjson.dumps({"redacted": again}).decode()
        return again

    def _member(self, name: str, value: Any) -> Any:
        """Of an object; what its name calls a secret is one, whatever it looks like."""
        if isinstance(value, str | int) and not isinstance(value, bool) and names_secret(name):
            return value if PLACEHOLDER.fullmatch(str(value)) else self._placeholder("SECRET", str(value))
        return self.value(value)

    def _placeholder(self, kind: str, value: str) -> str:
        key = (kind, "".join(char for char in value.casefold() if char.isalnum() or char in "@._"))
        if key not in self._names:
            self.counts[kind] += 1
            self._names[key] = f"[{kind}_{self.counts[kind]}]"
        return self._names[key]
