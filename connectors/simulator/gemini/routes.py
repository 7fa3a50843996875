"""Google's endpoints: the journey of one request.

1. The key, then the method and the model, both in the path; then the request: refused as Google refuses.
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
from connectors.simulator.entrance import entrance
from connectors.simulator.faults import ENDINGS, ERRORS, BadFault, Fault
from connectors.simulator.gemini import embeddings, errors, replies, requests
from connectors.simulator.gemini.errors import JSON_TYPE, Refused
from connectors.simulator.gemini.models import GeminiModel, GeminiModels
from connectors.simulator.world import Exchange, World

_COMMON = {"server": "scaffolding on HTTPServer2", "x-content-type-options": "nosniff"}
_EVENTS = "text/event-stream"
_BROWN_OUT = 5  # how much slower everything is under the fault `slow`
_MOST_THOUGHTS = 120  # tokens of a thought summary, which is shorter than the thinking
_CHATS = ("generateContent", "streamGenerateContent", "countTokens")
_EMBEDS = ("embedContent", "batchEmbedContents")


def add_routes(app: web.Application, world: World) -> None:
    """Puts the vendor's paths into the application."""
    vendor = _Gemini(GeminiModels(world.config.models))
    enter = entrance(world, vendor.enter)
    app.router.add_route("*", "/v1beta/{rest:.*}", enter)
    # Google's own SDK calls `/v1`, which is otherwise OpenAI's here: only what has an action belongs to Google.
    app.router.add_route("POST", f"/v1/{{rest:models/[^/:]+:(?:{'|'.join((*_CHATS, *_EMBEDS))})}}", enter)


@dataclass(frozen=True, slots=True)
class _Call:
    """One accepted call of a model: its randomness, and how the answer is framed."""

    exchange: Exchange
    model: GeminiModel
    draw: Draw
    headers: Mapping[str, str]
    stream: bool = False
    listed: bool = False

    @property
    def kind(self) -> str:
        return _EVENTS if self.stream and not self.listed else JSON_TYPE

    async def send(
        self, body: bytes, *, outcome: str, delay_s: float = 0.0, fault: Fault | None = None, status: int = 200
    ) -> web.StreamResponse:
        reply = Reply(status, {**self.headers, "content-type": self.kind if status == 200 else JSON_TYPE}, body)
        if fault is None:
            return await delivery.send(self.exchange, reply, outcome=outcome, delay_s=delay_s)
        return await delivery.send(self.exchange, reply, outcome=outcome, delay_s=delay_s, fault=fault)


class _Gemini:
    def __init__(self, models: GeminiModels) -> None:
        self._models = models

    async def enter(self, exchange: Exchange) -> web.StreamResponse:
        """Any path of this vendor."""
        listed = _is_listed(exchange)
        try:
            _check_key(exchange)
            return await self._route(exchange)
        except Refused as refusal:
            body = errors.as_list(refusal.body) if listed else refusal.body
            headers = {**_COMMON, "content-type": JSON_TYPE}
            return await delivery.send(exchange, Reply(refusal.status, headers, body), outcome="refused")

    async def _route(self, exchange: Exchange) -> web.StreamResponse:
        room, _, rest = exchange.request.match_info["rest"].partition("/")
        name, _, action = rest.partition(":")
        match exchange.request.method, action:
            case ("GET", "") if room == "models":
                return await self._show(exchange, name)
            case ("POST", "generateContent" | "streamGenerateContent") if room == "models":
                return await _generate(exchange, self._model(name, action), stream=action.startswith("stream"))
            case ("POST", "countTokens") if room == "models":
                return await _count(exchange, self._model(name, action))
            case ("POST", "embedContent" | "batchEmbedContents") if room == "models":
                return await _embed(exchange, self._model(name, action), many=action.startswith("batch"))
        raise Refused("Requested entity was not found.", status=404)

    def _model(self, name: str, action: str) -> GeminiModel:
        model = self._models.get(name)
        if model is None or action not in _actions(model):
            raise errors.model_not_found(name, action)
        return model

    async def _show(self, exchange: Exchange, name: str) -> web.StreamResponse:
        model = self._models.get(name)
        if name and model is None:
            raise Refused(f"Model is not found: models/{name} for api version v1beta", status=404)
        shown = _described(model) if model else {"models": list(map(_described, self._models))}
        return await delivery.send(
            exchange, Reply(200, {**_COMMON, "content-type": JSON_TYPE}, orjson.dumps(shown)), outcome="ok"
        )


