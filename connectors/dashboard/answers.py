"""Answers as both halves of the surface give them: JSON, and errors as {error: {code, message}}."""

from typing import Any

import orjson
from aiohttp import web

__all__ = ["document", "problem"]


def document(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def problem(status: int, code: str, message: str) -> web.Response:
    return document({"error": {"code": code, "message": message}}, status)
