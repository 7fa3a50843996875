"""Acceptance over Kafka: plain JSON and foreign Avro get their answers, poison becomes dead letters and nothing else."""

import asyncio
import io
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.codec import decode
from schemas.events import Response
from tests.chaos.platform import Platform

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
REQUESTS, RESPONSES, LETTERS = "llm.requests.v1", "llm.responses.v1", "llm.dead-letters.v1"
AVSC = Path(__file__).parents[2] / "schemas" / "avro" / "request.v1.avsc"


@dataclass
class Desk:
    """A client of the bare topics; `responses` and `letters` fill as records come."""

    producer: AIOKafkaProducer
    consumer: AIOKafkaConsumer
    responses: list[tuple[Response, int]] = field(default_factory=list)
    letters: list[Any] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        async for record in self.consumer:
            if record.topic == LETTERS:
                self.letters.append(record)
            else:
                response = decode(Response, record.value)
                assert isinstance(response, Response)
                self.responses.append((response, record.timestamp))
            self.news.set()

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def send(self, value: bytes | None, **more: Any) -> Any:
        return await self.producer.send_and_wait(REQUESTS, value, **more)

    def of(self, request_id: str) -> list[Response]:
        return [response for response, _ in self.responses if response.request_id == request_id]

    async def answer(self, request_id: str) -> Response:
        await self.until(lambda: bool(self.of(request_id)))
        return self.of(request_id)[0]

    def letters_of(self, mark: str) -> list[Any]:
        return [letter for letter in self.letters if dict(letter.headers).get("mark") == mark.encode()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(running: Platform) -> AsyncIterator[Desk]:
    producer = AIOKafkaProducer(bootstrap_servers=running.kafka, acks="all", linger_ms=1)
    consumer = AIOKafkaConsumer(
        RESPONSES, LETTERS, bootstrap_servers=running.kafka, auto_offset_reset="earliest", group_id=None
    )
    await producer.start()
    await consumer.start()
    found = Desk(producer, consumer)
    reading = asyncio.create_task(found.read())
    yield found
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await consumer.stop()
    await producer.stop()


def body(text: str = "hello") -> dict[str, Any]:
    return {"model": "steady", "messages": [{"role": "user", "content": text}]}


def good(request_id: str, **more: Any) -> bytes:
    return orjson.dumps({"request_id": request_id, "tenant": "main", "model": "steady", "body": body()} | more)


def text_of(response: Response) -> str:
    assert response.outcome == "ok" and response.body is not None, response
    return str(orjson.loads(response.body)["choices"][0]["message"]["content"])


# --- both encodings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{"partition": 0}, {"partition": 1}, {"partition": 0, "key": b"main"},
    {"partition": 1, "key": b"main"}, {"partition": 0, "key": b"whatever"}, {"partition": 1, "key": b"\xff"}, {},
])  # fmt: skip
async def test_plain_json_is_answered_wherever_it_lands(desk: Desk, more: dict[str, Any]) -> None:
    request_id = "json-" + "-".join(str(part) for part in more.values()).replace("'", "").replace("\\", "")
    await desk.send(good(request_id), **more)
    assert text_of(await desk.answer(request_id))
    assert len(desk.of(request_id)) == 1


@pytest.mark.parametrize("partition", [0, 1])
async def test_json_without_an_id_is_answered_under_one_of_its_own(desk: Desk, partition: int) -> None:
    name = f"anonymous-{partition}"
    await desk.send(
        orjson.dumps({"tenant": "main", "body": body(name), "tags": {"name": name}}), key=b"k", partition=partition
    )

    def mine() -> list[Response]:
        return [response for response, _ in desk.responses if response.tags.get("name") == name]

    await desk.until(lambda: bool(mine()))
    assert mine()[0].outcome == "ok" and mine()[0].request_id


