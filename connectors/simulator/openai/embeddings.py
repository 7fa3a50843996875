"""Embeddings without a model: hashed words, so that texts with words in common lie close together."""

import base64
import math
import re
from array import array
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web

from connectors.simulator import delivery, timing, tokens
from connectors.simulator.delivery import Reply
from connectors.simulator.faults import ERRORS
from connectors.simulator.models import Model
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import Body, invalid_value, missing
from connectors.simulator.openai.journey import JSON, Manners, begin
from connectors.simulator.world import Exchange

_TOUCHED = 8  # dimensions that each word moves
_MOST_INPUTS = 2_048


def inputs(body: Body, model: Model) -> list[str]:
    """The texts to embed; token ids become text again.

    Raises:
        Refused: Nothing, too much or something else to embed, or more dimensions than the model has.
    """
    if "input" not in body:
        raise missing("input")
    given = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if given and all(isinstance(part, int) for part in given):
        given = [given]
    texts = list(filter(None, map(_text, given)))
    if not 1 <= len(given) <= _MOST_INPUTS or len(texts) < len(given):
        raise Refused("'$.input' is invalid. Please check the API reference.")
    if any(tokens.count(text) > model.context_tokens for text in texts):
        message = f"This model's maximum context length is {model.context_tokens} tokens."
        raise Refused(message, param="input", code="context_length_exceeded")
    if body.get("dimensions", 1) > model.dimensions:
        raise Refused(f"Invalid value for 'dimensions' = {body['dimensions']}.", param="dimensions")
    if body.get("encoding_format", "float") not in {"float", "base64"}:
        raise invalid_value("encoding_format", body["encoding_format"], ("float", "base64"))
    return texts


def _text(part: Any) -> str | None:
    """A text, or the text of token ids; None for anything else."""
    if isinstance(part, list) and all(isinstance(number, int) for number in part):
        return tokens.decode(part)
    return part if isinstance(part, str) else None


def spent(texts: list[str]) -> int:
    """Tokens of all texts."""
    return sum(map(tokens.count, texts))


def whole(body: Body, texts: list[str], model: Model) -> bytes:
    """The body of the answer."""
    size = body.get("dimensions", model.dimensions)
    packed = body.get("encoding_format") == "base64"
    vectors = (vector(text, size, salt=model.name) for text in texts)
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(values) if packed else values.tolist()}
        for index, values in enumerate(vectors)
    ]
    cost = dict.fromkeys(("prompt_tokens", "total_tokens"), spent(texts))
    return orjson.dumps({"object": "list", "data": data, "model": model.name, "usage": cost})


async def answer(exchange: Exchange, manners: Manners, body: Body, model: Model) -> web.StreamResponse:
    """The whole journey of a request for embeddings.

    Raises:
        Refused: See `inputs`.
    """
    world = exchange.world
    texts = inputs(body, model)
    attempt = begin(exchange, manners, model, exchange.entry.body, spend=spent(texts))
    if isinstance(attempt, Reply):
        return await delivery.send(exchange, attempt, outcome="rate_limited")
    fault = world.faults.chance(model.name, attempt.draw, now=world.clock.now())
    exchange.entry.fault = fault.name
    if fault.kind in ERRORS | {"error_200", "error_mid_stream"}:
        return await delivery.send(exchange, manners.failed(fault, attempt.headers), outcome=fault.name)
    delay_s = timing.first_token_s(model, attempt.draw.stream("pace")) * world.latency.scale(model.name)
    reply = Reply(200, {**attempt.headers, "content-type": JSON}, whole(body, texts, model))
    return await delivery.send(exchange, reply, outcome=fault.name or "ok", delay_s=delay_s, fault=fault)


def _packed(values: "array[float]") -> str:
    return base64.b64encode(values.tobytes()).decode()


def vector(text: str, size: int, *, salt: str) -> "array[float]":
    """A unit vector of 32-bit floats."""
    values = array("f", bytes(4 * size))
    for word in re.findall(r"\w+", text.lower()) or [text]:
        digest = blake2b(f"{salt}|{word}".encode(), digest_size=4 * _TOUCHED).digest()
        for start in range(0, len(digest), 4):
            number = int.from_bytes(digest[start : start + 4], "little")
            values[number // 2 % size] += 1.0 if number % 2 else -1.0
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    return array("f", (value / norm for value in values))
