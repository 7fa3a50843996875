"""`millrace finetune`: an export to a provider's fine-tuning API, and the model that comes out into the catalogue."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.operations.running import running_in
from pipeline.settings import Settings, environment, read_dotenv

if TYPE_CHECKING:
    from connectors.finetuning import Job, TuningClient
    from connectors.providers.driver import ProviderEndpoint
    from pipeline.catalog_file import LoadedCatalog
    from pipeline.core.tuning import Dataset
    from pipeline.operations.finetuning import Prices

T = TypeVar("T")
_GREETING: dict[str, Any] = {"messages": [{"role": "user", "content": "Say hello."}]}


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; `data` is None where a job is only followed."""

    provider: str
    model: str | None
    data: "Dataset | None"
    suffix: str | None
    job: str | None
    register_as: str | None
    prices: "Prices | None"
    prints: bool
    cancels: bool


def finetune(
    provider: Annotated[str, typer.Option(help="A provider of the catalogue that speaks OpenAI's wire.")],
    file: Annotated[Path | None, typer.Option(help="An export: openai-chat or preference.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to tune, by the provider's or the catalogue's name.")
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="Goes into the new model's name.")] = None,
    job: Annotated[str | None, typer.Option(help="Go on with a job that was made before.")] = None,
    register_as: Annotated[
        str | None, typer.Option(help="Put the model into the catalogue file under this name.")
    ] = None,
    print_row: Annotated[bool, typer.Option("--print", help="Print the catalogue row instead of writing it.")] = False,
    price_input: Annotated[
        float | None, typer.Option(min=0, help="US dollars per million tokens [default: its base's]")
    ] = None,
    price_output: Annotated[float | None, typer.Option(min=0, help="The same for its answers.")] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Ctrl-C cancels the job at the provider; on a terminal it asks.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Tune a model on an export, follow the job to its end, check the result and register it."""
    from pipeline.operations.finetuning import Prices

    if job is None and (file is None or model is None):
        raise UsageError("name --file and --model, or a --job to go on with")
    if (price_input is None) != (price_output is None):
        raise UsageError("--price-input and --price-output go together")
    if print_row and register_as is None:
        raise UsageError("--print wants the row's name: --register-as")
    prices = Prices(price_input, price_output) if price_input is not None and price_output is not None else None
    data = _known(lambda: _read(file)) if file is not None else None
    order = Order(provider, model, data, suffix, job, register_as, prices, print_row, cancel)
    document = _Tuning(_catalog(settings_of(config, data_dir)), order).run()
    if as_json:
        print_json(document)
    elif print_row and document["row"]:
        print(document["row"])


def _read(file: Path) -> "Dataset":
    from pipeline.operations.finetuning import read_export

    return read_export(file)


def _catalog(settings: Settings) -> Path:
    """An explicit one, else that of a running `up`."""
    running = None if "config" in settings.model_fields_set else running_in(settings.data_dir)
    return Path(running.catalog) if running is not None else settings.config


def _known(work: Callable[[], T]) -> T:
    """Failures that are meant for people, as such."""
    from connectors.finetuning import TuningError
    from connectors.providers.egress import EgressRefusedError
    from pipeline.operations.finetuning import NotFineTuned

    try:
        return work()
    except (NotFineTuned, TuningError, EgressRefusedError) as error:
        raise CliError(str(error)) from None


def _tell(said: str) -> None:
    print(said, file=sys.stderr, flush=True)


class _Tuning:
    """One run of the command: the catalogue file that it is about, and the order."""

    def __init__(self, path: Path, order: Order) -> None:
        from pipeline.catalog_file import load

        read_dotenv()
        self._path, self._order = path, order
        self._loaded: LoadedCatalog = load(path, environment())
        self._provider = self._endpoint()
        self._job = order.job
        if order.register_as is not None and order.register_as in self._loaded.catalog.models:
            raise CliError(f"--register-as: the catalogue has a model {order.register_as} already")

    def run(self) -> dict[str, Any]:
        job = self._followed()
        checked = _known(lambda: asyncio.run(self._checked(job)))
        row = self._registered(job) if self._order.register_as is not None else None
        data = self._order.data
        return {
            "job": job.id, "status": job.status, "base": job.base, "model": job.model, "trained_tokens": job.trained_tokens,
            "rows": {"training": data.rows, "held_out": data.held_out} if data else None, "checked": checked,
            "registered": self._order.register_as if row and not self._order.prints else None, "row": row,
            "catalog": str(self._path),
        }  # fmt: skip

    def _endpoint(self) -> "ProviderEndpoint":
        from connectors.providers.driver import ProviderEndpoint

        name = self._order.provider
        row = self._loaded.catalog.providers.get(name)
        if row is None or row.adapter not in ("openai", "openai-compatible"):
            raise UsageError(f"--provider: {name} is no provider of the catalogue that speaks OpenAI's wire")
        if name in self._loaded.off_providers:
            raise CliError(f"the provider {name} is off: {row.api_key_env} is not set")
        key = self._loaded.provider_keys.get(name)
        return ProviderEndpoint(
            name, str(row.base_url), row.adapter, key.get_secret_value() if key else None,
            allow_private_egress=row.allow_private_egress,
        )  # fmt: skip

    def _followed(self) -> "Job":
        """To the job's end; Ctrl-C leaves it running, unless it is said or answered otherwise."""
        try:
            return _known(lambda: asyncio.run(self._with_client(self._follow)))
        except KeyboardInterrupt:
            if self._job is not None:
                self._leave(self._job)
            raise

    async def _with_client(self, work: "Callable[[TuningClient], Awaitable[T]]") -> T:
        from connectors.finetuning import TuningClient

        client = TuningClient(self._provider)
        try:
            return await work(client)
        finally:
            await client.close()

    async def _follow(self, client: "TuningClient") -> "Job":
        from pipeline.operations.finetuning import follow, submit

        order = self._order
        if self._job is None and order.data is not None and order.model is not None:
            upstream = self._upstream(order.model)
            _tell(f"{order.data.rows} examples to train on, {order.data.held_out} held out")
            self._job = (await submit(client, upstream, order.data, suffix=order.suffix)).id
            _tell(f"job {self._job}; go on later with: millrace finetune --provider {order.provider} --job {self._job}")
        return await follow(client, self._job or "", _tell)

    def _upstream(self, model: str) -> str:
        """The catalogue's name stands for the provider's."""
        row = self._loaded.catalog.models.get(model)
        return row.upstream or model if row is not None and row.provider == self._order.provider else model

    def _leave(self, job_id: str) -> None:
        asks = sys.stdin.isatty() and sys.stderr.isatty() and not self._order.cancels
        if self._order.cancels or (asks and typer.confirm("\nCancel the job at the provider?", err=True)):
            job = _known(lambda: asyncio.run(self._with_client(lambda client: client.cancel(job_id))))
            _tell(f"{job.id}: {job.status}")
        else:
            _tell(
                f"{job_id} goes on at the provider: millrace finetune --provider {self._order.provider} --job {job_id}"
            )

    async def _checked(self, job: "Job") -> int:
        from connectors.providers.driver import Driver
        from pipeline.operations.finetuning import check

        name = self._base(job)
        flags = self._loaded.catalog.models[name].flags.model_dump() if name is not None else {}
        prompts = self._order.data.prompts if self._order.data is not None else (_GREETING,)
        driver = Driver(self._provider)
        try:
            checked = await check(driver, job.model or "", flags, prompts)
        finally:
            await driver.aclose()
        _tell(f"{job.model} answered {checked} of {checked} prompts")
        return checked

    def _base(self, job: "Job") -> str | None:
        from pipeline.operations.finetuning import base_of

        wanted = self._order.model or job.base
        return base_of(self._loaded, self._order.provider, wanted) or base_of(
            self._loaded, self._order.provider, job.base
        )

    def _registered(self, job: "Job") -> str:
        """The row; written into the file unless it is only to be shown. Raises CatalogError."""
        from pipeline.catalog_file import add_model, model_row, read_document
        from pipeline.operations.finetuning import row_of

        name, base = self._order.register_as or "", self._base(job)
        written = (read_document(self._path)["models"].get(base) or {}) if base is not None else {}
        model = self._loaded.catalog.models[base] if base is not None else None
        row = _known(lambda: row_of(self._order.provider, job.model or "", written, model, self._order.prices))
        if not self._order.prints:
            add_model(self._path, name, row, environment())
            _tell(f"{name} is in {self._path}")
        return model_row(name, row)
