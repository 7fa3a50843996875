"""Released schema files, models, topics and examples belong together."""

import dataclasses
import io
import re
from pathlib import Path
from typing import Annotated, Any

import fastavro
import pytest
from schema_examples import EXAMPLES, IDS, PATHS, event_of, read

from schemas import avro_schema as module
from schemas.avro_schema import avro_schema, released
from schemas.codec import Undecodable, _parse, decode, encode
from schemas.events import EVENTS
from schemas.topics import MAX_RECORD_BYTES, TOPICS, named_topics


@pytest.mark.parametrize("event", EVENTS)
def test_latest_file_is_what_the_model_says(event: str) -> None:
    versions = released(event)
    assert versions[max(versions)] == avro_schema(EVENTS[event])


@pytest.mark.parametrize("event", EVENTS)
def test_versions_run_from_one_without_gaps(event: str) -> None:
    assert list(released(event)) == list(range(1, len(released(event)) + 1))


def test_every_schema_file_belongs_to_an_event() -> None:
    names = {re.sub(r"\.v\d+\.avsc$", "", path.name) for path in module.AVRO_DIR.iterdir()}
    assert names == set(EVENTS)


def test_every_event_has_a_topic_and_every_topic_a_known_event() -> None:
    assert {topic.event for topic in TOPICS} - {None} == set(EVENTS)


def test_topic_names_are_unique_and_versioned() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z-]+(\.(\{[a-z]+\}|[a-z]+))*\.v[1-9]\d*", name) for name in names)


def test_retry_and_dead_letter_topics_take_what_their_parents_take() -> None:
    named = named_topics("llm.", 8, ["openai", "mistral"], [5, 60])
    assert {topic.config["max.message.bytes"] for topic in named} == {str(MAX_RECORD_BYTES)}
    assert len({topic.name for topic in named}) == len(named) == len(TOPICS) + 3


def test_every_released_version_has_an_example_and_every_example_a_version() -> None:
    wanted = {(event, version) for event in EVENTS for version in released(event)}
    assert {(path.parts[-3], int(path.parts[-2][1:])) for path in PATHS} == wanted
    assert {path.name for path in EXAMPLES.iterdir()} == set(EVENTS)


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_example_survives_the_wire(path: Path) -> None:
    event = event_of(path)
    assert decode(type(event), encode(event)) == event


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_example_written_by_its_own_version_is_read_by_todays_model(path: Path) -> None:
    event, version = path.parts[-3], int(path.parts[-2][1:])
    writer = _parse(released(event)[version])
    out = io.BytesIO()
    fastavro.schemaless_writer(out, writer, _bytes_as_bytes(read(path), writer))
    header = encode(event_of(path))[:2] + _fingerprint(writer)
    assert not isinstance(decode(EVENTS[event], header + out.getvalue()), Undecodable)


def _fingerprint(schema: Any) -> bytes:
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def _bytes_as_bytes(value: Any, schema: Any) -> Any:
    if isinstance(schema, list):
        return None if value is None else _bytes_as_bytes(value, schema[1])
    if schema == "bytes":
        return value.encode()
    if isinstance(schema, dict) and schema["type"] == "record":
        return {f["name"]: _bytes_as_bytes(value[f["name"]], f["type"]) for f in schema["fields"]}
    return value


def test_schema_of_a_dataclass_has_types_defaults_and_names() -> None:
    @dataclasses.dataclass
    class Inner:
        x: float

    @dataclasses.dataclass
    class Outer:
        first: Inner
        second: Inner
        at: Annotated[int, "timestamp-millis"]
        maybe: Annotated[int, "timestamp-millis"] | None
        raw: bytes = b"\xff{}"
        names: list[str] = dataclasses.field(default_factory=list)
        scores: dict[str, float] = dataclasses.field(default_factory=dict)

    Outer.__annotations__["first"] = Outer.__annotations__["second"] = Inner
    time = {"type": "long", "logicalType": "timestamp-millis"}
    inner = {"type": "record", "name": "Inner", "namespace": "millrace", "fields": [{"name": "x", "type": "double"}]}
    assert avro_schema(Outer)["fields"] == [
        {"name": "first", "type": inner},
        {"name": "second", "type": "millrace.Inner"},
        {"name": "at", "type": time},
        {"name": "maybe", "type": ["null", time], "default": None},
        {"name": "raw", "type": "bytes", "default": "ÿ{}"},
        {"name": "names", "type": {"type": "array", "items": "string"}, "default": []},
        {"name": "scores", "type": {"type": "map", "values": "double"}, "default": {}},
    ]


def test_hint_without_an_avro_type_is_refused() -> None:
    @dataclasses.dataclass
    class Odd:
        x: set[str]

    with pytest.raises(TypeError, match="no Avro type"):
        avro_schema(Odd)
