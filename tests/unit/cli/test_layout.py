"""Which processes `up` starts, and what they see."""

from pathlib import Path

import pytest

from pipeline.cli.children import next_pause
from pipeline.cli.errors import UsageError
from pipeline.cli.layout import Slot, child_environment, edge_slot, parse_scale, slots, sql_dsn


def test_few_processes_by_default_and_the_gateway_starts_last() -> None:
    assert [slot.name for slot in slots(split=False, scale={}, port=1)] == [
        "route+call#0",
        "health+retry+alerts#0",
        "admin+shadow#0",
        "bulk#0",
        "gateway#0",
    ]


def test_split_gives_each_stage_its_own_process() -> None:
    assert [slot.stage for slot in slots(split=True, scale={}, port=1)] == [
        "route",
        "call",
        "health",
        "retry",
        "alerts",
        "shadow",
        "bulk",
        "admin",
        "gateway",
    ]


@pytest.mark.parametrize("split", [True, False])
def test_the_sink_has_a_process_of_its_own_where_there_is_a_clickhouse(split: bool) -> None:
    with_one, without = (slots(split=split, scale={}, port=1, has_clickhouse=has) for has in (True, False))
    assert {slot.name for slot in with_one} - {slot.name for slot in without} == {"sink#0"}
    assert with_one[-1].stage == "gateway"


def test_who_is_looked_for_at_a_port_gets_it() -> None:
    with_port = [s for s in slots(split=True, scale={}, port=18080, admin_port=18081) if "--port" in s.arguments]
    assert [slot.arguments for slot in with_port] == [
        ("run", "admin", "--instance-id", "0", "--port", "18081"),
        ("run", "gateway", "--instance-id", "0", "--port", "18080"),
    ]


@pytest.mark.parametrize("split", [True, False])
def test_our_own_clickhouse_is_a_process_of_its_own(split: bool) -> None:
    found = slots(split=split, scale={}, port=1, sql_port=18123)
    assert found[0] == Slot("sql", 0, ("run", "sql", "--instance-id", "0", "--port", "18123"))
    assert [slot for slot in slots(split=split, scale={}, port=1) if slot.stage == "sql"] == []


@pytest.mark.parametrize(
    ("host", "key", "dsn"),
    [
        ("127.0.0.1", None, "clickhouse://default@127.0.0.1:1/millrace"),
        ("0.0.0.0", "a/b", "clickhouse://default:a%2Fb@127.0.0.1:1/millrace"),
        ("fd00::1", "k", "clickhouse://default:k@[fd00::1]:1/millrace"),
    ],
)
def test_the_platform_names_itself_to_its_clickhouse(host: str, key: str | None, dsn: str) -> None:
    assert sql_dsn(host, 1, key) == dsn


@pytest.mark.parametrize(("split", "stage"), [(True, "call"), (False, "call"), (False, "route+call")])
def test_scale_numbers_the_instances(split: bool, stage: str) -> None:
    scaled = [slot for slot in slots(split=split, scale={stage: 3}, port=1) if "call" in slot.stages]
    assert [slot.instance for slot in scaled] == [0, 1, 2]


@pytest.mark.parametrize("scale", [{"gateway": 2}, {"admin": 2}, {"shadow": 2}, {"nothing": 2}])
def test_what_cannot_be_scaled_is_refused(scale: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        slots(split=False, scale=scale, port=1)


def test_scale_is_read_as_written() -> None:
    assert parse_scale(["route=2", "call=3"]) == {"route": 2, "call": 3}


@pytest.mark.parametrize("text", ["route", "route=", "route=0", "=2", "route=-1", "route=65"])
def test_malformed_scales_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--scale"):
        parse_scale([text])


def test_the_model_at_the_edge_gets_a_process_where_it_can_run() -> None:
    found = edge_slot(port=8088, offered=True, installed=True, free=True)
    assert found == Slot("edge", 0, ("edge", "--port", "8088"))


@pytest.mark.parametrize(("installed", "free", "said"), [(False, True, "make edge"), (True, False, "8088 is in use")])
def test_why_the_edge_has_no_model_is_said(installed: bool, free: bool, said: str) -> None:
    found = edge_slot(port=8088, offered=True, installed=installed, free=free)
    assert isinstance(found, str)
    assert said in found


def test_a_catalogue_without_edge_wants_no_model() -> None:
    assert edge_slot(port=8088, offered=False, installed=True, free=True) is None


def test_children_see_where_the_platform_is_on_top_of_the_environment() -> None:
    env = child_environment(
        {"PATH": "/bin", "MILLRACE_KAFKA_BOOTSTRAP": "old:1"},
        bootstrap="127.0.0.1:9092",
        catalog=Path("c.yaml"),
        data_dir=Path("d"),
        partitions=4,
        topic_prefix="x.",
        pepper="p" * 8,
        extra={"MORE": "1"},
    )
    assert (env["PATH"], env["MILLRACE_KAFKA_BOOTSTRAP"], env["MORE"]) == ("/bin", "127.0.0.1:9092", "1")
    assert (env["MILLRACE_PARTITIONS"], env["MILLRACE_TOPIC_PREFIX"]) == ("4", "x.")


def test_a_child_that_dies_young_waits_longer_each_time() -> None:
    pauses = [0.1]
    for _ in range(8):
        pauses.append(next_pause(pauses[-1], lived_s=1))
    assert pauses[1:] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert next_pause(5.0, lived_s=60) == 0.2
