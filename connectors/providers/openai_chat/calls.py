"""The tool calls of one OpenAI-shaped answer, put together from pieces.

OpenAI gives id, type and name with the first piece of a call and then only its index. Compatible servers give every
call index 0 and tell them apart by id, give no index, no id, the name on every piece, the arguments whole or as an
object (provider_contracts.md section 6, NousResearch/hermes-agent#11984). Here they are numbered 0, 1, 2 in the order
in which they began, and id and name are said once.
"""

import hashlib
from typing import Any, Literal

from connectors.providers.reply import MalformedReplyError, expect
from connectors.providers.wire_json import dumps, loads
from schemas.completion import ToolCall

__all__ = ["MalformedReplyError", "ToolCalls", "expect"]

ToolType = Literal["function", "custom"]

_SAID_IN: dict[ToolType, str] = {"function": "arguments", "custom": "input"}


class _Call:
    __slots__ = ("id", "name", "said", "type", "vendor_id")

    def __init__(self, vendor_id: str, made_id: str, name: str, type_: ToolType) -> None:
        self.vendor_id = vendor_id
        self.id = vendor_id or made_id
        self.name = name
        self.type = type_
        self.said: list[str] = []

    def is_whole(self) -> bool:
        """Its arguments are JSON as they stand."""
        try:
            return isinstance(loads("".join(self.said)), dict)
        except ValueError:
            return False

    def done(self) -> ToolCall:
        said = "".join(self.said)
        return ToolCall(self.id, self.name, said if said or self.type == "custom" else "{}", self.type)


class ToolCalls:
    """The tool calls of one choice; `seed` makes the ids of calls that came without one, the same on every run."""

    __slots__ = ("_by_index", "_calls", "_last", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._calls: list[_Call] = []
        self._by_index: dict[int, int] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, piece: Any, *, whole: bool) -> dict[str, Any]:
        expect(piece, dict, "a tool call")
        type_: ToolType = "custom" if piece.get("custom") else "function"
        spec = expect(piece.get(type_) or {}, dict, "a tool call")
        vendor_id = expect(piece.get("id") or "", str, "a tool call's id")
        name = expect(spec.get("name") or "", str, "a tool's name")
        index = piece.get("index")
        said = _arguments(spec.get(_SAID_IN[type_]))
        at = None if whole else self._find(index if isinstance(index, int) else None, vendor_id, name, said)
        cleaned: dict[str, Any] = {}
        if at is None:
            at = self._open(index, vendor_id, name, type_)
            cleaned = {"id": self._calls[at].id, "type": type_, type_: {"name": name}}
        self._last = at
        self._calls[at].said.append(said)
        cleaned.setdefault(type_, {})[_SAID_IN[type_]] = said
        return {"index": at, **cleaned}

    def missing_arguments(self) -> list[dict[str, Any]]:
        """Pieces that give `{}` to the calls that were never given any arguments."""
        silent = [(at, call) for at, call in enumerate(self._calls) if call.type == "function" and not any(call.said)]
        for _, call in silent:
            call.said.append("{}")
        return [{"index": at, "function": {"arguments": "{}"}} for at, _ in silent]

    def done(self) -> list[ToolCall]:
        return [call.done() for call in self._calls]

    def _find(self, index: int | None, vendor_id: str, name: str, said: str) -> int | None:
        """The call that a piece goes on with, None if it begins one: the id decides, then the index, then the name."""
        if vendor_id:
            same = next((at for at, call in enumerate(self._calls) if call.vendor_id == vendor_id), None)
            if same is not None:
                return same
        at = self._last if index is None and self._calls else self._by_index.get(-1 if index is None else index)
        if at is None:
            return None
        call = self._calls[at]
        if vendor_id and (call.vendor_id or name):
            return None
        if name and not vendor_id and (name != call.name or (said and call.is_whole())):
            return None
        return at

    def _open(self, index: Any, vendor_id: str, name: str, type_: ToolType) -> int:
        if not name:
            raise MalformedReplyError("a tool call has no name")
        at = len(self._calls)
        made = hashlib.blake2b(f"{self._seed}/{at}".encode("utf-8", "replace"), digest_size=12).hexdigest()
        self._calls.append(_Call(vendor_id, f"call_{made}", name, type_))
        if isinstance(index, int):
            self._by_index[index] = at
        return at


def _arguments(value: Any) -> str:
    """JSON text; some servers send the object itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(expect(value, dict, "a tool's arguments")).decode()