def _actions(model: GeminiModel) -> tuple[str, ...]:
    return _EMBEDS if model.dimensions else _CHATS


def _described(model: GeminiModel) -> dict[str, object]:
    return {
        "name": f"models/{model.name}",
        "version": "001",
        "displayName": model.name,
        "inputTokenLimit": model.context_tokens,
        "outputTokenLimit": 1 if model.dimensions else model.max_output_tokens,
        "supportedGenerationMethods": [name for name in _actions(model) if name != "streamGenerateContent"],
        "thinking": model.reasons,
    }


# -- the key


def _is_listed(exchange: Exchange) -> bool:
    """Whether everything comes as one JSON array, errors too."""
    request = exchange.request
    return request.path.endswith(":streamGenerateContent") and request.query.get("alt") != "sse"


def _key(exchange: Exchange) -> str:
    request = exchange.request
    return request.headers.get("x-goog-api-key", "") or request.query.get("key", "")


def _check_key(exchange: Exchange) -> None:
    key = _key(exchange)
    if not key and "authorization" in exchange.request.headers:
        message = (
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
            "valid authentication credential."
        )
        raise Refused(message, status=401)
    if not key:
        message = (
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API."
        )
        raise Refused(message, status=403)
    if not exchange.world.accepts_key(key):
        raise errors.wrong_key()


# -- answers


def _begin(exchange: Exchange, model: GeminiModel, canonical: bytes, *, stream: bool, spend: int) -> _Call | bytes:
    """Counts the attempt and takes it from the limits; the body of the vendor's 429 when they are empty."""
    world, entry = exchange.world, exchange.entry
    draw, entry.attempt = world.attempt(model.name, canonical, stream=stream)
    entry.model, entry.stream, entry.request_id = model.name, stream, draw.hex("answer", 22)
    state = world.limiter.take(_key(exchange), model.name, tokens=spend, now=world.clock.now())
    if state.short_of:
        return errors.limit_body(state, model.name)
    return _Call(exchange, model, draw, _COMMON, stream=stream, listed=_is_listed(exchange))


async def _send_limit(exchange: Exchange, body: bytes) -> web.StreamResponse:
    body = errors.as_list(body) if _is_listed(exchange) else body
    reply = Reply(429, {**_COMMON, "content-type": JSON_TYPE}, body)
    return await delivery.send(exchange, reply, outcome="rate_limited")


async def _generate(exchange: Exchange, model: GeminiModel, *, stream: bool) -> web.StreamResponse:
    world = exchange.world
    ask, body = requests.read(exchange.entry.body, model, stream=stream)
    tries = world.tries(ask)
    call = _begin(exchange, model, ask.canonical, stream=stream, spend=ask.prompt_tokens)
    if isinstance(call, bytes):
        return await _send_limit(exchange, call)
    try:
        fault = world.faults.decide(ask, call.draw, tries=tries, now=world.clock.now())
    except BadFault as wrong:
        raise Refused(f"simulator: {wrong}") from wrong
    exchange.entry.fault = fault.name
    envelope = _envelope(call, ask, body)
    if reply := _reply_of_fault(call, ask, fault, envelope):
        delay_s = (ask.directive.latency_ms or 0) / 1_000
        return await delivery.send(exchange, reply, outcome=fault.name, delay_s=delay_s)
    return await _answer(call, ask, body, fault, envelope)


def _reply_of_fault(call: _Call, ask: Ask, fault: Fault, envelope: replies.Envelope) -> Reply | None:
    """What stands in place of the answer; None when there will be an answer, however broken."""
    if fault.kind == "content_filtered":
        body = replies.blocked(ask.prompt_tokens, envelope)
        body = replies.blocked_frames(body, listed=call.listed) if call.stream else body
        return Reply(200, {**call.headers, "content-type": call.kind}, body)
    if fault.kind == "wrong_shape":
        return Reply(200, {**call.headers, "content-type": JSON_TYPE}, b'{"candidates":[{"content":"none"}]}')
    # An unstreamed answer has no middle in which an error event could come.
    fails = fault.kind in ERRORS or fault.kind == "error_200" or (fault.kind == "error_mid_stream" and not ask.stream)
    return errors.fault_reply(fault, call.model.name, call.headers, listed=call.listed) if fails else None


def _envelope(call: _Call, ask: Ask, body: requests.Body) -> replies.Envelope:
    config = body.get("generationConfig", {})
    return replies.Envelope(
        id=call.draw.hex("answer", 22),
        model=call.model.name,
        version=call.model.snapshot or call.model.name,
        signs=call.model.signs_calls,
        top_logprobs=config.get("logprobs", 0) if config.get("responseLogprobs") else None,
        finish=ask.directive.finish,
    )


