"""The environment, read in one place."""

import os
from pathlib import Path

import pytest

from pipeline.cli.errors import CliError
from pipeline.cli.options import settings_of
from pipeline.settings import Settings, read_dotenv


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MILLRACE_")]:
        monkeypatch.delenv(name)


def test_the_defaults_run_in_a_checkout() -> None:
    settings = Settings()
    assert settings.config.is_file()
    assert (settings.topic_prefix, settings.kafka_bootstrap, settings.client_options()) == ("llm.", None, {})
    assert settings.tenant_partitions >= 2


def test_nested_names_reach_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROTOCOL": "SASL_SSL", "USERNAME": "u", "PASSWORD": "p", "SASL_MECHANISM": "PLAIN"}.items():
        monkeypatch.setenv(f"MILLRACE_KAFKA_SECURITY__{name}", value)
    options = Settings().client_options()
    assert (options["security_protocol"], options["sasl_plain_username"]) == ("SASL_SSL", "u")
    assert options["sasl_plain_password"] == "p"
    assert options["ssl_context"] is not None


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_PEPPER", "pepper-of-tests")
    assert "pepper-of-tests" not in repr(Settings())


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATA_DIR", "from-env")
    assert settings_of().data_dir == Path("from-env")
    assert settings_of(data_dir=Path("said")).data_dir == Path("said")


def test_a_wrong_value_is_said_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_PARTITIONS", "0")
    with pytest.raises(CliError, match="MILLRACE_PARTITIONS"):
        settings_of()


def test_dotenv_adds_and_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LOG", "json")
    monkeypatch.setenv("MILLRACE_SEED", "1")
    monkeypatch.delenv("MILLRACE_SEED")
    file = tmp_path / ".env"
    file.write_text("MILLRACE_LOG=text\nMILLRACE_SEED=9\n")
    read_dotenv(file)
    assert (Settings().log, Settings().seed) == ("json", 9)
