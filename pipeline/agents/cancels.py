"""Who waits no more: the records of `cancels`, for a quarter of an hour, and which calls they are meant for."""

import time
from collections import OrderedDict
from typing import Any, Final

from schemas import headers as h
from schemas.events import Call
from schemas.roles import BULK_ROLES

__all__ = ["Cancels"]

_KEPT_S: Final = 900
"""An order of an experiment waits for its place for ten minutes."""


class Cancels:
    """By (tenant, request id): when it was last cancelled, by whoever did, and when that was heard.

    Whoever asked for an answer and leaves wants none of its calls any more, whenever they are ordered. An experiment takes
    back what it has ordered so far: it may be started again, and order anew.
    """

    def __init__(self) -> None:
        self._at: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def heard(self, record: Any) -> None:
        request_id, tenant = h.text(record.headers, h.REQUEST_ID), h.text(record.headers, h.TENANT)
        if request_id is None or tenant is None:
            return
        now = time.monotonic()
        self._at[tenant, request_id] = record.timestamp, now
        self._at.move_to_end((tenant, request_id))
        while next(iter(self._at.values()))[1] < now - _KEPT_S:
            self._at.popitem(last=False)

    def concern(self, call: Call) -> bool:
        found = self._at.get((call.tenant, call.request_id))
        return found is not None and (call.role not in BULK_ROLES or call.routed_at <= found[0])
