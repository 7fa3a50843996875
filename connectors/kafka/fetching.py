"""How consumers fetch: aiokafka's options."""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["FETCH_BYTES", "PATIENT", "PROMPT"]

FETCH_BYTES: Final = 11 * 1024 * 1024
"""Of a partition at a time: the largest record fits."""

PROMPT: Final[Mapping[str, Any]] = {"fetch_max_wait_ms": 500}
"""Somebody waits for the records."""

PATIENT: Final[Mapping[str, Any]] = {"fetch_min_bytes": 256 * 1024, "fetch_max_wait_ms": 500}
"""Nobody waits for the records: they come together, which saves a fetch for each, here and at the broker."""
