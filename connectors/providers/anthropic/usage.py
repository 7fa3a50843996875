"""The tokens of an answer as Anthropic counts them.

`message_start` says the first numbers, `message_delta` cumulative ones: a later number stands in the place of an
earlier one, null leaves it, 0 is a number. `input_tokens` there is what was neither read from the cache nor written to
it; ours is all of them (provider_contracts.md section 5).
"""

from collections.abc import Mapping
from typing import Any

from connectors.providers.reply import count
from schemas.completion import Usage

__all__ = ["TokenCounts"]

_NAMES = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class TokenCounts:
    __slots__ = ("_seen", "is_final", "service_tier")

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self.is_final = False
        self.service_tier: str | None = None

    def take(self, raw: Any, *, final: bool) -> None:
        """Takes in a `usage`; `final` if it stands at the end of the answer."""
        if not isinstance(raw, Mapping):
            return
        for name in _NAMES:
            self._note(name, raw.get(name))
        self._note("thinking_tokens", _inside(raw, "output_tokens_details", "thinking_tokens"))
        self._note("1h", _inside(raw, "cache_creation", "ephemeral_1h_input_tokens"))
        if isinstance(raw.get("service_tier"), str):
            self.service_tier = raw["service_tier"]
        self.is_final = self.is_final or (final and count(raw.get("output_tokens")) is not None)

    def usage(self, guessed: Usage | None = None) -> Usage | None:
        """The sum; `guessed` stands in for what the vendor did not count. None if that is missing too."""
        if "input_tokens" not in self._seen or not self.is_final:
            return None if guessed is None else self._mixed(guessed)
        return self._counted(self._seen["output_tokens"])

    def _mixed(self, guessed: Usage) -> Usage:
        guessed.estimated = True
        guessed.service_tier = self.service_tier
        if "input_tokens" not in self._seen:
            return guessed
        # The first numbers of a stream hold one or two tokens of output: not what was said since.
        mixed = self._counted(max(guessed.output_tokens, self._seen.get("output_tokens", 0)))
        mixed.estimated = True
        return mixed

    def _counted(self, output_tokens: int) -> Usage:
        read, written = self._of("cache_read_input_tokens"), self._of("cache_creation_input_tokens")
        return Usage(
            input_tokens=self._seen["input_tokens"] + read + written,
            output_tokens=output_tokens,
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=self._of("thinking_tokens"),
            cache_write_1h_tokens=self._of("1h"),
            service_tier=self.service_tier,
        )

    def _of(self, name: str) -> int:
        return self._seen.get(name, 0)

    def _note(self, name: str, value: Any) -> None:
        number = count(value)
        if number is not None:
            self._seen[name] = number


def _inside(raw: Mapping[str, Any], holder: str, name: str) -> Any:
    inner = raw.get(holder)
    return inner.get(name) if isinstance(inner, Mapping) else None
