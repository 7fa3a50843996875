"""Streams through the whole platform: they arrive as they come, end cleanly or say that they did not, and can be left."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.chaos.platform import KEY, Platform, Reader, platform

pytestmark = pytest.mark.alone

MIDDLE = ("close_mid_stream", "reset_mid_stream", "early_end", "error_mid_stream", "malformed")
FIRST = ("provider_fault", "overloaded", "reset", "close", "empty_body", "html_502", "error_200")


@dataclass
class Stream:
    """What a client saw: data events with the moment of each."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    done: int = 0

    @property
    def text(self) -> str:
        return "".join(
            c["delta"].get("content") or "" for e in self.events for c in e.get("choices", ()) if "delta" in c
        )

    @property
    def finish_reasons(self) -> list[str]:
        return [c["finish_reason"] for e in self.events for c in e.get("choices", ()) if c.get("finish_reason")]

    @property
    def errors(self) -> list[str]:
        return [event["error"]["code"] for event in self.events if "error" in event]

    @property
    def content_moments(self) -> list[float]:
        pairs = zip(self.events, self.moments, strict=True)
        return [m for e, m in pairs if e.get("choices") and e["choices"][0]["delta"].get("content")]


@contextlib.asynccontextmanager
async def client_of(running: Platform) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=200)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=running.gateway, headers=headers, timeout=60, limits=limits) as client:
        yield client


def body(text: str, *, stream: bool = True, model: str = "steady") -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}


async def read(client: httpx.AsyncClient, text: str, *, pieces: int | None = None, model: str = "steady") -> Stream:
    """Reads to the end, or hangs up after so many events."""
    stream = Stream()
    async with client.stream("POST", "/v1/chat/completions", json=body(text, model=model)) as response:
        stream.status, stream.headers = response.status_code, dict(response.headers)
        if response.status_code != 200:
            stream.events.append(orjson.loads(await response.aread()))
            stream.moments.append(time.time())
            return stream
        async for frame in frames(response):
            if frame == b"data: [DONE]":
                stream.done += 1
            elif frame.startswith(b"data: "):
                assert not stream.done
                stream.events.append(orjson.loads(frame[6:]))
                stream.moments.append(time.time())
            if pieces is not None and len(stream.events) >= pieces:
                return stream
    return stream


async def frames(response: httpx.Response) -> AsyncIterator[bytes]:
    """SSE frames by their bytes: httpx's own lines end at U+2028 and U+0085 as well, which may stand in a text."""
    rest = b""
    async for data in response.aiter_bytes():
        *whole, rest = (rest + data).split(b"\n\n")
        for frame in whole:
            yield frame
    assert rest == b""


async def stored(running: Platform, streams: list[Stream]) -> dict[str, Any]:
    """The outcomes of these streams on `responses`, by request id."""
    wanted = {stream.headers["x-request-id"] for stream in streams}
    reader = Reader()
    await reader.read(running.kafka, lambda r: wanted <= {name for _, name in r.first}, 30)
    return {name: response for (_, name), response in reader.first.items() if name in wanted}


def check_clean(stream: Stream, response: Any) -> None:
    answer = orjson.loads(response.body)["choices"][0]
    assert stream.errors == []
    assert stream.text == answer["message"]["content"]
    assert stream.finish_reasons == [answer["finish_reason"]]
    assert stream.done == 1


@pytest.mark.timeout(120)
async def test_streams_arrive_as_they_come_and_can_be_left(tmp_path: Path) -> None:
    async with platform(tmp_path) as running, client_of(running) as client:
        report: dict[str, Any] = {}
        await read(client, "warm up [[sim: tokens=20]]")
        await arrives_as_it_comes(running, client, report)
        await hang_ups_cancel(running, client, report)
        await many_at_once(running, client, report)
        (tmp_path / "report.json").write_bytes(orjson.dumps(report))


