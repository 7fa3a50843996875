"""Names in the catalogue that must lead somewhere, and names that must not be used twice.

    model -> provider · route, arm, rule, judge -> model · tenant, rule, filter, shadow -> route or model
    rule, filter -> tenant · experiment -> route · budget scope -> shadow
    no name for both a model and a route, nothing twice in one order, one live split per route

Checked on the plain document, so that these problems are reported together with whatever else is wrong with it.
Parts that have the wrong shape are passed over here: the models of this room report them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]
Finding = tuple[Path, str]
_ASKABLE = ("routes", "models")


def broken_references(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the path into the document and what is wrong there."""
    for check in (_names, _models, _routes, _rules, _tenants, _experiments, _shadows, _twice):
        yield from check(document)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _entries(document: Mapping[str, Any], key: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The members of a section, be it a mapping or a list, with their paths."""
    section = document.get(key)
    numbered = enumerate(section) if isinstance(section, list) else _mapping(section).items()
    for name, entry in numbered:
        yield (key, name), _mapping(entry)


def _said(path: Path, holder: object, key: str) -> Iterator[tuple[Path, str]]:
    """The names that stand under a key, one or several."""
    value = _mapping(holder).get(key)
    if isinstance(value, str):
        yield (*path, key), value
    elif isinstance(value, list):
        yield from (((*path, key, index), name) for index, name in enumerate(value) if isinstance(name, str))


def _unknown(
    document: Mapping[str, Any], names: Iterator[tuple[Path, str]], *sections: str, allow: tuple[str, ...] = ()
) -> Iterator[Finding]:
    known = {name for section in sections for name in _mapping(document.get(section))} | set(allow)
    kind = " or ".join(section.removesuffix("s") for section in sections)
    for path, name in names:
        if name not in known:
            yield path, f'no {kind} has the name "{name}"'


def _twice_in(names: Iterator[tuple[Path, str]], what: str) -> Iterator[Finding]:
    seen = set()
    for path, name in names:
        if name in seen:
            yield path, f'"{name}" stands twice in {what}'
        seen.add(name)


def _names(document: Mapping[str, Any]) -> Iterator[Finding]:
    models = _mapping(document.get("models"))
    for name in _mapping(document.get("routes")):
        if name in models:
            yield ("routes", name), f'"{name}" is the name of a model and of a route'


def _models(document: Mapping[str, Any]) -> Iterator[Finding]:
    for path, model in _entries(document, "models"):
        yield from _unknown(document, _said(path, model, "provider"), "providers")


def _routes(document: Mapping[str, Any]) -> Iterator[Finding]:
    for path, route in _entries(document, "routes"):
        for key, allow in (("order", ()), ("candidates", ("*",))):
            yield from _unknown(document, _said(path, route, key), "models", allow=allow)
            yield from _twice_in(_said(path, route, key), "one list: no request tries a model again that it gave up")


def _rules(document: Mapping[str, Any]) -> Iterator[Finding]:
    for path, rule in _entries(document, "rules"):
        for key in ("prefer", "exclude", "pin"):
            yield from _unknown(document, _said(path, rule, key), "models")
        required = (*path, "require")
        for section in ("models", "providers"):
            yield from _unknown(document, _said(required, rule.get("require"), section), section)
        yield from _filter((*path, "when"), rule.get("when"), document)


def _filter(path: Path, conditions: object, document: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _unknown(document, _said(path, conditions, "tenant"), "tenants")
    yield from _unknown(document, _said(path, conditions, "route"), *_ASKABLE)


def _tenants(document: Mapping[str, Any]) -> Iterator[Finding]:
    shadows = {f"shadow:{shadow.get('name')}" for _, shadow in _entries(document, "shadows")}
    for path, tenant in _entries(document, "tenants"):
        yield from _unknown(document, _said(path, tenant, "routes"), *_ASKABLE, allow=("*",))
        for budget_path, budget in _entries(tenant, "budgets"):
            scope = budget.get("scope")
            if isinstance(scope, str) and scope.startswith("shadow:") and scope not in shadows:
                yield (*path, *budget_path, "scope"), f'no shadow has the name "{scope.removeprefix("shadow:")}"'


def _experiments(document: Mapping[str, Any]) -> Iterator[Finding]:
    for path, experiment in _entries(document, "experiments"):
        yield from _unknown(document, _said(path, experiment, "route"), "routes")
        for arm_path, arm in _entries(experiment, "arms"):
            yield from _unknown(document, _said((*path, *arm_path), arm, "candidates"), "models", allow=("*",))


def _shadows(document: Mapping[str, Any]) -> Iterator[Finding]:
    for path, shadow in _entries(document, "shadows"):
        yield from _unknown(document, _said(path, shadow, "model"), *_ASKABLE)
        yield from _unknown(document, _said(path, shadow, "judge"), "models", allow=("none", "rules"))
        yield from _filter((*path, "filter"), shadow.get("filter"), document)


def _twice(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Names within a list, and routes with two live splits."""
    for section, key in (
        ("rules", "name"),
        ("experiments", "name"),
        ("experiments", "route"),
        ("shadows", "name"),
        ("alerts", "name"),
    ):
        names = (said for path, entry in _entries(document, section) for said in _said(path, entry, key))
        yield from _twice_in(names, f"{section} as {key}")
