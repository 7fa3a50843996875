"""families.yaml -> typed rows -> what is known of a model, so that a catalogue need not repeat it.

1. read    YAML into rows, unknown keys and flags refused; once a process, when first asked
2. extend  each row laid over the one it extends
3. match   the last path segment of `upstream`, lower case, without the `ft:` of a fine-tuned one: the row of its longest
           beginning, then the variants it fits
4. merge   flags key by key, the flag `policy` entry by entry; what the catalogue says itself wins over all of this

Source: provider_contracts.md section 3.
"""

from collections.abc import Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, Field, model_validator

from schemas.catalog.offers import Flags, Handling
from schemas.catalog.words import Count, Part

FILE = Path(__file__).parents[1] / "families.yaml"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the safe loader too, ten times as fast; not in every PyYAML


def _named(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags as written, once `Flags` takes their values; this file, unlike a catalogue, may not invent any."""
    if unnamed := Flags.model_validate(flags).unnamed:
        raise ValueError(f"no such flag: {', '.join(unnamed)}")
    return flags


class Family(Part):
    """A row: what is said of the models whose name begins so."""

    extends: str | None = None
    """The base or family that it is laid over."""
    also: tuple[str, ...] = ()
    """Further beginnings that mean the same."""
    flags: Annotated[dict[str, Any], AfterValidator(_named)] = Field({})
    """Only those that differ; in the keys of `Flags`."""
    context_tokens: Count | None = None
    """Input and output together."""
    max_output_tokens: Count | None = None
    """The longest answer."""

    def over(self, below: Self) -> Self:
        """Both as one row, where this one wins."""
        limits = self.model_dump(include={"context_tokens", "max_output_tokens"}, exclude_none=True)
        return below.model_copy(update={**limits, "flags": merged_flags(below.flags, self.flags)})


class Table(Part):
    """The whole file."""

    policy: dict[str, Handling]
    """By a request's parameter; each model has all of these entries."""
    bases: dict[str, Family] = Field({})
    """Rows that match no name."""
    families: dict[str, Family]
    """By the beginning of a model's name."""
    variants: dict[str, Family] = Field({})
    """By pattern."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.by_beginning:
            raise ValueError("there are no families")
        if any(row.also or row.extends for row in self.variants.values()):
            raise ValueError("a variant says flags and limits only")
        return self

    @cached_property
    def by_beginning(self) -> Mapping[str, Family]:
        """Each row with all that it extends, under each of its beginnings."""
        rows: dict[str, Family] = {}
        for name, row in self.families.items():
            whole = self._extended(row, (name,))
            for beginning in (name, *row.also):
                if beginning in rows:
                    raise ValueError(f"{beginning} stands twice")
                rows[beginning] = whole
        return rows

    def _extended(self, row: Family, path: tuple[str, ...]) -> Family:
        if row.extends is None:
            return row
        below = self.bases.get(row.extends) or self.families.get(row.extends)
        if below is None or row.extends in path:
            raise ValueError(f"{path[-1]} extends {row.extends}, which {'extends it' if below else 'does not exist'}")
        return row.over(self._extended(below, (*path, row.extends)))

    def family_of(self, upstream: str) -> Family:
        """What is said of a model by the provider's name for it; an empty row if nothing is."""
        name = upstream.rsplit("/", 1)[-1].lower().removeprefix("ft:")
        beginnings = [beginning for beginning in self.by_beginning if name.startswith(beginning)]
        found = self.by_beginning[max(beginnings, key=len)] if beginnings else Family()
        for pattern, variant in self.variants.items():
            if fnmatchcase(name, pattern):
                found = variant.over(found)
        return found


def merged_flags(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Flags of both, `above` winning key by key, and entry by entry in `policy`."""
    policies = below.get("policy"), above.get("policy")
    if isinstance(policies[0], Mapping) and isinstance(policies[1], Mapping):
        return {**below, **above, "policy": {**policies[0], **policies[1]}}
    return {**below, **above}


def read(text: str) -> Table:
    """The table that a YAML text holds. Raises pydantic's ValidationError if it holds none."""
    return Table.model_validate(yaml.load(text, _LOADER))


@cache
def load() -> Table:
    """The built-in table."""
    return read(FILE.read_text(encoding="utf-8"))


def family_of(upstream: str) -> Family:
    """As `Table.family_of`, of the built-in table."""
    return load().family_of(upstream)


def known_facts(upstream: str) -> dict[str, Any]:
    """What the families say of a model, in the keys of the catalogue: flags with the whole policy, limits if known.

    The caller may change what it gets: nothing of it is the table's own.
    """
    family = family_of(upstream)
    limits = family.model_dump(include={"context_tokens", "max_output_tokens"}, exclude_none=True)
    return {"flags": deepcopy(merged_flags({"policy": load().policy}, family.flags)), **limits}
