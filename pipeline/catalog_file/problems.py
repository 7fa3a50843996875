"""What can be wrong with a catalogue file, and where.

Exception
  CatalogError    all problems of a file
"""

import json
import re
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
Finding = tuple[KeyPath, str]
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """`line` counts from 1; 0 where the file as a whole is meant. `path` is such as routes.auto.order[1]."""

    line: int
    path: str
    message: str


class CatalogError(Exception):
    """The file cannot be used; nothing of it is in force."""

    def __init__(self, problems: list[Problem], warnings: list[Problem] | None = None) -> None:
        super().__init__("; ".join(f"line {p.line}: {p.path}: {p.message}" for p in problems))
        self.problems = problems
        self.warnings = warnings or []


def dotted(path: KeyPath) -> str:
    """A path as people write it: routes.auto.order[1], models["gpt-4.1"].price."""
    said = ""
    for part in path:
        if isinstance(part, int):
            said += f"[{part}]"
        elif _PLAIN_NAME.fullmatch(part):
            said += f".{part}" if said else part
        else:
            said += f"[{json.dumps(part, ensure_ascii=False)}]"
    return said


def unusable(message: str, *, line: int = 0) -> CatalogError:
    """The file as a whole (or from this line on) says nothing."""
    return CatalogError([Problem(line, "", message if line else f"the catalogue file {message}")])
