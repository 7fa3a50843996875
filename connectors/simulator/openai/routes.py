"""OpenAI's endpoints: the journey of one request.

1. The key, then the request: refused as OpenAI refuses (`checks`, `messages`, `requests`).
2. The attempt: its ordinal decides, with the seed and the request, all that follows.
3. Rate limits, then faults that show before the start.
4. The answer (`content`), its pace (`timing`), its spelling (`replies`), its bytes (`delivery`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson
from aiohttp import web

from connectors.simulator import content, delivery, timing
from connectors.simulator.ask import Answer, Ask
from connectors.simulator.delivery import Reply
from connectors.simulator.draws import Draw
from connectors.simulator.entrance import Handler, entrance
from connectors.simulator.faults import ENDINGS, ERRORS, BadFault, Fault
from connectors.simulator.models import Model
from connectors.simulator.openai import embeddings, errors, replies, requests
from connectors.simulator.openai.checks import EMBEDDING_FIELDS, Body, find_model, parse
from connectors.simulator.openai.errors import Refused
from connectors.simulator.world import Exchange, World

_COMMON = {"openai-organization": "org-sim", "openai-version": "2020-10-01"}
_JSON = "application/json"
_EVENTS = "text/event-stream; charset=utf-8"
_BROWN_OUT = 5  # how much slower everything is under the fault `slow`
_POST_PATHS = frozenset({"/v1/chat/completions", "/v1/embeddings"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One accepted request: its randomness, and the headers of whatever is answered."""

    draw: Draw
    headers: Mapping[str, str]


def add_routes(app: web.Application, world: World) -> None:
    """Puts the vendor's paths into the application."""

    def open_to_key_holders(handler: Handler) -> Handler:
        async def checked(exchange: Exchange) -> web.StreamResponse:
            try:
                _check_key(exchange)
                return await handler(exchange)
            except Refused as refusal:
                reply = refusal.reply(_headers_of_refusal(exchange))
                return await delivery.send(exchange, reply, outcome="refused")

        return checked

    for method, path, handler in (
        ("POST", "/v1/chat/completions", _chat),
        ("POST", "/v1/embeddings", _embed),
        ("GET", "/v1/models", _list_models),
        ("GET", "/v1/models/{name}", _show_model),
        ("*", "/v1/{rest:.*}", _unknown_url),
    ):
        app.router.add_route(method, path, entrance(world, open_to_key_holders(handler)))


# -- key and headers


def _key(exchange: Exchange) -> str:
    return exchange.request.headers.get("authorization", "").removeprefix("Bearer ").strip()


def _check_key(exchange: Exchange) -> None:
    key = _key(exchange)
    if not key:
        message = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
        raise Refused(message, code="invalid_api_key", status=401)
    if not exchange.world.accepts_key(key):
        masked = f"{key[:8]}{'*' * max(len(key) - 12, 3)}{key[-4:]}"  # OpenAI does repeat parts of the key
        message = (
            f"Incorrect API key provided: {masked}. "
            "You can find your API key at https://platform.openai.com/account/api-keys."
        )
        raise Refused(message, code="invalid_api_key", status=401)


def _headers_of_refusal(exchange: Exchange) -> dict[str, str]:
    """Refused requests count against the limits too, where the model is known."""
    world, entry = exchange.world, exchange.entry
    headers = _COMMON | {"x-request-id": _request_id(Draw(world.config.seed, "", entry.body, 0))}
    body = entry.parsed_body() if world.accepts_key(_key(exchange)) else None
    name = body.get("model") if isinstance(body, dict) else None
    if not isinstance(name, str) or not (model := world.models.get(name)):
        return headers
    state = world.limiter.take(_key(exchange), model.name, tokens=0, now=world.clock.now())
    return headers | errors.rate_headers(state)


def _request_id(draw: Draw) -> str:
    return "req_" + draw.hex("request", 32)


def _begin(exchange: Exchange, model: Model, canonical: bytes, *, stream: bool = False, spend: int) -> Attempt | Reply:
    """Counts the attempt and takes it from the limits; the vendor's 429 when they are empty."""
    world, entry = exchange.world, exchange.entry
    draw, entry.attempt = world.attempt(model.name, canonical, stream=stream)
    entry.model, entry.stream, entry.request_id = model.name, stream, _request_id(draw)
    state = world.limiter.take(_key(exchange), model.name, tokens=spend, now=world.clock.now())
    headers = _COMMON | {"x-request-id": entry.request_id} | errors.rate_headers(state)
    return errors.limit_reply(state, model.name, headers) if state.short_of else Attempt(draw, headers)


# -- chat


async def _chat(exchange: Exchange) -> web.StreamResponse:
    world = exchange.world
    ask, body = requests.read(exchange.entry.body, world.models)
    # OpenAI takes the larger of the prompt and the limit asked for (guide "Rate limits").
    spend = max(ask.prompt_tokens, ask.max_tokens or 0)
    tries = world.tries(ask)
    attempt = _begin(exchange, ask.model, ask.canonical, stream=ask.stream, spend=spend)
    if isinstance(attempt, Reply):
        return await delivery.send(exchange, attempt, outcome="rate_limited")
    fault = _fault(exchange, ask, attempt.draw, tries)
    exchange.entry.fault = fault.name
    if reply := _reply_of_fault(fault, ask, attempt):
        delay_s = (ask.directive.latency_ms or 0) / 1_000
        return await delivery.send(exchange, reply, outcome=fault.name, delay_s=delay_s)
    return await _answer(exchange, ask, body, attempt, fault)


def _fault(exchange: Exchange, ask: Ask, draw: Draw, tries: int) -> Fault:
    world = exchange.world
    try:
        return world.faults.decide(ask, draw, tries=tries, now=world.clock.now())
    except BadFault as wrong:
        raise Refused(f"simulator: {wrong}", code="bad_directive") from wrong


