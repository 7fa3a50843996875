"""The data directory of `up`, and how other commands find what runs."""

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.clickhouse.address import ClickHouseAddress
from pipeline.cli import places
from pipeline.cli.errors import CliError
from pipeline.operations.running import Running
from pipeline.settings import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MILLRACE_")]:
        monkeypatch.delenv(name)


def running(pid: int, **more: str) -> Running:
    return Running(pid, "127.0.0.1:1", "http://127.0.0.1:2", "c.yaml", "x.", 3, {}, **more)  # type: ignore[arg-type]


def test_a_running_up_is_found_by_its_data_dir(tmp_path: Path) -> None:
    running(os.getpid()).write(tmp_path)
    found = places.connection(Settings(data_dir=tmp_path))
    assert (found.bootstrap, found.topic("requests.v1"), found.partitions) == ("127.0.0.1:1", "x.requests.v1", 3)


def test_a_named_data_dir_wins_over_the_kafka_of_the_environment(tmp_path: Path) -> None:
    running(os.getpid()).write(tmp_path)
    assert places.connection(Settings(data_dir=tmp_path, kafka_bootstrap="k:9")).bootstrap == "127.0.0.1:1"


def test_without_a_running_up_the_kafka_of_the_environment_is_taken(tmp_path: Path) -> None:
    assert places.connection(Settings(data_dir=tmp_path, kafka_bootstrap="k:9")).bootstrap == "k:9"


def test_what_a_killed_up_left_is_not_believed(tmp_path: Path) -> None:
    running(2**22 + 1).write(tmp_path)  # beyond the greatest pid
    with pytest.raises(CliError, match="no `millrace up` runs"):
        places.connection(Settings(data_dir=tmp_path))


def test_the_clickhouse_of_a_running_up_is_found_with_the_key_of_the_environment(tmp_path: Path) -> None:
    running(os.getpid(), clickhouse="clickhouse://default@127.0.0.1:8123/millrace").write(tmp_path)
    found = places.clickhouse(Settings(data_dir=tmp_path, sql_key=SecretStr("s3cret")))
    assert found == ClickHouseAddress("127.0.0.1", 8123, "millrace", "default", "s3cret")
    assert "s3cret" not in (tmp_path / "up.json").read_text()


def test_the_clickhouse_of_the_environment_wins(tmp_path: Path) -> None:
    running(os.getpid(), clickhouse="clickhouse://default@127.0.0.1:8123/millrace").write(tmp_path)
    found = places.clickhouse(Settings(data_dir=tmp_path, clickhouse_dsn="clickhouse://u:p@ch:9000/db"))
    assert found == ClickHouseAddress("ch", 9000, "db", "u", "p")
    with pytest.raises(CliError, match="MILLRACE_CLICKHOUSE_DSN"):
        places.clickhouse(Settings(data_dir=tmp_path, clickhouse_dsn="nonsense"))


def test_no_clickhouse_may_be_known(tmp_path: Path) -> None:
    assert places.clickhouse(Settings(data_dir=tmp_path)) is None
    running(os.getpid()).write(tmp_path)
    assert places.clickhouse(Settings(data_dir=tmp_path)) is None


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert places.pepper(settings) == places.pepper(settings)
    assert places.demo_key(tmp_path) == places.demo_key(tmp_path)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("pepper", "demo-key")} == {0o600}


def test_keys_have_the_form_of_the_contract() -> None:
    key = places.new_key()
    assert (len(key), key[:3], key[3:].isalnum()) == (46, "mr_", True)


def test_a_data_dir_in_use_is_refused_at_once_and_free_again_afterwards(tmp_path: Path) -> None:
    with places.lock(tmp_path), pytest.raises(CliError, match=f"in use .*{os.getpid()}"):
        places.lock(tmp_path)
    places.lock(tmp_path).close()
