"""Bytes to the caller: whole or streamed, at the right pace, cut, joined, delayed or broken as the fault says.

Knows frames and bytes, no vendor. An answer ends in one of three ways: complete; broken by us (the fault, which is
what the log says then); or left by the caller, which aiohttp tells by cancelling the handler, wherever it waits.
"""

import asyncio
import random
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from aiohttp import web

from connectors.simulator.faults import BEFORE_HEADERS, NO_FAULT, Fault
from connectors.simulator.timing import Pace
from connectors.simulator.world import Exchange

_LINGER_ZERO = struct.pack("ii", 1, 0)  # close() then sends RST instead of FIN
_DRIP_BYTES = 16
_DRIP_S = 0.002
_SPLIT_MOST_BYTES = 40
_JOINED_FRAMES = 4
_COMMENT = b": still thinking\n\n"
_BROKEN_FRAME = b'data: {"id":"chatcmpl-broken","choices":[{"index":0,"del\n\n'

Writes = Iterator[tuple[float, bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event; `tokens` is 0 for those that carry no content."""

    data: bytes
    tokens: int = 0


async def send(
    exchange: Exchange, reply: Reply, *, outcome: str, delay_s: float = 0.0, fault: Fault = NO_FAULT
) -> web.StreamResponse:
    """A whole answer after a delay; a fault of the wire breaks it in the middle of the body."""
    exchange.entry.status = reply.status
    await _wait_for_first_byte(exchange, delay_s, fault)
    if fault.kind or fault.framing:
        return await _send_broken(exchange, reply, outcome=outcome, fault=fault)
    response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    await _prepare(exchange, response)
    await response.write_eof()
    exchange.world.journal.close(exchange.entry, outcome)
    return response


async def _send_broken(exchange: Exchange, reply: Reply, *, outcome: str, fault: Fault) -> web.StreamResponse:
    body = _cut_body(reply.body, fault)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    await _prepare(exchange, response)
    framing = fault.framing & {"drip", "split_bytes"}
    await _write_all(exchange, response, _framed([(0.0, body)], framing, random.Random(len(body))))
    await _break_off(exchange, fault)
    return await _finish(exchange, response, outcome)


def _cut_body(body: bytes, fault: Fault) -> bytes:
    match fault.kind:
        case "hang_after_headers" | "empty_body":
            return b""
        case "malformed" | "early_end" | "hang_mid_stream" | "reset_mid_stream" | "close_mid_stream":
            return body[: len(body) // 2]
        case _:
            return body


async def stream(
    exchange: Exchange,
    headers: Mapping[str, str],
    frames: Iterable[Frame],
    *,
    pace: Pace,
    fault: Fault,
    rng: random.Random,
    error: bytes,
    broken: bytes = _BROKEN_FRAME,
) -> web.StreamResponse:
    """A streamed answer.

    Args:
        exchange: The request under way.
        headers: All headers.
        frames: The events of the undisturbed answer.
        pace: When they are due.
        fault: What goes wrong.
        rng: Randomness for jitter and cuts.
        error: The vendor's event for a failure after the start.
        broken: An event of the vendor that is no JSON.
    """
    exchange.entry.status = 200
    await _wait_for_first_byte(exchange, pace.first_s, fault)
    response = web.StreamResponse(headers=headers)
    await _prepare(exchange, response)
    kept = list(_cut_frames(list(frames), fault, error, broken))
    gaps = pace.gaps([frame.tokens for frame in kept], rng)
    timed = zip(gaps, (frame.data for frame in kept), strict=True)
    await _write_all(exchange, response, _framed(timed, fault.framing, rng))
    await _break_off(exchange, fault)
    return await _finish(exchange, response, fault.name or "ok")


def _cut_frames(frames: list[Frame], fault: Fault, error: bytes, broken: bytes) -> Iterable[Frame]:
    cut = cut_position(frames, fault.after)
    match fault.kind:
        case "hang_after_headers" | "empty_body":
            return ()
        case "hang_mid_stream" | "reset_mid_stream" | "close_mid_stream" | "early_end":
            return frames[:cut]
        case "error_mid_stream":
            return [*frames[:cut], Frame(error)]
        case "malformed":
            return [*frames[:cut], Frame(broken), *frames[cut:]]
        case "no_done":
            return frames[:-1]
        case _:
            return frames


def cut_position(frames: list[Frame], after: int) -> int:
    """Where `after` content frames are out, and at the latest before the finish."""
    content = [position for position, frame in enumerate(frames) if frame.tokens]
    if not content:
        return 1
    return content[0] if after == 0 else content[min(after, len(content)) - 1] + 1


# -- framing


def _framed(writes: Iterable[tuple[float, bytes]], framing: frozenset[str], rng: random.Random) -> Writes:
    """Frames into writes: the oddities in an order in which each still acts on the one before."""
    if "comments" in framing:
        writes = ((gap, _COMMENT + data) for gap, data in writes)
    if "crlf" in framing:
        writes = ((gap, data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")) for gap, data in writes)
    if framing & {"join_events", "split_bytes"}:
        writes = _joined(writes)
    if "split_bytes" in framing:
        writes = _split(writes, rng)
    if "drip" in framing:
        writes = _dripped(writes)
    return iter(writes)


def _joined(writes: Iterable[tuple[float, bytes]]) -> Writes:
    batch: list[tuple[float, bytes]] = []
    for write in writes:
        batch.append(write)
        if len(batch) == _JOINED_FRAMES:
            yield sum(gap for gap, _ in batch), b"".join(data for _, data in batch)
            batch.clear()
    if batch:
        yield sum(gap for gap, _ in batch), b"".join(data for _, data in batch)


def _split(writes: Iterable[tuple[float, bytes]], rng: random.Random) -> Writes:
    for gap, data in writes:
        start = 0
        while start < len(data):
            end = start + rng.randint(1, _SPLIT_MOST_BYTES)
            yield (gap if start == 0 else 0.0), data[start:end]
            start = end


def _dripped(writes: Iterable[tuple[float, bytes]]) -> Writes:
    for gap, data in writes:
        for start in range(0, len(data), _DRIP_BYTES):
            yield (gap if start == 0 else 0.0) + _DRIP_S, data[start : start + _DRIP_BYTES]


# -- the connection


async def _wait_for_first_byte(exchange: Exchange, delay_s: float, fault: Fault) -> None:
    exchange.entry.phase = "waiting"
    if delay_s > 0:
        await exchange.world.clock.sleep(delay_s)
    if fault.kind in BEFORE_HEADERS:
        await _break_off(exchange, fault)


async def _prepare(exchange: Exchange, response: web.StreamResponse) -> None:
    await response.prepare(exchange.request)
    exchange.world.journal.first_byte(exchange.entry)


async def _write_all(exchange: Exchange, response: web.StreamResponse, writes: Writes) -> None:
    """Writes each part when it is due, by a schedule, so that slow writes do not add up."""
    clock = exchange.world.clock
    due = clock.now()
    for gap, data in writes:
        due += gap
        if gap > 0 and (ahead := due - clock.now()) > 0:
            await clock.sleep(ahead)
        if data:
            await response.write(data)


async def _finish(exchange: Exchange, response: web.StreamResponse, outcome: str) -> web.StreamResponse:
    await response.write_eof()
    exchange.world.journal.close(exchange.entry, outcome)
    return response


async def _break_off(exchange: Exchange, fault: Fault) -> None:
    """Resets, closes or hangs where the fault says so; returns otherwise."""
    action = fault.kind.partition("_")[0]
    if action not in {"hang", "reset", "close"}:
        return
    transport = exchange.request.transport
    if action != "hang" and transport is not None:
        exchange.world.journal.close(exchange.entry, fault.name)
        if action == "reset":
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            transport.abort()
        else:
            transport.close()
    await _until_cancelled()


async def _until_cancelled() -> NoReturn:
    """Waits for the end of the connection, which cancels this handler."""
    while True:
        await asyncio.get_running_loop().create_future()
