"""Archive: usage, and where the outcomes of old requests stand, out of the tables. For callers who wait: a few at a time.

The statements are files beside this module; what they are asked comes in as parameters.
"""

import asyncio
from functools import cache
from pathlib import Path
from typing import Any, Final

from connectors.clickhouse.reader import Reader
from connectors.clickhouse.store import Unavailable
from schemas.usage import UsageQuestion, UsageRow

__all__ = ["Archive", "Found"]

Found = tuple[int, int] | None
"""Partition and offset of the outcome on `responses`; None while the request is open."""

_SQL: Final = Path(__file__).parent / "sql"


class Archive:
    """Of each kind of question `most` run at a time; others wait, and nobody longer than `patience_s`: then Unavailable.

    The kinds have places of their own: sums, which take long, do not keep look-ups waiting.
    """

    def __init__(self, reader: Reader, *, patience_s: float, most: int = 4) -> None:
        self._reader, self._patience_s = reader, patience_s
        self._places = {name: asyncio.Semaphore(most) for name in ("usage", "outcome", "conversation")}

    async def close(self) -> None:
        await self._reader.close()

    async def usage(self, question: UsageQuestion) -> list[UsageRow]:
        """By the group's value; calls and requests without one come last."""
        rows = await self._ask(
            "usage",
            by=question.by,
            tag=question.tag,
            tenant=question.tenant,
            from_ms=question.from_ms,
            to_ms=question.to_ms,
        )
        return [UsageRow(**row) for row in rows]

    async def outcome(self, tenant: str, request_id: str) -> Found:
        """Raises KeyError: this tenant has no such request, or it is past its retention."""
        rows = await self._ask("outcome", tenant=tenant, request_id=request_id)
        if not rows:
            raise KeyError(request_id)
        partition, offset = rows[0]["kafka_partition"], rows[0]["kafka_offset"]
        return None if offset is None else (int(partition), int(offset))

    async def has_conversation(self, tenant: str, conversation_id: str) -> bool:
        return bool(await self._ask("conversation", tenant=tenant, conversation_id=conversation_id))

    async def _ask(self, name: str, **parameters: str | int) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(self._patience_s), self._places[name]:
                return await self._reader.rows(_statement(name), **parameters)
        except TimeoutError:
            raise Unavailable(f"no answer within {self._patience_s:g} s") from None


@cache
def _statement(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")
