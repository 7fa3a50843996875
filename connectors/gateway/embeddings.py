"""OpenAI's Embeddings as a surface. Source: platform.openai.com/docs/api-reference/embeddings."""

from typing import Any

from starlette.datastructures import Headers

from connectors.gateway.problems import error_body
from connectors.gateway.surface import Asking, Surface
from schemas.events import Response

__all__ = ["EMBEDDINGS"]


def _read(raw: bytes, body: dict[str, Any], _: Headers) -> Asking:
    return Asking(raw, body)


def _answer(response: Response, _: Asking) -> bytes:
    return response.body or b""


EMBEDDINGS = Surface("embeddings", _read, _answer, error_body)
