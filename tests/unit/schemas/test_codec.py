"""Records of all framings become events, or a value that says why not."""

import dataclasses
import io
import struct
from typing import Any, get_args

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_examples import every_event

from schemas.avro_schema import avro_schema, released
from schemas.codec import (
    SCHEMA_IDS,
    Reason,
    SchemaIds,
    Undecodable,
    _codec,
    _parse,
    decode,
    encode,
)
from schemas.events import (
    EVENTS,
    Call,
    Cancel,
    Decision,
    Excluded,
    Feedback,
    InvalidRequest,
    Price,
    Proof,
    Ref,
    Request,
    RouteInfo,
)
from schemas.incoming import decode_feedback, decode_request
from schemas.jsonable import to_json

TEXT = st.text(max_size=40)
LONG = st.integers(-(2**63), 2**63 - 1)
TAGS = st.dictionaries(TEXT, TEXT, max_size=4)
REQUESTS = st.builds(Request, request_id=st.none() | TEXT, tenant=TEXT, body=st.binary(max_size=200), tags=TAGS)
PRICES = st.builds(Price, TEXT, LONG, LONG, LONG)
ROUTES = st.builds(RouteInfo, TEXT, TEXT, st.floats(allow_nan=False), st.lists(TEXT), st.lists(TEXT))
CALLS = st.builds(
    Call,
    **dict.fromkeys(("request_id", "tenant", "partition_key", "attempt_id", "role", "provider", "model"), TEXT),
    **dict.fromkeys(("upstream", "region", "operation"), TEXT),
    **dict.fromkeys(("attempt", "deadline_at", "accepted_at", "routed_at", "spent_nano_usd"), LONG),
    stream=st.booleans(),
    price=PRICES,
    route=ROUTES,
    body=st.none() | st.binary(max_size=200),
    body_ref=st.none() | st.builds(Ref, TEXT, LONG, LONG),
    max_tokens=st.none() | LONG,
    tags=TAGS,
)
EVERY = every_event()


def request(**changes: Any) -> Request:
    return dataclasses.replace(Request("r-1", "acme", b'{"messages":[]}'), **changes)


@given(REQUESTS | CALLS)
def test_event_survives_the_wire(event: Request | Call) -> None:
    assert decode(type(event), encode(event)) == event


def test_frame_is_single_object_encoding() -> None:
    raw = encode(Cancel("r", "t", "x", 1))
    assert raw[:2] == b"\xc3\x01"
    assert raw[10:] == b"\x02r\x02t\x02x\x02"


def test_confluent_frame_is_read_once_its_id_is_registered() -> None:
    event = Cancel("r", "t", "gone", 1)
    raw = encode(event, schema_id=70_001)
    assert raw[:5] == b"\x00" + struct.pack(">I", 70_001)
    assert isinstance(decode(Cancel, raw), Undecodable)
    SCHEMA_IDS.register(70_001, "cancel", released("cancel")[1])
    assert decode(Cancel, raw) == event


def test_schema_id_of_another_event_is_unknown() -> None:
    SCHEMA_IDS.register(70_002, "cost", released("cost")[1])
    found = decode(Cancel, encode(Cancel("r", "t", "gone", 1), schema_id=70_002))
    assert isinstance(found, Undecodable)
    assert found.reason == "unknown_schema"


def test_older_writer_gets_todays_defaults_and_never_shares_them() -> None:
    old = avro_schema(Call)
    old["fields"] = [column for column in old["fields"] if column["name"] not in {"tags", "flags", "user"}]
    SCHEMA_IDS.register(70_003, "call", old)
    raw = b"\x00" + struct.pack(">I", 70_003) + _written(old, next(e for e in EVERY if isinstance(e, Call)))
    first, second = decode(Call, raw), decode(Call, raw)
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert (first.tags, first.flags, first.user) == ({}, b"{}", None)
    first.tags["x"] = "y"
    assert second.tags == {}
    again = decode(Call, raw)
    assert isinstance(again, Call)
    assert again.tags == {}


