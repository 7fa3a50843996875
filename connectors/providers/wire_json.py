"""JSON towards vendors and from them: orjson, and what orjson refuses although the world sends it.

Text cut in the middle of an emoji holds half a surrogate pair. It has no UTF-8 form, so encoders raise deep inside a
client; here it becomes U+FFFD on the way out and on the way in (Aider-AI/aider#3693, simonw/llm#768). Python servers
also write `-Infinity` where a log probability is nil: it reads as null.
"""

import json
import math
from typing import Any

import orjson

__all__ = ["dumps", "loads", "mend_text"]


def dumps(value: Any) -> bytes:
    """Valid UTF-8 in any case."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # half a pair, or an integer beyond 64 bits
        return json.dumps(_mend(value), ensure_ascii=False, separators=(",", ":")).encode()


def loads(data: bytes | str) -> Any:
    """Parses an answer.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        try:
            return _mend(json.loads(text, parse_constant=lambda _: None, parse_float=_finite))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def mend_text(text: str) -> str:
    """Joins surrogates that are a pair, puts U+FFFD in the place of those that are alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _finite(text: str) -> float | None:
    """`1e999` is as little a number as `Infinity`."""
    number = float(text)
    return number if math.isfinite(number) else None


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {mend_text(key): _mend(item) for key, item in value.items()}
    return value
