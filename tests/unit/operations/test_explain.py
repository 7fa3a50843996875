"""Who is believed: ClickHouse if it has a request whole, else whoever knows more."""

from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from connectors.clickhouse.store import Unavailable
from pipeline.operations import explain as module
from pipeline.operations.explain import explain, is_found
from pipeline.operations.running import Connection

WHERE = Connection("k:1", "llm.", 2, "c.yaml", None, {})
NOTHING: dict[str, Any] = {
    "request": None, "enriched": None, "decisions": [], "attempts": [], "costs": [], "response": None, "shadow": [],
    "feedback": [],
}  # fmt: skip
PHASES = [{"phase": "started"}, {"phase": "finished"}]
WHOLE = NOTHING | {"enriched": {}, "response": {"by": "rows"}, "attempts": PHASES, "costs": [{}]}
UNBOOKED = WHOLE | {"costs": []}
FULLER = WHOLE | {"response": {"by": "topics"}, "decisions": [{}, {}]}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What ClickHouse and the topics say -> the document."""

    async def asked(rows: Any, topics: Any) -> dict[str, Any]:
        def said(value: Any) -> Any:
            async def answer(*_: Any, **__: Any) -> Any:
                if isinstance(value, Exception):
                    raise value
                return value

            return answer

        monkeypatch.setattr(module, "from_rows", said(rows))
        monkeypatch.setattr(module, "collect", said(topics))
        reader: Any = object()
        return await explain(WHERE, reader, "r")

    return asked


@pytest.mark.parametrize(
    ("rows", "topics", "found"),
    [
        (WHOLE, AssertionError("not needed"), WHOLE),
        (UNBOOKED, FULLER, FULLER),
        (UNBOOKED, NOTHING, UNBOOKED),
        (UNBOOKED, KafkaConnectionError(), UNBOOKED),
        (NOTHING, FULLER, FULLER),
        (NOTHING, NOTHING, NOTHING),
        (Unavailable("away"), FULLER, FULLER),
    ],
    ids=["whole", "fresh", "old", "no broker", "not there yet", "unknown", "no ClickHouse"],
)
async def test_the_fuller_document_is_given(ask: Any, rows: Any, topics: Any, found: dict[str, Any]) -> None:
    assert await ask(rows, topics) == found
    assert is_found(found) == (found != NOTHING)


async def test_where_only_clickhouse_is_known_its_failure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("away")

    monkeypatch.setattr(module, "from_rows", away)
    reader: Any = object()
    with pytest.raises(Unavailable):
        await explain(None, reader, "r")


async def test_without_either_nothing_can_be_said(ask: Any) -> None:
    with pytest.raises(KafkaConnectionError):
        await ask(Unavailable("away"), KafkaConnectionError())
