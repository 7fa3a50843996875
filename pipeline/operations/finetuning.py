"""A fine-tuning job from export to catalogue: submit, follow, check, register. The provider does the work; this one may die.

1. the export is read and split (`core/tuning`); a manifest beside it must agree with it
2. file and job are made at the provider; from then on the job's id is enough to go on
3. its events are told until it ends; what passes (a broken connection, 429, 5xx) is waited out for ten minutes
4. the model answers prompts that it was not trained on, through the provider's adapter
5. its row goes into the catalogue: like that of its base, with its name and, unless said, its price
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from connectors.finetuning import Job, TuningClient, TuningError
from connectors.providers.adapter import ProviderCall
from connectors.providers.driver import Driver
from pipeline.catalog_file import LoadedCatalog
from pipeline.core.tuning import Dataset, InvalidDataset, dataset
from pipeline.operations.exporting.exporting import manifest_path
from schemas.catalog import Model
from schemas.completion import Completion

__all__ = ["NotFineTuned", "Prices", "base_of", "check", "follow", "read_export", "row_of", "submit"]

PATIENCE_S: Final = 600.0
"""For a provider that does not answer while a job runs."""

CHECKED: Final = 3
FIRST_POLL_S, LONGEST_POLL_S = 0.5, 10.0
CHECK_TIMEOUT_S: Final = 120.0
APPEARS_S: Final = 60.0
"""A finished model may be unknown to the provider's own calls for a moment."""

T = TypeVar("T")
Tell = Callable[[str], None]


class NotFineTuned(Exception):
    """Why there is no model; for people."""


@dataclass(slots=True, frozen=True)
class Prices:
    """US dollars per million tokens."""

    input_usd: float
    output_usd: float


def read_export(path: Path) -> Dataset:
    """Raises NotFineTuned."""
    try:
        content = path.read_bytes()
        manifest = manifest_path(path)
        said = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
    except (OSError, ValueError) as error:
        raise NotFineTuned(f"{path} cannot be read: {error}") from None
    if isinstance(said, dict) and said.get("sha256") != hashlib.sha256(content).hexdigest():
        raise NotFineTuned(f"{path} is not what its manifest says: export it again")
    try:
        return dataset(content)
    except InvalidDataset as error:
        raise NotFineTuned(f"{path}: {error}") from None


async def submit(client: TuningClient, model: str, data: Dataset, *, suffix: str | None) -> Job:
    """Raises TuningError. Not repeated: who did not hear of the job may still have made it."""
    name = f"millrace-{hashlib.sha256(data.training).hexdigest()[:12]}.jsonl"
    file = await client.upload(name, data.training)
    return await client.create(model, file, method=data.method, suffix=suffix)


async def follow(client: TuningClient, job_id: str, tell: Tell) -> Job:
    """Until it is over, telling what happens.

    Raises:
        NotFineTuned: It failed or was cancelled.
        TuningError: The provider says no, or has not answered for too long.
    """
    seen: set[str] = set()
    status, pause = "", FIRST_POLL_S
    while True:
        job = await _patiently(lambda: client.job(job_id), tell)
        for event in await _patiently(lambda: client.events(job_id, seen), tell):
            seen.add(event.id)
            tell(event.message)
        if job.status != status:
            status, pause = job.status, FIRST_POLL_S
            tell(f"{job.id}: {status}")
        if job.is_over:
            break
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL_S)
    if job.status != "succeeded" or job.model is None:
        raise NotFineTuned(f"{job.id} {job.status}: {job.error or 'no reason given'}")
    return job


async def _patiently(work: Callable[[], Awaitable[T]], tell: Tell) -> T:
    loop = asyncio.get_running_loop()
    give_up, pause = loop.time() + PATIENCE_S, FIRST_POLL_S
    while True:
        try:
            return await work()
        except TuningError as error:
            if not error.is_passing or loop.time() > give_up:
                raise
            tell(f"{error}; trying on")
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_POLL_S)


async def check(driver: Driver, upstream: str, flags: Mapping[str, Any], prompts: tuple[dict[str, Any], ...]) -> int:
    """How many prompts it answered. Raises NotFineTuned: one of them was not."""
    for number, prompt in enumerate(prompts[:CHECKED], 1):
        call = ProviderCall({"model": upstream, **prompt}, upstream, flags=flags)
        fault = await _fault(driver, call, upstream)
        give_up = asyncio.get_running_loop().time() + APPEARS_S
        while number == 1 and fault == "not_found" and asyncio.get_running_loop().time() < give_up:
            await asyncio.sleep(LONGEST_POLL_S / 5)
            fault = await _fault(driver, call, upstream)
        if fault is not None:
            raise NotFineTuned(f"{upstream} does not answer as it should ({fault}); it was not registered")
    return min(len(prompts), CHECKED)


async def _fault(driver: Driver, call: ProviderCall, model: str) -> str | None:
    """The kind of failure; None for an answer that says something."""
    result = await driver.complete(call, model=model, timeout_s=CHECK_TIMEOUT_S)
    if result.error is not None:
        return str(result.error.kind.value)
    answer = result.completion
    choices = answer.choices if isinstance(answer, Completion) else []
    return None if choices and (choices[0].text.strip() or choices[0].tool_calls) else "empty answer"


def base_of(loaded: LoadedCatalog, provider: str, upstream: str) -> str | None:
    """The catalogue's name of the model that is tuned; a dated snapshot is its model."""
    rows = {name: row for name, row in loaded.catalog.models.items() if row.provider == provider}
    called = {row.upstream or name: name for name, row in rows.items()}
    if upstream in called or upstream in rows:
        return called.get(upstream, upstream)
    return next(
        (called[name] for name in sorted(called, key=len, reverse=True) if upstream.startswith(f"{name}-")), None
    )


def row_of(
    provider: str, upstream: str, written: Mapping[str, Any], base: Model | None, prices: Prices | None
) -> dict[str, Any]:
    """The catalogue row.

    Args:
        provider: Who serves it.
        upstream: The provider's name for it.
        written: The base's row as it stands in the file; empty without one.
        base: The same, understood.
        prices: Those that were said.

    Raises:
        NotFineTuned: Nobody says what it costs.
    """
    kept = ("operation", "context_tokens", "max_output_tokens", "flags", "quality_prior")
    row = {"provider": provider, "upstream": upstream, **{name: written[name] for name in kept if name in written}}
    if prices is not None:
        said: dict[str, Any] = {"input_per_mtok_usd": prices.input_usd, "output_per_mtok_usd": prices.output_usd}
        return {**row, "price": {**said, "source": "said when it was registered"}}
    if base is None:
        raise NotFineTuned("the catalogue does not have the base model: say --price-input and --price-output")
    rates = base.price.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return {**row, "price": {**rates, "source": "that of its base model"}}
