"""The five wires that vendors speak: an adapter with its flags, a simulated provider, the samples, and streams that say a text."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.providers import ADAPTERS, Adapter, Delta, ProviderCall, WireRequest
from connectors.providers.driver import CallResult, Driver, OnDelta, ProviderEndpoint
from connectors.providers.sse import SSEParser
from connectors.simulator import Simulator
from schemas.catalog import Flags
from schemas.catalog.families import known_facts
from schemas.completion import Completion, Embeddings
from schemas.errors import ErrorKind, ProviderError

KEY = "sk-sim-canary-0123456789"
SAMPLES = Path(__file__).parent / "wire"
ASKED = {"role": "user", "content": "Weather?"}


@dataclass(frozen=True)
class Vendor:
    """`model` is the vendor's; `said` are flags that its family does not say; `path` is where it is simulated."""

    folder: str
    adapter_name: str
    model: str
    said: Mapping[str, Any]
    path: str = ""

    @property
    def adapter(self) -> Adapter:
        return ADAPTERS[self.adapter_name]

    def flags(self, **more: Any) -> dict[str, Any]:
        """As the catalogue resolves them."""
        known = known_facts(self.model)["flags"]
        return Flags.model_validate({**known, **self.said, **more}).model_dump()

    def call(
        self, *messages: Any, stream: bool = False, flags: Mapping[str, Any] | None = None, **body: Any
    ) -> ProviderCall:
        asked = {"model": "asked", "messages": list(messages) or [ASKED], **body}
        return ProviderCall(
            asked, self.model, stream, flags={**self.said, **(self.flags() if flags is None else flags)}
        )

    def wire(self, *messages: Any, **said: Any) -> WireRequest:
        wire = self.adapter.to_wire(self.call(*messages, **said))
        assert isinstance(wire, WireRequest), wire
        return wire

    def refusal(self, *messages: Any, **said: Any) -> ProviderError:
        """What is refused before any call."""
        error = self.adapter.to_wire(self.call(*messages, **said))
        assert isinstance(error, ProviderError), error
        assert error.kind is ErrorKind.INVALID_REQUEST
        return error

    def whole(self, body: Any, **asked: Any) -> Completion | ProviderError:
        outcome = self.adapter.from_wire(json.dumps(body).encode(), self.call(**asked))
        assert not isinstance(outcome, Embeddings)
        return outcome

    def streamed(self, chunks: Iterable[bytes], **asked: Any) -> tuple[Completion | ProviderError, list[Delta]]:
        parser, events = self.adapter.stream(self.call(stream=True, **asked)), SSEParser()
        deltas = [delta for chunk in chunks for event in events.feed(chunk) for delta in parser.feed(event)]
        return parser.finish(), deltas

    def sample(self, case: str) -> tuple[Any, bytes]:
        """Body and stream of a wire sample."""
        folder = SAMPLES / self.folder / case
        body = json.loads((folder / "response.json").read_text(encoding="utf-8"))["body"]
        return body, (folder / "events.sse").read_bytes()


VENDORS = {
    vendor.folder: vendor
    for vendor in (
        Vendor("openai", "openai", "gpt-4.1-mini", {}, "/v1"),
        Vendor("openai-responses", "openai", "gpt-4.1-mini", {"api": "responses"}, "/v1"),
        Vendor(
            "openai-compatible",
            "openai-compatible",
            "qwen3-edge-8b",
            {"n_max": 4, "json_schema": True, "inputs": ["text", "image"]},
            "/compatible/v1",
        ),
        Vendor("anthropic", "anthropic", "claude-haiku-4-5", {}),
        Vendor("gemini", "gemini", "gemini-2.5-flash", {}),
    )
}


@asynccontextmanager
async def driven(vendor: Vendor, simulator: Simulator, key: str = KEY) -> AsyncIterator[Driver]:
    base = simulator.root_url + vendor.path
    driver = Driver(ProviderEndpoint("sim", base, vendor.adapter_name, key, allow_private_egress=True))
    try:
        yield driver
    finally:
        await driver.aclose()


async def ask(vendor: Vendor, simulator: Simulator, call: ProviderCall, on_delta: OnDelta | None = None) -> CallResult:
    async with driven(vendor, simulator) as driver:
        return await driver.complete(call, model="shown", timeout_s=10, on_delta=on_delta)


def sse(events: Iterable[Any], line_end: str = "\n") -> bytes:
    """Events named by their type, with text as it is: no character is escaped that JSON lets stand."""
    frames = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        name = event["type"] if isinstance(event, dict) and "type" in event else ""
        frames.append((f"event: {name}{line_end}" if name else "") + f"data: {data}{line_end * 2}")
    return "".join(frames).encode()


def chunk(delta: dict[str, Any] | None = None, **choice: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-v1", "choices": [{"index": 0, "delta": delta or {}, **choice}]}


def saying(folder: str, text: str) -> list[Any]:
    """The events of a stream that says a text in two pieces and ends well."""
    one, two = text[: len(text) // 2], text[len(text) // 2 :]
    match folder:
        case "anthropic":
            usage = {"input_tokens": 3, "output_tokens": 1}
            return [
                {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": usage}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": one}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": two}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
                {"type": "message_stop"},
            ]
        case "gemini":
            parts = ({"content": {"parts": [{"text": piece}]}} for piece in (one, two))
            return [*({"candidates": [part]} for part in parts), {"candidates": [{"finishReason": "STOP"}]}]
        case "openai-responses":
            whole = {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 5}}
            deltas = ({"type": "response.output_text.delta", "delta": piece} for piece in (one, two))
            return [*deltas, {"type": "response.completed", "response": whole}]
        case _:
            return [chunk({"content": one}), chunk({"content": two}), chunk(finish_reason="stop"), "[DONE]"]
