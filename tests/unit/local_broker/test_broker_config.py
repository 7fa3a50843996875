from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_broker import config
from connectors.local_broker.jars import KafkaRuntime


def parsed(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = dict(line.split("=", 1) for line in lines)
    assert len(pairs) == len(lines), "a property is given twice"
    return pairs


def make_runtime(tmp_path: Path) -> KafkaRuntime:
    return KafkaRuntime(Path("java"), "a.jar:b.jar", "4.1.1", tmp_path / "key.aot")


def test_properties_listen_on_loopback_only() -> None:
    pairs = parsed(config.properties(9092, 23456))
    assert pairs["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:23456"
    assert pairs["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"
    assert pairs["controller.quorum.voters"] == "1@127.0.0.1:23456"


def test_the_largest_message_fits_a_segment_and_a_segment_fits_its_indexes() -> None:
    pairs = parsed(config.properties(9092, 23456))
    segment, index = int(pairs["log.segment.bytes"]), int(pairs["log.index.size.max.bytes"])
    assert int(pairs["message.max.bytes"]) == 10_485_760 < segment
    assert index // 12 * 4096 > segment  # a time index entry has 12 bytes and stands for 4 KiB of log


def test_topics_are_never_made_by_a_typing_error() -> None:
    assert parsed(config.properties(9092, 23456))["auto.create.topics.enable"] == "false"


@given(st.binary(min_size=16, max_size=16))
def test_a_cluster_id_has_22_characters_and_is_never_taken_for_an_option(raw: bytes) -> None:
    identity = config.cluster_id(raw)
    assert len(identity) == 22
    assert identity[0].isalpha()
    assert identity.replace("-", "").replace("_", "").isalnum()


def test_the_command_line_names_the_properties_file_of_the_broker(tmp_path: Path) -> None:
    command = config.broker_command(make_runtime(tmp_path), tmp_path / "server.properties", ["-Dx=y"])
    assert command[0] == "java"
    assert command[-2:] == ["kafka.Kafka", str(tmp_path / "server.properties")]
    assert command.index("-Dx=y") < command.index("-cp")


@pytest.mark.parametrize("present", [True, False])
def test_an_aot_cache_is_used_if_it_is_there(tmp_path: Path, present: bool) -> None:
    runtime = make_runtime(tmp_path)
    if present:
        runtime.aot_cache.write_bytes(b"")
    command = config.broker_command(runtime, tmp_path / "server.properties")
    assert (f"-XX:AOTCache={runtime.aot_cache}" in command) is present


def test_the_cluster_id_reaches_the_format_command(tmp_path: Path) -> None:
    command = config.format_command(make_runtime(tmp_path), Path("server.properties"), "Abc")
    assert command[-6:] == ["kafka.tools.StorageTool", "format", "-t", "Abc", "-c", "server.properties"]
