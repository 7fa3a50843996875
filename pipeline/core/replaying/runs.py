"""The identity of a replay: the same arguments are the same run, whoever asks again, and whenever."""

import hashlib
import json
from collections.abc import Mapping

__all__ = ["run_id"]


def run_id(mode: str, arguments: Mapping[str, str | int | None]) -> str:
    """Of what decides the result; how fast it goes, or where it stops for now, is no part of it."""
    said = {name: value for name, value in arguments.items() if value is not None}
    return f"{mode}-{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:20]}"
