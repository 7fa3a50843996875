from gateway_house import House, answered, chat

from schemas.codec import decode
from schemas.events import Request


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
