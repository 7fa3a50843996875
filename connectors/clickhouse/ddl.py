"""What the migrations declare: tables with their columns, and what the comments above them say. Pure; for docs and tests.

It reads our own files, which have a column a line and a comment above every CREATE; it is no SQL parser.
"""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Declared", "DeclaredColumn", "declared"]

_CREATE = re.compile(
    r"^-- (?P<about>[^\n]+)\nCREATE (?P<kind>TABLE|VIEW) IF NOT EXISTS (?P<name>\w+)(?: AS)?\n(?P<body>.*?);$",
    re.M | re.S,
)
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
        for match in _CREATE.finditer(path.read_text(encoding="utf-8")):
            is_view = match["kind"] == "VIEW"
            columns = () if is_view else tuple(_columns(match["body"]))
            found[match["name"]] = Declared(match["name"], match["about"], is_view, columns)
    return found


def _columns(body: str) -> list[DeclaredColumn]:
    matches = (_COLUMN.match(line) for line in body.splitlines() if not line.startswith("    INDEX"))
    return [DeclaredColumn(m["name"], m["type"], m["twin"] is not None) for m in matches if m]