def crc_64_avro(data: bytes) -> int:
    """From the Avro specification, not from a library."""
    empty = 0xC15D213AA4D7A795
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = (value >> 1) ^ (empty & -(value & 1))
        table.append(value)
    found = empty
    for byte in data:
        found = (found >> 8) ^ table[(found ^ byte) & 0xFF]
    return found


def foreign_avro(datum: dict[str, Any]) -> bytes:
    """A record as another program writes it: schema from the file, single-object encoding by hand."""
    schema = orjson.loads(AVSC.read_bytes())
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), datum)
    return b"\xc3\x01" + struct.pack("<Q", crc_64_avro(canonical.encode())) + out.getvalue()


@pytest.mark.parametrize("partition", [0, 1])
async def test_avro_of_another_program_is_answered(desk: Desk, partition: int) -> None:
    request_id = f"avro-{partition}"
    datum = {
        "request_id": request_id,
        "tenant": "other",
        "model": "auto",
        "body": orjson.dumps(body("avro")),
        "tags": {},
    }
    await desk.send(foreign_avro(datum), key=b"other", partition=partition)
    assert text_of(await desk.answer(request_id))


async def test_a_large_plain_json_record_is_answered(desk: Desk) -> None:
    await desk.producer.send_and_wait(REQUESTS, good("large", body=body("word " * 180_000)), key=b"main")
    assert text_of(await desk.answer("large"))


# --- poison -------------------------------------------------------------------------------------------------------

IDS = [("request-id", b"p-headers"), ("tenant", b"main")]
POISON: dict[str, tuple[bytes | None, list[tuple[str, bytes]], set[str], str | None]] = {
    # name: value, headers, accepted reasons, the code of the outcome (under the id `p-NAME`) if an id can be read
    "empty": (b"", [], {"empty"}, None),
    "tombstone": (None, [], {"tombstone"}, None),
    "headers": (b"", IDS, {"empty"}, "invalid_request"),
    "truncated": (
        foreign_avro({"request_id": "p", "tenant": "main", "body": b"{}"})[:20], [], {"truncated"}, None),
    "header-only": (b"\xc3\x01\x01", [], {"truncated"}, None),
    "fingerprint": (b"\xc3\x01" + b"\x07" * 40, [], {"unknown_schema"}, None),
    "confluent": (b"\x00\x00\x00\x30\x39" + b"\x02" * 40, [], {"unknown_schema"}, None),
    "neither": (b"hello", [], {"unknown_schema"}, None),
    "array": (b"[1]", [], {"unknown_schema"}, None),
    "utf8": (b'{"tenant":"main","request_id":"p-utf8","body":{"x":"\xff\xfe"}}', [], {"invalid_utf8"}, None),
    "cut": (b'{"tenant":"main","request_id":"p-cut","bo', [], {"invalid_json"}, None),
    "deep": (b'{"request_id":"p-deep","tenant":"main","body":' + b'{"a":' * 2000 + b"1" + b"}" * 2001, [],
             {"invalid_json"}, None),
    "nested": (b'{"request_id":"p-nested","tenant":"main","body":' + b'{"a":' * 500 + b"1" + b"}" * 501, [],
               {"invalid_request"}, "invalid_request"),
    "types": (good("p-types", model=7, tags=[]), [], {"invalid_request"}, "invalid_request"),
    "body": (good("p-body", body="text"), [], {"invalid_request"}, "invalid_request"),
    "messages": (good("p-messages", body={"messages": 5}), [], {"invalid_request"}, "invalid_request"),
    "no-tenant": (orjson.dumps({"request_id": "p-no-tenant", "body": body()}), [], {"invalid_request"}, None),
    "id-type": (orjson.dumps({"request_id": 5, "tenant": "main", "body": body()}), [], {"invalid_request"}, None),
    "field": (good("p-field", colour="blue"), [], {"invalid_request"}, "invalid_request"),
    "tenant": (good("p-tenant", tenant="nobody"), [], {"unknown_tenant"}, "unknown_tenant"),
    "avro-body": (foreign_avro({"request_id": "p-avro-body", "tenant": "main", "body": b"\xff"}), [],
                  {"invalid_request"}, "invalid_request"),
    "avro-priority": (
        foreign_avro({"request_id": "p-avro-priority", "tenant": "main", "body": b"{}", "priority": "urgent"}),
        [],
        {"invalid_request"},
        "invalid_request",
    ),
    "avro-tenant": (foreign_avro({"request_id": "p-avro-tenant", "tenant": "no", "body": b"{}"}), [],
                    {"unknown_tenant"}, "unknown_tenant"),
}  # fmt: skip


