"""The dashboard's questions over many requests: a ClickHouse of its own, generated rows, how long each question takes.

Rows are made by ClickHouse itself, spread over the last seven days, so that the longest range of the dashboard holds all.
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import psutil

from pipeline.cli.benching.load import percentile
from pipeline.cli.errors import CliError

Run = dict[str, Any]

_CHUNK = 500_000
_TIMES = 7
_WEEK_MS = 7 * 24 * 3_600_000

_MODEL = "['gpt-4.1-mini', 'claude-haiku-4-5', 'gemini-2.5-flash', 'qwen3-edge-8b'][1 + number % 4]"
_PROVIDER = "['openai', 'anthropic', 'gemini', 'edge'][1 + number % 4]"
_AT = "fromUnixTimestamp64Milli({end:Int64} - toInt64(number * {step_ms:Float64}) - 1000, 'UTC')"
_COMMON = (
    f"concat('r', toString(number)) AS request_id, concat('tenant', toString(number % 20)) AS tenant, "
    f"{_PROVIDER} AS provider, {_MODEL} AS model, number % 2 AS kafka_partition, intDiv(number, 2) AS kafka_offset"
)
_ROWS = {
    "responses": f"""SELECT {_COMMON}, 'chat' AS operation, if(number % 50 = 0, 'error', 'ok') AS outcome,
        if(number % 50 = 0, 'provider_error', NULL) AS error_code, {_AT} AS accepted_at, {_AT} AS finished_at,
        'auto' AS route_policy, 'primary' AS role, 'none' AS cached, 1 + (number % 10 = 0) AS attempts,
        1000 * (number % 900) AS cost_nano_usd, 200 + cityHash64(number) % 900 AS timings_ms_first_token,
        900 + cityHash64(number, 1) % 4000 AS timings_ms_total, 850 + cityHash64(number, 1) % 4000 AS timings_ms_provider,
        30 AS retention_days""",
    "costs": f"""SELECT {_COMMON}, concat('c', toString(number)) AS cost_id, concat('a', toString(number)) AS attempt_id,
        1 AS attempt, 'primary' AS role, 500 AS usage_input_tokens, 120 AS usage_output_tokens,
        1000 * (number % 900) AS cost_nano_usd, '1' AS price_version, true AS effective, 'charge' AS kind, {_AT} AS at""",
    "attempts": f"""SELECT {_COMMON}, concat('a', toString(number)) AS attempt_id, 1 AS attempt, 'finished' AS phase,
        'primary' AS role, 'us' AS region, 'w' AS worker, {_AT} AS started_at, {_AT} AS finished_at,
        if(number % 50 = 0, 'error', 'ok') AS result, if(number % 50 = 0, 'overloaded', NULL) AS error_kind,
        200 + cityHash64(number) % 900 AS first_event_ms, 850 + cityHash64(number, 1) % 4000 AS duration_ms""",
}


async def analytics(folder: Path, requests: int) -> AsyncIterator[Run]:
    """Each run as it ends. Raises CliError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", "run", "sql", "--port", "0", "--data-dir", str(folder),
        env=_environment(), stdin=DEVNULL, stdout=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = orjson.loads(await process.stdout.readline() or b"{}")
        if said.get("event") != "ready":
            raise CliError(f"the stage sql of the benchmark did not start: {said.get('detail', 'see its log above')}")
        address = await asyncio.to_thread(_migrated, int(said["port"]))
        async for run in _measured(address, requests, psutil.Process(process.pid)):
            yield run
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "MILLRACE_CLICKHOUSE_DSN"}


def _migrated(port: int) -> Any:
    from connectors.clickhouse.address import ClickHouseAddress
    from connectors.clickhouse.migrate import migrate

    address = ClickHouseAddress("127.0.0.1", port, user="default")
    migrate(address)
    return address


async def _measured(address: Any, requests: int, process: psutil.Process) -> AsyncIterator[Run]:
    import clickhouse_connect

    client = await clickhouse_connect.get_async_client(
        host=address.host, port=address.port, username=address.user, database=address.database
    )
    end_ms = time.time_ns() // 1_000_000
    step_ms = _WEEK_MS * 0.99 / requests
    began = time.monotonic()
    for table, select in _ROWS.items():
        await fill(client, table, select, requests, _at(end_ms, step_ms))
    yield {
        "name": "analytics: rows made", "requests": requests, "rows": len(_ROWS) * requests,
        "rows_per_s": len(_ROWS) * requests / (time.monotonic() - began), "ratios": {},
    }  # fmt: skip
    for span in ("24h", "7d"):
        yield await _asked(client, span, end_ms, requests, process)
    await client.close()


async def fill(client: Any, table: str, select: str, rows: int, parameters: dict[str, Any]) -> None:
    """Rows 0 to `rows` of a SELECT without its FROM, whose `number` counts them."""
    names = await client.query(f"DESCRIBE (SELECT * FROM ({select} FROM numbers(1)))", parameters=parameters)
    columns = ", ".join(row[0] for row in names.result_rows)
    for first in range(0, rows, _CHUNK):
        await client.command(
            f"INSERT INTO {table} ({columns}) {select} FROM numbers({{first:UInt64}}, {{count:UInt64}})",
            parameters=parameters | {"first": first, "count": min(_CHUNK, rows - first)},
        )


def _at(end_ms: int, step_ms: float) -> dict[str, Any]:
    return {"end": end_ms, "step_ms": step_ms}


async def _asked(client: Any, span: str, end_ms: int, requests: int, process: psutil.Process) -> Run:
    """Every question of the dashboard, as it asks them."""
    from connectors.dashboard.questions import EXACT_RECORDS, FIGURES, TABLES, statement, window

    of = window(span, end_ms)
    took_ms: dict[str, dict[str, float]] = {}
    for name in ("size", "series", *FIGURES, *TABLES):
        times = []
        for _ in range(_TIMES):
            began = time.perf_counter()
            sql = statement(name, is_exact=name != "size" and requests <= EXACT_RECORDS, step_s=of.step_s)
            await client.query(sql, parameters=of.parameters)
            times.append((time.perf_counter() - began) * 1000)
        took_ms[name] = {"p50": percentile(times, 0.5), "max": max(times)}
    return {
        "name": f"analytics: the dashboard over {span}", "requests": requests, "question_ms": took_ms,
        "slowest_p50_ms": max(each["p50"] for each in took_ms.values()), "rss_mb": process.memory_info().rss / 2**20,
        "ratios": {},
    }  # fmt: skip
