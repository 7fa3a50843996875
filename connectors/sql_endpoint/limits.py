"""What a statement may take: pure. Zero means without limit, as in ClickHouse."""

from collections.abc import Mapping
from typing import Final

__all__ = ["INSERT", "PERSON", "WHOLE_RESULT_BYTES", "limited"]

_MIB: Final = 1 << 20

PERSON: Final = {
    "max_execution_time": 60,
    "max_memory_usage": 512 * _MIB,
    "max_result_rows": 5_000_000,
    "max_result_bytes": 1024 * _MIB,
    "max_threads": 2,
}
"""Of the user `reader`; a smaller number of the caller's own counts."""

INSERT: Final = {
    "max_insert_block_size": str(1 << 18),
    "min_insert_block_size_rows": str(1 << 18),
    "min_insert_block_size_bytes": str(64 * _MIB),
}
"""Blocks that an insert is cut into, unless it says otherwise: the engine's own are four times as large."""

WHOLE_RESULT_BYTES: Final = 64 * _MIB
"""In the engine's memory, of results in formats that cannot be sent piece by piece."""


def limited(settings: Mapping[str, str], limits: Mapping[str, int]) -> dict[str, str]:
    """The settings of a caller, none above its limit."""
    found = dict(settings)
    for name, most in limits.items():
        asked = found.get(name, "0")
        wanted = float(asked) if asked.replace(".", "", 1).isdigit() else 0.0
        if most and (wanted <= 0 or wanted > most):
            found[name] = str(most)
    return found