@pytest.mark.parametrize("shift", [0, 1], ids=["one", "other"])
async def test_poison_is_one_dead_letter_each_and_disturbs_nobody(running: Platform, desk: Desk, shift: int) -> None:
    """Twice, so that each kind stands in each partition: the tenant's own and a foreign one."""
    pids = dict(running.children)
    letters, outcomes = len(desk.letters), len(desk.responses)
    sent = {}
    for number, (name, (value, headers, _, _)) in enumerate(POISON.items()):
        marked = [*headers, ("mark", name.encode()), ("odd", b"\xff\x00")]
        sent[name] = await desk.send(value, key=b"key-" + name.encode(), partition=(number + shift) % 2, headers=marked)
        await desk.send(good(f"neighbour-{shift}-{number}"), partition=number % 2)
    for number in range(len(POISON)):
        assert text_of(await desk.answer(f"neighbour-{shift}-{number}"))
    readable = sum(row[3] is not None for row in POISON.values())
    await desk.until(lambda: len(desk.letters) >= letters + len(POISON))
    await desk.until(lambda: len(desk.responses) >= outcomes + len(POISON) + readable)
    new_letters = desk.letters[letters:]
    new_outcomes = [response for response, _ in desk.responses[outcomes:]]

    for name, (value, headers, reasons, code) in POISON.items():
        (letter,) = [one for one in new_letters if dict(one.headers).get("mark") == name.encode()]
        said = dict(letter.headers)
        assert (letter.value or None, letter.key) == (value or None, b"key-" + name.encode()), name
        assert (letter.value is None) == (value is None), name
        assert {**dict(headers), "mark": name.encode(), "odd": b"\xff\x00"}.items() <= said.items(), name
        assert said["dlq-reason"].decode() in reasons, (name, said)
        where = (said["dlq-topic"].decode(), int(said["dlq-partition"]), int(said["dlq-offset"]))
        assert where == (REQUESTS, sent[name].partition, sent[name].offset), name
        assert said["dlq-stage"] and said["dlq-error"], name
        codes = [one.error.code if one.error else "ok" for one in new_outcomes if one.request_id == f"p-{name}"]
        assert codes == ([code] if code else []), name
    assert b"colour" in dict(desk.letters_of("field")[0].headers)["dlq-error"]
    assert running.children == pids


async def test_four_hundred_bad_records_do_not_slow_good_ones(
    running: Platform, desk: Desk, record_testsuite_property: Callable[[str, object], None]
) -> None:
    async def good_ones(name: str) -> float:
        """Seconds from the first of ten sent to the last answered."""
        start = asyncio.get_running_loop().time()
        for number in range(10):
            await desk.send(good(f"{name}-{number}"), partition=number % 2)
        for number in range(10):
            assert text_of(await desk.answer(f"{name}-{number}"))
        return asyncio.get_running_loop().time() - start

    pids, before = dict(running.children), len(desk.letters)
    alone = await good_ones("alone")
    kinds = [row[0] for row in POISON.values()]
    waits = [
        await desk.producer.send(REQUESTS, kinds[number % len(kinds)], key=b"main", partition=number % 2)
        for number in range(400)
    ]
    beside = await good_ones("beside")
    await asyncio.gather(*waits)
    await desk.until(lambda: len(desk.letters) >= before + 400)
    record_testsuite_property("ten_good_ms", {"alone": round(alone * 1000), "behind_400_bad": round(beside * 1000)})
    assert beside < alone + 3
    assert running.children == pids