def _written(schema: dict[str, Any], event: Call) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _parse(schema), _codec(Call).to_datum(event))
    return out.getvalue()


def test_writer_whose_types_do_not_fit_is_refused() -> None:
    odd = {"type": "record", "name": "Cancel", "namespace": "millrace", "fields": [{"name": "at", "type": "string"}]}
    SCHEMA_IDS.register(70_004, "cancel", odd)
    assert _reason(decode(Cancel, b"\x00" + struct.pack(">I", 70_004) + b"\x02x")) == "wrong_type"


RECURSIVE = {"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}
NOTHINGS = {"type": "record", "name": "N", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]}


@pytest.mark.parametrize("schema", [RECURSIVE, NOTHINGS])
def test_schema_that_asks_for_endless_work_is_not_registered(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SchemaIds().register(1, "cancel", schema)


def _reason(found: object) -> str:
    assert isinstance(found, Undecodable), found
    assert found.reason in get_args(Reason)
    return found.reason


CANCEL = encode(Cancel("r", "t", "x", 1))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"hello", "unknown_schema"),
        (b"{}", "unknown_schema"),
        (b"\xc3\x01\x00", "truncated"),
        (b"\xc3\x01" + b"\x00" * 8, "unknown_schema"),
        (b"\x00\x00", "truncated"),
        (b"\x00\xff\xff\xff\xff", "unknown_schema"),
        (CANCEL[:-1], "truncated"),
        (CANCEL + b"\x00", "trailing_bytes"),
        (CANCEL[:10] + b"\x02\xff" + CANCEL[12:], "invalid_utf8"),
    ],
)
def test_bytes_that_are_no_event_say_why(raw: bytes | None, reason: str) -> None:
    assert _reason(decode(Cancel, raw)) == reason


def varint(value: int) -> bytes:
    value = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


ABSURD = [2**31, 2**40, 2**60, 2**62, 2**63 - 1, -1, -(2**31), -(2**60), -(2**63)]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", ABSURD)
def test_absurd_lengths_and_counts_end_where_the_bytes_end(size: int) -> None:
    for event in EVERY:
        raw = encode(event)
        for at in range(10, min(len(raw), 700)):
            decode(type(event), raw[:at] + varint(size) + raw[at + 1 :])
            decode(type(event), raw[:at] + varint(size))


def test_megabytes_of_empty_items_are_refused_before_they_become_objects() -> None:
    ref = Decision("r", "t", 1, "first", "p", "p", "c", 1, 1, "x", Proof("internal"))
    raw = encode(dataclasses.replace(ref, excluded=[Excluded("", "", "")] * 200_000))
    assert _reason(decode(Decision, raw)) == "wrong_type"


def test_large_body_is_read() -> None:
    event = request(body=b'{"a":"' + b"x" * 8_000_000 + b'"}')
    assert decode(Request, encode(event)) == event


@given(st.sampled_from(list(EVENTS.values())), st.binary(max_size=300))
def test_random_bytes_never_raise(event_class: type, noise: bytes) -> None:
    for raw in (noise, b"\xc3\x01" + noise, encode(next(e for e in EVERY if type(e) is event_class))[:10] + noise):
        found = decode(event_class, raw)
        assert isinstance(found, event_class | Undecodable)


@given(st.sampled_from(EVERY), st.data())
def test_cut_records_are_undecodable(event: Any, data: st.DataObject) -> None:
    raw = encode(event)
    _reason(decode(type(event), raw[: data.draw(st.integers(0, len(raw) - 1))]))


@given(st.sampled_from(EVERY), st.data())
def test_mutated_records_never_raise(event: Any, data: st.DataObject) -> None:
    raw = bytearray(encode(event))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=5)):
        raw[at] = data.draw(st.integers(0, 255))
    assert isinstance(decode(type(event), bytes(raw)), type(event) | Undecodable)
    decode_request(bytes(raw))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_random_json_never_raises(noise: bytes) -> None:
    for raw in (noise, b"{" + noise, b'{"tenant":"acme","body":' + noise + b"}"):
        assert isinstance(decode_request(raw), Request | InvalidRequest | Undecodable)


