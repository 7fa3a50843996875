"""Commands without a broker: arguments, exit codes, what is shown and what is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.send import requests_of
from pipeline.cli.sending import outgoing
from pipeline.cli.stages import stages_of
from pipeline.cli.topics import full_name
from pipeline.cli.watch import event_named, start_of
from pipeline.operations.events import HIDDEN, plain, without_bodies
from pipeline.operations.running import Connection
from schemas.events import Cancel, Request
from schemas.headers import text
from schemas.incoming import decode_request

WHERE = Connection("k:1", "llm.", 2, "c.yaml", None, {})


def millrace(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_help_does_not_load_what_only_commands_need() -> None:
    code = (
        "import sys, pipeline.cli.main; print(sorted({'faust', 'aiokafka', 'fastapi', 'aiohttp'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "nonsense"], 2, "no such stage"),
        (["config", "check", "--config", "/nowhere.yaml"], 1, "cannot be used"),
        (["explain", "x", "--data-dir", "/nowhere"], 1, "no `millrace up` runs"),
        (["migrate"], 1, "MILLRACE_CLICKHOUSE_DSN"),
        (["usage", "--data-dir", "/nowhere"], 1, "no ClickHouse is known"),
        (["usage", "--by", "nonsense"], 2, "--by: `by` must be one of model, user, day, role or tag:NAME"),
        (["usage", "--from", "yesterday"], 2, "--from: `from` must be a time"),
        (["usage", "--from", "2025-11-26", "--to", "2025-11-25"], 2, "`from` is after `to`"),
        (["usage", "--bill", "--json"], 2, "leave out"),
        (["shadow", "report", "x", "--data-dir", "/nowhere"], 1, "no ClickHouse is known"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_are_one_line_and_a_code(arguments: list[str], code: int, said: str) -> None:
    done = millrace(*arguments)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_stages_are_read_once_each_in_order() -> None:
    assert stages_of("route+call+route") == ["route", "call"]
    with pytest.raises(UsageError):
        stages_of("route+")


@pytest.mark.parametrize("name", ["responses", "responses.v1", "llm.responses.v1"])
def test_topics_may_be_named_shortly(name: str) -> None:
    assert full_name(WHERE, name) == "llm.responses.v1"


def test_topics_know_their_event_even_by_provider() -> None:
    found = [event_named(WHERE, f"llm.{name}.v1") for name in ("calls.openai", "retries.due", "dead-letters", "other")]
    assert found == ["call", "parked", None, None]


def test_bodies_are_hidden_however_deep() -> None:
    shown = without_bodies({"a": [{"body": {"secret": 1}}], "body": None, "data": "x", "undecodable": "eHg="} | {})
    assert shown == {"undecodable": HIDDEN}
    assert without_bodies({"a": [{"body": {"secret": 1}}], "body": None}) == {"a": [{"body": HIDDEN}], "body": None}


def test_times_are_rfc_3339_and_other_numbers_stay() -> None:
    said = plain({"x": 1, "nested": [{"y": 2}]})
    assert said == {"x": 1, "nested": [{"y": 2}]}
    assert plain(1_000, "accepted_at") == "1970-01-01T00:00:01.000Z"


def test_starts_are_words_or_times() -> None:
    assert (start_of("end"), start_of("1970-01-01T00:00:01Z"), start_of("1970-01-01T00:00:02")) == ("end", 1000, 2000)
    with pytest.raises(UsageError, match="--from"):
        start_of("yesterday")


def test_a_file_of_requests_wins_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"model": "m", "body": {}}\n\n{"tenant": "t", "body": {}}\n')
    first, second = requests_of(None, file, model="auto", tenant="demo")
    assert (first["model"], first["tenant"], second["model"], second["tenant"]) == ("m", "demo", "auto", "t")


@pytest.mark.parametrize("line", ["{broken", "[1]"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text("{}\n" + line)
    with pytest.raises(CliError, match=":2:"):
        requests_of(None, file, model="auto", tenant="demo")


@pytest.mark.parametrize("avro", [True, False])
def test_requests_go_out_in_either_form_with_their_headers(avro: bool) -> None:
    record = outgoing({"tenant": "demo", "body": {"messages": []}}, avro=avro)
    parsed = decode_request(record.value)
    assert isinstance(parsed, Request)
    assert parsed.request_id == record.request_id == text(record.headers, "request-id")
    assert (record.key, record.value[:1] == b"{") == (b"demo", not avro)


def test_a_malformed_request_goes_out_as_json_to_be_refused() -> None:
    record = outgoing({"tenant": "demo", "body": {"messages": "no list"}, "nonsense": 1}, avro=True)
    assert record.value.startswith(b"{")


def test_sharded_tenants_are_spread_by_conversation() -> None:
    keys = {outgoing({"tenant": "t", "body": {}, "conversation_id": "c"}, shards=8).key for _ in range(5)}
    assert len(keys) == 1
    assert keys.pop().startswith(b"t#")


def test_events_are_shown_by_their_fields() -> None:
    assert "request_id" in plain(Cancel(**dict.fromkeys(Cancel.__dataclass_fields__, "x")))
