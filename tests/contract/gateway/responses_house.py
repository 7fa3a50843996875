"""The gateway house as a client of the Responses API sees it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
import orjson
from gateway_house import KEY, NOW, House, answered

from connectors.gateway import serve
from connectors.gateway.wire import one_line
from schemas.chat import check_chat
from schemas.codec import decode
from schemas.completion import Choice, Completion, ToolCall, Usage
from schemas.events import Request, Response

URL = "/v1/responses"
CALLS = [ToolCall("call_1", "weather", '{"city":"Paris"}'), ToolCall("call_2", "time", "{}")]
THOUGHT = {"type": "thinking", "thinking": "let me see", "signature": "mrs1-signed"}
HIDDEN = {"type": "redacted_thinking", "data": "mrs1-hidden"}
CITED = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 5, "title": "t", "url": "https://e.org"},
}
LOGPROBS = {"content": [{"token": "42", "logprob": -0.5, "bytes": [52, 50], "top_logprobs": []}], "refusal": None}


def completed(request: Request, *choices: Choice, usage: Usage | None = None) -> Response:
    whole = Completion(list(choices), usage or Usage(12, 7, 4, 2, 3))
    body = whole.to_openai(f"chatcmpl-{request.request_id}", NOW // 1000, "small")
    return answered(request, body=orjson.dumps(body))


def saying(choice: Choice, *pieces: dict[str, Any]) -> Callable[[House, Request], None]:
    """Answers each request with the choice, after the pieces if it asks for a stream."""

    def answer(house: House, request: Request) -> None:
        for seq, piece in enumerate(pieces if request.stream else ()):
            house.delta(request, seq, piece)
        house.respond(completed(request, choice))

    return answer


@asynccontextmanager
async def sdk(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    """The unmodified client, over a real socket."""
    server = await serve(house.app, "127.0.0.1", 0)
    try:
        base = f"http://127.0.0.1:{server.port}/v1"
        async with openai.AsyncOpenAI(api_key=KEY, base_url=base, max_retries=0) as client:
            yield client
    finally:
        await server.stop()


def asked_of(house: House, at: int = -1) -> dict[str, Any]:
    """The body that went on to the platform, which finds nothing wrong with its form."""
    request = decode(Request, house.sent("requests.v1")[at].value)
    assert isinstance(request, Request)
    read: dict[str, Any] = orjson.loads(request.body)
    assert check_chat(read) is None
    return read


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream; each is framed as one of its own type, on one line, and numbered from 0."""
    events = []
    for frame in text.split("\n\n")[:-1]:
        name, data = frame.splitlines()
        event = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert one_line(data.encode()) == data.encode()
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events
