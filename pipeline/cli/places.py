"""The data directory of `up`: its lock and its secrets; and where the platform is that a command talks to.

`up.lock` (an flock: ends with the process), `up.json` (while it runs), `pepper` and `demo-key` (0600, made once),
`catalog.yaml` (derived, demo only), `kafka/`.
"""

import fcntl
import os
import secrets
import string
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from connectors.clickhouse.address import ClickHouseAddress, InvalidDsn, parse_dsn
from pipeline.cli.errors import CliError
from pipeline.operations.running import Connection, running_in
from pipeline.settings import Settings

_BASE62 = string.ascii_letters + string.digits


def connection(settings: Settings) -> Connection:
    """The `up` of an explicit data directory, else the Kafka of the environment, else the `up` of the default one.

    Raises:
        CliError: Nothing runs there and nothing else is said.
    """
    named = "data_dir" in settings.model_fields_set
    running = running_in(settings.data_dir) if named or settings.kafka_bootstrap is None else None
    if running is not None:
        local = running.bootstrap != settings.kafka_bootstrap
        return Connection(
            running.bootstrap, running.topic_prefix, running.partitions, running.catalog, running.gateway,
            {} if local else settings.client_options(),
        )  # fmt: skip
    if settings.kafka_bootstrap is None:
        raise CliError(
            f"no `millrace up` runs with the data directory {settings.data_dir}: start it, name its --data-dir, "
            "or set MILLRACE_KAFKA_BOOTSTRAP"
        )
    return Connection(
        settings.kafka_bootstrap, settings.topic_prefix, settings.tenant_partitions, str(settings.config), None,
        settings.client_options(),
    )  # fmt: skip


def clickhouse(settings: Settings) -> ClickHouseAddress | None:
    """That of the environment, else the one of the running `up`; None if there is neither. Raises CliError."""
    if settings.clickhouse_dsn is not None:
        try:
            return parse_dsn(settings.clickhouse_dsn)
        except InvalidDsn as error:
            raise CliError(f"MILLRACE_CLICKHOUSE_DSN: {error}") from None
    running = running_in(settings.data_dir)
    if running is None or running.clickhouse is None:
        return None
    password = settings.sql_key.get_secret_value() if settings.sql_key else ""
    return replace(parse_dsn(running.clickhouse), password=password)


def lock(data_dir: Path) -> TextIO:
    """Take the directory, making it if need be; it is ours until the file is closed. Raises CliError at once."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "up.lock").open("a+")
    except OSError as error:
        raise CliError(f"the data directory {data_dir} cannot be used: {error.strerror}; choose --data-dir") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise CliError(
            f"the data directory {data_dir} is in use by another `millrace up` (process {owner}): stop that one, "
            "or choose another --data-dir"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def pepper(settings: Settings) -> str:
    """The one of the environment, else the one of the data directory, made at the first start."""
    if settings.pepper is not None:
        return settings.pepper.get_secret_value()
    return _kept(settings.data_dir / "pepper", secrets.token_hex(32))


def demo_key(data_dir: Path) -> str:
    """An API key for the tenant of the demo; the same at the next start."""
    return _kept(data_dir / "demo-key", new_key())


def new_key() -> str:
    return "mr_" + "".join(secrets.choice(_BASE62) for _ in range(43))


def _kept(path: Path, fresh: str) -> str:
    """The secret in `path`, written whole or not at all, readable by its owner only."""
    if path.exists() and (kept := path.read_text().strip()):
        return kept
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(fresh + "\n")
    draft.replace(path)
    return fresh
