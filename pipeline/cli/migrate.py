"""`millrace migrate`: the tables of analytics, made or brought up to date."""

from typing import Annotated

import typer

from pipeline.cli.errors import CliError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import clickhouse


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be applied; change nothing.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Apply the migrations that ClickHouse has not seen yet."""
    from connectors.clickhouse.migrate import MigrationError
    from connectors.clickhouse.migrate import migrate as apply

    address = clickhouse(settings_of(config, data_dir))
    if address is None:
        raise CliError("which ClickHouse? set MILLRACE_CLICKHOUSE_DSN=clickhouse://host:port")
    try:
        files = apply(address, dry_run=dry_run)
    except MigrationError as error:
        raise CliError(f"ClickHouse at {address.base_url}: {error}") from None
    if as_json:
        print_json({"database": address.database, "dry_run": dry_run, "applied": files})
        return
    for name in files:
        print(f"{'would apply' if dry_run else 'applied'} {name}")
    if not files:
        print("nothing to apply")
