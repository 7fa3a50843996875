"""The shape of a document, checked; pydantic's findings in words of the file."""

import difflib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.catalog_file.document import Document
from pipeline.catalog_file.problems import Finding, KeyPath
from schemas.catalog import Catalog


def validated(document: Document) -> Catalog | None:
    """The catalogue, or None and its problems reported."""
    try:
        return Catalog.model_validate(document.data, context={"today": datetime.now(UTC).date()})
    except ValidationError as error:
        document.report(_findings(document, error.errors(include_url=False, include_input=False)))
        return None


def unnamed_flags(catalog: Catalog) -> Iterator[Finding]:
    for name, model in catalog.models.items():
        for flag in model.flags.unnamed:
            yield ("models", name, "flags", flag), f'this release knows no flag "{flag}"; it is kept'


def _findings(document: Document, details: list[ErrorDetails]) -> Iterator[Finding]:
    """Without what only follows: from text that could not be read, or "too short" where the entries were refused."""
    places = [detail["loc"] for detail in details]
    for detail in details:
        size = len(detail["loc"])
        is_echo = detail["type"] == "too_short" and any(
            len(place) > size and place[:size] == detail["loc"] for place in places
        )
        path = _path(document, detail)
        if not is_echo and path not in document.unreadable:
            yield path, _message(detail)


def _path(document: Document, detail: ErrorDetails) -> KeyPath:
    """Pydantic's location without its own marks ("[key]", branches of unions), which are in no file."""
    path: KeyPath = ()
    for part in detail["loc"]:
        is_absent_key = detail["type"] == "missing" and part == detail["loc"][-1]
        if (*path, part) in document or is_absent_key:
            path = (*path, part)
    return path


_MESSAGES = {
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
    "tuple_type": "must be a list",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_pattern_mismatch": "must have the form {pattern}",
    "value_error": "{error}",
}


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown_key(str(detail["loc"][-1]))
    template = _MESSAGES.get(detail["type"])
    return template.format(**detail.get("ctx", {})) if template else detail["msg"]


def _unknown_key(name: str) -> str:
    close = difflib.get_close_matches(name, _field_names(), n=1)
    return f'unknown key "{name}"' + (f'; did you mean "{close[0]}"?' if close else "")


@cache
def _field_names() -> set[str]:
    schema = Catalog.model_json_schema()
    return {name for part in (schema, *schema["$defs"].values()) for name in part.get("properties", {})}
