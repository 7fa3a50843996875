"""Migrations: the numbered files of `migrations/`, applied by the library clickhouse-migrations.

A file that was released is never changed (the library compares checksums); a change is a new file. `${replicated}` is
`Replicated` where the database is, which is how a cluster's operator makes it, and empty everywhere else.
"""

import asyncio
import logging
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from connectors.clickhouse.address import ClickHouseAddress, parse_dsn

__all__ = ["MIGRATIONS", "MigrationError", "migrate", "migrate_apart"]

MIGRATIONS = Path(__file__).parent / "migrations"
_LONGEST_WAIT_S, _BETWEEN_LOOKS_S = 5.0, 0.1


class MigrationError(Exception):
    """The server cannot be reached, refused a statement, or has other migrations than these files."""


def migrate(address: ClickHouseAddress, *, dry_run: bool = False) -> list[str]:
    """Apply what is missing; the names of the files that were, or in a dry run would be, applied. Blocking.

    Raises:
        MigrationError: nothing, or only the files before the failing one, were applied.
    """
    import clickhouse_connect
    from clickhouse_migrations.migration import MigrationStorage

    storage = MigrationStorage(MIGRATIONS)
    try:
        with closing(clickhouse_connect.get_client(**_login(address))) as client:
            versions = _missing(client, address.database, storage) if dry_run else _apply(client, address)
    except Exception as error:  # the library, its two drivers and urllib3 raise a dozen unrelated kinds
        raise MigrationError(_first_line(error)) from error
    names = storage.migration_filenames()
    return [Path(names[version]).name for version in versions]


async def migrate_apart(dsn: str) -> None:
    """In a process of its own: the libraries take 110 MB that a stage would keep. Raises MigrationError.

    A look is cheaper than a process that finds nobody, so it waits for a server for a while; behind a proxy in vain.
    """
    await _until_somebody_listens(parse_dsn(dsn))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "connectors.clickhouse.migrate",
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        said, _ = await process.communicate(dsn.encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise MigrationError(said.decode().strip() or f"it ended with code {process.returncode}")


async def _until_somebody_listens(address: ClickHouseAddress) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_WAIT_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection(address.host.strip("[]"), address.port)
                except OSError:
                    await asyncio.sleep(_BETWEEN_LOOKS_S)
                else:
                    writer.close()
                    return


def _login(address: ClickHouseAddress) -> dict[str, Any]:
    return {
        "host": address.host.strip("[]"),
        "port": address.port,
        "username": address.user,
        "password": address.password,
        "secure": address.is_secure,
    }


def _apply(client: Any, address: ClickHouseAddress) -> list[int]:
    from clickhouse_migrations.clickhouse_cluster import ClickhouseCluster

    logging.getLogger("clickhouse_migrations").setLevel(logging.WARNING)
    replicated = "Replicated" if _is_replicated(client, address.database) else ""
    cluster = ClickhouseCluster(
        db_host=address.host.strip("[]"),
        db_port=str(address.port),
        db_user=address.user,
        db_password=address.password,
        secure=address.is_secure,
        driver="clickhouse-connect",
        migrations_table_engine=f"{replicated}MergeTree",
    )
    applied = cluster.migrate(address.database, MIGRATIONS, variables={"replicated": replicated}, lock=False)
    return [migration.version for migration in applied]


def _missing(client: Any, database: str, storage: Any) -> list[int]:
    """A dry run of the library makes its own table and the database; this one makes nothing."""
    named = {"database": database}
    sql = "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = 'schema_versions'"
    done: set[int] = set()
    if client.query(sql, parameters=named).result_rows:
        sql = "SELECT version FROM {database:Identifier}.schema_versions"
        done = {int(version) for (version,) in client.query(sql, parameters=named).result_rows}
    return sorted(set(storage.migration_filenames()) - done)


def _is_replicated(client: Any, database: str) -> bool:
    sql = "SELECT engine FROM system.databases WHERE name = {database:String}"
    rows = client.query(sql, parameters={"database": database}).result_rows
    return bool(rows) and rows[0][0] == "Replicated"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("Stack trace", maxsplit=1)[0].split())[:300] or type(error).__name__


def _main() -> int:
    """The DSN comes on stdin: it may hold a password."""
    try:
        migrate(parse_dsn(sys.stdin.read()))
    except MigrationError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
