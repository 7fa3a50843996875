"""A model row put into a catalogue file: text is inserted, everything else stays as it is, comments too.

1. the text is composed, to find where the last model ends
2. a line goes in after it, indented like the others (in a flow mapping, a comma and the row)
3. the result is checked whole, and must differ from before by this row only
4. the file is replaced at once; if somebody changed it meanwhile, it is left alone
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.catalog_file.document import Document, Dumper, read_text
from pipeline.catalog_file.load import parse
from pipeline.catalog_file.problems import CatalogError, Problem, dotted, unusable

__all__ = ["add_model", "model_row", "with_model"]

_ENDLESS = 10**6


def model_row(name: str, row: Mapping[str, Any]) -> str:
    """One line of YAML, without indentation and line end."""
    whole = yaml.dump(
        {name: dict(row)}, Dumper=Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=_ENDLESS
    )
    return whole.strip()[1:-1]


def with_model(text: str, name: str, row: Mapping[str, Any]) -> str:
    """The text with one more model. Raises CatalogError: there is no place for it."""
    models = _models(text)
    line = model_row(name, row)
    if models.flow_style:
        end = int(models.value[-1][1].end_mark.index)
        return f"{text[:end]}, {line}{text[end:]}"
    end = _end(models)
    line_end = "\r\n" if "\r\n" in text else "\n"
    if not text[:end].endswith("\n"):
        following = text.find("\n", end)
        end = following + 1 if following >= 0 else len(text)
    before = text[:end] if text[:end].endswith("\n") else text[:end] + line_end
    indent = " " * models.value[0][0].start_mark.column
    return f"{before}{indent}{line}{line_end}{text[end:]}"


def add_model(path: Path, name: str, row: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Raises CatalogError: the result would be no valid catalogue, or more would change; the file is as it was."""
    path = path.resolve()
    text = read_text(path)
    known = Document(text)
    if ("models", name) in known:
        raise CatalogError([Problem(known.line_of(("models", name)), dotted(("models", name)), "is there already")])
    changed = with_model(text, name, row)
    parse(changed, env)
    data, expected = Document(changed).data, known.data
    expected["models"][name] = data["models"][name]
    if data != expected:
        raise unusable("would change by more than the new model: put the row in by hand")
    _replace(path, text, changed)


def _models(text: str) -> Any:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    entries = root.value if isinstance(root, yaml.MappingNode) else []
    found = next((value for key, value in entries if key.value == "models"), None)
    if not isinstance(found, yaml.MappingNode) or not found.value:
        raise unusable("has no models to put another one beside")
    return found


def _end(node: Any) -> int:
    """Where the last thing in it really ends: a block's own mark stands after the comments that follow."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)


def _replace(path: Path, before: str, after: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(path.stat().st_mode & 0o777)
        if read_text(path) != before:
            raise unusable("was changed by somebody else just now: try again")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
