"""Text and environment -> a catalogue in force, or every problem at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from pipeline.catalog_file.document import Document, Dumper, read_text
from pipeline.catalog_file.keys import Secrets, WebhookKeys, worth_saying
from pipeline.catalog_file.problems import CatalogError, Problem
from pipeline.catalog_file.shape import unnamed_flags, validated
from schemas.catalog import Catalog, broken_references


@dataclass(frozen=True, slots=True)
class LoadedCatalog:
    """A valid catalogue with the keys that the environment holds for it.

    Attributes:
        off_providers: Providers whose key variable is unset or empty.
        provider_keys: By provider, trimmed; none for providers that want no key.
        tenant_keys: SHA-256 of each API key in hex -> tenant. The keys themselves are not kept.
        webhooks: By the name of the variable that holds the address.
    """

    catalog: Catalog
    warnings: list[Problem]
    off_providers: frozenset[str]
    provider_keys: dict[str, SecretStr]
    tenant_keys: dict[str, str] = field(repr=False)
    webhooks: dict[str, WebhookKeys] = field(default_factory=dict)


def load(path: Path | str, env: Mapping[str, str]) -> LoadedCatalog:
    """Read and check a catalogue file. Raises CatalogError, and nothing else, whatever the file holds."""
    return parse(read_text(Path(path)), env)


def parse(text: str, env: Mapping[str, str]) -> LoadedCatalog:
    """As `load`, from text."""
    document = Document(text)
    catalog = validated(document)
    document.report(broken_references(document.data))
    secrets = Secrets(document, env)
    document.warn(worth_saying(document.data))
    if catalog is not None:
        document.warn(unnamed_flags(catalog))
    problems, warnings = sorted(set(document.problems)), sorted(set(document.warnings))
    if problems or catalog is None:
        raise CatalogError(problems, warnings)
    return LoadedCatalog(
        catalog, warnings, frozenset(secrets.off), secrets.provider_keys, secrets.tenant_keys, secrets.webhooks
    )


def check(path: Path | str, env: Mapping[str, str]) -> dict[str, Any]:
    """What `millrace config check --json` prints: {ok, problems, warnings}, each of these with line, path, message."""
    try:
        problems, warnings = [], load(path, env).warnings
    except CatalogError as error:
        problems, warnings = error.problems, error.warnings
    said = {"problems": problems, "warnings": warnings}
    return {"ok": not problems, **{key: [asdict(problem) for problem in found] for key, found in said.items()}}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the file, with every default."""
    schema = Catalog.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Millrace catalogue"}


def read_document(path: Path | str) -> dict[str, Any]:
    """The file as plain data, aliases followed; only its YAML is checked. Raises CatalogError."""
    document = Document(read_text(Path(path)))
    if document.problems:
        raise CatalogError(sorted(document.problems))
    return document.data


def dump_document(document: Mapping[str, Any]) -> str:
    """YAML that `load` reads back as the same data; for files that machines derive."""
    return yaml.dump(dict(document), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
