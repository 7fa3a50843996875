"""Outcomes of requests that an experiment has not read yet: the two logs are read side by side, and one may be ahead."""

from collections import OrderedDict
from typing import Any

from schemas.events import Ref

__all__ = ["Outcomes"]

MOST_BYTES = 8 * 1024 * 1024
KEPT_PLACES = 50_000

Id = tuple[str, str]


class Outcomes:
    """Outcomes whose requests have not been read yet. Beyond `most_bytes` only the places of the oldest are kept."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._records: OrderedDict[Id, Any] = OrderedDict()
        self._places: OrderedDict[Id, Ref] = OrderedDict()
        self._bytes = 0

    def keep(self, request: Id, record: Any) -> None:
        """The first one counts."""
        if request in self._records or request in self._places:
            return
        self._records[request] = record
        self._bytes += len(record.value or b"")
        while self._bytes > self._most_bytes:
            oldest, dropped = self._records.popitem(last=False)
            self._bytes -= len(dropped.value or b"")
            self._places[oldest] = Ref(dropped.topic, dropped.partition, dropped.offset)
        while len(self._places) > KEPT_PLACES:
            self._places.popitem(last=False)

    def take(self, request: Id) -> Any | Ref | None:
        """The record, or where it stands."""
        record = self._records.pop(request, None)
        if record is None:
            return self._places.pop(request, None)
        self._bytes -= len(record.value or b"")
        return record
