"""Anthropic's Messages as a surface: unmodified Anthropic clients, whatever vendor answers.

    request   a Messages body -> the platform's form;   answer   a chat completion -> a message, whole
    frames    the same, streamed;                       errors   problems in Anthropic's shape

What OpenAI's form has no field for rides along under the names that adapters know: `thinking`, `thinking_blocks`,
`cache_control`, `is_error`, `top_k`. Source: platform.claude.com/docs/en/api/messages.
"""

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from connectors.gateway.auth import Caller
from connectors.gateway.context import Gateway
from connectors.gateway.messages.answer import message
from connectors.gateway.messages.errors import error_body
from connectors.gateway.messages.frames import MessageFrames
from connectors.gateway.messages.request import read
from connectors.gateway.problems import Problem, from_invalid
from connectors.gateway.serving import read_object
from connectors.gateway.surface import Surface

__all__ = ["MESSAGES", "count_tokens"]

MESSAGES = Surface("chat", read, message, error_body, MessageFrames)


async def count_tokens(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    """An estimate by our own tokenizer: no vendor is asked, so it is free and says the same for all of them."""
    given = await read_object(http)
    if isinstance(given, Problem):
        return given
    raw, body = given
    asking = read(raw, {"max_tokens": 1, **body}, http.headers)
    if isinstance(asking, Problem):
        return asking
    invalid = gateway.check_body("chat", asking.body)
    if invalid is not None:
        return from_invalid(invalid)
    return JSONResponse({"input_tokens": gateway.count_tokens(asking.body)})
