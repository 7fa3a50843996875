"""What route remembers, and how it looks for what a dead worker wrote."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pipeline.agents.ownership import Partition
from pipeline.agents.recovery import Recovery
from pipeline.agents.settle import booked
from schemas.codec import encode
from schemas.completion import Usage
from schemas.events import Attempt, Delta, Idempotency, Price, Ref, Response, RouteInfo, Timings
from tests.agents.fakes import NOW, FakeScanner, make_record, make_tools

KEY = ("main", "r1")
EARLY, LATE = Ref("llm.responses.v1", 0, 3), Ref("llm.responses.v1", 0, 5)


def make_started(number: int = 1) -> Attempt:
    return Attempt(
        request_id=f"r{number}", tenant="main", attempt=1, attempt_id=f"a{number}", phase="started", role="primary",
        provider="sim", model="m", region="us", worker="w0", started_at=NOW,
    )  # fmt: skip


def make_recovery(gate: asyncio.Event | None = None) -> tuple[Recovery, FakeScanner]:
    async def partition_count(_topic: str) -> int:
        return 1

    scanner = FakeScanner(gate)
    producers = SimpleNamespace(partition_count=partition_count)
    return Recovery(make_tools(scanner=scanner, producers=producers)), scanner


def test_of_two_outcomes_the_earlier_one_is_remembered() -> None:
    for order in ((EARLY, LATE), (LATE, EARLY)):
        partition = Partition()
        for ref in order:
            partition.answer(KEY, ref)
        assert partition.answered[KEY] == EARLY


def test_a_key_is_forgotten_when_its_time_is_over() -> None:
    partition = Partition()
    partition.store(Idempotency("r1", "main", "f", EARLY, expires_at=NOW))
    assert partition.stored(KEY, NOW - 1) is not None
    assert partition.stored(KEY, NOW) is None
    assert KEY not in partition.idempotency


def test_an_answer_nobody_got_is_booked_as_not_effective() -> None:
    event = make_started()
    event.phase, event.usage, event.price, event.result = "finished", Usage(input_tokens=1), Price("v", 10**6), "ok"
    cost = booked(event, effective=False)
    assert cost is not None
    assert (cost.cost_nano_usd, cost.effective) == (1, False)


async def test_an_answer_that_was_written_before_the_death_is_found() -> None:
    recovery, scanner = make_recovery()
    scanner.logs["llm.responses.v1", 0] = [answer_record(1, 7), answer_record(1, 8)]
    found = await recovery.answer(make_started(), 0)
    assert found is not None
    assert (found[0], found[1].request_id) == (Ref("llm.responses.v1", 0, 7), "r1")
    assert await recovery.answer(make_started(2), 0) is None


def answer_record(number: int, offset: int) -> Any:
    response = Response(f"r{number}", "main", "chat", "ok", NOW, NOW, RouteInfo("auto", ""), Timings(0, None, 1, 1))
    place = {"topic": "llm.responses.v1", "request_id": f"r{number}", "tenant": "main"}
    return make_record(offset, encode(response), **place)


def delta_record(number: int, seq: int, kind: str = "chunk", value: bytes | None = None) -> Any:
    delta = Delta(f"r{number}", "main", 1, seq, kind, b"[]")
    return make_record(
        seq, encode(delta) if value is None else value,
        topic="llm.deltas.v1", tenant="main", request_id=f"r{number}", kind=kind,
    )  # fmt: skip


async def test_the_pieces_of_a_request_are_read_in_their_order_and_notes_are_none() -> None:
    recovery, scanner = make_recovery()
    scanner.logs["llm.deltas.v1", 0] = [
        delta_record(1, 0, "note"), delta_record(2, 0), delta_record(3, 0, value=b"x"), delta_record(2, 1),
    ]  # fmt: skip
    first, second = await recovery.pieces("main", "r1", NOW), await recovery.pieces("main", "r2", NOW)
    assert first == []
    assert second is not None
    assert [piece.seq for piece in second] == [0, 1]


async def test_a_piece_that_cannot_be_read_makes_the_answer_unknown() -> None:
    recovery, scanner = make_recovery()
    scanner.logs["llm.deltas.v1", 0] = [delta_record(1, 0), delta_record(1, 1, value=b"x")]
    assert await recovery.pieces("main", "r1", NOW) is None


async def test_many_lost_calls_share_a_read_but_never_one_that_had_begun_before_they_asked() -> None:
    gate = asyncio.Event()
    recovery, scanner = make_recovery(gate)
    first = asyncio.create_task(recovery.answer(make_started(1), 0))
    await scanner.begun.wait()
    scanner.logs["llm.responses.v1", 0] = [answer_record(9, 4)]
    others = [asyncio.create_task(recovery.answer(make_started(number), 0)) for number in range(2, 12)]
    await asyncio.sleep(0)
    gate.set()
    assert await first is None
    found = await asyncio.gather(*others)
    assert [answer and answer[0].offset for answer in found] == [None] * 7 + [4] + [None] * 2
    assert scanner.reads == 2
