"""The same catalogue with simulated providers: what the demo runs on a machine without keys."""

from collections.abc import Mapping
from typing import Any

EDGE_ADDRESS = "http://127.0.0.1:8088/v1"


def simulated(
    document: Mapping[str, Any],
    *,
    off: set[str] | frozenset[str],
    base_url: str,
    key_env: str,
    simulate_edge: bool = True,
) -> dict[str, Any]:
    """A copy whose providers in `off` are played by a simulator at `base_url`, with the key in the variable `key_env`.

    With `simulate_edge` also those that want no key and listen at the default address of the edge, where nobody may be
    at home. `document` is one that loads. Region, terms and clearance stay: the demo decides as production would.
    """
    played = {"base_url": base_url, "api_key_env": key_env, "allow_private_egress": True}
    providers = {
        name: {**provider, **played} if name in off or (simulate_edge and _is_at_edge(provider)) else provider
        for name, provider in document["providers"].items()
    }
    return {**document, "providers": providers}


def _is_at_edge(provider: Mapping[str, Any]) -> bool:
    return provider.get("api_key_env") is None and provider["base_url"].rstrip("/") == EDGE_ADDRESS
