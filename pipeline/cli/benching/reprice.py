"""A corrected price book over many lines of the ledger: `millrace replay --mode reprice` as an operator runs it, twice.

Lines are made by ClickHouse itself, spread over a day, at prices that are wrong throughout: every one has to be corrected,
which is the most work that there can be. The second run waits until the corrections of the first are rows.
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import orjson
import psutil

from pipeline.catalog_file import dump_document, read_document
from pipeline.cli.benching.analytics import fill
from pipeline.cli.benching.place import DIRECT_KEY, MODEL, place
from pipeline.cli.errors import CliError
from pipeline.operations.events import rfc3339
from pipeline.operations.running import running_in

Run = dict[str, Any]

_TABLES_S = 60
_DAY_MS = 24 * 3_600_000
_INPUT_USD, _OUTPUT_USD = 0.5, 2.0
_AT = "fromUnixTimestamp64Milli({end:Int64} - toInt64(number * {step_ms:Float64}) - 1000, 'UTC')"
_FIRST_OFFSET = 10**12
"""Beyond what the broker of the benchmark will ever have."""

_LINES = f"""SELECT concat('c', toString(number)) AS cost_id, concat('r', toString(number)) AS request_id, 1 AS attempt,
    toString(generateUUIDv4(number)) AS attempt_id, concat('tenant', toString(number % 20)) AS tenant,
    map('team', toString(number % 7)) AS tags, 'sim' AS provider, '{MODEL}' AS model, 'primary' AS role,
    100 + number % 900 AS usage_input_tokens, 20 + number % 300 AS usage_output_tokens,
    1 + 1000 * (number % 900) AS cost_nano_usd, 'old' AS price_version, true AS effective, 'charge' AS kind,
    {_AT} AS at, {_AT} AS accepted_at, number % 2 AS kafka_partition, {_FIRST_OFFSET} + number AS kafka_offset"""
_RIGHT = f"intDiv(asked * {int(_INPUT_USD * 10**9)} + said * {int(_OUTPUT_USD * 10**9)} + 500000, 1000000)"
_OFF = f"""SELECT countIf(booked != {_RIGHT})
    FROM (SELECT sum(cost_nano_usd) AS booked, sum(usage_input_tokens) AS asked, sum(usage_output_tokens) AS said
        FROM ledger GROUP BY attempt_id)"""


async def reprice(folder: Path, costs: int) -> Run:
    """Raises CliError."""
    async with place(folder):
        running = running_in(folder / "data")
        if running is None or running.clickhouse is None:
            raise CliError("the platform of the benchmark has no ClickHouse of its own")
        client = await _client(running.clickhouse)
        end_ms = time.time_ns() // 1_000_000
        step_ms = _DAY_MS * 0.99 / costs
        await fill(client, "costs", _LINES, costs, {"end": end_ms, "step_ms": step_ms})
        policy = _policy(folder)
        first = await _replay(folder, policy, end_ms)
        second = await _replay(folder, policy, end_ms)
        wrong = (await client.query(_OFF)).result_rows[0][0]
        await client.close()
    if first["adjusted"] != costs or second["adjusted"] or wrong:
        raise CliError(f"the ledger is not right: {first}, {second}, {wrong} attempts off")
    return {
        "name": "reprice", "costs": costs, "adjusted": first["adjusted"], "seconds": first["seconds"],
        "cpu_s": first["cpu_s"], "rss_mb": first["rss_mb"], "adjusted_by_a_second_run": second["adjusted"],
        "attempts_off": wrong, "seconds_of_the_second_run_with_its_wait": second["seconds"], "ratios": {},
    }  # fmt: skip


async def _client(dsn: str) -> Any:
    import clickhouse_connect

    from connectors.clickhouse.address import parse_dsn

    address = parse_dsn(dsn)
    client = await clickhouse_connect.get_async_client(
        host=address.host, port=address.port, username=address.user, database=address.database
    )
    async with asyncio.timeout(_TABLES_S):  # the sink makes them
        while not (await client.query("EXISTS TABLE ledger")).result_rows[0][0]:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.2)
    return client


def _policy(folder: Path) -> Path:
    document = read_document(folder / "catalog.yaml")
    document["models"][MODEL]["price"] = {"input_per_mtok_usd": _INPUT_USD, "output_per_mtok_usd": _OUTPUT_USD}
    path = folder / "prices.yaml"
    path.write_text(dump_document(document), encoding="utf-8")
    return path


async def _replay(folder: Path, policy: Path, end_ms: int) -> Run:
    """Its document, with what it took."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", "replay", "--mode", "reprice", "--policy", str(policy), "--json",
        "--from", rfc3339(end_ms - _DAY_MS), "--to", rfc3339(end_ms), "--data-dir", str(folder / "data"),
        env=os.environ | {"BENCH_SIM_KEY": DIRECT_KEY}, stdout=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    reading, used = asyncio.ensure_future(process.stdout.read()), (0.0, 0.0)
    child = psutil.Process(process.pid)
    while not reading.done():
        await asyncio.wait({reading}, timeout=0.2)
        cpu_s, rss_mb = _used(child)
        used = max(used[0], cpu_s), max(used[1], rss_mb)
    if await process.wait():
        raise CliError("`millrace replay --mode reprice` failed; see what it said above")
    return {**orjson.loads(await reading), "seconds": time.monotonic() - began, "cpu_s": used[0], "rss_mb": used[1]}


def _used(process: psutil.Process) -> tuple[float, float]:
    """CPU seconds, MB; nothing once it has ended."""
    try:
        with process.oneshot():
            return sum(process.cpu_times()[:2]), process.memory_info().rss / 2**20
    except psutil.Error:
        return 0.0, 0.0
