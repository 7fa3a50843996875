"""Calls to model providers.

Read `adapter.py` (the shape), then one adapter (`openai_chat/`), then `driver.py`, which alone does I/O. Adapters by the
name that the catalogue gives them stand in `ADAPTERS`.
"""

from connectors.providers.adapter import Adapter, Delta, Estimate, ProviderCall, StreamParser, WireRequest, rough_usage
from connectors.providers.anthropic import ANTHROPIC
from connectors.providers.gemini import GEMINI
from connectors.providers.openai import OPENAI
from connectors.providers.openai_compatible import OPENAI_COMPATIBLE

__all__ = [
    "ADAPTERS",
    "Adapter",
    "Delta",
    "Estimate",
    "ProviderCall",
    "StreamParser",
    "WireRequest",
    "rough_usage",
]

ADAPTERS: dict[str, Adapter] = {
    "openai": OPENAI,
    "openai-compatible": OPENAI_COMPATIBLE,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
}