def _reply_of_fault(fault: Fault, ask: Ask, attempt: Attempt) -> Reply | None:
    """What stands in place of the answer; None when there will be an answer, however broken."""
    if fault.kind == "wrong_shape":
        return Reply(200, {**attempt.headers, "content-type": _JSON}, b'{"object":"chat.completion","choices":[{}]}')
    # An unstreamed answer has no middle in which an error event could come.
    fails = fault.kind in ERRORS or fault.kind == "error_200" or (fault.kind == "error_mid_stream" and not ask.stream)
    return errors.fault_reply(fault, attempt.headers) if fails else None


async def _answer(exchange: Exchange, ask: Ask, body: Body, attempt: Attempt, fault: Fault) -> web.StreamResponse:
    world, draw = exchange.world, attempt.draw
    cached = world.prompt_cache.read(ask.model.name, ask.prompt, ask.prompt_tokens)
    ending = fault.kind if fault.kind in ENDINGS else ""
    answer = content.compose(ask, draw, cached=cached, ending=ending)
    scale = world.latency.scale(ask.model.name) * (_BROWN_OUT if "slow" in fault.framing else 1)
    pace = timing.pace(ask, draw.stream("pace"), scale=scale, reasoning_tokens=answer.reasoning_tokens)
    envelope = _envelope(exchange, ask, body, draw)
    if fault.kind == "no_usage":
        envelope = replace(envelope, show_usage=False)
    total_s = pace.first_s if ask.stream else pace.total_s(answer.output_tokens - answer.reasoning_tokens)
    headers = {**attempt.headers, "openai-processing-ms": str(round(total_s * 1_000))}
    if ask.stream:
        return await _stream(exchange, ask, answer, envelope, headers, pace=pace, fault=fault, draw=draw)
    reply = Reply(200, {**headers, "content-type": _JSON}, replies.whole(answer, envelope))
    return await delivery.send(exchange, reply, outcome=fault.name or "ok", delay_s=total_s, fault=fault)


def _envelope(exchange: Exchange, ask: Ask, body: Body, draw: Draw) -> replies.Envelope:
    options = body.get("stream_options") or {}
    return replies.Envelope(
        id="chatcmpl-" + draw.hex("answer", 29),
        created=int(exchange.world.clock.now()),
        model=ask.model.snapshot or ask.model.name,
        logprobs=body.get("logprobs", False),
        top_logprobs=body.get("top_logprobs", 0),
        show_usage=not ask.stream or bool(options.get("include_usage")),
    )


async def _stream(
    exchange: Exchange,
    ask: Ask,
    answer: Answer,
    envelope: replies.Envelope,
    headers: Mapping[str, str],
    *,
    pace: timing.Pace,
    fault: Fault,
    draw: Draw,
) -> web.StreamResponse:
    # A wished-for cadence is per token, so that a test can compute how long an answer takes.
    most = 1 if ask.directive.cadence_ms is not None else 5
    frames = replies.frames(answer, envelope, draw.stream("pieces"), most=most)
    return await delivery.stream(
        exchange,
        {**headers, "content-type": _EVENTS},
        frames,
        pace=pace,
        fault=fault,
        rng=draw.stream("delivery"),
        error=errors.stream_error(),
    )


# -- the rest


async def _embed(exchange: Exchange) -> web.StreamResponse:
    world = exchange.world
    body = parse(exchange.entry.body, EMBEDDING_FIELDS)
    model = find_model(body, world.models, embeddings=True)
    texts = embeddings.inputs(body, model)
    attempt = _begin(exchange, model, exchange.entry.body, spend=embeddings.spent(texts))
    if isinstance(attempt, Reply):
        return await delivery.send(exchange, attempt, outcome="rate_limited")
    fault = world.faults.chance(model.name, attempt.draw, now=world.clock.now())
    exchange.entry.fault = fault.name
    if fault.kind in ERRORS | {"error_200", "error_mid_stream"}:
        return await delivery.send(exchange, errors.fault_reply(fault, attempt.headers), outcome=fault.name)
    delay_s = timing.first_token_s(model, attempt.draw.stream("pace")) * world.latency.scale(model.name)
    headers = {**attempt.headers, "content-type": _JSON}
    reply = Reply(200, headers, embeddings.whole(body, texts, model))
    return await delivery.send(exchange, reply, outcome=fault.name or "ok", delay_s=delay_s, fault=fault)


def _described(model: Model) -> dict[str, object]:
    return {"id": model.name, "object": "model", "created": 1_735_689_600, "owned_by": "system"}


async def _list_models(exchange: Exchange) -> web.StreamResponse:
    rows = [_described(model) for model in exchange.world.models.rows.values()]
    return await _send_json(exchange, {"object": "list", "data": rows})


async def _show_model(exchange: Exchange) -> web.StreamResponse:
    model = find_model({"model": exchange.request.match_info["name"]}, exchange.world.models, embeddings=None)
    return await _send_json(exchange, _described(model))


async def _send_json(exchange: Exchange, value: object) -> web.StreamResponse:
    return await delivery.send(
        exchange, Reply(200, {**_COMMON, "content-type": _JSON}, orjson.dumps(value)), outcome="ok"
    )


async def _unknown_url(exchange: Exchange) -> web.StreamResponse:
    method, path = exchange.request.method, exchange.request.path
    if path in _POST_PATHS or path == "/v1/models":
        message = f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        raise Refused(message, code="method_not_supported", status=405)
    message = f"Unknown request URL: {method} {path}. Please check the URL for typos."
    raise Refused(message, code="unknown_url", status=404)
