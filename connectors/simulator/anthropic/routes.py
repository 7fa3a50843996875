"""Anthropic's endpoints: the journey of one request.

1. The key, the version, the size; then the request: refused as Anthropic refuses (`fields`, `checks`, `messages`).
2. The attempt: its ordinal decides, with the seed and the request, all that follows.
3. Rate limits, then faults that show before the start.
4. The answer (`content`), its thinking, its pace (`timing`), its spelling (`replies`), its bytes (`delivery`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web

from connectors.simulator import content, delivery, timing, tokens
from connectors.simulator.anthropic import errors, fields, replies, requests, signatures
from connectors.simulator.anthropic.errors import Refused
from connectors.simulator.anthropic.requests import Reading
from connectors.simulator.ask import Answer, Ask
from connectors.simulator.delivery import Reply
from connectors.simulator.draws import Draw
from connectors.simulator.entrance import Handler, entrance
from connectors.simulator.faults import ENDINGS, ERRORS, BadFault, Fault
from connectors.simulator.models import Model
from connectors.simulator.world import Exchange, World

_COMMON = {"anthropic-organization-id": "org-sim"}
_JSON = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"
_BROWN_OUT = 5  # how much slower everything is under the fault `slow`
_MAX_BODY_BYTES = 32 * 1024 * 1024
_SHOWN_TOKENS = 48  # a summary of the thinking, whatever was thought


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accepted request: its randomness, and the headers of whatever is answered."""

    draw: Draw
    headers: Mapping[str, str]


def add_routes(app: web.Application, world: World) -> None:
    """Puts the vendor's paths into the application."""

    def guarded(handler: Handler) -> Handler:
        async def checked(exchange: Exchange) -> web.StreamResponse:
            try:
                _check_headers(exchange)
                return await handler(exchange)
            except Refused as refusal:
                reply = refusal.reply(_headers_of_refusal(exchange))
                return await delivery.send(exchange, reply, outcome="refused")

        return checked

    for method, path, handler in (
        ("POST", "/v1/messages", _create),
        ("POST", "/v1/messages/count_tokens", _count),
        ("*", "/v1/messages", _wrong_method),
        ("*", "/v1/messages/{rest:.*}", _unknown_url),
    ):
        app.router.add_route(method, path, entrance(world, guarded(handler)))


# -- key, version, headers


def _key(exchange: Exchange) -> str:
    headers = exchange.request.headers
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ").strip()


def _version(exchange: Exchange) -> str:
    return exchange.request.headers.get("anthropic-version", "")


def _check_headers(exchange: Exchange) -> None:
    key, version = _key(exchange), _version(exchange)
    if not key:
        raise Refused("x-api-key header is required", status=401, kind="authentication_error")
    if not exchange.world.accepts_key(key):
        what = "x-api-key" if "x-api-key" in exchange.request.headers else "bearer token"
        raise Refused(f"invalid {what}", status=401, kind="authentication_error")
    if not version:
        raise Refused("anthropic-version: header is required")
    if version not in fields.VERSIONS:
        raise Refused(f'anthropic-version: "{version}" is not a valid version')
    if len(exchange.entry.body) > _MAX_BODY_BYTES:
        raise Refused("Request exceeds the maximum size", status=413, kind="request_too_large")


def _headers_of_refusal(exchange: Exchange) -> dict[str, str]:
    """Refused requests count against the limits too, where the model is known."""
    world, entry = exchange.world, exchange.entry
    headers = _COMMON | {"request-id": _request_id(Draw(world.config.seed, "", entry.body, 0))}
    body = entry.parsed_body() if world.accepts_key(_key(exchange)) else None
    name = body.get("model") if isinstance(body, dict) else None
    if not isinstance(name, str) or not (model := world.models.get(name, "anthropic")):
        return headers
    now = world.clock.now()
    return headers | errors.rate_headers(world.limiter.take(_key(exchange), model.name, tokens=0, now=now), now)


def _request_id(draw: Draw) -> str:
    return "req_011" + draw.hex("request", 21)


def _begin(exchange: Exchange, model: Model, canonical: bytes, *, stream: bool = False, spend: int) -> Attempt | Reply:
    """Counts the attempt and takes it from the limits; the vendor's 429 when they are empty."""
    world, entry = exchange.world, exchange.entry
    draw, entry.attempt = world.attempt(model.name, canonical, stream=stream)
    entry.model, entry.stream, entry.request_id = model.name, stream, _request_id(draw)
    now = world.clock.now()
    state = world.limiter.take(_key(exchange), model.name, tokens=spend, now=now)
    headers = _COMMON | {"request-id": entry.request_id} | errors.rate_headers(state, now)
    return errors.limit_reply(state, model.name, headers) if state.short_of else Attempt(draw, headers)


# -- messages


async def _create(exchange: Exchange) -> web.StreamResponse:
    world = exchange.world
    reading = requests.read(exchange.entry.body, world.models, _version(exchange))
    ask = reading.ask
    tries = world.tries(ask)
    attempt = _begin(exchange, ask.model, ask.canonical, stream=ask.stream, spend=ask.prompt_tokens)
    if isinstance(attempt, Reply):
        return await delivery.send(exchange, attempt, outcome="rate_limited")
    fault = _fault(exchange, ask, attempt.draw, tries)
    exchange.entry.fault = fault.name
    if reply := _reply_of_fault(fault, ask, attempt):
        delay_s = (ask.directive.latency_ms or 0) / 1_000
        return await delivery.send(exchange, reply, outcome=fault.name, delay_s=delay_s)
    return await _answer(exchange, reading, attempt, fault)


