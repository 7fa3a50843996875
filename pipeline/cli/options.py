"""Options that several commands take, and settings made of them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from pipeline.cli.errors import CliError
from pipeline.settings import PREFIX, Settings

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Catalogue file [default: infra/catalog.yaml].")]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where `millrace up` keeps its state [default: .millrace].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
BodiesOption = Annotated[bool, typer.Option("--bodies", help="Show prompts and answers too.")]


def settings_of(config: Path | None = None, data_dir: Path | None = None, **more: Any) -> Settings:
    """The environment, with what the command line says on top."""
    said = {
        name: value for name, value in {"config": config, "data_dir": data_dir, **more}.items() if value is not None
    }
    try:
        return Settings(**said)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = PREFIX + "__".join(str(part) for part in problem["loc"]).upper()
        raise CliError(f"{name}: {problem['msg']}") from None


def print_json(document: Any) -> None:
    """One document on one line."""
    print(json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str), flush=True)