async def millrace(folder: Path, *words: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", *words, "--json", "--data-dir", str(folder / "data"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ,
    )  # fmt: skip
    out, complaint = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaint.decode()
    return orjson.loads(out)


async def test_dead_letters_are_listed_and_sent_again(running: Platform, desk: Desk, folder: Path) -> None:
    """One that is good today (its cause is gone), one whose id has its outcome, one that is bad for ever."""
    said = [("mark", b"mended"), ("dlq-topic", REQUESTS.encode()), ("dlq-reason", b"unknown_tenant")]
    mended = await desk.producer.send_and_wait(LETTERS, good("mended"), key=b"main", headers=said)
    answered = [*said[1:], ("request-id", b"answered"), ("tenant", b"main")]
    await desk.send(good("answered"))
    await desk.answer("answered")
    again = await desk.producer.send_and_wait(LETTERS, good("answered"), key=b"main", headers=answered)
    await desk.send(b"\xc3\x01" + b"\x09" * 12, headers=[("mark", b"for-ever")])
    await desk.until(lambda: bool(desk.letters_of("for-ever")))
    bad = desk.letters_of("for-ever")[0]

    rows = await millrace(folder, "dlq", "list")
    listed = {(row["partition"], row["offset"]): row for row in rows}
    assert len(rows) == len(desk.letters)
    assert listed[bad.partition, bad.offset]["reason"] == "unknown_schema"
    assert {"topic", "partition", "offset", "at", "stage", "reason", "request_id", "tenant"} <= set(rows[0])

    places = [f"{letter.partition}/{letter.offset}" for letter in (mended, again, bad)]
    sent = await millrace(folder, "dlq", "redrive", *places)
    assert text_of(await desk.answer("mended"))
    renamed = next(row["request_id"] for row in sent if row["redrive_of"] == "answered")
    assert text_of(await desk.answer(renamed))
    await desk.until(lambda: len(desk.letters_of("for-ever")) == 2)
    first, second = desk.letters_of("for-ever")
    assert (first.value, first.key) == (second.value, second.key)
    assert len(desk.of("answered")) == 1


async def test_a_letter_whose_id_stands_in_the_value_only_is_sent_again_under_a_new_one(
    running: Platform, desk: Desk, folder: Path
) -> None:
    """As kcat sends it; its id has the outcome of the refusal, and the first outcome is the one that counts."""
    await desk.send(good("bare", tenant="nobody"), headers=[("mark", b"bare")])
    await desk.until(lambda: bool(desk.letters_of("bare")) and bool(desk.of("bare")))
    letter = desk.letters_of("bare")[0]
    row = next(row for row in await millrace(folder, "dlq", "list") if row["offset"] == letter.offset)
    assert (row["request_id"], row["tenant"]) == ("bare", "nobody")
    (sent,) = await millrace(folder, "dlq", "redrive", f"{letter.partition}/{letter.offset}")
    assert sent["redrive_of"] == "bare"
    assert (await desk.answer(sent["request_id"])).error is not None
    assert len(desk.of("bare")) == 1


async def test_a_bad_record_under_the_id_of_an_open_request_does_not_answer_it(running: Platform, desk: Desk) -> None:
    await desk.send(good("taken", body=body("taken [[sim: latency_ms=700]]")), partition=0)
    assert await running.simulator.world.journal.wait(lambda entry: b"taken" in entry.body)
    await desk.send(good("taken", colour="blue"), partition=0, headers=[("mark", b"taken-0")])
    await desk.send(good("taken", colour="blue"), partition=1, headers=[("mark", b"taken-1")])
    await desk.until(lambda: bool(desk.letters_of("taken-0") and desk.letters_of("taken-1")))
    assert text_of(await desk.answer("taken"))
    assert {response.outcome for response in desk.of("taken")} == {"ok"}
