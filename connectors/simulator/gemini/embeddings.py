"""`embedContent` and `batchEmbedContents`: what Gemini refuses, and vectors of hashed words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.simulator import tokens
from connectors.simulator.gemini import contents
from connectors.simulator.gemini.errors import Refused
from connectors.simulator.gemini.fields import parse
from connectors.simulator.gemini.messages import EMBED, EMBED_MANY
from connectors.simulator.gemini.models import GeminiModel
from connectors.simulator.openai.embeddings import vector

_MOST_REQUESTS = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """One text to embed, and the length of its vector."""

    text: str
    size: int


def read_one(raw: bytes, model: GeminiModel) -> list[Wish]:
    """The text of an `embedContent` request.

    Raises:
        Refused: What Gemini refuses.
    """
    return [_wish(parse(raw, EMBED), model, "EmbedContentRequest")]


def read_many(raw: bytes, model: GeminiModel) -> list[Wish]:
    """The texts of a `batchEmbedContents` request.

    Raises:
        Refused: What Gemini refuses.
    """
    requests = parse(raw, EMBED_MANY).get("requests", [])
    if not requests:
        raise Refused("* BatchEmbedContentsRequest.requests: requests is not specified\n")
    if len(requests) > _MOST_REQUESTS:
        raise Refused(f"* BatchEmbedContentsRequest.requests: at most {_MOST_REQUESTS} requests can be in one batch\n")
    for position, request in enumerate(requests):
        if request.get("model") != f"models/{model.name}":
            path = f"BatchEmbedContentsRequest.requests[{position}].model"
            raise Refused(f"* {path}: unexpected model name format or a model other than models/{model.name}\n")
    return [_wish(request, model, "EmbedContentRequest") for request in requests]


def _wish(request: Mapping[str, Any], model: GeminiModel, path: str) -> Wish:
    parts = request.get("content", {}).get("parts", [])
    if not parts or any(not part.get("text") for part in parts):
        raise Refused(f"* {path}.content: contents.parts must have text and must not be empty.\n")
    text = contents.text_of({"parts": parts})
    if tokens.count(text) > model.context_tokens:
        message = (
            f"The input token count ({tokens.count(text)}) exceeds the maximum number of tokens allowed "
            f"({model.context_tokens})."
        )
        raise Refused(message)
    size = request.get("outputDimensionality", model.dimensions)
    if not 1 <= size <= model.dimensions:
        raise Refused(f"* {path}.output_dimensionality: must be in the range [1, {model.dimensions}].\n")
    return Wish(text, size)


def spent(wishes: list[Wish]) -> int:
    """Tokens of all texts."""
    return sum(tokens.count(wish.text) for wish in wishes)


def whole(wishes: list[Wish], model: GeminiModel, *, many: bool) -> bytes:
    """The body of the answer."""
    vectors = [{"values": vector(wish.text, wish.size, salt=model.name).tolist()} for wish in wishes]
    return orjson.dumps({"embeddings": vectors} if many else {"embedding": vectors[0]})
