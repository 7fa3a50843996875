"""The examples of `schemas/examples` as events: bytes stand there as text."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from schemas.events import EVENTS

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
PATHS = sorted(EXAMPLES.glob("*/v*/*.json"))
IDS = [path.relative_to(EXAMPLES).with_suffix("").as_posix() for path in PATHS]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def event_of(path: Path) -> Any:
    """Today's model of an example of any version."""
    return TypeAdapter(EVENTS[path.parts[-3]]).validate_json(path.read_bytes())


def every_event() -> list[Any]:
    return [event_of(path) for path in PATHS]
