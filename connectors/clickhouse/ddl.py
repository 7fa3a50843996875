"""What the migrations declare: tables with their columns, and what the comments above them say. Pure; for docs and tests.

It reads our own files, which have a column a line and a comment above every CREATE, and add columns by ALTER TABLE, a line
each; it is no SQL parser. A table that is made anew is what the last CREATE says.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Declared", "DeclaredColumn", "declared"]

_CREATE = re.compile(
    r"^-- (?P<about>[^\n]+)\nCREATE (?P<kind>TABLE|VIEW) IF NOT EXISTS (?P<name>\w+)(?: AS)?\n(?P<body>.*?);$",
    re.M | re.S,
)
_ALTER = re.compile(r"^ALTER TABLE (?P<name>\w+)\n(?P<body>(?:    ADD COLUMN IF NOT EXISTS [^\n]+\n?)+)$", re.M)
_ADD = "    ADD COLUMN IF NOT EXISTS "
_COLUMN = re.compile(
    r"^    `?(?P<name>[\w.]+)`? (?P<type>(?!TYPE)[A-Z].*?)(?: DEFAULT .+?)?(?P<twin> EPHEMERAL)?(?: CODEC\(.+\))?,?$"
)


@dataclass(slots=True, frozen=True)
class DeclaredColumn:
    name: str
    type: str
    is_twin: bool = False

    @property
    def plain_type(self) -> str:
        """Without LowCardinality."""
        return re.sub(r"LowCardinality\((Nullable\(String\)|String)\)", r"\1", self.type)


@dataclass(slots=True, frozen=True)
class Declared:
    """`columns` is empty for a view."""

    name: str
    about: str
    is_view: bool
    columns: tuple[DeclaredColumn, ...]


def declared(migrations: Path) -> dict[str, Declared]:
    """Tables and views by name, in the order of the files."""
    found = {}
    for path in sorted(migrations.glob("[0-9]*.sql")):
        text = path.read_text(encoding="utf-8")
        for match in _CREATE.finditer(text):
            is_view = match["kind"] == "VIEW"
            columns = () if is_view else tuple(_columns(match["body"]))
            found[match["name"]] = Declared(match["name"], match["about"], is_view, columns)
        for match in _ALTER.finditer(text):
            table, added = found[match["name"]], _columns(match["body"].rstrip(";\n").replace(_ADD, "    "))
            found[match["name"]] = replace(table, columns=(*table.columns, *added))
    return found


def _columns(body: str) -> list[DeclaredColumn]:
    matches = (_COLUMN.match(line) for line in body.splitlines() if not line.startswith("    INDEX"))
    return [DeclaredColumn(m["name"], m["type"], m["twin"] is not None) for m in matches if m]
