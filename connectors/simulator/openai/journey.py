"""The journey of one accepted request, alike for Chat Completions, Responses and compatible servers.

1. The attempt: its ordinal decides, with the seed and the request, all that follows.
2. Rate limits, then faults that show before the start.
3. The answer (`content`), its pace (`timing`), its spelling (`Spelling`), its bytes (`delivery`).
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from connectors.simulator import content, delivery, timing
from connectors.simulator.ask import Answer, Ask
from connectors.simulator.delivery import Frame, Reply
from connectors.simulator.draws import Draw
from connectors.simulator.faults import ENDINGS, BadFault, Fault
from connectors.simulator.limits import RateState
from connectors.simulator.models import Model
from connectors.simulator.openai.errors import Refused
from connectors.simulator.timing import Pace
from connectors.simulator.world import Exchange

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
_BROWN_OUT = 5  # how much slower everything is under the fault `slow`

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What a server answers besides answers.

    Attributes:
        headers: From the request's id and the state of the limits.
        limited: The reply to an empty bucket, given the model's name.
        failed: The reply to a fault.
        processing: Header with the milliseconds that an answer took; empty for none.
    """

    headers: Callable[[str, RateState], dict[str, str]]
    limited: Callable[[RateState, str, Headers], Reply]
    failed: Callable[[Fault, Headers], Reply]
    processing: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accepted request: its randomness, its time, and the headers of whatever is answered."""

    draw: Draw
    created: int
    headers: Headers


class Spelling(Protocol):
    """How one request's answer is written."""

    def instead(self, fault: Fault, attempt: Attempt) -> Reply | None:
        """What stands in place of the answer; None when there will be an answer, however broken."""
        ...

    def whole(self, answer: Answer, attempt: Attempt, fault: Fault) -> bytes:
        """The body of an unstreamed answer."""
        ...

    def frames(
        self, answer: Answer, attempt: Attempt, fault: Fault, *, rng: random.Random, most: int
    ) -> Iterable[Frame]:
        """The events of a streamed one; `most` is the largest piece in tokens."""
        ...

    def error(self, sent: int) -> bytes:
        """The event for a failure after `sent` events."""
        ...


def key_of(exchange: Exchange) -> str:
    """The caller's key; empty without one."""
    return exchange.request.headers.get("authorization", "").removeprefix("Bearer ").strip()


def request_id(draw: Draw) -> str:
    return "req_" + draw.hex("request", 32)


def begin(
    exchange: Exchange, manners: Manners, model: Model, canonical: bytes, *, stream: bool = False, spend: int
) -> Attempt | Reply:
    """Counts the attempt and takes it from the limits; the vendor's 429 when they are empty."""
    world, entry = exchange.world, exchange.entry
    draw, entry.attempt = world.attempt(model.name, canonical, stream=stream)
    entry.model, entry.stream, entry.request_id = model.name, stream, request_id(draw)
    state = world.limiter.take(key_of(exchange), model.name, tokens=spend, now=world.clock.now())
    headers = manners.headers(entry.request_id, state)
    if state.short_of:
        return manners.limited(state, model.name, headers)
    return Attempt(draw, int(world.clock.now()), headers)


async def converse(exchange: Exchange, ask: Ask, manners: Manners, spelling: Spelling) -> web.StreamResponse:
    """From a request that was understood to the end of its answer.

    Raises:
        Refused: The directive names a fault that nobody knows.
    """
    # OpenAI takes the larger of the prompt and the limit asked for (guide "Rate limits").
    spend = max(ask.prompt_tokens, ask.max_tokens or 0)
    tries = exchange.world.tries(ask)
    attempt = begin(exchange, manners, ask.model, ask.canonical, stream=ask.stream, spend=spend)
    if isinstance(attempt, Reply):
        return await delivery.send(exchange, attempt, outcome="rate_limited")
    fault = _fault(exchange, ask, attempt.draw, tries)
    exchange.entry.fault = fault.name
    if reply := spelling.instead(fault, attempt):
        delay_s = (ask.directive.latency_ms or 0) / 1_000
        return await delivery.send(exchange, reply, outcome=fault.name, delay_s=delay_s)
    return await _answer(exchange, ask, attempt, fault, manners=manners, spelling=spelling)


def _fault(exchange: Exchange, ask: Ask, draw: Draw, tries: int) -> Fault:
    world = exchange.world
    try:
        return world.faults.decide(ask, draw, tries=tries, now=world.clock.now())
    except BadFault as wrong:
        raise Refused(f"simulator: {wrong}", code="bad_directive") from wrong


async def _answer(
    exchange: Exchange, ask: Ask, attempt: Attempt, fault: Fault, *, manners: Manners, spelling: Spelling
) -> web.StreamResponse:
    world, draw = exchange.world, attempt.draw
    cached = world.prompt_cache.read(ask.model.name, ask.prompt, ask.prompt_tokens)
    ending = fault.kind if fault.kind in ENDINGS else ""
    answer = content.compose(ask, draw, cached=cached, ending=ending)
    scale = world.latency.scale(ask.model.name) * (_BROWN_OUT if "slow" in fault.framing else 1)
    pace = timing.pace(ask, draw.stream("pace"), scale=scale, reasoning_tokens=answer.reasoning_tokens)
    total_s = pace.first_s if ask.stream else pace.total_s(answer.output_tokens - answer.reasoning_tokens)
    took = {manners.processing: str(round(total_s * 1_000))} if manners.processing else {}
    headers = {**attempt.headers, **took, "content-type": EVENTS if ask.stream else JSON}
    if ask.stream:
        # A wished-for cadence is per token, so that a test can compute how long an answer takes.
        most = 1 if ask.directive.cadence_ms is not None else 5
        frames = spelling.frames(answer, attempt, fault, rng=draw.stream("pieces"), most=most)
        return await _stream(exchange, attempt, list(frames), headers, pace=pace, fault=fault, spelling=spelling)
    reply = Reply(200, headers, spelling.whole(answer, attempt, fault))
    return await delivery.send(exchange, reply, outcome=fault.name or "ok", delay_s=total_s, fault=fault)


async def _stream(
    exchange: Exchange,
    attempt: Attempt,
    frames: list[Frame],
    headers: Headers,
    *,
    pace: Pace,
    fault: Fault,
    spelling: Spelling,
) -> web.StreamResponse:
    return await delivery.stream(
        exchange,
        headers,
        frames,
        pace=pace,
        fault=fault,
        rng=attempt.draw.stream("delivery"),
        error=spelling.error(delivery.cut_position(frames, fault.after)),
    )
