"""The past for replays: requests as the log had them, and the ledger by attempt. In pieces that fit into memory."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.clickhouse.reader import Reader
from schemas.completion import Usage
from schemas.events import Enriched, Features, Ref
from schemas.events.ref import TimestampMs
from schemas.ledger import Booked

__all__ = ["PastLedger", "PastRequests"]

_SQL: Final = Path(__file__).parent / "sql"
_PAGE: Final = 500
"""Rows with bodies: at 256 KiB each the largest page is 128 MB."""


_NAMES: Final = 200
"""Ids in one question: it goes in an address."""


class PastRequests:
    """Callers' requests of a range, `tenant` empty for all; `kept_from` by partition: only what lies before. Raises Unavailable."""

    def __init__(
        self,
        reader: Reader,
        *,
        from_ms: TimestampMs,
        to_ms: TimestampMs,
        tenant: str,
        kept_from: Mapping[int, int] | None,
    ) -> None:
        firsts = [] if kept_from is None else [kept_from.get(p, 0) for p in range(max(kept_from, default=-1) + 1)]
        self._reader = reader
        self._range: dict[str, str | int] = {
            "from_ms": from_ms,
            "to_ms": to_ms,
            "tenant": tenant,
            "all_kept": int(kept_from is None),
            "firsts": orjson.dumps(firsts).decode(),
        }

    async def count(self) -> int:
        (row,) = await self._reader.rows(_statement("past_requests_count"), **self._range)
        return int(row["number"])

    async def __aiter__(self) -> AsyncIterator[Enriched]:
        """In the order in which they were accepted."""
        place = {"after_ms": -1, "after_partition": 0, "after_offset": 0}
        while True:
            rows = await self._reader.rows(_statement("past_requests"), **self._range, **place, most=_PAGE)
            for row in rows:
                yield _request(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1]
            place = {
                "after_ms": int(last["accepted_ms"]),
                "after_partition": int(last["kafka_partition"]),
                "after_offset": int(last["kafka_offset"]),
            }


def _request(row: Mapping[str, Any]) -> Enriched:
    """What a replay needs of it."""
    ref = row["body_ref_topic"]
    return Enriched(
        request_id=row["request_id"],
        tenant=row["tenant"],
        partition_key=row["partition_key"],
        model=row["model"],
        operation=row["operation"],
        stream=row["stream"],
        priority=row["priority"],
        accepted_at=row["accepted_ms"],
        deadline_at=row["deadline_ms"],
        features=Features(
            row["features_input_tokens"], row["features_language"], row["features_task"], row["features_complexity"],
            row["features_band"], row["features_sensitivity"],
        ),
        body=None if row["body"] is None else row["body"].encode(),
        body_ref=None if ref is None else Ref(ref, row["body_ref_partition"], row["body_ref_offset"]),
        max_tokens=row["max_tokens"],
        user=row["user"],
        key_id=row["key_id"],
        tags=row["tags"],
    )  # fmt: skip


class PastLedger:
    """The lines of a range, by when their request was accepted; `tenant` empty for all. Raises Unavailable."""

    def __init__(self, reader: Reader, *, tenant: str) -> None:
        self._reader, self._tenant = reader, tenant

    async def extent(self, from_ms: TimestampMs, to_ms: TimestampMs) -> tuple[TimestampMs, TimestampMs, int]:
        """When its first and last lines were accepted, and how many there are; copies count."""
        (row,) = await self._reader.tuples(
            _statement("ledger_extent"), tenant=self._tenant, from_ms=from_ms, to_ms=to_ms
        )
        return int(row[0]), int(row[1]), int(row[2])

    async def steps(self, from_ms: TimestampMs, to_ms: TimestampMs, step_ms: int) -> list[tuple[TimestampMs, int]]:
        """Begin and lines of each step that has some."""
        rows = await self._reader.tuples(
            _statement("ledger_steps"), tenant=self._tenant, from_ms=from_ms, to_ms=to_ms, step_ms=step_ms
        )
        return [(int(at), int(lines)) for at, lines in rows]

    async def booked(self, from_ms: TimestampMs, to_ms: TimestampMs, part: int, parts: int) -> list[Booked]:
        rows = await self._reader.tuples(
            _statement("booked"), tenant=self._tenant, from_ms=from_ms, to_ms=to_ms, part=part, parts=parts
        )
        return [Booked(*row) for row in rows]

    async def usage(self, attempt_ids: Sequence[str]) -> dict[str, Usage]:
        """What vendors said later of calls that had been estimated; those whose attempts are past their retention are absent."""
        found: dict[str, Usage] = {}
        for first in range(0, len(attempt_ids), _NAMES):
            named = ",".join(f"'{attempt_id}'" for attempt_id in attempt_ids[first : first + _NAMES])
            rows = await self._reader.tuples(_statement("usage_of_attempts"), attempt_ids=f"[{named}]")
            found |= {row[0]: Usage(*row[1:]) for row in rows}
        return found


@cache
def _statement(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")