async def _answer(
    call: _Call, ask: Ask, body: requests.Body, fault: Fault, envelope: replies.Envelope
) -> web.StreamResponse:
    world, draw = call.exchange.world, call.draw
    cached = world.prompt_cache.read(ask.model.name, ask.prompt, ask.prompt_tokens)
    if fault.kind == "refusal":  # Gemini has no words for it: a reason in place of content
        envelope = replace(envelope, finish="PROHIBITED_CONTENT")
    ending = "content_filter" if envelope.finish in replies.FILTERS else ""
    answer = content.compose(ask, draw, cached=cached, ending=fault.kind if fault.kind in ENDINGS else ending)
    answer = replies.ended(answer, envelope.finish)
    if body.get("generationConfig", {}).get("thinkingConfig", {}).get("includeThoughts"):
        envelope = replace(envelope, thoughts=_thoughts(ask, answer, draw))
    envelope = replace(envelope, show_usage=fault.kind != "no_usage")
    scale = world.latency.scale(ask.model.name) * (_BROWN_OUT if "slow" in fault.framing else 1)
    pace = timing.pace(ask, draw.stream("pace"), scale=scale, reasoning_tokens=answer.reasoning_tokens)
    if ask.stream:
        return await _stream(call, ask, answer, envelope, pace=pace, fault=fault)
    total_s = pace.total_s(answer.output_tokens - answer.reasoning_tokens)
    return await call.send(replies.whole(answer, envelope), outcome=fault.name or "ok", delay_s=total_s, fault=fault)


def _thoughts(ask: Ask, answer: Answer, draw: Draw) -> list[list[int]]:
    """What the model shows of its thinking, per candidate; nothing where the thinking ate the whole budget."""
    return [
        content.thoughts(ask, draw.stream(f"thoughts {at}"), min(choice.reasoning_tokens, _MOST_THOUGHTS))
        if choice.output_tokens > choice.reasoning_tokens
        else []
        for at, choice in enumerate(answer.choices)
    ]


async def _stream(
    call: _Call, ask: Ask, answer: Answer, envelope: replies.Envelope, *, pace: timing.Pace, fault: Fault
) -> web.StreamResponse:
    draw = call.draw
    cut = replies.Cut(
        rng=draw.stream("pieces"),
        # A wished-for cadence is per token, so that a test can compute how long an answer takes.
        most=1 if ask.directive.cadence_ms is not None else 5,
        # Before a fault in the middle the reason must not have been said along with the last text.
        late_finish=bool(fault.kind) or draw.stream("finish").random() < 0.5,
        listed=call.listed,
    )
    _, error = errors.fault_body(Fault("provider_fault"), call.model.name)
    return await delivery.stream(
        call.exchange,
        {**call.headers, "content-type": call.kind},
        replies.frames(answer, envelope, cut),
        pace=pace,
        fault=fault,
        rng=draw.stream("delivery"),
        error=replies.error_frame(error, listed=call.listed),
    )


# -- the rest


async def _count(exchange: Exchange, model: GeminiModel) -> web.StreamResponse:
    counted = {"totalTokens": requests.count(exchange.entry.body)}
    exchange.entry.model = model.name
    return await delivery.send(
        exchange, Reply(200, {**_COMMON, "content-type": JSON_TYPE}, orjson.dumps(counted)), outcome="ok"
    )


async def _embed(exchange: Exchange, model: GeminiModel, *, many: bool) -> web.StreamResponse:
    world = exchange.world
    wishes = (embeddings.read_many if many else embeddings.read_one)(exchange.entry.body, model)
    call = _begin(exchange, model, exchange.entry.body, stream=False, spend=embeddings.spent(wishes))
    if isinstance(call, bytes):
        return await _send_limit(exchange, call)
    fault = world.faults.chance(model.name, call.draw, now=world.clock.now())
    exchange.entry.fault = fault.name
    if fault.kind in ERRORS | {"error_200", "error_mid_stream"}:
        reply = errors.fault_reply(fault, model.name, call.headers)
        return await delivery.send(exchange, reply, outcome=fault.name)
    delay_s = timing.first_token_s(model, call.draw.stream("pace")) * world.latency.scale(model.name)
    body = embeddings.whole(wishes, model, many=many)
    return await call.send(body, outcome=fault.name or "ok", delay_s=delay_s, fault=fault)
