"""`millrace demo outage`: a provider of the running demo goes away and comes back; watch what callers notice.

Steady traffic to a route of two models, a scripted outage of the first at the simulator, and a line a second: who
answered, what the breaker of the first did. It is the same platform that `up --demo` runs, with nothing set up for it.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import typer

from pipeline.cli.errors import CliError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.operations.running import Connection
from schemas.events import Breaker

app = typer.Typer(help="Shows beside a running `up --demo`.", no_args_is_help=True)

ROUTE, TENANT = "steady", "demo"
KINDS = {"failing": "provider_fault", "silent": "hang_before_headers", "refusing": "close"}
_BEFORE_S, _AFTER_S = 6, 16


@dataclass(slots=True)
class Second:
    """What one second of the show brought."""

    sent: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    breaker: str = "closed"


@app.callback()
def demo() -> None:
    """Scenarios that show what the platform does when things go wrong."""


@app.command()
def outage(
    kind: Annotated[str, typer.Option(help=f"How the provider is away: {', '.join(KINDS)}.")] = "failing",
    seconds: Annotated[int, typer.Option(min=3, max=300, help="How long it is away.")] = 15,
    rate: Annotated[float, typer.Option(min=0.5, max=50, help="Requests a second.")] = 8.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """The first model of the route `steady` is away for a while: it trips, is gone round, is probed, ramps up again."""
    if kind not in KINDS:
        raise typer.BadParameter(f"one of {', '.join(KINDS)}", param_hint="--kind")
    where = connection(settings_of(config, data_dir))
    show = asyncio.run(_show(where, KINDS[kind], seconds, rate))
    if as_json:
        print_json(show)


async def _show(where: Connection, fault: str, seconds: int, rate: float) -> dict[str, Any]:
    model, endpoint, control = _first_of_route(where)
    rule = {"fault": fault, "model": model, "from_s": _BEFORE_S, "to_s": _BEFORE_S + seconds}
    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.post(f"{control}/_control/faults", json={"rules": [rule]})
        if answer.status_code != 200:
            raise CliError(f"the simulator did not take the outage: {answer.text[:200]}")
        try:
            return await _watch(where, endpoint, seconds, rate)
        finally:
            await client.post(f"{control}/_control/faults", json={"rules": []})


async def _watch(where: Connection, endpoint: str, seconds: int, rate: float) -> dict[str, Any]:
    from connectors.kafka.producers import Producers
    from pipeline.cli.sending import outcomes, outgoing, produce

    timeline: list[Second] = [Second()]
    sent: set[str] = set()

    def heard(response: dict[str, Any]) -> None:
        if response["request_id"] not in sent:
            return
        sent.discard(response["request_id"])
        now = timeline[-1]
        if response["outcome"] == "ok":
            now.answered[response["model"]] += 1
        else:
            now.failed[response["error"]["code"]] += 1

    _say(f"   s  sent  answered by                                  breaker of {endpoint}")
    producers = Producers(where.bootstrap, security=where.client_options)
    await producers.start()
    began = time.monotonic()
    try:
        async with outcomes(where, heard):
            for number in range(_BEFORE_S + seconds + _AFTER_S):
                requests = [outgoing(_request(number, at)) for at in range(max(1, round(rate)))]
                sent |= {request.request_id for request in requests}
                timeline[-1].sent = len(requests)
                await produce(where, producers, requests, rate)
                await asyncio.sleep(max(0.0, began + number + 1 - time.monotonic()))
                timeline[-1].breaker = (await _breaker(where, endpoint)).state
                _say(_line(number, timeline[-1], away=_BEFORE_S <= number < _BEFORE_S + seconds))
                timeline.append(Second())
    finally:
        await producers.stop()
    return _summary(timeline[:-1], endpoint, seconds, lost=len(sent))


def _request(second: int, at: int) -> dict[str, Any]:
    said = f"Name a river. ({second}.{at}) [[sim: tokens=12 latency_ms=120]]"
    return {
        "tenant": TENANT,
        "model": ROUTE,
        "body": {"messages": [{"role": "user", "content": said}]},
        "deadline_s": 20,
    }


async def _breaker(where: Connection, endpoint: str) -> Breaker:
    from pipeline.cli.breakers import read_breakers

    return (await read_breakers(where)).get(endpoint, Breaker(endpoint))


def _first_of_route(where: Connection) -> tuple[str, str, str]:
    """Upstream name, endpoint, and the simulator's address of the first model. Raises CliError if nobody simulates it."""
    from pipeline.catalog_file import load
    from pipeline.cli.supervisor import SIM_KEY_ENV
    from pipeline.settings import environment

    catalog = load(where.catalog, {**environment(), SIM_KEY_ENV: "set"}).catalog
    if ROUTE not in catalog.routes or TENANT not in catalog.tenants:
        raise CliError(
            f"the catalogue has no route `{ROUTE}` or no tenant `{TENANT}`: this scenario is for `up --demo`"
        )
    name = catalog.candidates_of(ROUTE)[0]
    model = catalog.models[name]
    provider = catalog.providers[model.provider]
    if provider.api_key_env != SIM_KEY_ENV:
        raise CliError(
            f"{model.provider} is not simulated here, and real providers are not taken down: run `up --demo`"
        )
    url = httpx.URL(str(provider.base_url))
    return model.upstream or name, catalog.endpoint_of(name), f"{url.scheme}://{url.host}:{url.port}"


def _line(number: int, second: Second, *, away: bool) -> str:
    answered = ", ".join(f"{model} {count}" for model, count in sorted(second.answered.items()))
    failed = "".join(f", {code} {count}" for code, count in sorted(second.failed.items()))
    mark = "away" if away else ""
    return f"{number:4d}  {second.sent:4d}  {answered + failed:44.44s}  {second.breaker:9s} {mark}"


def _summary(timeline: list[Second], endpoint: str, seconds: int, *, lost: int) -> dict[str, Any]:
    answered = sum(sum(second.answered.values()) for second in timeline)
    failed = sum(sum(second.failed.values()) for second in timeline)
    states = [second.breaker for second in timeline]
    tripped = next((at for at, state in enumerate(states) if state != "closed"), None)
    closed = max((at for at, state in enumerate(states) if state != "closed"), default=None)
    healed_s = None if closed is None else max(0, closed + 1 - _BEFORE_S - seconds)
    _say(
        f"\n{answered} answered, {failed} failed, {lost} still open; the breaker "
        + (
            "did not open"
            if tripped is None
            else f"opened in second {tripped} (outage from second {_BEFORE_S}) and was "
        )
        + ("" if tripped is None else f"closed {healed_s} s after the provider was back")
    )
    return {
        "endpoint": endpoint,
        "answered": answered,
        "failed": failed,
        "open": lost,
        "opened_at_s": tripped,
        "closed_after_s": healed_s,
        "timeline": [
            {"sent": s.sent, "answered": s.answered, "failed": s.failed, "breaker": s.breaker} for s in timeline
        ],
    }


def _say(line: str) -> None:
    """On stderr: stdout is for `--json`."""
    typer.echo(line, err=True)
