"""Embeddings at OpenAI and at servers that speak like it (platform.openai.com/docs/api-reference/embeddings).

base64 is a quarter of the bytes of numbers in text, but many servers know only numbers: what is asked for is a matter of
the family, what comes back is read in either form. A vector that is missing, doubled or of another length than its
neighbours would be stored as a wrong neighbour for good, so all these are malformed replies.
"""

import binascii
import math
import sys
from array import array
from base64 import b64decode
from typing import Any

from connectors.providers.adapter import Estimate, ProviderCall, WireRequest
from connectors.providers.error_bodies import malformed
from connectors.providers.knobs import fit
from connectors.providers.openai_chat.errors import error_in
from connectors.providers.reply import MalformedReplyError, count, expect
from connectors.providers.wire_json import loads
from schemas.completion import EmbeddingFormat, Embeddings, Usage
from schemas.errors import ProviderError

__all__ = ["from_wire", "to_wire"]

_FLOAT32_BYTES = 4


def to_wire(call: ProviderCall, *, asks: EmbeddingFormat, lacks: frozenset[str]) -> WireRequest | ProviderError:
    """`asks`: the form wanted of a family of servers, unless the caller wants base64; `lacks`: see `Quirks`."""
    knobs = fit(call, spells=None, lacks=lacks, elsewhere={"encoding_format"})
    if isinstance(knobs, ProviderError):
        return knobs
    form = "base64" if _wanted_format(call) == "base64" else asks
    body = {"model": call.upstream, "input": call.body.get("input"), **knobs.values, "encoding_format": form}
    headers = {"content-type": "application/json", "accept": "application/json"}
    return WireRequest("POST", "/embeddings", headers, body, tuple(knobs.dropped))


def from_wire(body: bytes, call: ProviderCall, *, estimate: Estimate) -> Embeddings | ProviderError:
    try:
        reply = loads(body)
    except ValueError:
        return malformed("the answer is no JSON")
    error = error_in(reply)
    if error is not None:
        return error
    try:
        vectors = _vectors(expect(reply, dict, "the answer"), _wanted_vectors(call.body.get("input")))
    except MalformedReplyError as flaw:
        return malformed(str(flaw))
    model = reply.get("model")
    return Embeddings(
        vectors,
        _usage(reply.get("usage"), call, estimate),
        model if isinstance(model, str) else "",
        _wanted_format(call),
    )


def _wanted_format(call: ProviderCall) -> EmbeddingFormat:
    return "base64" if call.body.get("encoding_format") == "base64" else "float"


def _wanted_vectors(given: Any) -> int:
    """One for a text or a list of token ids, else one for each entry."""
    is_many = isinstance(given, list) and given and not isinstance(given[0], int)
    return len(given) if is_many else 1


def _vectors(reply: dict[str, Any], wanted: int) -> list[bytes]:
    data = [expect(row, dict, "an embedding") for row in expect(reply.get("data"), list, "data")]
    indexes = [at if row.get("index") is None else expect(row["index"], int, "an index") for at, row in enumerate(data)]
    if len(data) != wanted or set(indexes) != set(range(wanted)):
        raise MalformedReplyError(f"{wanted} vectors were wanted, the answer has others")
    in_order = sorted(zip(indexes, data, strict=True), key=lambda pair: pair[0])
    vectors = [_vector(row.get("embedding")) for _, row in in_order]
    if len({len(vector) for vector in vectors}) != 1:
        raise MalformedReplyError("the vectors differ in length")
    return vectors


def _vector(said: Any) -> bytes:
    """As little-endian float32, which is what base64 holds."""
    floats = _from_base64(said) if isinstance(said, str) else _from_numbers(said)
    if not floats or not math.isfinite(sum(floats)):
        raise MalformedReplyError("a vector is empty or holds what is no number")
    return _little_endian(floats).tobytes()


def _from_base64(said: str) -> "array[float]":
    try:
        packed = b64decode(said, validate=True)
    except binascii.Error:
        packed = b""
    if len(packed) % _FLOAT32_BYTES:
        raise MalformedReplyError("a vector ends within a number")
    return _little_endian(array("f", packed))


def _from_numbers(said: Any) -> "array[float]":
    try:
        return array("f", expect(said, list, "a vector"))
    except (TypeError, OverflowError):
        raise MalformedReplyError("a vector holds what is no number") from None


def _little_endian(floats: "array[float]") -> "array[float]":
    """To and from it: the same step."""
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def _usage(raw: Any, call: ProviderCall, estimate: Estimate) -> Usage:
    tokens = count(raw.get("prompt_tokens") or raw.get("total_tokens")) if isinstance(raw, dict) else None
    if tokens:
        return Usage(input_tokens=tokens)
    usage = estimate(call, ())
    usage.estimated = True
    return usage
