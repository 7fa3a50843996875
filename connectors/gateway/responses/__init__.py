"""OpenAI's Responses as a surface: unmodified clients of it, whatever vendor answers. Nothing is stored.

    request   a Responses body -> the platform's form;   conversation   its `input` -> messages
    output    what a model says -> output items and the events that tell of them, streamed or not
    items     one output item;      carried   thinking that a client brings back
    answer    the response object;  frames    the same, streamed;   faults   what is wrong with a body

Source: platform.openai.com/docs/api-reference/responses.
"""

from connectors.gateway.problems import error_body
from connectors.gateway.responses.answer import answer
from connectors.gateway.responses.frames import ResponseFrames
from connectors.gateway.responses.request import read
from connectors.gateway.surface import Surface

__all__ = ["RESPONSES"]

RESPONSES = Surface("chat", read, answer, error_body, ResponseFrames)
