"""Tables follow the events: the migrations are compared with what the newest schemas say."""

import re

import pytest

from connectors.clickhouse.columns import columns
from connectors.clickhouse.ddl import declared
from connectors.clickhouse.migrate import MIGRATIONS
from connectors.clickhouse.page import ATTRIBUTES, page
from connectors.clickhouse.tables import ROLLUPS, TABLES, Table, table_of
from schemas import topics as t

DECLARED = declared(MIGRATIONS)
CONTRACT = (
    "requests", "attempts", "responses", "costs", "decisions", "shadow_comparisons", "breaker_transitions", "feedback",
    "alerts", "dead_letters", "spend_by_hour", "latency_by_hour", "quality_by_day", "outcomes", "otel_spans",
)  # fmt: skip


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_has_a_column_for_every_field_of_its_event(table: Table) -> None:
    there = {
        c.name: c.plain_type.replace("Map(LowCardinality(String)", "Map(String") for c in DECLARED[table.name].columns
    }
    wanted = columns(table.schema)
    assert {column.name: there.get(column.name) for column in wanted} == {column.name: column.type for column in wanted}
    twins = [column for column in wanted if column.has_twin]
    assert {column.source: there.get(column.source) for column in twins} == {c.source: c.type for c in twins}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_has_no_other_columns(table: Table) -> None:
    own = {column.name for column in columns(table.schema)} | {column.source for column in columns(table.schema)}
    others = {column.name for column in DECLARED[table.name].columns} - own
    assert others == {"kafka_partition", "kafka_offset"} | ({"retention_days"} if table.keeps_by_tenant else set())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_twin_of_an_optional_field_fills_its_column(table: Table) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(MIGRATIONS.glob("*.sql")))
    made = text.rpartition(f"CREATE TABLE IF NOT EXISTS {table.name}\n")[2].partition("ENGINE")[0]
    added = re.findall(rf"^ALTER TABLE {table.name}\n(.+?);$", text, re.M | re.S)
    body = "\n".join([made, *added]).replace("ADD COLUMN IF NOT EXISTS ", "")
    for column in columns(table.schema):
        if column.has_twin:
            assert re.search(rf"^    {column.name} .+ DEFAULT `{re.escape(column.source)}` ", body, re.M), column.name


def test_every_table_of_the_contract_is_declared() -> None:
    assert set(CONTRACT) <= set(DECLARED)


def test_every_rollup_stands_on_a_table_and_keeps_the_partitions_apart() -> None:
    for rollup in ROLLUPS:
        assert rollup.source in {table.name for table in TABLES}
        assert {"kafka_partition", rollup.bucket} <= {column.name for column in DECLARED[rollup.name].columns}


def test_only_bodies_hold_content() -> None:
    assert {table.name: table.bodies for table in TABLES if table.bodies} == {
        "requests": ("body",), "responses": ("body",), "feedback": ("comment", "edit"), "dead_letters": ("value",),
    }  # fmt: skip


def test_a_table_is_found_by_its_topic() -> None:
    assert table_of(t.ENRICHED.name).name == "requests"


def test_every_attribute_belongs_to_a_column() -> None:
    known = {column.name for one in DECLARED.values() for column in one.columns}
    assert {name.rpartition(".")[2] for name in ATTRIBUTES} <= known


def test_money_is_integers() -> None:
    for one in DECLARED.values():
        for column in one.columns:
            if "nano_usd" in column.name and "tiers" not in column.name:
                assert "Int64" in column.type, (one.name, column.name)


def test_the_page_names_every_table() -> None:
    assert [line.removeprefix("## ") for line in page().splitlines() if line.startswith("## ")] == list(DECLARED)
