"""A small valid catalogue to break in one place at a time."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from pipeline.catalog_file import CatalogError, LoadedCatalog, Problem, parse

ROOT = Path(__file__).parents[3]

SMALL = dedent("""\
    version: 1
    providers:
      p: {adapter: openai-compatible, base_url: "http://127.0.0.1:18504/v1", api_key_env: P_KEY, region: us}
    models:
      m1: {provider: p, price: {input_per_mtok_usd: 1.0, output_per_mtok_usd: 2.0}}
      m2: {provider: p, price: {input_per_mtok_usd: 0.4, output_per_mtok_usd: 1.6}}
    routes:
      auto: {order: [m1, m2]}
    tenants:
      t: {keys_env: T_KEYS, routes: [auto, m1]}
    """)


def small(*, swap: Mapping[str, str] | None = None, more: str = "") -> str:
    """The small catalogue with pieces of text exchanged (each must be there) and lines added."""
    text = SMALL
    for old, new in (swap or {}).items():
        assert old in text
        text = text.replace(old, new)
    return text + dedent(more)


def loaded(text: str, env: Mapping[str, str] | None = None) -> LoadedCatalog:
    return parse(text, env or {})


def problems_of(text: str, env: Mapping[str, str] | None = None) -> list[Problem]:
    try:
        parse(text, env or {})
    except CatalogError as error:
        return error.problems
    return []
