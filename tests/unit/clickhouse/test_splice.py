"""Spliced containers are what fastavro would have written, and read as the events that went in."""

import io
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.clickhouse.columns import flattened
from connectors.clickhouse.dead_letters import DEAD_LETTER, dead_letter
from connectors.clickhouse.splice import Container, bytes_field, varint
from connectors.clickhouse.tables import TABLES, Table
from schemas import headers as h
from schemas.codec import datum, encode
from tests.unit.schemas.schema_examples import PATHS, event_of

EVENT_TABLES = [table for table in TABLES if table.topic.event]


def _events(table: Table) -> list[Any]:
    return [event_of(path) for path in PATHS if path.parts[-3] == table.topic.event]


def _datum(event: Any) -> bytes:
    bare = datum(type(event), encode(event))
    assert isinstance(bare, bytes)
    return bare


def _front(table: Table, offset: int) -> bytes:
    return varint(3) + varint(offset) + (varint(30) if table.keeps_by_tenant else b"")


def _read(container: bytes) -> Iterator[dict[str, Any]]:
    return fastavro.reader(io.BytesIO(container))  # type: ignore[no-any-return]


@pytest.mark.parametrize("table", EVENT_TABLES, ids=lambda table: table.name)
def test_what_was_spliced_reads_as_its_events_with_their_place_in_front(table: Table) -> None:
    events = _events(table)
    rows = list(_read(table.container.of((_front(table, n), _datum(event)) for n, event in enumerate(events))))
    assert [(row["kafka_partition"], row["kafka_offset"]) for row in rows] == [(3, n) for n in range(len(events))]
    flat = flattened(table.schema)
    for row, event in zip(rows, events, strict=True):
        alone = fastavro.schemaless_reader(io.BytesIO(_datum(event)), fastavro.parse_schema(flat), None)
        assert {name: row[name] for name in alone} == alone


def test_the_bytes_are_those_of_fastavro() -> None:
    """Golden: one record a block is `sync_interval` 0; only the sync marker and the header's metadata differ."""
    table = EVENT_TABLES[0]
    front, event = _front(table, 7), _datum(_events(table)[0])
    container = table.container.of([(front, event)])
    rows = list(_read(container))
    out = io.BytesIO()
    fastavro.writer(out, fastavro.reader(io.BytesIO(container)).writer_schema, rows, sync_marker=container[-16:])
    assert out.getvalue().endswith(varint(1) + varint(len(front + event)) + front + event + container[-16:])


def test_an_empty_container_holds_nothing() -> None:
    assert list(_read(Container({"type": "record", "name": "E", "fields": []}).of([]))) == []


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_varint_is_an_avro_long(number: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    assert varint(number) == out.getvalue()


@given(st.binary(max_size=300))
def test_a_bytes_field_is_avro_bytes(value: bytes) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "bytes", value)
    assert bytes_field(value) == out.getvalue()


@given(
    value=st.none() | st.binary(max_size=100),
    texts=st.dictionaries(
        st.sampled_from([h.DLQ_STAGE, h.DLQ_REASON, h.DLQ_ERROR, h.DLQ_OFFSET, h.TENANT, "x"]), st.binary(max_size=30)
    ),
    keeps_body=st.booleans(),
)
def test_any_dead_letter_makes_a_row(value: bytes | None, texts: dict[str, bytes], keeps_body: bool) -> None:
    raw = dead_letter(value, list(texts.items()), 1_790_000_000_000, keeps_body=keeps_body)
    source = io.BytesIO(raw)
    row: Any = fastavro.schemaless_reader(source, fastavro.parse_schema(DEAD_LETTER), None)
    assert source.read() == b""
    assert row["value"] == (value if keeps_body else None)
    assert row["value_bytes"] == len(value or b"")
    assert row["stage"] == (h.text(list(texts.items()), h.DLQ_STAGE) or "")


def test_a_dead_letter_says_where_it_came_from() -> None:
    headers = h.build(
        dlq_stage="enrich", dlq_reason="truncated", dlq_topic="llm.requests.v1", dlq_partition=1, dlq_offset=9
    )
    raw = dead_letter(b"x", headers, 1, keeps_body=False)
    row: Any = fastavro.schemaless_reader(io.BytesIO(raw), fastavro.parse_schema(DEAD_LETTER), None)
    assert (row["topic"], row["partition"], row["offset"]) == ("llm.requests.v1", 1, 9)