FEEDBACK = Feedback("r-1", "", "acme", "ann", 5, 0.5, "up", "fine", "better")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_noise_is_no_feedback_and_never_raises(noise: bytes) -> None:
    whole = encode(FEEDBACK)
    for raw in (
        noise,
        b"{" + noise,
        b'{"tenant":"acme","request_id":"r","score":' + noise + b"}",
        whole[:9] + noise,
        whole + noise,
    ):
        found = decode_feedback(raw, 7)
        assert isinstance(found, Feedback | InvalidRequest | Undecodable)
        if isinstance(found, Feedback):
            assert decode_feedback(encode(found), 9) == found


def test_feedback_is_read_alike_from_json_and_avro() -> None:
    said = {
        "request_id": "r-1",
        "tenant": "acme",
        "user": "ann",
        "score": 0.5,
        "label": "up",
        "comment": "fine",
        "edit": "better",
    }
    assert decode_feedback(orjson.dumps({**said, "at": 5}), 7) == FEEDBACK == decode_feedback(encode(FEEDBACK), 7)
    assert decode_feedback(orjson.dumps({**said, "conversation_id": "", "comment": None}), 7) == dataclasses.replace(
        FEEDBACK, at=7, comment=None
    )


@pytest.mark.parametrize(
    "change", [{"score": 1.5}, {"score": float("nan")}, {"label": "meh"}, {"request_id": ""}, {"conversation_id": "c"},
               {"tenant": ""}, {"user": "x" * 257}, {"at": -1}, {"score": None, "label": None}, {"edit": "x" * 262_145}],
)  # fmt: skip
def test_avro_feedback_is_validated_like_json(change: dict[str, Any]) -> None:
    assert isinstance(decode_feedback(encode(dataclasses.replace(FEEDBACK, **change)), 7), InvalidRequest)


@pytest.mark.parametrize("schema_id", [None, 70_005])
def test_avro_request_is_validated_like_json(schema_id: int | None) -> None:
    SCHEMA_IDS.register(70_005, "request", released("request")[1])
    assert decode_request(encode(request(), schema_id=schema_id)) == request()
    found = decode_request(encode(request(priority="urgent"), schema_id=schema_id))
    assert isinstance(found, InvalidRequest)
    assert found.param == "priority"


def test_json_request_is_read() -> None:
    assert decode_request(b'{"request_id":"r-1","tenant":"acme","body":{"messages":[]}}') == request()


def test_unknown_field_of_a_json_request_is_named() -> None:
    found = decode_request(b'{"tenant":"acme","body":{},"modell":"x"}')
    assert found == InvalidRequest("unknown field `modell`", param="modell")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"tenant":', "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"[1]", "unknown_schema"),
        (b'{"a":"\xff"}', "invalid_utf8"),
        (None, "tombstone"),
    ],
)
def test_json_that_is_no_object_is_undecodable(raw: bytes | None, reason: str) -> None:
    assert _reason(decode_request(raw)) == reason


@pytest.mark.parametrize("depth", [300, 900, 100_000])
def test_deeply_nested_body_is_refused(depth: int) -> None:
    raw = b'{"tenant":"acme","body":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    assert isinstance(decode_request(raw), InvalidRequest | Undecodable)


def test_people_read_times_and_bodies() -> None:
    shown = to_json(Cancel("r", "t", "gone", 1_763_990_400_123))
    assert shown["at"] == "2025-11-24T13:20:00.123Z"
    assert to_json(request())["body"] == {"messages": []}
    assert to_json(request(body=b"plain \xff"))["body"] == "plain �"


@pytest.mark.parametrize("event", EVERY, ids=lambda event: type(event).__name__)
def test_every_event_can_be_shown(event: Any) -> None:
    assert orjson.loads(orjson.dumps(to_json(event))) == to_json(event)