def _fault(exchange: Exchange, ask: Ask, draw: Draw, tries: int) -> Fault:
    world = exchange.world
    try:
        return world.faults.decide(ask, draw, tries=tries, now=world.clock.now())
    except BadFault as wrong:
        raise Refused(f"simulator: {wrong}") from wrong


def _reply_of_fault(fault: Fault, ask: Ask, attempt: Attempt) -> Reply | None:
    """What stands in place of the answer; None when there will be an answer, however broken."""
    if fault.kind == "wrong_shape":
        return Reply(200, {**attempt.headers, "content-type": _JSON}, b'{"type":"message","content":[{}]}')
    # An unstreamed answer has no middle in which an error event could come.
    fails = fault.kind in ERRORS or fault.kind == "error_200" or (fault.kind == "error_mid_stream" and not ask.stream)
    return errors.fault_reply(fault, attempt.headers) if fails else None


async def _answer(exchange: Exchange, reading: Reading, attempt: Attempt, fault: Fault) -> web.StreamResponse:
    world, ask, draw = exchange.world, reading.ask, attempt.draw
    cache = world.marked_cache.use(ask.model.name, reading.blocks, now=world.clock.now())
    ending = fault.kind if fault.kind in ENDINGS else ""
    answer = content.compose(ask, draw, cached=cache.read, ending=ending)
    world.limiter.spend_output(_key(exchange), ask.model.name, answer.output_tokens, now=world.clock.now())
    scale = world.latency.scale(ask.model.name) * (_BROWN_OUT if "slow" in fault.framing else 1)
    pace = timing.pace(ask, draw.stream("pace"), scale=scale, reasoning_tokens=answer.reasoning_tokens)
    envelope = replies.Envelope(
        id="msg_01" + draw.hex("answer", 22),
        model=ask.model.snapshot or ask.model.name,
        cache=cache,
        thinking=_thinking(reading, answer, draw),
        finish=ask.directive.finish,
        show_usage=fault.kind != "no_usage",
    )
    if ask.stream:
        return await _stream(exchange, ask, answer, envelope, attempt, pace=pace, fault=fault)
    reply = Reply(200, {**attempt.headers, "content-type": _JSON}, replies.whole(answer, envelope))
    total_s = pace.total_s(answer.output_tokens - answer.reasoning_tokens)
    return await delivery.send(exchange, reply, outcome=fault.name or "ok", delay_s=total_s, fault=fault)


def _thinking(reading: Reading, answer: Answer, draw: Draw) -> replies.Thinking | None:
    """The block that tells of the thinking: a summary, a signature alone, or, if wished for, nothing readable."""
    if not answer.reasoning_tokens:
        return None
    ask, nonce = reading.ask, draw.hex("signature", 12)
    if ask.directive.thinking == "redacted":
        return replies.Thinking(ids=[], redacted=signatures.redact(ask.model.name, nonce))
    size = min(_SHOWN_TOKENS, answer.reasoning_tokens) if reading.shows_thinking else 0
    shown = content.thoughts(ask, draw.stream("thoughts"), size)
    signature = signatures.sign(ask.model.name, tokens.decode(shown) or "", nonce)
    return replies.Thinking(ids=shown, signature=signature)


async def _stream(
    exchange: Exchange,
    ask: Ask,
    answer: Answer,
    envelope: replies.Envelope,
    attempt: Attempt,
    *,
    pace: timing.Pace,
    fault: Fault,
) -> web.StreamResponse:
    draw = attempt.draw
    # A wished-for cadence is per token, so that a test can compute how long an answer takes.
    most = 1 if ask.directive.cadence_ms is not None else 5
    return await delivery.stream(
        exchange,
        {**attempt.headers, "content-type": _EVENTS, "cache-control": "no-cache"},
        replies.frames(answer, envelope, draw.stream("pieces"), most=most),
        pace=pace,
        fault=fault,
        rng=draw.stream("delivery"),
        error=errors.stream_error(exchange.entry.request_id),
        broken=errors.BROKEN_FRAME,
    )


# -- the rest


async def _count(exchange: Exchange) -> web.StreamResponse:
    world, raw = exchange.world, exchange.entry.body
    model, total = requests.count(raw, world.models, _version(exchange))
    attempt = _begin(exchange, model, raw, spend=0)
    if isinstance(attempt, Reply):
        return await delivery.send(exchange, attempt, outcome="rate_limited")
    body = orjson.dumps({"input_tokens": total})
    return await delivery.send(exchange, Reply(200, {**attempt.headers, "content-type": _JSON}, body), outcome="ok")


async def _wrong_method(_: Exchange) -> web.StreamResponse:
    raise Refused("Method Not Allowed", status=405)


async def _unknown_url(_: Exchange) -> web.StreamResponse:
    raise Refused("Not found", status=404, kind="not_found_error")
