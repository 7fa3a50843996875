"""Streams that another attempt goes on with: seamless where it joins exactly, else mended by the whole answer."""

from typing import Any

import orjson
import pytest
from gateway_house import House, answered, chat

from schemas.events import Request

URLS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
ASKING: dict[str, dict[str, Any]] = {
    "chat": chat(stream=True),
    "messages": {**chat(stream=True), "max_tokens": 100},
    "responses": {"model": "small", "input": "hi", "stream": True},
}
HEL, LO, WORLD = {"role": "assistant", "content": "hel"}, {"content": "lo"}, {"content": " world"}


def said(surface: str, text: str) -> str:
    events = [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    match surface:
        case "chat":
            return "".join(c["delta"].get("content", "") for e in events for c in e.get("choices", ()))
        case "messages":
            return "".join(e["delta"].get("text", "") for e in events if e["type"] == "content_block_delta")
        case _:
            return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


async def streamed(surface: str, answer: Any) -> str:
    async with House(answer).client() as client:
        got = await client.post(URLS[surface], json=ASKING[surface])
    assert got.status_code == 200
    text: str = got.text
    return text


@pytest.mark.parametrize("surface", URLS)
async def test_a_continuation_that_joins_exactly_goes_on_seamlessly(surface: str) -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, HEL)
        house.delta(request, 1, LO)
        house.delta(request, 0, WORLD, attempt=2, continues_attempt=1, continues_pieces=2)
        house.respond(answered(request))

    text = await streamed(surface, answer)
    assert said(surface, text) == "hello world"
    assert "error" not in text.replace('"error":null', "")


@pytest.mark.parametrize(
    "later",
    [
        [(1, 1, LO), (2, 1, WORLD)],
        [(2, 0, WORLD)],
        [(1, 1, LO), (1, 2, WORLD), (2, 0, WORLD)],
    ],
    ids=["its first piece is missing", "a piece before it is missing", "more came before it"],
)
@pytest.mark.parametrize("surface", URLS)
async def test_one_that_does_not_join_waits_for_the_whole_answer(surface: str, later: list[Any]) -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, HEL)
        for attempt, seq, piece in later:
            joins = {"continues_attempt": 1, "continues_pieces": 2} if (attempt, seq) == (2, 0) else {}
            house.delta(request, seq, piece, attempt=attempt, **joins)
        house.respond(answered(request))

    assert said(surface, await streamed(surface, answer)) == "hello world"


async def test_who_comes_late_does_not_take_a_continuation_for_a_beginning() -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, WORLD, attempt=2, continues_attempt=1, continues_pieces=2)
        house.respond(answered(request))

    assert said("chat", await streamed("chat", answer)) == "hello world"


async def test_late_pieces_of_the_attempt_that_was_given_up_do_not_stop_the_stream() -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, HEL)
        house.delta(request, 0, LO, attempt=2, continues_attempt=1, continues_pieces=1)
        house.delta(request, 1, {"content": "zombie"})
        house.delta(request, 1, WORLD, attempt=2)
        house.respond(answered(request))

    text = await streamed("chat", answer)
    assert said("chat", text) == "hello world"
    assert text.count('"content":" world"') == 1
