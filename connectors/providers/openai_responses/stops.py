"""Cuts a text at a stop sequence, for a vendor that knows none: what the answer says ends before the first one.

The first is the one that is complete first, as for a model that stops by itself; so the text is cut at the same place
however it comes in pieces. What may yet become a stop sequence is held back.
"""

from collections.abc import Sequence

__all__ = ["StopCut", "stops_of"]


def stops_of(said: object) -> list[str]:
    """The stop sequences of a request, blank ones left out."""
    listed = said if isinstance(said, list) else [said]
    return [text for text in listed if isinstance(text, str) and text]


class StopCut:
    __slots__ = ("_held", "_stops", "is_cut")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.is_cut = False

    def feed(self, piece: str) -> str:
        """What may be said now that `piece` came."""
        if self.is_cut or not self._stops:
            return "" if self.is_cut else piece
        text = self._held + piece
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.is_cut = True
            self._held = ""
            return text[: min(found)[1]]
        kept = len(text) - max(_overlap(text, stop) for stop in self._stops)
        self._held = text[kept:]
        return text[:kept]

    def rest(self) -> str:
        """What was held back and became no stop sequence; the text is over."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How much of the end of `text` is a beginning of `stop`."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
