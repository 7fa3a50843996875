"""`millrace config`: the catalogue checked, its schema, and what is in force."""

import json
from typing import Annotated

import typer

from pipeline.cli.options import ConfigOption, JsonOption, print_json, settings_of
from pipeline.settings import environment, read_dotenv

app = typer.Typer(help="Check and show the catalogue.", no_args_is_help=True)


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every problem with its line; exit code 1 if there is one."""
    from pipeline.catalog_file import check as check_file

    read_dotenv()
    path = settings_of(config).config
    result = check_file(path, environment())
    if as_json:
        print_json(result)
    else:
        for kind, word in (("problems", "problem"), ("warnings", "warning")):
            for found in result[kind]:
                print(f"{path}:{found['line']}: {word}: {found['path']}: {found['message']}")
        print(f"{path}: {'ok' if result['ok'] else 'cannot be used'}")
    raise typer.Exit(0 if result["ok"] else 1)


@app.command()
def schema(as_json: JsonOption = False) -> None:
    """The JSON Schema of the catalogue, with every default."""
    from pipeline.catalog_file import json_schema

    document = json_schema()
    if as_json:
        print_json(document)
    else:
        print(json.dumps(document, indent=2, ensure_ascii=False))


@app.command()
def show(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    defaults: Annotated[bool, typer.Option("--defaults/--as-written", help="With every default filled in.")] = True,
) -> None:
    """The catalogue as it is understood; no keys, they are not in it."""
    from pipeline.catalog_file import dump_document, load, read_document

    path = settings_of(config).config
    loaded = load(path, environment())
    document = loaded.catalog.model_dump(mode="json") if defaults else read_document(path)
    if as_json:
        print_json(document)
    else:
        print(dump_document(document), end="")
