"""The engine in this process: sole owner of its directory, and handles on it.

chDB facts that this module lives by (26.9): a handle costs 0.1 ms and serialises its own calls; settings and `USE` stay on
a handle; closing a handle commits an open insert, so it is cancelled first; a process that imported chdb must never fork;
a second engine on a directory fails without saying why, hence the lock of our own.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from connectors.sql_endpoint.access import PROBE, write_configuration
from connectors.sql_endpoint.errors import DirectoryInUse, EngineFailed, EngineMissing, SqlError

__all__ = ["MARK", "Engine", "Handle", "Insert", "installed"]

DATABASE: Final = "millrace"
_PARSE: Final = "SELECT parseQueryToJSON({text:String})"
_SETTING_TYPES: Final = (
    "SELECT name, type FROM system.settings UNION ALL SELECT name, type FROM system.merge_tree_settings"
)
MARK: Final = "log_comment"
"""The setting that holds the name under which `Engine.kill` finds a statement."""


def installed() -> bool:
    return find_spec("chdb") is not None


class Insert:
    """An open `INSERT`; nothing is kept unless it is finished."""

    def __init__(self, inserter: Any) -> None:
        self._inserter = inserter

    def append(self, data: bytes) -> None:
        try:
            self._inserter.append(data)
        except RuntimeError as error:
            raise SqlError.of_engine(str(error)) from None

    def finish(self) -> int:
        """Rows written, those of materialized views included."""
        try:
            return int(self._inserter.finish().rows_written)
        except RuntimeError as error:
            raise SqlError.of_engine(str(error)) from None

    def cancel(self) -> None:
        with suppress(RuntimeError):
            self._inserter.cancel()


class Handle:
    """A connection of the engine. Blocks; one call at a time, from any thread."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ask(self, sql: str, form: str = "TabSeparatedRaw", params: Mapping[str, str] | None = None) -> bytes:
        """The whole result. Parameters are in ClickHouse's escaped form."""
        try:
            return bytes(self._connection.query(sql, form, params=dict(params or {})).bytes() or b"")
        except Exception as error:
            raise SqlError.of_engine(str(error)) from None

    def stream(self, sql: str, form: str, params: Mapping[str, str]) -> Iterator[bytes]:
        """Each piece is a whole document of its format. To be closed by its reader."""
        try:
            rows = self._connection.send_query(sql, form, params=dict(params))
        except Exception as error:
            raise SqlError.of_engine(str(error)) from None
        try:
            while (piece := rows.fetch()) is not None:
                yield bytes(piece.bytes())
        except Exception as error:
            raise SqlError.of_engine(str(error)) from None
        finally:
            with suppress(Exception):
                rows.cancel()

    def insert(self, target: str, form: str) -> Insert:
        try:
            return Insert(self._connection.send_insert(target, form))
        except RuntimeError as error:
            raise SqlError.of_engine(str(error)) from None

    def parse(self, text: str) -> bytes:
        return self.ask(_PARSE, params={"text": escaped(text)})

    def use(self, database: str) -> None:
        self.ask(f"USE {_identifier(database)}")

    def set(self, settings: Mapping[str, str]) -> None:
        """All at once, so `readonly` among them does not forbid the others. Names are checked by the caller to be words."""
        if settings:
            self.ask("SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in settings.items()))

    def values_of(self, names: Mapping[str, str]) -> dict[str, str]:
        """What these settings are now; unknown ones are left out."""
        wanted = ", ".join(_literal(name) for name in names)
        rows = self.ask(f"SELECT name, value FROM system.settings WHERE name IN ({wanted})", "JSONCompactEachRow")
        return dict(json.loads(row) for row in rows.splitlines())

    def close(self) -> None:
        with suppress(Exception):
            self._connection.close()


class Engine:
    """Opened once per process. Blocks: call it from threads."""

    def __init__(self, directory: Path) -> None:
        """Opens the directory, making it if need be; 0.5 to 3 s.

        Raises:
            EngineStartError: And then nothing is held.
        """
        if not installed():
            raise EngineMissing
        self.directory = directory.absolute()
        self._lock = _own(self.directory)
        config = write_configuration(self.directory.with_name(self.directory.name + "-config"))
        try:
            from chdb.state import connect

            self._address = f"{self.directory}?config-file={quote(str(config))}"
            self._connect = connect
            # The engine ends with its last handle.
            self._anchor = self.handle()
            self._prepare()
            self._address += f"&database={DATABASE}"
        except Exception as error:
            os.close(self._lock)
            raise EngineFailed(self.directory, " ".join(str(error).split())[:300]) from None

    def _prepare(self) -> None:
        self._check_grants()
        self._anchor.ask(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        rows = self._anchor.ask(_SETTING_TYPES, "JSONCompactEachRow").splitlines()
        self.setting_types: dict[str, str] = dict(json.loads(row) for row in rows)
        facts = self._anchor.ask("SELECT version(), timezone()", "TabSeparated").decode().split()
        self.version, self.timezone = facts

    def _check_grants(self) -> None:
        try:
            self._anchor.ask(PROBE)
        except SqlError as error:
            if error.code == 497:
                return
            raise
        raise RuntimeError("it did not read its access rules")

    def handle(self) -> Handle:
        """A fresh one, in our database; no setting of anybody sticks to it."""
        return Handle(self._connect(self._address))

    def kill(self, tag: str) -> None:
        """Ask the statements of a marked handle to end; returns at once."""
        self.once(f"KILL QUERY WHERE Settings['{MARK}'] = {_literal(tag)} ASYNC")

    def once(self, sql: str) -> bytes:
        handle = self.handle()
        try:
            return handle.ask(sql)
        finally:
            handle.close()

    def close(self) -> None:
        self._anchor.close()
        os.close(self._lock)


def escaped(text: str) -> str:
    """A string as a query parameter: https://clickhouse.com/docs/interfaces/cli#cli-queries-with-parameters-syntax."""
    for plain, code in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0")):
        text = text.replace(plain, code)
    return text


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _identifier(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _own(directory: Path) -> int:
    """Held until the process ends, by whatever end."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory.with_name(directory.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DirectoryInUse(directory) from None
    return lock
