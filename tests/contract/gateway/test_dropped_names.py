"""`x-dropped-params` holds names that callers chose: whatever they are, the header is one."""

import pytest
from gateway_house import House, answered, chat

from schemas.events import Request

NAMES = ["a\r\nset-cookie: x=1", "größe", "a, b", "\u2028", "x" * 5_000, "fine"]


@pytest.mark.parametrize("stream", [False, True])
async def test_names_of_any_kind_make_one_header(stream: bool) -> None:
    def answer(house: House, request: Request) -> None:
        house.respond(answered(request, dropped=[*NAMES, *(f"p{at}" for at in range(1_000))]))

    async with House(answer).client() as client:
        got = await client.post("/v1/chat/completions", json=chat(stream=stream))
    assert got.status_code == 200
    said = got.headers["x-dropped-params"]
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 4_096
    names = said.split(", ")
    assert names[:3] == ["a??set-cookie:?x=1", "gr??e", "a??b"]
    assert names[5:7] == ["fine", "p0"]
    assert names[-1] == "974-more"
    assert "set-cookie" not in got.headers
