"""Sending a dead letter again."""

from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from pipeline.cli.dlq import again, parse_place
from pipeline.cli.errors import CliError, UsageError
from schemas import headers as h
from schemas.codec import encode
from schemas.events import Request
from schemas.incoming import decode_request


@dataclass
class Letter:
    value: bytes | None
    headers: list[tuple[str, bytes]]
    key: bytes | None = b"demo"
    partition: int = 0
    offset: int = 7


def letter(value: bytes | None, **more: Any) -> Letter:
    dead = h.build(dlq_stage="enrich", dlq_topic="llm.requests.v1", dlq_error="x")
    return Letter(value, [*h.build(request_id="old", tenant="demo", deadline_ms=5), *dead, *h.build(**more)])


def test_without_an_outcome_everything_stays_but_the_marks_of_death() -> None:
    new = again(letter(b"\xff\x00"), answered=False, fresh_id="new")
    assert (new.topic, new.key, new.value, new.request_id) == ("llm.requests.v1", b"demo", b"\xff\x00", "old")
    assert new.headers == h.build(request_id="old", tenant="demo", deadline_ms=5)


def test_with_an_outcome_a_json_request_gets_a_new_id_inside_and_outside() -> None:
    new = again(letter(b'{"request_id": "old", "body": {}}'), answered=True, fresh_id="new")
    assert orjson.loads(new.value or b"") == {"request_id": "new", "body": {}}
    assert new.headers == h.build(tenant="demo", request_id="new", redrive_of="old")


def test_with_an_outcome_an_avro_request_gets_a_new_id_inside() -> None:
    new = again(letter(encode(Request("old", "demo", b"{}"))), answered=True, fresh_id="new")
    decoded = decode_request(new.value)
    assert isinstance(decoded, Request)
    assert decoded.request_id == "new"


def test_feedback_stays_of_the_request_that_it_speaks_of() -> None:
    said = b'{"request_id": "old", "tenant": "demo", "score": 1}'
    origin = h.build(dlq_topic="llm.feedback.v1")
    new = again(Letter(said, origin), answered=True, fresh_id="new")
    assert (new.topic, new.value, new.headers) == ("llm.feedback.v1", said, [])


@pytest.mark.parametrize("value", [b"{broken", b"\xc3\x01garbage", b"", None])
def test_undecodable_bytes_are_sent_as_they_are(value: bytes | None) -> None:
    assert again(letter(value), answered=True, fresh_id="new").value == value


def test_a_letter_without_an_origin_is_refused() -> None:
    with pytest.raises(CliError, match="0/7"):
        again(Letter(b"", []), answered=False, fresh_id="new")


def test_places_are_partition_and_offset() -> None:
    assert parse_place("2/17") == (2, 17)
    for wrong in ("17", "a/b", "1/", "-1/2"):
        with pytest.raises(UsageError):
            parse_place(wrong)
