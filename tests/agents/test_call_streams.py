"""The call stage and what it writes of a stream: every piece before the end, and a continuation where it joins on."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson

from connectors.providers import Delta as Piece
from connectors.providers import ProviderCall
from connectors.providers.driver import CallResult
from pipeline.agents.call import DRAIN_S, CallStage
from pipeline.agents.sensing import Sensing
from pipeline.stage import Batch
from schemas.catalog import Timeouts
from schemas.catalog.guards import Breaker
from schemas.codec import encode
from schemas.completion import Choice, Completion, Usage
from schemas.errors import ErrorKind, ProviderError
from schemas.events import Prefix, Price, Response
from tests.agents.fakes import FakeApp, FakeEmit, make_call, make_record, make_tools

PRICE = Price("v", input_nano_usd_per_mtok=1_000_000, output_nano_usd_per_mtok=1_000_000)


class SpeakingDriver:
    """Says these pieces, one read each, then how it ended; `call` is what it was asked."""

    def __init__(self, texts: list[str], error: ProviderError | None = None, *, hangs: bool = False) -> None:
        self._texts, self._error, self._hangs = texts, error, hangs
        self.call: ProviderCall | None = None
        self.spoke = asyncio.Event()

    async def complete(self, call: ProviderCall, *, on_delta: Callable[[list[Piece]], None], **_: Any) -> CallResult:
        self.call = call
        for text in self._texts:
            on_delta([Piece(0, {"content": text})])
        self.spoke.set()
        if self._hangs:
            await asyncio.Event().wait()
        usage = Usage(input_tokens=20, output_tokens=2)
        whole = None if self._error else Completion([Choice(text="".join(self._texts))], usage)
        return CallResult(whole, self._error, 1, 2, None, bytes_sent=True, usage=usage)


async def run(driver: SpeakingDriver, **facts: Any) -> FakeEmit:
    stage, emit = make_stage(driver)
    call = make_call(stream=True, price=PRICE, **facts)
    await stage.handle(Batch("llm.calls.sim.v1", 0, [make_record(1, encode(call))]))
    await asyncio.gather(*(flight.task for flight in stage._in_flight.values() if flight.task))
    return emit


def make_stage(driver: SpeakingDriver) -> tuple[CallStage, FakeEmit]:
    emit = FakeEmit()
    loaded = SimpleNamespace(
        catalog=SimpleNamespace(
            providers={"sim": SimpleNamespace(timeouts=Timeouts())}, breaker=Breaker(), places=lambda *_: 1
        )
    )
    tools = make_tools(loaded=loaded)
    return CallStage(tools, emit, FakeApp(), {"sim": driver}, Sensing(tools, emit)), emit  # type: ignore[arg-type,dict-item]


def written(emit: FakeEmit) -> str:
    return "".join(piece.get("content", "") for delta in emit.deltas for piece in orjson.loads(delta.data))


async def test_a_stream_that_breaks_has_every_piece_on_deltas_before_its_end() -> None:
    broken = ProviderError(ErrorKind.TRANSPORT)
    emit = await run(SpeakingDriver(["The", " export", " fails"], broken))
    assert written(emit) == "The export fails"
    assert emit.order[-1] == "finished"
    assert [delta.seq for delta in emit.deltas] == list(range(len(emit.deltas)))
    assert emit.attempts[-1].streamed


async def test_a_call_that_is_handed_over_has_every_piece_on_deltas_before_its_end(monkeypatch: Any) -> None:
    monkeypatch.setitem(DRAIN_S, "interactive", 0.01)
    driver = SpeakingDriver(["The", " export"], hangs=True)
    stage, emit = make_stage(driver)
    await stage.handle(Batch("llm.calls.sim.v1", 0, [make_record(1, encode(make_call(stream=True)))]))
    await driver.spoke.wait()
    await stage.drain()
    assert (written(emit), emit.order[-1]) == ("The export", "finished")


async def test_a_stream_that_breaks_before_its_first_piece_has_streamed_nothing() -> None:
    emit = await run(SpeakingDriver([], ProviderError(ErrorKind.TRANSPORT)))
    assert not emit.attempts[-1].streamed
    assert emit.deltas == []


BEGUN = Prefix(attempt=1, pieces=3, content="The export of the ticket", input_tokens=12, output_tokens=5)


async def continued_by(texts: list[str], prefix: Prefix = BEGUN) -> tuple[FakeEmit, SpeakingDriver, Response]:
    driver = SpeakingDriver(texts)
    body = orjson.dumps({"messages": [{"role": "user", "content": "Why?"}]})
    emit = await run(driver, body=body, attempt=2, role="continuation", prefix=prefix, spent_nano_usd=17)
    (response,) = emit.responses
    return emit, driver, response


async def test_a_continuation_is_asked_with_the_prefix_and_writes_only_what_is_new() -> None:
    emit, driver, _ = await continued_by(["The export of", " the ticket", " fails."])
    assert driver.call is not None
    assert driver.call.body["messages"][1] == {"role": "assistant", "content": BEGUN.content}
    assert written(emit) == " fails."
    first = emit.deltas[0]
    assert (first.attempt, first.seq, first.continues_attempt, first.continues_pieces) == (2, 0, 1, 3)


async def test_only_the_first_piece_says_what_it_continues() -> None:
    emit, _, _ = await continued_by([" fails", " again"])
    assert {delta.continues_attempt for delta in emit.deltas[1:]} <= {None}


async def test_the_answer_of_a_continuation_is_whole_and_costs_what_all_its_attempts_cost() -> None:
    emit, _, response = await continued_by([" fails", "."])
    answer = orjson.loads(response.body or b"")
    assert answer["choices"][0]["message"]["content"] == "The export of the ticket fails."
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (12, 7)
    assert response.usage == Usage(input_tokens=12, output_tokens=7, estimated=True)
    assert (response.attempts, response.cost_nano_usd) == (2, 17 + 22)
    booked = emit.attempts[-1].usage
    assert booked == Usage(input_tokens=20, output_tokens=2)  # what the vendor bills stands in the books
