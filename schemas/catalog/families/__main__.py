"""The tables of docs/models.md, made of families.yaml. The prose around them is written by hand.

python -m schemas.catalog.families --write docs/models.md
python -m schemas.catalog.families --check docs/models.md
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.catalog.families import Family, load
from schemas.catalog.offers import Flags

BEGIN = "<!-- made of schemas/catalog/families.yaml by `python -m schemas.catalog.families --write`; do not edit -->"
END = "<!-- end of what is made -->"
_COLUMNS = ("inputs", "sampling", "efforts", "levels", "policy")  # said in columns of their own, or in a table
_PLAIN = Flags().model_dump(mode="json")


def tables() -> str:
    """Families, variants and the policy as Markdown."""
    return "\n".join([*_families(), "", *_variants(), "", *_policy()])


def _families() -> Iterator[str]:
    yield "| name begins with | context | answer | takes | samples | efforts or levels | other flags |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in load().families.items():
        names = ", ".join(f"`{beginning}`" for beginning in (name, *row.also))
        whole = load().family_of(name)
        yield f"| {names} | {_limits(whole)} | {_flags(whole)} |"


def _variants() -> Iterator[str]:
    yield "| and if the whole name fits | then also |"
    yield "|---|---|"
    for pattern, variant in load().variants.items():
        yield f"| `{pattern}` | {_spelled(variant.flags)} |"


def _policy() -> Iterator[str]:
    yield "| what the model does not take is | parameters |"
    yield "|---|---|"
    handlings = load().policy
    yield from (
        f"| {said} | {', '.join(f'`{name}`' for name in handlings if handlings[name] == handling)} |"
        for handling, said in (("refuse", "refused (400)"), ("drop", "dropped, and named in `x-dropped-params`"))
    )


def _limits(family: Family) -> str:
    return " | ".join(f"{limit:,}" if limit else "" for limit in (family.context_tokens, family.max_output_tokens))


def _flags(family: Family) -> str:
    flags = Flags.model_validate(family.flags)
    others = {key: value for key, value in family.flags.items() if key not in _COLUMNS and value != _PLAIN[key]}
    efforts = ", ".join(flags.efforts or flags.levels)
    return " | ".join([", ".join(flags.inputs), flags.sampling.replace("_", " "), efforts, _spelled(others)])


def _spelled(flags: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {_value(value)}" for key, value in flags.items())


def _value(value: object) -> str:
    if isinstance(value, bool | None):
        return "null" if value is None else str(value).lower()
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def renewed(page: str) -> str:
    """The page with its tables as they are now. Raises ValueError if it has no place for them."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """`--write FILE` or `--check FILE`."""
    mode, path = arguments
    page = Path(path).read_text(encoding="utf-8")
    if mode == "--write":
        Path(path).write_text(renewed(page), encoding="utf-8")
        return 0
    if page == renewed(page):
        return 0
    sys.stderr.write(f"{path} is stale: run `python -m schemas.catalog.families --write {path}`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