async def arrives_as_it_comes(running: Platform, client: httpx.AsyncClient, report: dict[str, Any]) -> None:
    stream = await read(client, "one [[sim: tokens=60 cadence_ms=50 latency_ms=50]]")
    entry = running.simulator.world.journal.entries[-1]
    moments = stream.content_moments
    gaps = sorted(b - a for a, b in itertools.pairwise(moments))
    report["one"] = {
        "first_ms": round(1000 * (moments[0] - (entry.first_byte_at or 0))),
        "gap_median_ms": round(1000 * gaps[len(gaps) // 2]),
        "gap_max_ms": round(1000 * gaps[-1]),
        "arrivals": len(moments),
    }
    check_clean(stream, (await stored(running, [stream]))[stream.headers["x-request-id"]])
    assert len(moments) >= 20, report  # 60 pieces, and a machine that does other things
    assert moments[0] < (entry.finished_at or 0), report


async def hang_ups_cancel(running: Platform, client: httpx.AsyncClient, report: dict[str, Any]) -> None:
    """In the middle, before the first byte, and unstreamed: each ends the provider's call."""
    journal = running.simulator.world.journal

    async def left(mark: str) -> float:
        gone = time.time()
        entries = await journal.wait(lambda e: mark.encode() in e.body and e.outcome == "hung_up", timeout_s=5)
        assert entries, (mark, [e.public() for e in journal.entries if mark.encode() in e.body])
        return round((entries[0].hung_up_at or 0) - gone, 3)

    await read(client, "leave-middle [[sim: tokens=400 cadence_ms=50]]", pieces=5)
    report["left_middle_s"] = await left("leave-middle")

    for mark, stream in (("leave-early", True), ("leave-whole", False)):
        text = f"{mark} [[sim: latency_ms=20000]]"
        waiting = asyncio.create_task(client.post("/v1/chat/completions", json=body(text, stream=stream)))
        assert await journal.wait(lambda e, mark=mark: mark.encode() in e.body)  # type: ignore[misc]
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        report[f"{mark}_s"] = await left(mark)
    assert all(report[name] <= 2 for name in ("left_middle_s", "leave-early_s", "leave-whole_s")), report


async def many_at_once(running: Platform, client: httpx.AsyncClient, report: dict[str, Any]) -> None:
    started = time.monotonic()
    texts = [f"stream {number} [[sim: tokens=150 cadence_ms=20]]" for number in range(64)]
    streams = await asyncio.gather(*(read(client, text) for text in texts))
    gaps = sorted(b - a for s in streams for a, b in zip(s.content_moments, s.content_moments[1:], strict=False))
    report["many"] = {
        "took_s": round(time.monotonic() - started, 2),
        "arrivals": sum(len(stream.content_moments) for stream in streams),
        "gap_p50_ms": round(1000 * gaps[len(gaps) // 2]),
        "gap_p99_ms": round(1000 * gaps[int(len(gaps) * 0.99)]),
    }
    responses = await stored(running, list(streams))
    for stream in streams:
        check_clean(stream, responses[stream.headers["x-request-id"]])


@pytest.mark.timeout(120)
async def test_faults_of_a_stream_are_told_or_mended_never_hidden(tmp_path: Path) -> None:
    async with platform(tmp_path) as running, client_of(running) as client:
        cut = {k: f"{k} [[sim: fault={k} after=8 tokens=60 cadence_ms=20]]" for k in MIDDLE}
        middle = await asyncio.gather(*(read(client, cut[k], model="strict") for k in MIDDLE))
        mended = await asyncio.gather(*(read(client, cut[k]) for k in MIDDLE))
        first = await asyncio.gather(
            *(read(client, f"{k} [[sim: fault={k} model=gpt-4.1-mini tokens=20]]") for k in FIRST)
        )
        responses = await stored(running, [*middle, *mended, *first])
        report = {
            "mended": {k: [s.status, len(s.text), s.errors, s.done] for k, s in zip(MIDDLE, mended, strict=True)},
            "middle": {k: [s.status, len(s.text), s.errors, s.done] for k, s in zip(MIDDLE, middle, strict=True)},
            "first": {k: [s.status, s.headers.get("x-model"), s.errors] for k, s in zip(FIRST, first, strict=True)},
        }
        (tmp_path / "report.json").write_bytes(orjson.dumps(report))
        for kind, stream in zip(MIDDLE, middle, strict=True):
            response = responses[stream.headers["x-request-id"]]
            assert response.outcome == "error", (kind, report)
            assert len(stream.errors) == 1, (kind, report)
            assert stream.finish_reasons == [], (kind, report)
            assert stream.text, (kind, report)
        for kind, stream in zip(MIDDLE, mended, strict=True):
            response = responses[stream.headers["x-request-id"]]
            assert (response.attempts, response.model) == (2, "gpt-4.1-nano"), (kind, report)
            check_clean(stream, response)
        for kind, stream in zip(FIRST, first, strict=True):
            assert stream.status == 200, (kind, report)
            response = responses[stream.headers["x-request-id"]]
            assert response.model == "gpt-4.1-nano", (kind, report)
            check_clean(stream, response)
