import asyncio
import gzip
from typing import Any

import orjson
import pytest
from gateway_house import House, answered, chat, failed

from schemas import headers
from schemas.codec import decode
from schemas.events import Cancel, Request

URL = "/v1/chat/completions"


def frames(text: str) -> list[Any]:
    data = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [orjson.loads(item) for item in data[:-1]]


def content(chunks: list[Any]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk.get("choices"))


async def test_an_answer_is_the_body_of_the_response_with_headers() -> None:
    house = House(lambda h, r: h.respond(answered(r)) and None)
    async with house.client() as client:
        got = await client.post(URL, json=chat(), headers={"x-deadline-ms": "5000", "x-tags": "a=1"})
    assert got.status_code == 200
    assert got.json()["choices"][0]["message"]["content"] == "hello world"
    assert got.headers["x-cost-usd"] == "0.0000015"
    assert got.headers["x-model"] == "small"
    record = house.sent("requests.v1")[0]
    request = decode(Request, record.value)
    assert isinstance(request, Request)
    assert (request.tenant, request.tags, request.deadline_s) == ("acme", {"a": "1"}, 5.0)
    assert headers.integer(record.headers, headers.DEADLINE_MS) == house.now + 5000
    assert house.waiting.waiting == 0


@pytest.mark.parametrize("upto", [0, 1, 2])
async def test_a_stream_says_what_the_response_says_however_many_deltas_came(upto: int) -> None:
    def answer(house: House, request: Request) -> None:
        for seq, piece in enumerate(("hello", " world")[:upto]):
            house.delta(request, seq, {"role": "assistant", "content": piece})
        house.respond(answered(request))

    async with House(answer).client() as client:
        got = await client.post(URL, json=chat(stream=True, stream_options={"include_usage": True}))
    chunks = frames(got.text)
    assert got.status_code == 200
    assert content(chunks) == "hello world"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]].count("stop") == 1
    assert chunks[-1]["usage"]["millrace"] == {"cost_usd": 0.0000015, "attempts": 1}
    assert len({(c["id"], c["created"], c["model"]) for c in chunks}) == 1


async def test_a_gap_stops_the_deltas_and_the_response_mends_it() -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, {"content": "hel"})
        house.delta(request, 2, {"content": "world"})
        house.respond(answered(request))

    async with House(answer).client() as client:
        got = await client.post(URL, json=chat(stream=True))
    assert content(frames(got.text)) == "hello world"


async def test_a_text_that_does_not_continue_what_was_sent_is_an_error_frame() -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, {"content": "something else"})
        house.respond(answered(request))

    async with House(answer).client() as client:
        got = await client.post(URL, json=chat(stream=True))
    last = frames(got.text)[-1]
    assert last["error"]["code"] == "stream_interrupted"
    assert 'finish_reason":"' not in got.text


async def test_an_error_before_the_first_piece_is_plain_http() -> None:
    house = House(lambda h, r: h.respond(failed(r, "rate_limit_exceeded", retry_after_s=1.2)) and None)
    async with house.client() as client:
        got = await client.post(URL, json=chat(stream=True))
    assert (got.status_code, got.headers["retry-after"], got.headers["x-should-retry"]) == (429, "2", "true")
    assert got.json()["error"]["code"] == "rate_limit_exceeded"


BAD: list[tuple[int, dict[str, Any]]] = [
    (400, {"content": b'{"model":"small","model":"org/large","messages":[]}'}),
    (400, {"content": b'{"model":"small","mod\\u0065l":"org/large","messages":[]}'}),
    (400, {"content": b'{"messages":[],"model":"small","t":NaN}'}),
    (400, {"content": b'{"messages":[],"model":"small","t":1e999}'}),
    (400, {"content": b'{"messages":["\\ud83d"],"model":"small"}'}),
    (400, {"content": b"[]"}),
    (400, {"content": gzip.compress(b"{}")}),
    (400, {"json": {"model": "small"}}),
    (400, {"json": chat(), "headers": {"x-deadline-ms": "soon"}}),
    (400, {"json": chat(), "headers": {"x-api-key": "other"}}),
    (401, {"json": chat(), "headers": {"authorization": "Bearer wrong"}}),
    (403, {"json": chat(model="org/large")}),
    (404, {"json": chat(model="none")}),
    (413, {"content": b" " * (8 * 1024 * 1024 + 1)}),
    (413, {"content": gzip.compress(b" " * (9 * 1024 * 1024)), "headers": {"content-encoding": "gzip"}}),
    (415, {"content": b"x", "headers": {"content-encoding": "zstd"}}),
]


