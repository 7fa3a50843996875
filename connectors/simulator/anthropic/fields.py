"""Every field of the Messages API that is served, and its shape; anything else is an "extra input"."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from connectors.simulator.anthropic.errors import Refused
from connectors.simulator.anthropic.shapes import (
    Need,
    Shape,
    anything,
    array,
    flag,
    fraction,
    integer,
    literal,
    maybe,
    record,
    tagged,
    text,
    text_or,
    within,
)

OLD, NEW = "2023-06-01", "2026-10-21"
VERSIONS = (OLD, NEW)
Fields = Mapping[str, Shape | Need]

_ID = "^[a-zA-Z0-9_-]+$"
_TOOL_NAME = "^[a-zA-Z0-9_-]{1,128}$"
_CACHE: Fields = {"cache_control": maybe(tagged({"ephemeral": {"ttl": literal("5m", "1h")}}))}


def _base64(value: Any, path: str) -> None:
    text(least=1)(value, path)
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{path}: Invalid base64 data") from None


def _https(value: Any, path: str) -> None:
    text(least=1)(value, path)
    if not value.startswith("https://"):
        raise Refused(f"{path}: Only HTTPS URLs are supported.")


def _one_of(*media_types: str) -> Fields:
    return {"media_type": Need(literal(*media_types)), "data": Need(_base64)}


_TEXT: Fields = {"text": Need(text()), "citations": maybe(array(anything)), **_CACHE}
_IMAGE: Fields = {
    "source": Need(
        tagged(
            {
                "base64": _one_of("image/jpeg", "image/png", "image/gif", "image/webp"),
                "url": {"url": Need(_https)},
            }
        )
    ),
    **_CACHE,
}
_DOCUMENT: Fields = {
    "source": Need(
        tagged(
            {
                "base64": _one_of("application/pdf"),
                "text": {"media_type": Need(literal("text/plain")), "data": Need(text(least=1))},
                "content": {"content": Need(text_or(array(tagged({"text": _TEXT, "image": _IMAGE}))))},
                "url": {"url": Need(_https)},
            }
        )
    ),
    "citations": maybe(record({"enabled": flag})),
    "context": maybe(text()),
    "title": maybe(text()),
    **_CACHE,
}
_RESULT: Fields = {
    "tool_use_id": Need(text(pattern=_ID)),
    "content": text_or(array(tagged({"text": _TEXT, "image": _IMAGE, "document": _DOCUMENT}))),
    "is_error": flag,
    **_CACHE,
}
_BLOCK = tagged(
    {
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "thinking": {"thinking": Need(text()), "signature": Need(text())},
        "redacted_thinking": {"data": Need(text())},
        "tool_use": {
            "id": Need(text(pattern=_ID)),
            "name": Need(text(pattern=_TOOL_NAME)),
            "input": Need(anything),
            "caller": maybe(anything),
            **_CACHE,
        },
        "tool_result": _RESULT,
    }
)
_MESSAGE = record({"role": Need(text()), "content": Need(text_or(array(_BLOCK)))})


def _input_schema(value: Any, path: str) -> None:
    anything(value, path)
    if "type" not in value:
        raise Refused(f"{within(path, 'type')}: Field required")
    literal("object")(value["type"], within(path, "type"))


_CUSTOM_TOOL = record(
    {
        "name": Need(text(pattern=_TOOL_NAME)),
        "input_schema": Need(_input_schema),
        "type": maybe(literal("custom")),
        "description": text(),
        "strict": flag,
        "input_examples": array(anything),
        "defer_loading": flag,
        "eager_input_streaming": maybe(flag),
        "allowed_callers": array(text()),
        **_CACHE,
    }
)


def _tool(value: Any, path: str) -> None:
    anything(value, path)
    kind = value.get("type") or "custom"
    if kind != "custom":
        message = f"Input tag '{kind}' found using 'type' does not match any of the expected tags: 'custom'"
        raise Refused(f"{path}: {message}")
    _CUSTOM_TOOL(value, within(path, "custom"))


_PARALLEL: Fields = {"disable_parallel_tool_use": flag}
_DISPLAY: Fields = {"display": maybe(literal("summarized", "omitted"))}
_COUNTED: Fields = {
    "model": Need(text(least=1)),
    "messages": Need(array(_MESSAGE)),
    "system": text_or(array(tagged({"text": _TEXT}))),
    "tools": array(_tool),
    "tool_choice": tagged(
        {"auto": _PARALLEL, "any": _PARALLEL, "tool": {"name": Need(text()), **_PARALLEL}, "none": {}}
    ),
    "thinking": tagged(
        {
            "enabled": {"budget_tokens": Need(integer(1_024)), **_DISPLAY},
            "adaptive": _DISPLAY,
            "disabled": {},
            "between_tools": {},
        }
    ),
    "output_config": record(
        {
            "effort": maybe(literal("low", "medium", "high", "xhigh", "max")),
            "format": maybe(tagged({"json_schema": {"schema": Need(anything)}})),
        }
    ),
    **_CACHE,
}
_CREATED: Fields = {
    **_COUNTED,
    "max_tokens": Need(integer(1)),
    "stop_sequences": array(text()),
    "stream": flag,
    "metadata": record({"user_id": maybe(text())}),
    "service_tier": literal("auto", "standard_only"),
    "inference_geo": maybe(text()),
}
_SAMPLING: Fields = {"temperature": fraction, "top_p": fraction, "top_k": integer(0)}

COUNT = record(_COUNTED)
CREATE: Mapping[str, Shape] = {OLD: record({**_CREATED, **_SAMPLING}), NEW: record(_CREATED)}
