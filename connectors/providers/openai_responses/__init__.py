"""OpenAI Responses (platform.openai.com/docs/api-reference/responses): the surface that its newest models need for tools.

Request, answer, stream and stop sequences have a module each: request, answer, stream, stops. Errors are those of
Chat Completions.
"""

from connectors.providers.openai_responses.answer import from_wire
from connectors.providers.openai_responses.request import to_wire
from connectors.providers.openai_responses.stream import EventParser

__all__ = ["EventParser", "from_wire", "to_wire"]
