"""history: what the gateway knows of the time before its own tail, from ClickHouse.

Usage, where old outcomes stand, which conversations there were.
"""

from collections.abc import Sequence
from typing import Literal

from connectors.clickhouse.address import parse_dsn
from connectors.clickhouse.archive import Archive
from connectors.clickhouse.reader import Reader
from connectors.clickhouse.store import StoreError
from pipeline.tools import Tools
from schemas.events import Ref
from schemas.topics import RESPONSES
from schemas.usage import UsageQuestion, UsageRow

__all__ = ["History"]

PATIENCE_S = 10


class History:
    """Three ports of the gateway. ClickHouse may be away: that is an answer. Raises InvalidDsn."""

    def __init__(self, tools: Tools, dsn: str) -> None:
        self._responses = tools.topic(RESPONSES.name)
        self._archive = Archive(Reader(parse_dsn(dsn), limit_s=PATIENCE_S), patience_s=PATIENCE_S)

    async def close(self) -> None:
        await self._archive.close()

    async def outcome(self, tenant: str, request_id: str) -> Ref | Literal["open", "unknown", "unavailable"]:
        try:
            found = await self._archive.outcome(tenant, request_id)
        except KeyError:
            return "unknown"
        except StoreError:
            return "unavailable"
        return Ref(self._responses, *found) if found is not None else "open"

    async def conversation(self, tenant: str, conversation_id: str) -> Literal["known", "unknown", "unavailable"]:
        try:
            return "known" if await self._archive.has_conversation(tenant, conversation_id) else "unknown"
        except StoreError:
            return "unavailable"

    async def usage(self, question: UsageQuestion) -> Sequence[UsageRow] | Literal["unavailable"]:
        try:
            return await self._archive.usage(question)
        except StoreError:
            return "unavailable"
