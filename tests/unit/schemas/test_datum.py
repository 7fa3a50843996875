"""An event's bare bytes: taken out of any framing, brought up to date, and emptied of a field, without being read."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_examples import IDS, PATHS, event_of, every_event

from schemas.avro_schema import released
from schemas.codec import SCHEMA_IDS, Undecodable, _codec, _parse, datum, decode, encode, first_text
from schemas.events import Attempt, Breaker, Cancel, Enriched, Feedback, Response, RouteInfo, Timings

WITH_BODIES = [event for event in every_event() if isinstance(event, Enriched | Response)]


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_a_datum_is_what_stands_behind_the_framing(path: Path) -> None:
    event = event_of(path)
    assert datum(type(event), encode(event)) == encode(event)[10:]


@pytest.mark.parametrize("event", WITH_BODIES, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("body", [None, b"", b"{}", b"x" * 300_000])
def test_a_datum_without_its_body_is_the_event_without_it(event: Any, body: bytes | None) -> None:
    raw = encode(dataclasses.replace(event, body=body))
    bare = datum(type(event), raw, without=("body",))
    assert isinstance(bare, bytes)
    assert decode(type(event), raw[:10] + bare) == dataclasses.replace(event, body=None)


@pytest.mark.parametrize("event", WITH_BODIES, ids=lambda event: type(event).__name__)
def test_a_record_that_ends_before_its_body_is_no_datum(event: Any) -> None:
    assert isinstance(datum(type(event), encode(event)[:60], without=("body",)), Undecodable)


def test_several_fields_are_emptied_and_the_others_stay() -> None:
    said = Feedback("r-1", "", "acme", "ann", 5, 0.5, "up", "fine", "better")
    for without in (("comment", "edit"), ("edit", "comment"), ("label",), ()):
        bare = datum(Feedback, encode(said), without=without)
        assert isinstance(bare, bytes)
        found = decode(Feedback, encode(said)[:10] + bare)
        assert found == dataclasses.replace(said, **dict.fromkeys(without))


def test_an_older_version_is_rewritten() -> None:
    old = next(path for path in PATHS if path.parts[-3:-1] == ("attempt", "v1"))
    out = io.BytesIO()
    first = _parse(released("attempt")[1])
    latest = decode(Attempt, encode(event_of(old)))
    fastavro.schemaless_writer(out, first, fastavro.schemaless_reader(io.BytesIO(_as_first(latest)), first, None))
    SCHEMA_IDS.register(71, "attempt", released("attempt")[1])
    raw = b"\x00\x00\x00\x00\x47" + out.getvalue()
    assert datum(Attempt, raw) == encode(decode(Attempt, raw))[10:]


def test_todays_version_under_a_registrys_id_is_not_rewritten() -> None:
    event = next(event for event in every_event() if isinstance(event, Breaker))
    versions = released("breaker")
    SCHEMA_IDS.register(72, "breaker", versions[max(versions)])
    raw = encode(event, schema_id=72)
    assert SCHEMA_IDS.schema(72, "breaker") is _codec(Breaker).latest
    assert datum(Breaker, raw) == raw[5:]


def _as_first(event: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _parse(released("attempt")[1]), dataclasses.asdict(event))
    return out.getvalue()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(None, "tombstone"), (b"", "empty"), (b"hello", "unknown_schema"), (b"\xc3\x01abc", "truncated")],
)
def test_what_is_no_record_of_the_event_says_why(raw: bytes | None, reason: str) -> None:
    refused = datum(Breaker, raw)
    assert isinstance(refused, Undecodable)
    assert refused.reason == reason


@given(st.binary(max_size=300))
def test_any_bytes_make_a_datum_or_a_reason(raw: bytes) -> None:
    header = encode(WITH_BODIES[0])[:10]
    for value in (raw, header + raw):
        assert isinstance(datum(type(WITH_BODIES[0]), value, without=("body",)), bytes | Undecodable)


@pytest.mark.parametrize("request_id", ["r", "r" * 100], ids=["short", "long"])
def test_a_text_in_front_is_read_without_the_rest(request_id: str) -> None:
    response = Response(request_id, "acme", "chat", "ok", 1, 2, RouteInfo(), Timings(), body=b"x" * 1_000)
    raw = encode(response)
    assert first_text(Response, raw, "outcome") == "ok"
    assert first_text(Response, raw, "request_id") == request_id
    assert first_text(Response, raw[:40], "outcome") in ("ok", None)


@pytest.mark.parametrize(
    "raw", [None, b"", b"{}", b"\xc3\x01", b"\xc3\x01" + b"\x07" * 8, encode(Cancel("r", "t", "x", 1))]
)
def test_what_is_no_such_event_has_no_text_in_front(raw: bytes | None) -> None:
    assert first_text(Response, raw, "outcome") is None


def test_a_text_in_front_that_breaks_off_is_none() -> None:
    raw = encode(Response("r", "acme", "chat", "error", 1, 2, RouteInfo(), Timings()))
    whole = raw.index(b"error") + len("error")
    assert first_text(Response, raw[:whole], "outcome") == "error"
    assert all(first_text(Response, raw[:size], "outcome") is None for size in range(10, whole))


def test_the_first_fields_of_an_older_version_are_not_guessed() -> None:
    latest = encode(Response("r", "acme", "chat", "ok", 1, 2, RouteInfo(), Timings()))
    older = next(iter(_codec(Response).readers))
    assert first_text(Response, latest[:2] + older + latest[10:], "outcome") is None
