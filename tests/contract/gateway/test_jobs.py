from typing import Any

import pytest
from gateway_house import House, Rec, answered, chat

from schemas.codec import decode, encode
from schemas.events import Ref, Request


async def test_a_job_is_queued_shown_followed_and_stays_its_tenants() -> None:
    house = House()
    async with house.client() as client:
        made = await client.post("/v1/requests", json={"body": chat(), "deadline_s": 600.0})
        assert made.status_code == 202
        path = f"/v1/requests/{made.json()['id']}"
        assert (await client.get(path)).json()["status"] == "queued"
        request = decode(Request, house.sent("requests.v1")[0].value)
        assert isinstance(request, Request)
        house.delta(request, 0, {"content": "hello"})
        assert (await client.get(path)).json()["status"] == "running"
        house.respond(answered(request))
        shown = (await client.get(path)).json()
        assert (shown["status"], shown["response"]["object"]) == ("ok", "chat.completion")
        followed = await client.get(path + "/events")
        assert [line for line in followed.text.split("\n") if line.startswith("event")] == [
            "event: delta",
            "event: response",
        ]
        assert (await client.delete(path)).json()["status"] == "finished"
        foreign = await client.get(path, headers={"authorization": "Bearer sk-rich"})
        assert foreign.status_code == 404


async def test_delete_cancels_what_is_open() -> None:
    house = House()
    async with house.client() as client:
        made = await client.post("/v1/requests", json={"body": chat()})
        assert (await client.delete(f"/v1/requests/{made.json()['id']}")).status_code == 202
        refused = await client.post("/v1/requests", json={"body": chat(), "tenant": "rich"})
        assert refused.json()["error"]["param"] == "tenant"
    assert len(house.sent("cancels.v1")) == 1


class Index:
    """The port `lookup`: where outcomes stand, by tenant and id."""

    def __init__(self, **found: Any) -> None:
        self.found = found
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, tenant: str, request_id: str) -> Any:
        self.asked.append((tenant, request_id))
        return self.found.get(tenant, "unknown")


def old(house: House, tenant: str = "acme") -> Ref:
    """An outcome that stands on the topic and that this gateway's tail has not seen."""
    response = answered(Request("old", tenant, b"{}"))
    record = Rec("t.responses.v1", 0, len(house.records), [], encode(response))
    house.records.append(record)
    return Ref(record.topic, record.partition, record.offset)


async def test_an_outcome_older_than_the_tail_is_found_by_the_index_for_its_tenant_only() -> None:
    index = Index()
    house = House(lookup=index)
    index.found["acme"] = old(house)
    async with house.client() as client:
        shown = await client.get("/v1/requests/old")
        followed = await client.get("/v1/requests/old/events")
        foreign = await client.get("/v1/requests/old", headers={"authorization": "Bearer sk-rich"})
    assert (shown.status_code, shown.json()["status"]) == (200, "ok")
    assert followed.text.startswith("event: response\n")
    assert foreign.status_code == 404
    assert index.asked == [("acme", "old"), ("acme", "old"), ("rich", "old")]


async def test_a_place_that_holds_anothers_outcome_shows_nothing() -> None:
    index = Index()
    house = House(lookup=index)
    index.found["rich"] = old(house)
    async with house.client(authorization="Bearer sk-rich") as client:
        assert (await client.get("/v1/requests/old")).status_code == 404


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ("unknown", 404, "not_found"),
        ("unavailable", 503, "analytics_unavailable"),
        (Ref("t.responses.v1", 0, 99), 410, "gone"),
    ],
)
async def test_what_the_index_does_not_have_has_its_status(found: Any, status: int, said: str) -> None:
    async with House(lookup=Index(acme=found)).client() as client:
        answer = await client.get("/v1/requests/old")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, said)
    assert answer.headers["x-should-retry"] == ("true" if status == 503 else "false")


async def test_a_request_that_is_open_for_long_is_running_and_can_be_cancelled() -> None:
    house = House(lookup=Index(acme="open"))
    async with house.client() as client:
        assert (await client.get("/v1/requests/old")).json()["status"] == "running"
        assert (await client.delete("/v1/requests/old")).status_code == 202
    assert len(house.sent("cancels.v1")) == 1