@pytest.mark.parametrize(("status", "sent"), BAD)
async def test_what_is_wrong_is_refused_before_anything_is_written(status: int, sent: dict[str, Any]) -> None:
    house = House()
    async with house.client() as client:
        got = await client.post(URL, **sent)
    assert got.status_code == status
    assert set(got.json()["error"]) == {"message", "type", "param", "code"}
    assert not house.records


async def test_gzip_is_read() -> None:
    house = House(lambda h, r: h.respond(answered(r)) and None)
    async with house.client() as client:
        packed = gzip.compress(orjson.dumps(chat()))
        got = await client.post(URL, content=packed, headers={"content-encoding": "gzip"})
    assert got.status_code == 200


async def test_notes_answer_duplicates() -> None:
    def answer(house: House, request: Request) -> None:
        if len(house.sent("requests.v1")) == 1:
            house.respond(answered(request))
        elif len(house.sent("requests.v1")) == 2:
            house.note(request, ref={"topic": "t.responses.v1", "partition": 0, "offset": 1})
        else:
            house.note(request, code="idempotency_mismatch", message="another body")

    house = House(answer)
    async with house.client(**{"idempotency-key": "k"}) as client:
        first, second, third = [await client.post(URL, json=chat()) for _ in range(3)]
    assert first.content == second.content
    assert third.status_code == 422


async def test_equal_keys_join_and_one_outcome_answers_both() -> None:
    def answer(house: House, request: Request) -> None:
        if len(house.sent("requests.v1")) == 2:
            house.respond(answered(request))

    house = House(answer)
    async with house.client(**{"idempotency-key": "k"}) as client:
        one, two = await asyncio.gather(client.post(URL, json=chat()), client.post(URL, json=chat()))
    assert one.headers["x-request-id"] == two.headers["x-request-id"]
    assert one.content == two.content


async def test_a_broker_that_is_away_is_a_503_at_once_and_a_late_ack_is_cancelled() -> None:
    gate = asyncio.Event()
    house = House(deliver_waits=gate, options={"send_patience_s": 0.01})
    async with house.client() as client:
        for _ in range(2):
            got = await client.post(URL, json=chat())
            assert (got.status_code, got.headers["x-should-retry"], got.headers["retry-after"]) == (503, "true", "1")
        house.now += 6_000
        assert (await client.get("/readyz")).status_code == 503
        gate.set()
        while not house.sent("cancels.v1"):  # noqa: ASYNC110  # a few turns of the loop
            await asyncio.sleep(0)
        assert (await client.get("/readyz")).status_code == 200
    assert len(house.sent("requests.v1")) == 1


async def test_patience_ends_in_outcome_pending() -> None:
    async with House(options={"grace_s": 0}).client() as client:
        got = await client.post(URL, json=chat(), headers={"x-deadline-ms": "1"})
    assert (got.status_code, got.json()["error"]["code"]) == (504, "outcome_pending")


@pytest.mark.parametrize(("stream", "key", "cancels"), [(False, "", 1), (True, "", 1), (False, "k", 0)])
async def test_a_hang_up_cancels_unless_the_caller_may_come_back(stream: bool, key: str, cancels: int) -> None:
    house = House()
    body = {"type": "http.request", "body": orjson.dumps(chat(stream=stream)), "more_body": False}
    inbox = [body, {"type": "http.disconnect"}]
    said = [(b"authorization", b"Bearer sk-test")] + ([(b"idempotency-key", key.encode())] if key else [])

    async def receive() -> dict[str, Any]:
        return inbox.pop(0)

    async def send(_: Any) -> None:
        return None

    scope = {"type": "http", "method": "POST", "path": URL, "headers": said, "query_string": b"", "root_path": ""}
    await house.app(scope, receive, send)
    await house.app.state.gateway.outbox.settle()
    assert len(house.sent("cancels.v1")) == cancels
    for record in house.sent("cancels.v1"):
        assert isinstance(decode(Cancel, record.value), Cancel)


async def test_unknown_paths_methods_and_models() -> None:
    async with House().client(authorization="Bearer sk-rich") as client:
        assert (await client.get("/nothing")).json()["error"]["code"] == "not_found"
        assert (await client.get(URL)).status_code == 405
        assert (await client.post(URL + "/")).status_code == 404
        assert (await client.get("/v1/models/org/large")).json()["id"] == "org/large"
        assert (await client.get("/v1/models/org%2Flarge")).json()["id"] == "org/large"
        assert (await client.get("/v1/key")).status_code == 501
        assert (await client.get("/healthz", headers={"authorization": ""})).status_code == 200
