"""What an adapter costs: CPU of putting a question into a vendor's words and reading its answer, without the network.

The simulated provider answers each vendor's wire once; its bytes are then read again and again, so nothing else is timed.
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from connectors.providers import ADAPTERS, Adapter, ProviderCall, WireRequest
from connectors.providers.sse import SSEParser
from pipeline.cli.benching.place import DIRECT_KEY
from schemas.catalog import Catalog

_ROUNDS: Final = 300
_TOKENS: Final = 400
_WORDS: Final = "Compare both versions on the same input, side by side, and say which one you would keep. "


@dataclass(frozen=True, slots=True)
class Wire:
    """A wire to be measured: adapter, a model that selects it, and where the simulator serves it."""

    name: str
    adapter: str
    upstream: str
    base: str


WIRES: Final = (
    Wire("OpenAI chat", "openai", "gpt-4.1-mini", "/v1"),
    Wire("OpenAI Responses", "openai", "gpt-5-codex", "/v1"),
    Wire("Anthropic", "anthropic", "claude-haiku-4-5", ""),
    Wire("Gemini", "gemini", "gemini-3.8-flash", ""),
    Wire("compatible", "openai-compatible", "qwen3-edge-8b", "/compatible/v1"),
)


async def adapters(root_url: str, http: aiohttp.ClientSession) -> AsyncIterator[dict[str, Any]]:
    """A run per wire; `root_url` is the simulator's without a path."""
    for wire in WIRES:
        adapter = ADAPTERS[wire.adapter]
        whole, stream = _call(wire, stream=False), _call(wire, stream=True)
        answer = await _recorded(http, root_url + wire.base, adapter, whole)
        events = await _recorded(http, root_url + wire.base, adapter, stream)
        pieces = _read_stream(adapter, stream, events)
        yield {
            "name": f"adapter {wire.name}",
            "cpu_ms_per_call": _cpu_ms(lambda: _read_whole(adapter, whole, answer)),  # noqa: B023  # called at once
            "cpu_us_per_piece": _cpu_ms(lambda: _read_stream(adapter, stream, events)) / pieces * 1000,  # noqa: B023
            "request_bytes": len(_wire(adapter, whole).content()),
            "pieces": pieces,
            "ratios": {},
        }


def _call(wire: Wire, *, stream: bool) -> ProviderCall:
    """About 2 KB of conversation with a tool, under the flags that a catalogue would give the model."""
    text = f"{_WORDS * 16} [[sim: tokens={_TOKENS}]]"
    tool = {"name": "lookup", "description": "Looks something up", "parameters": {"type": "object", "properties": {}}}
    body = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        "tools": [{"type": "function", "function": tool}],
        "tool_choice": "none",
        "max_tokens": 1_000,
    }
    return ProviderCall(body, wire.upstream, stream, 1_000, _flags(wire))


def _flags(wire: Wire) -> dict[str, Any]:
    rates = {"input_per_mtok_usd": 1, "output_per_mtok_usd": 1}
    catalog = Catalog.model_validate(
        {
            "version": 1,
            "providers": {"p": {"adapter": wire.adapter, "base_url": "http://127.0.0.1:1/v1"}},
            "models": {"m": {"provider": "p", "upstream": wire.upstream, "price": rates}},
            "tenants": {"t": {}},
        }
    )
    return catalog.models["m"].flags.model_dump(mode="json", exclude_none=True)


async def _recorded(http: aiohttp.ClientSession, base_url: str, adapter: Adapter, call: ProviderCall) -> bytes:
    wire = _wire(adapter, call)
    header, prefix = adapter.credential
    headers = {**wire.headers, header: prefix + DIRECT_KEY}
    async with http.request(wire.method, base_url + wire.path, data=wire.content(), headers=headers) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the simulator refused {call.upstream}: {body[:200]!r}")
        return body


def _wire(adapter: Adapter, call: ProviderCall) -> WireRequest:
    wire = adapter.to_wire(call)
    if not isinstance(wire, WireRequest):
        raise RuntimeError(f"the adapter refused {call.upstream}: {wire.message}")
    return wire


def _read_whole(adapter: Adapter, call: ProviderCall, answer: bytes) -> None:
    _wire(adapter, call).content()
    adapter.from_wire(answer, call)


def _read_stream(adapter: Adapter, call: ProviderCall, data: bytes) -> int:
    """The number of pieces."""
    parser, events = adapter.stream(call), SSEParser()
    pieces = sum(len(parser.feed(event)) for event in events.feed(data))
    parser.finish()
    return pieces


def _cpu_ms(work: Callable[[], object]) -> float:
    """Of one run, the least of five times many: other work on the machine only adds."""
    work()
    least = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(_ROUNDS // 5):
            work()
        least = min(least, time.process_time() - began)
    return least / (_ROUNDS // 5) * 1000
