"""Feedback over HTTP: what is refused, whose it is, and what stands on the topic."""

import asyncio
from typing import Any

import pytest
from gateway_house import NOW, House, answered

from schemas import headers
from schemas.codec import decode
from schemas.events import Feedback, Request


async def knows(tenant: str, conversation_id: str) -> str:
    return {"c-1": "known", "c-away": "unavailable"}.get(conversation_id, "unknown") if tenant == "acme" else "unknown"


def house_with_an_answer() -> House:
    house = House(conversation=knows)
    house.respond(answered(Request("r-1", "acme", b"{}")))
    return house


async def post(house: House, body: Any, **said: str) -> Any:
    async with house.client(**said) as client:
        return await client.post("/v1/feedback", json=body)


async def test_feedback_on_an_answer_is_written_for_the_user_of_the_header() -> None:
    house = house_with_an_answer()
    body = {"request_id": "r-1", "score": 0.5, "label": "up", "comment": "fine", "edit": "better"}
    answer = await post(house, body, **{"x-user-id": "u-1"})
    assert answer.status_code == 202
    assert answer.json() == {**body, "user": "u-1", "at": NOW}
    assert answer.headers["x-request-id"]
    [record] = house.sent("feedback.v1")
    assert decode(Feedback, record.value) == Feedback("r-1", "", "acme", "u-1", NOW, 0.5, "up", "fine", "better")
    assert headers.text(record.headers, headers.REQUEST_ID) == "r-1"
    assert headers.text(record.headers, headers.TENANT) == "acme"


async def test_feedback_on_a_conversation_needs_no_user() -> None:
    house = house_with_an_answer()
    answer = await post(house, {"conversation_id": "c-1", "label": "down", "comment": None})
    assert (answer.status_code, answer.json()["conversation_id"], answer.json()["user"]) == (202, "c-1", "")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"request_id": "r-1", "score": 1.1}, "score"),
        ({"request_id": "r-1", "score": -0.1}, "score"),
        ({"request_id": "r-1", "score": "1"}, "score"),
        ({"request_id": "r-1", "score": True}, "score"),
        ({"request_id": "r-1", "label": "meh"}, "label"),
        ({"request_id": "r-1"}, None),
        ({"request_id": "r-1", "comment": "only words"}, None),
        ({"score": 1}, None),
        ({"request_id": "r-1", "conversation_id": "c-1", "score": 1}, None),
        ({"request_id": "r 1", "score": 1}, "request_id"),
        ({"request_id": "r-1", "score": 1, "stars": 5}, "stars"),
        ({"request_id": "r-1", "score": 1, "tenant": "rich"}, "tenant"),
        ({"request_id": "r-1", "score": 1, "user": "u-2"}, "user"),
        ({"request_id": "r-1", "score": 1, "at": 5}, "at"),
        ({"request_id": "r-1", "score": 1, "comment": "x" * 8_193}, "comment"),
        ({"request_id": "r-1", "score": 1, "edit": "x" * 262_145}, "edit"),
        ([], None),
    ],
)
async def test_what_is_no_feedback_is_a_400_that_names_the_field(body: Any, param: str | None) -> None:
    house = house_with_an_answer()
    answer = await post(house, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", param)
    assert house.sent("feedback.v1") == []


async def test_what_is_unknown_or_another_tenants_is_a_404() -> None:
    house = house_with_an_answer()
    asked = [
        ({"request_id": "r-2", "score": 1}, {}),
        ({"request_id": "r-1", "score": 1}, {"authorization": "Bearer sk-rich"}),
        ({"conversation_id": "c-2", "score": 1}, {}),
        ({"conversation_id": "c-1", "score": 1}, {"authorization": "Bearer sk-rich"}),
    ]
    answers = [await post(house, body, **said) for body, said in asked]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert house.sent("feedback.v1") == []


async def test_an_older_request_is_asked_for_and_an_index_that_is_away_is_a_503() -> None:
    async def lookup(tenant: str, request_id: str) -> str:
        return "open" if request_id == "old" else "unavailable"

    house = House(lookup=lookup, conversation=knows)
    assert (await post(house, {"request_id": "old", "score": 1})).status_code == 202
    for body in ({"request_id": "r", "score": 1}, {"conversation_id": "c-away", "score": 1}):
        answer = await post(house, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "analytics_unavailable")
        assert answer.headers["retry-after"]


async def test_without_a_key_and_without_a_broker_nothing_is_accepted() -> None:
    house = house_with_an_answer()
    assert (await post(house, {"request_id": "r-1", "score": 1}, authorization="Bearer no")).status_code == 401
    house.deliver_waits = asyncio.Event()
    answer = await post(house, {"request_id": "r-1", "score": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "broker_unavailable")
    house.deliver_waits.set()
