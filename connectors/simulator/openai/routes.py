"""OpenAI's endpoints: who may come in, and which page of the API answers.

The key, then the request, refused as OpenAI refuses (`checks`, `messages`, `requests`; `responses`, `items`); then the
`journey`.
"""

from collections.abc import Callable

import orjson
from aiohttp import web

from connectors.simulator import delivery
from connectors.simulator.delivery import Reply
from connectors.simulator.draws import Draw
from connectors.simulator.entrance import Handler, entrance
from connectors.simulator.limits import RateState
from connectors.simulator.models import Model
from connectors.simulator.openai import embeddings, errors, files, requests, responses, tuning
from connectors.simulator.openai.chat import ChatSpelling
from connectors.simulator.openai.checks import EMBEDDING_FIELDS, find_model, parse
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.journey import JSON, Manners, converse, key_of, request_id
from connectors.simulator.openai.responses_spelling import ResponsesSpelling
from connectors.simulator.world import Exchange, World

_COMMON = {"openai-organization": "org-sim", "openai-version": "2020-10-01"}
_POST_PATHS = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/embeddings"})


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
        ("POST", "/v1/responses", _respond),
        ("GET", "/v1/responses/{name}", _show_response),
        ("POST", "/v1/embeddings", _embed),
        ("GET", "/v1/models", _list_models),
        ("GET", "/v1/models/{name}", _show_model),
        ("POST", "/v1/files", _told(files.upload)),
        ("GET", "/v1/files", _told(files.listed)),
        ("GET", "/v1/files/{name}", _told(files.show)),
        ("DELETE", "/v1/files/{name}", _told(files.delete)),
        ("GET", "/v1/files/{name}/content", _file_content),
        ("POST", "/v1/fine_tuning/jobs", _told(tuning.create)),
        ("GET", "/v1/fine_tuning/jobs", _told(tuning.listed)),
        ("GET", "/v1/fine_tuning/jobs/{name}", _told(tuning.show)),
        ("POST", "/v1/fine_tuning/jobs/{name}/cancel", _told(tuning.cancel)),
        ("GET", "/v1/fine_tuning/jobs/{name}/events", _told(tuning.events)),
        ("*", "/v1/{rest:.*}", _unknown_url),
    ):
        app.router.add_route(method, path, entrance(world, open_to_key_holders(handler)))


# -- key and headers


def _check_key(exchange: Exchange) -> None:
    key = key_of(exchange)
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
    headers = _COMMON | {"x-request-id": request_id(Draw(world.config.seed, "", entry.body, 0))}
    body = entry.parsed_body() if world.accepts_key(key_of(exchange)) else None
    name = body.get("model") if isinstance(body, dict) else None
    if not isinstance(name, str) or not (model := world.models.get(name)):
        return headers
    state = world.limiter.take(key_of(exchange), model.name, tokens=0, now=world.clock.now())
    return headers | errors.rate_headers(state)


# -- answers


def _headers(name: str, state: RateState) -> dict[str, str]:
    return _COMMON | {"x-request-id": name} | errors.rate_headers(state)


_MANNERS = Manners(
    headers=_headers, limited=errors.limit_reply, failed=errors.fault_reply, processing="openai-processing-ms"
)


async def _chat(exchange: Exchange) -> web.StreamResponse:
    ask, body = requests.read(exchange.entry.body, exchange.world.models)
    return await converse(exchange, ask, _MANNERS, ChatSpelling(ask, body))


async def _respond(exchange: Exchange) -> web.StreamResponse:
    ask, body = responses.read(exchange.entry.body, exchange.world.models)
    return await converse(exchange, ask, _MANNERS, ResponsesSpelling(ask, body))


async def _show_response(exchange: Exchange) -> web.StreamResponse:
    """Nothing is stored, so none is found."""
    name = exchange.request.match_info["name"]
    raise Refused(f"Response with id '{name}' not found.", status=404)


async def _embed(exchange: Exchange) -> web.StreamResponse:
    body = parse(exchange.entry.body, EMBEDDING_FIELDS)
    model = find_model(body, exchange.world.models, embeddings=True)
    return await embeddings.answer(exchange, _MANNERS, body, model)


# -- the rest


def _described(model: Model) -> dict[str, object]:
    return {"id": model.name, "object": "model", "created": 1_735_689_600, "owned_by": "system"}


async def _list_models(exchange: Exchange) -> web.StreamResponse:
    rows = [_described(model) for model in exchange.world.models.of("openai")]
    return await _send_json(exchange, {"object": "list", "data": rows})


async def _show_model(exchange: Exchange) -> web.StreamResponse:
    model = find_model({"model": exchange.request.match_info["name"]}, exchange.world.models, embeddings=None)
    return await _send_json(exchange, _described(model))


def _told(answer: Callable[[Exchange], object]) -> Handler:
    """A handler that answers with JSON."""

    async def handle(exchange: Exchange) -> web.StreamResponse:
        return await _send_json(exchange, answer(exchange))

    return handle


async def _file_content(exchange: Exchange) -> web.StreamResponse:
    headers = {**_COMMON, "content-type": "application/octet-stream"}
    return await delivery.send(exchange, Reply(200, headers, files.content(exchange)), outcome="ok")


async def _send_json(exchange: Exchange, value: object) -> web.StreamResponse:
    return await delivery.send(
        exchange, Reply(200, {**_COMMON, "content-type": JSON}, orjson.dumps(value)), outcome="ok"
    )


async def _unknown_url(exchange: Exchange) -> web.StreamResponse:
    method, path = exchange.request.method, exchange.request.path
    if path in _POST_PATHS or path == "/v1/models":
        message = f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        raise Refused(message, code="method_not_supported", status=405)
    message = f"Unknown request URL: {method} {path}. Please check the URL for typos."
    raise Refused(message, code="unknown_url", status=404)
