"""Embeddings by batchEmbedContents: one call for all texts of a request, in their order.

Google takes texts only, at most a hundred; tokens of another vendor's vocabulary mean nothing to it. It may not count:
usage is then estimated. Source: ai.google.dev/api/embeddings#method:-models.batchembedcontents
"""

import struct
from typing import Any, Final

from connectors.providers.adapter import Estimate, ProviderCall, WireRequest
from connectors.providers.conversation import UnmappableError, unmappable
from connectors.providers.error_bodies import malformed
from connectors.providers.gemini.fold import usage_of
from connectors.providers.gemini.request import model_name
from connectors.providers.knobs import fit
from connectors.providers.reply import MalformedReplyError, expect
from schemas.completion import EmbeddingFormat, Embeddings
from schemas.errors import ProviderError

__all__ = ["from_wire", "to_wire"]

_SPELLS = frozenset({"dimensions", "encoding_format"})  # the second is ours to answer
_MOST_TEXTS: Final = 100


def to_wire(call: ProviderCall) -> WireRequest | ProviderError:
    knobs = fit(call, spells=_SPELLS)
    if isinstance(knobs, ProviderError):
        return knobs
    try:
        texts = _texts(call.body.get("input"))
    except UnmappableError as flaw:
        return unmappable(flaw)
    name = model_name(call)
    asked: dict[str, Any] = {"model": f"models/{name}"}
    if "dimensions" in knobs.values:
        asked["outputDimensionality"] = knobs.values["dimensions"]
    requests = [{**asked, "content": {"parts": [{"text": text}]}} for text in texts]
    headers = {"content-type": "application/json", "accept": "application/json"}
    path = f"/v1beta/models/{name}:batchEmbedContents"
    return WireRequest("POST", path, headers, {"requests": requests}, tuple(knobs.dropped))


def from_wire(reply: Any, call: ProviderCall, estimate: Estimate) -> Embeddings | ProviderError:
    try:
        told = expect(expect(reply, dict, "the answer").get("embeddings"), list, "embeddings")
        vectors = [_vector(embedding) for embedding in told]
    except MalformedReplyError as flaw:
        return malformed(str(flaw))
    given = call.body.get("input")
    if len(vectors) != (1 if isinstance(given, str) else len(given or ())):
        return malformed("the answer has not as many vectors as there are texts")
    if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
        return malformed("the vectors are empty or differ in length")
    usage = usage_of(reply)
    if usage is None:
        usage = estimate(call, ())
        usage.estimated = True
    wanted: EmbeddingFormat = "base64" if call.body.get("encoding_format") == "base64" else "float"
    return Embeddings(vectors, usage, model_name(call), wanted)


def _texts(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    texts = given if isinstance(given, list) else []
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise UnmappableError(f"input.{at}", "this model takes texts, no token ids")
    if not 0 < len(texts) <= _MOST_TEXTS:
        raise UnmappableError("input", f"must be a text or a list of 1 to {_MOST_TEXTS} texts")
    return texts


def _vector(embedding: Any) -> bytes:
    values = expect(expect(embedding, dict, "an embedding").get("values"), list, "values")
    try:
        return struct.pack(f"<{len(values)}f", *values)
    except (struct.error, OverflowError):
        raise MalformedReplyError("an embedding holds what is no number") from None
