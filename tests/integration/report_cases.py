"""Reads the cases in `reports/`: scripted providers, and whether what came is what was expected."""

import asyncio
import gzip
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

FOLDER = Path(__file__).parent / "reports"
PROVIDERS = ("openai", "anthropic", "gemini", "compat", "backup", "narrow")


def case(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return read


@dataclass
class Scripted:
    """One provider: says its replies in order, the last again and again, and keeps what it was sent."""

    replies: list[dict[str, Any]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    port: int = 0
    said: int = 0

    def script(self, replies: list[dict[str, Any]]) -> None:
        self.replies, self.said = replies, 0

    def forget(self) -> None:
        self.sent, self.paths = [], []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.sent.append((await request.read()).decode())
        self.paths.append(request.path)
        if not self.replies:
            return web.json_response({"error": {"message": "nothing is scripted"}}, status=500)
        reply = self.replies[min(self.said, len(self.replies) - 1)]
        self.said += 1
        await asyncio.sleep(reply.get("delay_ms", 0) / 1000)
        return _spoken(reply)


def _spoken(reply: dict[str, Any]) -> web.StreamResponse:
    headers = dict(reply.get("headers", {}))
    if "sse" in reply:
        body = b"".join(_event(event) for event in reply["sse"])
        return web.Response(body=body, headers=headers | {"content-type": "text/event-stream"})
    body = json.dumps(reply["json"]).encode()
    headers["content-type"] = "application/json"
    if reply.get("gzip"):
        body, headers["content-encoding"] = gzip.compress(body), "gzip"
    return web.Response(body=body, status=reply.get("status", 200), headers=headers)


def _event(event: Any) -> bytes:
    if isinstance(event, str):
        return event.encode()
    if set(event) == {"event", "data"}:
        return f"event: {event['event']}\ndata: {json.dumps(event['data'])}\n\n".encode()
    return f"data: {json.dumps(event)}\n\n".encode()


@asynccontextmanager
async def scripted_providers() -> AsyncIterator[dict[str, Scripted]]:
    providers = {name: Scripted() for name in PROVIDERS}
    runners = []
    for provider in providers.values():
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", provider.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        provider.port = runner.addresses[0][1]
        runners.append(runner)
    try:
        yield providers
    finally:
        for runner in runners:
            await runner.cleanup()


def filled(value: Any, nonce: str, index: int) -> Any:
    """With the marks of a run in place of `{{nonce}}` and `{{i}}`."""
    return json.loads(json.dumps(value).replace("{{nonce}}", nonce).replace("{{i}}", str(index)))


def body_of(said: dict[str, Any]) -> bytes:
    if "hex" in said:
        return bytes.fromhex(said["hex"])
    body = said["text"].encode() if "text" in said else json.dumps(said["json"]).encode()
    return gzip.compress(body) if said.get("encode") == "gzip" else body


@dataclass
class Answer:
    """What one HTTP request brought."""

    status: int
    headers: dict[str, str]
    text: str
    seconds: float

    def json(self) -> Any:
        return orjson.loads(self.text)


def folded(text: str) -> dict[str, Any]:
    """A stream of chat chunks as `expect.stream` says it."""
    data = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    chunks = [orjson.loads(item) for item in data if item != "[DONE]"]
    said, finish, tools = "", None, {}
    for choice in (choice for chunk in chunks for choice in chunk.get("choices", ())):
        said += choice["delta"].get("content") or ""
        finish = choice["finish_reason"] or finish
        for call in choice["delta"].get("tool_calls") or ():
            tool = tools.setdefault(call["index"], {"name": "", "args": ""})
            tool["name"] += call["function"].get("name") or ""
            tool["args"] += call["function"].get("arguments") or ""
    usage = next((chunk["usage"] for chunk in chunks if chunk.get("usage")), {})
    return {
        "text": said,
        "finish": finish,
        "tools": [{"name": tool["name"], "args": orjson.loads(tool["args"])} for tool in tools.values()],
        "ids": len({chunk["id"] for chunk in chunks if "id" in chunk}),
        "done": data.count("[DONE]"),
        "error": next((chunk["error"] for chunk in chunks if "error" in chunk), None),
        **{f"usage.{name}": value for name, value in usage.items()},
    }


def holds(expected: Any, got: Any) -> bool:
    """Whether a value is the expected one, or one of a list, or fits the operators."""
    if isinstance(expected, dict) and set(expected) <= set(_OPERATORS):
        return all(_OPERATORS[name](wanted, got) for name, wanted in expected.items())
    if isinstance(expected, list) and not isinstance(got, list):
        return got in expected
    return bool(expected == got)


def _each(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


_OPERATORS: dict[str, Any] = {
    "any": lambda wanted, got: got is not None,
    "absent": lambda wanted, got: got is None,
    "contains": lambda wanted, got: all(part in (got or "") for part in _each(wanted)),
    "lacks": lambda wanted, got: not any(part in (got or "") for part in _each(wanted)),
    "min": lambda wanted, got: got >= wanted,
    "max": lambda wanted, got: got <= wanted,
    "matches": lambda wanted, got: re.search(wanted, got or "") is not None,
    "not_matches": lambda wanted, got: re.search(wanted, got or "") is None,
    "about": lambda wanted, got: abs(float(got) - wanted) <= 0.01 * abs(wanted),
}


def faults(expect: dict[str, Any], answers: list[Answer], providers: dict[str, Scripted]) -> list[str]:
    """What is not as expected; empty: all is."""
    if "any_of" in expect:
        found = [faults(one, answers, providers) for one in expect["any_of"]]
        return [] if [] in found else [f"none of: {found}"]
    last = answers[-1]
    wrong = [
        f"{name}: {wanted!r} expected, {got!r} came ({last.status} {last.text[:400]})"
        for name, wanted, got in _compared(expect, last)
        if not holds(wanted, got)
    ]
    counted = Counter(str(answer.status) for answer in answers)
    wrong += [f"statuses: {counted}" for s, n in expect.get("statuses", {}).items() if not holds(n, counted[s])]
    if "max_s" in expect and max(answer.seconds for answer in answers) > expect["max_s"]:
        wrong.append(f"took {max(answer.seconds for answer in answers):.1f} s")
    for name, wanted in expect.get("upstream", {}).items():
        provider = providers[name]
        facts = {"calls": len(provider.sent), "raw": "".join(provider.sent[-1:]), "path": "".join(provider.paths[-1:])}
        wrong += [f"{name}.{key}: {facts[key]!r}" for key in wanted if not holds(wanted[key], facts[key])]
    return wrong


def _compared(expect: dict[str, Any], last: Answer) -> list[tuple[str, Any, Any]]:
    rows = [("status", expect["status"], last.status)] if "status" in expect else []
    if "code" in expect:
        rows.append(("code", expect["code"], _at(last.json(), "error.code")))
    rows += [(f"header {name}", wanted, last.headers.get(name)) for name, wanted in expect.get("headers", {}).items()]
    rows += [(path, wanted, _at(last.json(), path)) for path, wanted in expect.get("json", {}).items()]
    if "body" in expect:
        rows.append(("body", expect["body"], last.text))
    if "stream" in expect and last.status == 200:
        got = folded(last.text)
        rows += [(f"stream {name}", wanted, got.get(name)) for name, wanted in expect["stream"].items()]
    return rows


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else (value or {}).get(key)
    return value
