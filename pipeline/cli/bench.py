"""`millrace bench`: what the platform costs, measured against calls that go straight to the provider."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.options import JsonOption, print_json


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: figures to see a change by.")] = False,
    analytics: Annotated[
        int | None, typer.Option("--analytics", metavar="N", help="Only the dashboard's questions, over N requests.")
    ] = None,
    reprice: Annotated[
        int | None, typer.Option("--reprice", metavar="N", help="Only a corrected price book, over N costs.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for bench.json and bench.md.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a platform of its own against a simulated provider: added latency, throughput, CPU, memory."""
    from pipeline.cli.benching.report import document, write

    if analytics is not None:
        measured = _analytics(analytics)
    elif reprice is not None:
        measured = _reprice(reprice)
    else:
        measured = _bench(quick)
    found = document(asyncio.run(measured))
    if out is not None:
        write(out, found)
    if as_json:
        print_json(found)


async def _analytics(requests: int) -> list[dict[str, Any]]:
    from rich.console import Console

    from pipeline.cli.benching.analytics import analytics
    from pipeline.cli.benching.report import draw

    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder, Console(stderr=True).status("making rows"):
        async for run in analytics(Path(folder), requests):
            runs.append(run)
            draw(run)
    return runs


async def _reprice(costs: int) -> list[dict[str, Any]]:
    from rich.console import Console

    from pipeline.cli.benching.report import draw
    from pipeline.cli.benching.reprice import reprice

    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder, Console(stderr=True).status("repricing"):
        run = await reprice(Path(folder), costs)
        draw(run)
    return [run]


async def _bench(quick: bool) -> list[dict[str, Any]]:
    from rich.console import Console

    from pipeline.cli.benching.adapters import adapters
    from pipeline.cli.benching.load import Callers, session
    from pipeline.cli.benching.place import place
    from pipeline.cli.benching.report import draw
    from pipeline.cli.benching.runs import FULL, QUICK, measure

    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        async with place(Path(folder)) as here, session() as http:
            with Console(stderr=True).status("measuring") as status:
                extent = QUICK if quick else FULL
                for measured in (adapters(here.provider, http), measure(here, Callers(http), extent)):
                    async for run in measured:
                        runs.append(run)
                        draw(run)
                        status.update(f"measuring: {len(runs)} runs done")
    return runs
