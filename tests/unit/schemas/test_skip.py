"""Skipping ends where reading ends."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_examples import every_event

from schemas.avro_schema import released
from schemas.codec import encode
from schemas.events import EVENTS
from schemas.skip import skipper

NAMES = {cls: name for name, cls in EVENTS.items()}


@pytest.mark.parametrize("event", every_event(), ids=lambda event: type(event).__name__)
def test_every_event_is_skipped_whole(event: Any) -> None:
    raw = encode(event)
    skip = skipper(list(released(NAMES[type(event)]).values())[-1])
    assert skip(raw, 10) == len(raw)
    assert skip(raw + b"\x02\x02", 10) == len(raw)


@given(
    st.lists(st.dictionaries(st.text(), st.integers(-(2**63), 2**63 - 1)), max_size=70),
    st.none() | st.binary(max_size=200),
    st.floats(allow_nan=False),
)
def test_any_value_is_skipped_whole(maps: list[dict[str, int]], body: bytes | None, number: float) -> None:
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "maps", "type": {"type": "array", "items": {"type": "map", "values": "long"}}},
            {"name": "body", "type": ["null", "bytes"]},
            {"name": "number", "type": "double"},
        ],
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"maps": maps, "body": body, "number": number})
    assert skipper(schema)(out.getvalue(), 0) == len(out.getvalue())


def test_blocks_that_say_their_size_are_jumped_over() -> None:
    skip = skipper({"type": "array", "items": "long"})
    assert skip(bytes([3, 4, 2, 4, 0]), 0) == 5  # two items in two bytes


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x80"])
def test_what_is_no_length_is_refused(raw: bytes) -> None:
    with pytest.raises((IndexError, ValueError)):
        skipper("bytes")(raw, 0)


@given(st.binary(max_size=100))
def test_any_bytes_end(raw: bytes) -> None:
    for name in EVENTS:
        try:
            skipper(list(released(name).values())[-1])(raw, 0)
        except (IndexError, ValueError):
            continue
