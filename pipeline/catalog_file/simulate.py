"""The same catalogue with simulated providers: what the demo runs on a machine without keys."""

from collections.abc import Mapping, Set
from typing import Any

EDGE_PORT = 8088
EDGE_ADDRESS = f"http://127.0.0.1:{EDGE_PORT}/v1"
# Where the simulator plays whom: each vendor's base URL ends where its own would.
_PATHS = {"openai": "/v1", "anthropic": "", "gemini": "", "openai-compatible": "/compatible/v1"}
# Servers of one's own, where nobody may be at home: the model at the edge and vLLM, at their default ports.
OWN_ADDRESSES = frozenset({EDGE_ADDRESS, "http://127.0.0.1:8000/v1"})


def simulated(
    document: Mapping[str, Any],
    *,
    off: Set[str],
    root_url: str,
    key_env: str,
    at_home: Set[str] = frozenset(),
) -> dict[str, Any]:
    """A copy whose providers in `off` are played by a simulator at `root_url`, with the key in the variable `key_env`.

    So are those that want no key and stand at one of `OWN_ADDRESSES`, unless it is in `at_home`. `document` is one that
    loads. Region, terms and clearance stay: the demo decides as production would.
    """
    played = {"api_key_env": key_env, "allow_private_egress": True}
    absent = OWN_ADDRESSES - at_home
    providers = {
        name: {**provider, **played, "base_url": root_url + _PATHS[provider["adapter"]]}
        if name in off or _is_keyless_at(provider, absent)
        else provider
        for name, provider in document["providers"].items()
    }
    return {**document, "providers": providers}


def offers_edge(document: Mapping[str, Any]) -> bool:
    """Whether a provider of the catalogue is where the model at the edge would be."""
    return any(_is_keyless_at(provider, {EDGE_ADDRESS}) for provider in document["providers"].values())


def _is_keyless_at(provider: Mapping[str, Any], addresses: Set[str]) -> bool:
    return provider.get("api_key_env") is None and provider["base_url"].rstrip("/") in addresses
