"""`millrace send`: request records onto the topic, and their outcomes."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import BodiesOption, ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.operations.running import Connection


def send(
    text: Annotated[str | None, typer.Argument(help="A prompt.")] = None,
    file: Annotated[Path | None, typer.Option(help="Requests as JSON, a line each; - for stdin.")] = None,
    model: Annotated[str, typer.Option(help="A model or route, where the request names none.")] = "auto",
    tenant: Annotated[str, typer.Option(help="Where the request names none.")] = "demo",
    rate: Annotated[float | None, typer.Option(min=0.001, help="Requests per second at most.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="For the outcomes; exit code 1 if any is an error.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for outcomes after the last was sent.")] = 180.0,
    bodies: BodiesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Send requests over Kafka, as other services do."""
    envelopes = requests_of(text, file, model=model, tenant=tenant)
    where = connection(settings_of(config, data_dir))
    good = asyncio.run(
        _send(where, envelopes, rate=rate, timeout_s=timeout if wait else None, as_json=as_json, bodies=bodies)
    )
    raise typer.Exit(0 if good else 1)


def requests_of(text: str | None, file: Path | None, *, model: str, tenant: str) -> list[dict[str, Any]]:
    """What is to be sent, with what the command line says filled in. Raises UsageError, CliError."""
    if (text is None) == (file is None):
        raise UsageError("send either a TEXT or a --file of requests")
    defaults = {"tenant": tenant, "model": model}
    if text is not None:
        return [{**defaults, "body": {"messages": [{"role": "user", "content": text}]}}]
    assert file is not None
    return [{**defaults, **envelope} for envelope in _lines(file)]


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{file} cannot be read: {error}") from None
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            envelope = json.loads(line)
        except ValueError as error:
            raise CliError(f"{file}:{number}: no JSON: {error}") from None
        if not isinstance(envelope, dict):
            raise CliError(f"{file}:{number}: a request is a JSON object")
        found.append(envelope)
    return found


async def _send(
    where: Connection,
    envelopes: list[dict[str, Any]],
    *,
    rate: float | None,
    timeout_s: float | None,
    as_json: bool,
    bodies: bool,
) -> bool:
    """True if nothing went wrong, as far as anybody waited for it."""
    from contextlib import AsyncExitStack

    from pipeline.cli import sending
    from pipeline.operations import records

    shards = sending.shards_of(where)
    requests = [sending.outgoing(e, shards=shards.get(str(e["tenant"]), 1)) for e in envelopes]
    waiting = {(r.tenant, r.request_id) for r in requests} if timeout_s is not None else set()
    done, good = asyncio.Event(), True

    def heard(response: dict[str, Any]) -> None:
        nonlocal good
        identity = (str(response.get("tenant")), str(response["request_id"]))
        if identity not in waiting:
            return
        waiting.remove(identity)
        good = good and response.get("outcome") == "ok"
        _print_outcome(response, as_json=as_json, bodies=bodies)
        if not waiting:
            done.set()

    async with AsyncExitStack() as stack:
        if timeout_s is not None:
            await stack.enter_async_context(sending.outcomes(where, heard))
        client = await stack.enter_async_context(records.producer(where))
        await sending.produce(where, client, requests, rate)
        if timeout_s is None or not requests:
            for request in requests:
                print_json({"request_id": request.request_id}) if as_json else print(request.request_id)
            return True
        try:
            await asyncio.wait_for(done.wait(), timeout_s)
        except TimeoutError:
            raise CliError(f"{len(waiting)} of {len(requests)} have no outcome after {timeout_s:.0f} s") from None
    return good


def _print_outcome(response: dict[str, Any], *, as_json: bool, bodies: bool) -> None:
    from pipeline.cli.explained import usd
    from pipeline.operations.events import without_bodies

    if as_json:
        print_json(response if bodies else without_bodies(response))
        return
    error = response.get("error") or {}
    what = f"error {error.get('code')}: {error.get('message')}" if error else f"ok by {response.get('model')}"
    total = (response.get("timings_ms") or {}).get("total")
    print(f"{response['request_id']}  {what}  {total} ms  {usd(response.get('cost_nano_usd'))}", flush=True)
    if bodies and response.get("body"):
        for choice in response["body"].get("choices", []):
            print((choice.get("message") or {}).get("content") or "")
