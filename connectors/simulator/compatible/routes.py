"""The compatible server's endpoints: the journey of OpenAI's chat, under other doors and with other refusals."""

import orjson
from aiohttp import web

from connectors.simulator import delivery
from connectors.simulator.compatible import errors, requests
from connectors.simulator.compatible.errors import Unprocessable
from connectors.simulator.compatible.spelling import CompatibleSpelling
from connectors.simulator.delivery import Reply
from connectors.simulator.entrance import Handler, entrance
from connectors.simulator.limits import RateState
from connectors.simulator.models import Model
from connectors.simulator.openai import embeddings
from connectors.simulator.openai.checks import EMBEDDING_FIELDS
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import check_field, json_object
from connectors.simulator.openai.journey import JSON, Manners, converse, key_of
from connectors.simulator.world import Exchange, World

_BASE = "/compatible/v1"
_PATHS = frozenset({f"{_BASE}/chat/completions", f"{_BASE}/embeddings", f"{_BASE}/models"})


def add_routes(app: web.Application, world: World) -> None:
    """Puts the server's paths into the application."""

    def open_to_most(handler: Handler) -> Handler:
        async def checked(exchange: Exchange) -> web.StreamResponse:
            key = key_of(exchange)
            if key and not world.accepts_key(key):
                reply = Reply(401, {"content-type": JSON}, b'{"error":"Unauthorized"}')
                return await delivery.send(exchange, reply, outcome="refused")
            try:
                return await handler(exchange)
            except Refused as refusal:
                return await delivery.send(exchange, errors.refusal_reply(refusal), outcome="refused")

        return checked

    for method, path, handler in (
        ("POST", f"{_BASE}/chat/completions", _chat),
        ("POST", f"{_BASE}/embeddings", _embed),
        ("GET", f"{_BASE}/models", _list_models),
        ("*", f"{_BASE}/{{rest:.*}}", _unknown_url),
    ):
        app.router.add_route(method, path, entrance(world, open_to_most(handler)))


def _no_headers(name: str, state: RateState) -> dict[str, str]:
    """Such servers tell neither the request's id nor the state of limits."""
    return {}


_MANNERS = Manners(headers=_no_headers, limited=errors.limit_reply, failed=errors.fault_reply)


async def _chat(exchange: Exchange) -> web.StreamResponse:
    said = requests.read(exchange.entry.body, exchange.world.models)
    return await converse(exchange, said.ask, _MANNERS, CompatibleSpelling(said))


async def _embed(exchange: Exchange) -> web.StreamResponse:
    body = {name: value for name, value in json_object(exchange.entry.body).items() if value is not None}
    for name in sorted(body.keys() - EMBEDDING_FIELDS.keys()):
        raise Unprocessable("extra_forbidden", (name,), "Extra inputs are not permitted", body[name])
    for name, value in body.items():
        check_field(name, value, EMBEDDING_FIELDS[name])
    if "model" not in body:
        raise Unprocessable("missing", ("model",), "Field required", body)
    model, _ = requests.find_model(body["model"], exchange.world.models)
    if not model.dimensions:
        raise Refused("The model does not support Embeddings API")
    return await embeddings.answer(exchange, _MANNERS, body, model)


def _described(model: Model) -> dict[str, object]:
    row = {"id": model.name, "object": "model", "created": 0, "owned_by": "vllm", "root": model.name}
    return row | {"parent": None, "max_model_len": model.context_tokens}


async def _list_models(exchange: Exchange) -> web.StreamResponse:
    rows = [_described(model) for model in exchange.world.models.of("openai")]
    body = orjson.dumps({"object": "list", "data": rows})
    return await delivery.send(exchange, Reply(200, {"content-type": JSON}, body), outcome="ok")


async def _unknown_url(exchange: Exchange) -> web.StreamResponse:
    known = exchange.request.path in _PATHS
    status, body = (405, b'{"detail":"Method Not Allowed"}') if known else (404, b'{"detail":"Not Found"}')
    return await delivery.send(exchange, Reply(status, {"content-type": JSON}, body), outcome="refused")
