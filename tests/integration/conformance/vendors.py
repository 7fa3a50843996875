"""Five ways to be a vendor, all played by one simulator: providers, models and routes of the conformance suite.

A model is called `<vendor>-<role>`. `frail` models have a provider and short timeouts of their own, since faults may
take a provider out; `locked` ones have a wrong key. The route `once-<vendor>` asks the frail model and nobody again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from connectors.simulator import Simulator

VENDORS = ("openai", "responses", "anthropic", "gemini", "compatible")
CANARY = "canary-of-"
"""In every provider's key; it may never show."""
FRAIL_S, FRAIL_TOTAL_S = 1.5, 5.0
"""How long a frail provider may be silent in a stream, and how long a call of it may take."""


@dataclass(frozen=True)
class Vendor:
    """`models`: role -> the vendor's name and flags that its family does not say."""

    adapter: str
    models: Mapping[str, tuple[str, Mapping[str, Any]]]


_RESPONSES: Mapping[str, Any] = {"api": "responses"}
_OPEN: Mapping[str, Any] = {"inputs": ["text", "image"], "json_schema": True, "n_max": 4}
_TABLE: Mapping[str, Vendor] = {
    "openai": Vendor(
        "openai",
        {
            "plain": ("gpt-4.1-mini", {"inputs": ["text", "image", "pdf", "audio"]}),
            "thinker": ("gpt-5.1", {}),
            "strict": ("o4-mini", {}),
        },
    ),
    "responses": Vendor(
        "openai",
        {
            "plain": ("gpt-4.1-mini", _RESPONSES),
            "thinker": ("gpt-6-sol", _RESPONSES),
            "strict": ("gpt-5-codex", {}),
        },
    ),
    "anthropic": Vendor(
        "anthropic",
        {
            "plain": ("claude-haiku-4-5", {}),
            "thinker": ("claude-opus-4-6", {}),
            "strict": ("claude-opus-5-5", {}),
        },
    ),
    "gemini": Vendor(
        "gemini",
        {
            "plain": ("gemini-2.5-flash", {}),
            "thinker": ("gemini-3-flash", {}),
            "strict": ("gemini-3.8-flash", {}),
        },
    ),
    "compatible": Vendor(
        "openai-compatible",
        {
            "plain": ("qwen3-edge-8b", _OPEN),
            "thinker": ("qwen3-edge-8b@reasoning", {**_OPEN, "efforts": ["low", "medium", "high"]}),
            "strict": ("qwen3-edge-8b", {**_OPEN, "sampling": "no", "stop": False}),
        },
    ),
}
_EMBEDDERS = {
    "openai": "text-embedding-3-small",
    "gemini": "gemini-embedding-001",
    "compatible": "text-embedding-3-small",
}
EMBEDDERS = tuple(_EMBEDDERS)
FRAGILE = tuple(f"{name}-{kind}/{name}-{kind}/us" for name in VENDORS for kind in ("frail", "locked"))
"""Endpoints that are made to fail."""
KEYS = {f"CONF_{kind.upper()}_KEY": f"sk-{kind}-{CANARY}{kind}" for kind in ("sim", "bad")}
_PRICE = {"input_per_mtok_usd": 1, "output_per_mtok_usd": 2}


def catalog_of(simulator: Simulator) -> str:
    providers = {
        f"{name}{kind}": _provider(simulator, vendor, frail=kind == "-frail", locked=kind == "-locked")
        for name, vendor in _TABLE.items()
        for kind in ("", "-frail", "-locked")
    }
    models = {
        f"{name}-{role}": {"provider": name, "upstream": upstream, "flags": dict(flags), "price": _PRICE}
        for name, vendor in _TABLE.items()
        for role, (upstream, flags) in vendor.models.items()
    }
    for name in VENDORS:
        models |= {
            f"{name}-{kind}": models[f"{name}-plain"] | {"provider": f"{name}-{kind}"} for kind in ("frail", "locked")
        }
    for name, upstream in _EMBEDDERS.items():
        models[f"{name}-embedder"] = {
            "provider": name, "upstream": upstream, "operation": "embeddings", "price": _PRICE
        }  # fmt: skip
    whole = {
        "version": 1,
        "providers": providers,
        "models": models,
        "routes": {
            f"once-{name}": {
                "order": [f"{name}-frail"],
                "max_attempts": 1,
                "stream_recovery": "error",
                "deadline_s": 30,
            }
            for name in VENDORS
        },
        "tenants": {"main": {"keys_env": "TEST_MAIN_KEYS"}},
    }
    return yaml.safe_dump(whole, sort_keys=False)


def _provider(simulator: Simulator, vendor: Vendor, *, frail: bool, locked: bool) -> dict[str, Any]:
    base = {
        "openai": simulator.base_url,
        "openai-compatible": f"{simulator.root_url}/compatible/v1",
    }.get(vendor.adapter, simulator.root_url)
    timeouts = (
        {"first_event_s": FRAIL_S, "gap_s": FRAIL_S, "total_s": FRAIL_TOTAL_S} if frail else {"first_event_s": 30}
    )
    return {
        "adapter": vendor.adapter,
        "base_url": base,
        "api_key_env": "CONF_BAD_KEY" if locked else "CONF_SIM_KEY",
        "region": "us",
        "allow_private_egress": True,
        "timeouts": timeouts,
    }
