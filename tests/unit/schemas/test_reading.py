"""Our own reader says what fastavro says, or leaves the record to it."""

import dataclasses
import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_examples import every_event

from schemas.avro_schema import avro_schema
from schemas.codec import _codec as codec_of
from schemas.codec import _parse, _quickly, encode
from schemas.events import EVENTS
from schemas.reading import reader

HEADER = 10
EVERY = every_event()


@dataclasses.dataclass
class Part:
    name: str
    weight: float
    share: float
    at: int | None = None


@dataclasses.dataclass
class Whole:
    number: int
    is_open: bool
    body: bytes | None
    ratio: float | None
    first: Part
    parts: list[Part]
    by_name: dict[str, Part]
    shares: dict[str, float]
    names: list[str] | None = None
    last: Part | None = None


LONG = st.integers(-(2**63), 2**63 - 1)
PARTS = st.builds(Part, st.text(), st.floats(allow_nan=False), st.floats(allow_nan=False), st.none() | LONG)
WHOLES = st.builds(
    Whole, LONG, st.booleans(), st.none() | st.binary(max_size=200), st.none() | st.floats(allow_nan=False), PARTS,
    st.lists(PARTS, max_size=70), st.dictionaries(st.text(), PARTS), st.dictionaries(st.text(), st.floats(allow_nan=False)),
    st.none() | st.lists(st.text()), st.none() | PARTS,
)  # fmt: skip
READ_WHOLE = reader(Whole)
SCHEMA = _parse(avro_schema(Whole))


def by_fastavro(event_class: type, raw: bytes) -> Any:
    """None: it is none, or something follows."""
    codec, source = codec_of(event_class), io.BytesIO(raw)
    source.seek(HEADER)
    try:
        event = codec.read(source, codec.latest)
    except Exception:
        return None
    return event if source.tell() == len(raw) else None


@given(WHOLES)
def test_what_fastavro_writes_is_read(whole: Whole) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, dataclasses.asdict(whole))
    assert READ_WHOLE(out.getvalue(), 0) == (whole, len(out.getvalue()))


@pytest.mark.parametrize("event_class", EVENTS.values(), ids=EVENTS)
def test_every_event_is_read_quickly(event_class: type) -> None:
    for event in (each for each in EVERY if type(each) is event_class):
        raw = encode(event)
        assert codec_of(event_class).quick(raw, HEADER) == (event, len(raw))
        assert by_fastavro(event_class, raw) == event


@given(st.sampled_from(EVERY), st.data())
def test_of_spoilt_records_nothing_is_read_that_fastavro_reads_differently(event: Any, data: st.DataObject) -> None:
    raw = bytearray(encode(event))
    for at in data.draw(st.lists(st.integers(HEADER, len(raw) - 1), min_size=1, max_size=3)):
        raw[at] = data.draw(st.integers(0, 255))
    found = _quickly(codec_of(type(event)), bytes(raw))
    # As text, since what is spoilt may be no number, which equals nothing.
    assert found is None or repr(found) == repr(by_fastavro(type(event), bytes(raw)))


def test_a_list_in_several_blocks_is_read_and_one_that_says_its_size_is_left_to_fastavro() -> None:
    @dataclasses.dataclass
    class Names:
        names: list[int]

    assert reader(Names)(bytes([4, 2, 4, 2, 6, 0]), 0) == (Names([1, 2, 3]), 6)
    with pytest.raises(ValueError, match="negative"):
        reader(Names)(bytes([3, 4, 2, 4, 0]), 0)


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x80" * 9 + b"\x02", b"\x80" * 60_000 + b"\x02"], ids=len)
def test_what_is_no_number_of_64_bits_is_refused(raw: bytes) -> None:
    @dataclasses.dataclass
    class Number:
        number: int

    with pytest.raises((IndexError, ValueError)):
        reader(Number)(raw, 0)


def test_a_type_that_no_event_has_is_refused_at_once() -> None:
    @dataclasses.dataclass
    class Odd:
        number: complex

    with pytest.raises(TypeError, match="complex"):
        reader(Odd)
