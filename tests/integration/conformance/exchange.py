"""One case asked over Chat Completions with the real SDK, whole and streamed, and what the vendor was sent for it."""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx
import openai
from openai import AsyncOpenAI

from connectors.simulator.journal import Entry
from tests.chaos.platform import Platform

Body = dict[str, Any]
_SEARCHED_BYTES = 100_000
_OURS = ("top_k", "thinking")  # parameters that OpenAI's SDK has no name for


def nonce_of(*names: str) -> str:
    """A word that nobody else says, the same on every run."""
    return f"q{zlib.crc32('/'.join(names).encode()):08x}"


@dataclass(frozen=True)
class Clients:
    chat: openai.AsyncOpenAI
    messages: anthropic.AsyncAnthropic
    http: httpx.AsyncClient
    running: Platform


@dataclass
class Told:
    """An answer as a client keeps it: choices by index, each the message with its `finish_reason`."""

    choices: list[Body]
    usage: Body | None
    headers: Mapping[str, str]
    pieces: int = 0

    @property
    def message(self) -> Body:
        return self.choices[0]

    @property
    def text(self) -> str:
        return str(self.choices[0]["content"])

    @property
    def calls(self) -> list[Body]:
        return list(self.choices[0]["tool_calls"])

    @property
    def finish(self) -> str:
        return str(self.choices[0]["finish_reason"])

    @property
    def dropped(self) -> str:
        return self.headers.get("x-dropped-params", "")


def _kept(message: Mapping[str, Any], finish: str | None, logprobs: Any) -> Body:
    """What of a message is content; empty and absent are the same."""
    texts = {name: message.get(name) or "" for name in ("content", "reasoning_content", "refusal")}
    lists = {name: list(message.get(name) or ()) for name in ("tool_calls", "thinking_blocks")}
    return {**texts, **lists, "logprobs": (logprobs or {}).get("content") or [], "finish_reason": finish}


async def whole(sdk: AsyncOpenAI, body: Body) -> Told:
    create: Any = sdk.chat.completions.with_raw_response.create
    raw = await create(**_said(body))
    got = raw.parse().to_dict(mode="json")
    assert (got["object"], got["id"].startswith("chatcmpl-")) == ("chat.completion", True)
    assert [choice["index"] for choice in got["choices"]] == list(range(len(got["choices"])))
    assert all(choice["message"]["role"] == "assistant" for choice in got["choices"])
    choices = [_kept(c["message"], c["finish_reason"], c.get("logprobs")) for c in got["choices"]]
    return Told(choices, got["usage"], raw.headers)


async def streamed(sdk: AsyncOpenAI, body: Body, *, usage: bool = True) -> Told:
    """Folded as clients fold; the rules of provider_contracts.md 6 are asserted on the way."""
    create: Any = sdk.chat.completions.with_raw_response.create
    options = {"stream_options": {"include_usage": True}} if usage else {}
    raw = await create(**_said(body), stream=True, **options)
    chunks = [chunk.to_dict(mode="json") async for chunk in raw.parse()]
    fold = Fold()
    for chunk in chunks:
        fold.take(chunk)
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    has_usage = [bool(chunk.get("usage")) for chunk in chunks]
    assert has_usage == [False] * (len(chunks) - usage) + [True] * usage
    if usage:
        assert chunks[-1]["choices"] == []
    return Told(fold.choices(), fold.usage, raw.headers, len(chunks))


def _said(body: Body) -> Body:
    more = {name: body[name] for name in _OURS if name in body}
    return {name: value for name, value in body.items() if name not in more} | ({"extra_body": more} if more else {})


@dataclass
class Fold:
    """Pieces of a stream, by choice."""

    messages: dict[int, Body] = field(default_factory=dict)
    finishes: dict[int, str] = field(default_factory=dict)
    logprobs: dict[int, list[Any]] = field(default_factory=dict)
    usage: Body | None = None

    def take(self, chunk: Body) -> None:
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            self._choice(choice["index"], choice)

    def _choice(self, index: int, choice: Body) -> None:
        assert index not in self.finishes, "something came after the finish reason"
        delta = choice["delta"]
        if index not in self.messages:
            assert delta.get("role") == "assistant", "the first piece of a choice has its role"
        message = self.messages.setdefault(index, {"tool_calls": [], "thinking_blocks": []})
        for name in ("content", "reasoning_content", "refusal"):
            message[name] = message.get(name, "") + (delta.get(name) or "")
        message["thinking_blocks"] += delta.get("thinking_blocks") or ()
        for piece in delta.get("tool_calls") or ():
            _take_call(message["tool_calls"], piece)
        self.logprobs.setdefault(index, []).extend((choice.get("logprobs") or {}).get("content") or ())
        if choice.get("finish_reason"):
            self.finishes[index] = choice["finish_reason"]

    def choices(self) -> list[Body]:
        return [
            _kept(message, self.finishes.get(index), {"content": self.logprobs[index]})
            for index, message in sorted(self.messages.items())
        ]


def _take_call(calls: list[Body], piece: Body) -> None:
    if piece["index"] == len(calls):
        assert {"id", "type", "function"} <= piece.keys(), "the first piece of a call names it"
        calls.append({key: value for key, value in piece.items() if key != "index"})
        calls[-1]["function"] = {"arguments": "", **piece["function"]}
        return
    assert piece.keys() == {"index", "function"}, "further pieces hold arguments only"
    calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]


def sent(running: Platform, nonce: str) -> list[Entry]:
    """What arrived at the vendor with this word in it; the word stands before anything large."""
    word = nonce.encode()
    return [
        entry for entry in running.simulator.world.journal.entries if entry.body.find(word, 0, _SEARCHED_BYTES) >= 0
    ]


def at(value: Any, path: str) -> Any:
    """`messages.-1.content.0.text` of parsed JSON; None where the path leads nowhere."""
    for name in path.split("."):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value


class Launched:
    """Exchanges started together, a few at a time; each test waits for its own and judges it alone."""

    def __init__(self, most: int = 12) -> None:
        self._slots = asyncio.Semaphore(most)
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    def start(self, name: str, work: Callable[[], Any]) -> None:
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._run(work))

    async def result(self, name: str) -> Any:
        return await self._tasks[name]

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, work: Callable[[], Any]) -> Any:
        async with self._slots:
            return await work()
