"""The driver against a raw server: every way in which a call can end, and what the server sees of it."""

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.providers import Delta, ProviderCall, driver, egress
from connectors.providers.driver import CallResult, Driver, ProviderEndpoint
from connectors.providers.egress import EgressRefusedError
from connectors.providers.limits import Timeouts
from schemas.errors import ErrorKind, ProviderError

KEY = "sk-secret-0123456789"
ANSWER = {
    "id": "chatcmpl-v1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 6, "total_tokens": 36},
}
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nx-request-id: req_1\r\n\r\n"
)


class Connection:
    """One connection as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: "RawServer") -> None:
        self.reader, self.writer, self.server = reader, writer, server

    async def request(self) -> bool:
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return False
        line, *fields = head.split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        body = await self.reader.readexactly(int(headers["content-length"]))
        self.server.requests.append((line, headers, body))
        return True

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(
        self, body: bytes, *, status: int = 200, headers: str = "content-type: application/json\r\n"
    ) -> None:
        head = f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n"
        await self.send(head.encode() + body)

    async def piece(self, data: bytes) -> None:
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, choice: dict[str, Any] | None = None, **envelope: Any) -> None:
        chunk = {"id": "chatcmpl-v1", "choices": [] if choice is None else [{"index": 0, **choice}], **envelope}
        await self.piece(f"data: {json.dumps(chunk)}\n\n".encode())

    def reset(self) -> None:
        self.writer.transport.abort()

    async def hung_up(self) -> None:
        """Returns when the client has closed the connection."""
        try:
            while await self.reader.read(65536):
                continue
        except ConnectionError:
            pass  # a reset is a hang-up too
        self.server.hang_ups.set()


Script = Callable[[Connection], Awaitable[None]]


class RawServer:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.hang_ups = asyncio.Event()
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = Connection(reader, writer, self)
        try:
            while await connection.request():
                await self.script(connection)
        except ConnectionError:
            return
        finally:
            self.hang_ups.set()
            writer.close()


@asynccontextmanager
async def serving(script: Script, **endpoint: Any) -> AsyncIterator[tuple[RawServer, Driver]]:
    raw = RawServer(script)
    server = await asyncio.start_server(raw.handle, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    client = Driver(
        ProviderEndpoint(
            **{
                "name": "compat",
                "base_url": f"http://127.0.0.1:{raw.port}/v1",
                "adapter": "openai-compatible",
                "api_key": KEY,
                "allow_private_egress": True,
                **endpoint,
            }
        )
    )
    try:
        yield raw, client
    finally:
        await client.aclose()
        server.close()
        await server.wait_closed()


def chat(content: str = "Say fine.", *, stream: bool = False, **body: Any) -> ProviderCall:
    return ProviderCall({"model": "asked", "messages": [{"role": "user", "content": content}], **body}, "m", stream)


async def ask(client: Driver, call: ProviderCall | None = None, timeout_s: float = 20.0, **kw: Any) -> CallResult:
    return await client.complete(call or chat(), model="qwen3-edge-8b", timeout_s=timeout_s, **kw)


def failed(result: CallResult) -> ProviderError:
    assert result.completion is None
    assert result.error is not None
    error = result.error
    assert (error.provider, error.model) == ("compat", "qwen3-edge-8b")
    assert not any(word in repr(result) for word in (KEY, "127.0.0.1", "Traceback"))
    return error


async def fine(connection: Connection) -> None:
    await connection.answer(json.dumps(ANSWER).encode())


async def fine_stream(connection: Connection, *, done: bytes = b"data: [DONE]\n\n") -> None:
    await connection.send(SSE_HEAD)
    await connection.event({"delta": {"role": "assistant", "content": "fi"}})
    await connection.event({"delta": {"content": "ne"}, "finish_reason": "stop"})
    await connection.event(usage=ANSWER["usage"])
    await connection.piece(done or b": bye\n\n")
    await connection.send(b"0\r\n\r\n")


async def hang(connection: Connection) -> None:
    await connection.hung_up()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_an_answer_comes_and_the_path_is_the_same_with_and_without_a_final_slash(slash: str) -> None:
    async with serving(fine) as (server, _):
        client = Driver(
            ProviderEndpoint(
                "compat",
                f"http://127.0.0.1:{server.port}/v1{slash}",
                "openai-compatible",
                f" {KEY}\n",
                allow_private_egress=True,
            )
        )
        result = await ask(client, chat(max_completion_tokens=5, user="u"))
        await client.aclose()
    assert result.completion is not None
    assert result.completion.choices[0].text == "fine"
    assert (result.error, result.first_event_ms, result.bytes_sent, result.dropped) == (None, None, True, ("user",))
    line, headers, body = server.requests[0]
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(body)["max_tokens"] == 5


async def test_a_stream_comes_piece_by_piece_and_ends_like_the_whole_answer() -> None:
    seen, got_first = list[Delta](), asyncio.Event()

    def on_delta(deltas: list[Delta]) -> None:
        seen.extend(deltas)
        got_first.set()

    async def script(connection: Connection) -> None:
        if b'"stream":true' not in connection.server.requests[-1][2]:
            return await fine(connection)
        await connection.send(SSE_HEAD)
        await connection.event({"delta": {"role": "assistant", "content": "fi"}})
        await got_first.wait()  # nothing more is sent until the first piece has arrived
        await connection.event({"delta": {"content": "ne"}, "finish_reason": "stop"}, usage=ANSWER["usage"])
        await connection.piece(b"data: [DONE]\n\n")
        return await connection.send(b"0\r\n\r\n")

    async with serving(script) as (_, client):
        streamed = await ask(client, chat(stream=True), on_delta=on_delta)
        whole = await ask(client)
    assert [delta.delta for delta in seen] == [{"role": "assistant", "content": "fi"}, {"content": "ne"}]
    assert streamed.completion == whole.completion
    assert streamed.first_event_ms is not None
    assert streamed.first_event_ms <= streamed.duration_ms
    assert streamed.vendor_request_id == "req_1"


async def test_finished_answers_keep_the_connection() -> None:
    async def script(connection: Connection) -> None:
        await (fine if len(connection.server.requests) % 2 else fine_stream)(connection)

    async with serving(script) as (server, client):
        for at in range(4):
            result = await ask(client, chat(stream=bool(at % 2)))
            assert result.completion is not None, result
    assert server.connections == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_compressed_answer_is_read_although_none_was_asked_for(stream: bool) -> None:
    async def script(connection: Connection) -> None:
        if not stream:
            body, kind = json.dumps(ANSWER).encode(), "application/json"
        else:
            chunk = {**ANSWER, "choices": [{"delta": {"content": "fine"}, "finish_reason": "stop"}]}
            body, kind = f"data: {json.dumps(chunk)}\n\n".encode(), "text/event-stream"
        headers = f"content-type: {kind}\r\ncontent-encoding: gzip\r\n"
        await connection.answer(gzip.compress(body), headers=headers)

    async with serving(script) as (server, client):
        result = await ask(client, chat(stream=stream))
    assert result.completion is not None
    assert (result.completion.choices[0].text, result.completion.usage.input_tokens) == ("fine", 30)
    assert server.requests[0][1]["accept-encoding"] == "identity"


async def test_bytes_that_cannot_be_decompressed_are_a_malformed_reply() -> None:
    async def script(connection: Connection) -> None:
        await connection.answer(b"no gzip", headers="content-encoding: gzip\r\n")

    async with serving(script) as (_, client):
        assert failed(await ask(client)).kind is ErrorKind.MALFORMED_REPLY


async def test_redirects_are_not_followed() -> None:
    async def script(connection: Connection) -> None:
        await connection.answer(b"", status=307, headers=f"location: http://127.0.0.1:{connection.server.port}/x\r\n")

    async with serving(script) as (server, client):
        error = failed(await ask(client))
    assert (error.kind, error.status, error.code) == (ErrorKind.PROVIDER_FAULT, 307, "redirect_refused")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ("retry-after: 0.4\r\n", 0.4),
        ("retry-after: -5\r\n", 0),
        ("x-ratelimit-reset-tokens: 6m0s\r\n", 360),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 200])
async def test_a_rate_limit_says_how_long_whatever_its_status(status: int, headers: str, wait: float | None) -> None:
    async def script(connection: Connection) -> None:
        body = b'{"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}'
        await connection.answer(body, status=status, headers=headers)

    async with serving(script) as (_, client):
        error = failed(await ask(client))
    assert (error.kind, error.retry_after_s) == (ErrorKind.RATE_LIMITED, wait)


async def test_a_good_answer_says_when_the_next_one_would_fit() -> None:
    limits = (
        "x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: {}\r\nx-ratelimit-reset-requests: 1m0s\r\n"
    )

    async def script(connection: Connection) -> None:
        left = 2 - len(connection.server.requests)
        await connection.answer(json.dumps(ANSWER).encode(), headers=limits.format(left))

    async with serving(script) as (_, client):
        pauses_s = [(await ask(client)).pause_s for _ in range(2)]
    assert pauses_s[0] == 0.0 < pauses_s[1] <= 1.0


async def test_a_key_that_the_vendor_repeats_is_not_shown() -> None:
    async def script(connection: Connection) -> None:
        body = {"error": {"message": f"{'x ' * 145}wrong key {KEY} at http://127.0.0.1/x", "code": "invalid_api_key"}}
        await connection.answer(json.dumps(body).encode(), status=401)

    async with serving(script) as (_, client):
        error = failed(await ask(client))
    assert error.kind is ErrorKind.AUTH
    assert "sk-" not in error.message


async def test_the_callers_deadline_is_told_apart_and_the_server_sees_the_hang_up() -> None:
    async with serving(hang, max_connections=1) as (server, client):
        result = await ask(client, timeout_s=0.2)
        await server.hang_ups.wait()
        assert (failed(result).kind, result.deadline, result.usage) == (ErrorKind.TIMEOUT, True, None)
        server.script = fine  # the only place is free again
        assert (await ask(client)).completion is not None


async def test_without_time_nothing_is_sent() -> None:
    async with serving(fine) as (server, client):
        result = await ask(client, timeout_s=0)
    assert (failed(result).code, result.deadline, result.bytes_sent) == ("deadline_exceeded", True, False)
    assert server.connections == 0


async def test_the_providers_own_total_is_no_deadline() -> None:
    async with serving(hang, timeouts=Timeouts(total_s=0.2)) as (server, client):
        result = await ask(client)
        await server.hang_ups.wait()
    assert (failed(result).kind, failed(result).code, result.deadline) == (ErrorKind.TIMEOUT, "total_timeout", False)


@pytest.mark.parametrize("drip", [b"", b": wait\n\n", b'data: {"id"'])
async def test_a_stream_without_a_first_event_ends_in_time(drip: bytes) -> None:
    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD)
        if drip:
            await connection.piece(drip)
        await connection.hung_up()

    async with serving(script, timeouts=Timeouts(first_event_s=0.2)) as (server, client):
        result = await ask(client, chat(stream=True))
        await server.hang_ups.wait()
    assert (failed(result).code, result.first_event_ms, result.usage) == ("first_event_timeout", None, None)


async def test_a_stream_that_falls_silent_ends_after_the_gap_with_what_came_in_the_books() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD)
        await connection.event({"delta": {"role": "assistant", "content": "twenty bytes of text"}})
        await connection.piece(b": still here\n\n")
        await connection.hung_up()

    async with serving(script, timeouts=Timeouts(gap_s=0.05)) as (server, client):
        result = await ask(client, chat(stream=True))
        await server.hang_ups.wait()
    assert (failed(result).kind, failed(result).code) == (ErrorKind.TIMEOUT, "gap_timeout")
    assert result.first_event_ms is not None
    assert result.usage is not None
    assert (result.usage.output_tokens, result.usage.estimated) == (5, True)


@pytest.mark.parametrize("ending", ["hang", "reset", "close"])
async def test_an_answer_that_was_finished_counts_however_the_stream_ends(ending: str) -> None:
    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD)
        await connection.event({"delta": {"content": "fine"}, "finish_reason": "stop"}, usage=ANSWER["usage"])
        if ending == "hang":
            await connection.hung_up()
        elif ending == "reset":
            connection.reset()
        else:
            connection.writer.close()

    async with serving(script, timeouts=Timeouts(gap_s=0.05)) as (_, client):
        result = await ask(client, chat(stream=True))
    assert result.completion is not None
    assert result.usage == result.completion.usage


async def test_a_connection_held_open_after_the_last_event_costs_no_time() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD)
        await connection.event({"delta": {"content": "fine"}, "finish_reason": "stop"})
        await connection.piece(b"data: [DONE]\n\n")
        await connection.hung_up()

    async with serving(script) as (server, client):
        result = await ask(client, chat(stream=True))
        await server.hang_ups.wait()
    assert result.completion is not None
    assert result.duration_ms < 5000  # the gap would be 30 s


async def test_a_connection_refused_is_known_to_have_sent_nothing() -> None:
    async with serving(fine) as (server, _):
        port = server.port
    client = Driver(ProviderEndpoint("compat", f"http://127.0.0.1:{port}", "openai", KEY, allow_private_egress=True))
    result = await ask(client)
    await client.aclose()
    assert (failed(result).kind, failed(result).code, result.bytes_sent) == (ErrorKind.TRANSPORT, "connect", False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("when", ["before", "inside"])
@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_lost_connection_is_transport(stream: bool, when: str, how: str) -> None:
    async def script(connection: Connection) -> None:
        if when == "inside" and stream:
            await connection.send(SSE_HEAD)
            await connection.event({"delta": {"content": "fi"}})
        elif when == "inside":
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
        if how == "reset":
            connection.reset()
        else:
            connection.writer.close()

    async with serving(script) as (server, client):
        result = await ask(client, chat(stream=stream))
    assert (failed(result).kind, result.bytes_sent) == (ErrorKind.TRANSPORT, True)
    assert len(server.requests) == 1, "nothing is retried here"


async def test_a_stream_that_ends_politely_without_a_finish_reason_is_transport() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD)
        await connection.event({"delta": {"content": "fi"}})
        await connection.piece(b"data: [DONE]\n\n")
        await connection.send(b"0\r\n\r\n")

    async with serving(script) as (_, client):
        assert failed(await ask(client, chat(stream=True))).code == "early_end"


async def test_an_error_inside_a_stream_ends_it_at_once() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD)
        await connection.piece(b'data: {"error": {"message": "Overloaded", "code": "server_is_overloaded"}}\n\n')
        await connection.hung_up()

    async with serving(script) as (server, client):
        error = failed(await ask(client, chat(stream=True)))
        await server.hang_ups.wait()
    assert error.kind is ErrorKind.OVERLOADED


@pytest.mark.parametrize("body", [ANSWER, {"error": {"message": "Rate limit exceeded", "code": 429}}])
async def test_json_instead_of_a_stream_is_read_as_what_it_is(body: dict[str, Any]) -> None:
    async def script(connection: Connection) -> None:
        await connection.answer(json.dumps(body).encode())

    async with serving(script) as (_, client):
        result = await ask(client, chat(stream=True))
    assert (result.completion is not None) == ("choices" in body)
    assert result.error is None or result.error.kind is ErrorKind.RATE_LIMITED


async def test_garbage_instead_of_http_is_a_malformed_reply() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await connection.hung_up()

    async with serving(script) as (_, client):
        assert failed(await ask(client)).kind is ErrorKind.MALFORMED_REPLY


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 500])
async def test_an_endless_answer_is_cut_off(status: int, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "MAX_ANSWER_BYTES", 100_000)

    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD.replace(b"200", str(status).encode()))
        while not connection.writer.is_closing():
            await connection.piece(b": " + b"x" * 10_000 + b"\n\n")

    async with serving(script) as (_, client):
        error = failed(await ask(client, chat(stream=stream)))
    assert (error.kind, error.code) == (ErrorKind.MALFORMED_REPLY, "response_too_large")


async def test_an_endless_event_is_cut_off() -> None:
    async def script(connection: Connection) -> None:
        await connection.send(SSE_HEAD)
        await connection.event({"delta": {"content": "fi"}})
        while not connection.writer.is_closing():
            await connection.piece(b"x" * 1_000_000)

    async with serving(script) as (_, client):
        error = failed(await ask(client, chat(stream=True)))
    assert (error.kind, error.code) == (ErrorKind.MALFORMED_REPLY, "response_too_large")


@pytest.mark.parametrize("phase", ["before the headers", "inside a body", "inside a stream"])
async def test_cancelling_closes_the_connection_at_once_in_every_phase(phase: str) -> None:
    ready = asyncio.Event()

    async def script(connection: Connection) -> None:
        if phase == "inside a body":
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
        elif phase == "inside a stream":
            await connection.send(SSE_HEAD)
            await connection.event({"delta": {"content": "fi"}})
        if phase != "inside a stream":
            ready.set()
        await connection.hung_up()

    async with serving(script) as (server, client):
        call = chat(stream=phase == "inside a stream")
        task = asyncio.create_task(ask(client, call, on_delta=lambda _: ready.set()))
        await ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.hang_ups.wait()


@pytest.mark.parametrize("ends_by", ["limit", "cancel"])
async def test_a_handshake_that_never_ends_is_ended(ends_by: str) -> None:
    connected, hung_up = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        while await reader.read(65536):
            continue
        hung_up.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    limits = Timeouts(connect_s=0.05 if ends_by == "limit" else 20)
    client = Driver(ProviderEndpoint("compat", url, "openai", KEY, limits, allow_private_egress=True))
    task = asyncio.create_task(ask(client))
    if ends_by == "limit":
        result = await task
        assert (failed(result).kind, failed(result).code) == (ErrorKind.TIMEOUT, "connect_timeout")
        assert (result.bytes_sent, result.deadline) == (False, False)
    else:
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await hung_up.wait()
    await client.aclose()
    server.close()
    await server.wait_closed()


async def test_a_large_request_goes_out_whole_with_its_length() -> None:
    text = "x" * 3_000_000
    async with serving(fine) as (server, client):
        assert (await ask(client, chat(text))).completion is not None
    _, headers, body = server.requests[0]
    assert "transfer-encoding" not in headers
    assert json.loads(body)["messages"][0]["content"] == text


async def test_half_an_emoji_goes_out_as_valid_utf8() -> None:
    async with serving(fine) as (server, client):
        assert (await ask(client, chat("cut \ud83d here \ud83d\ude00"))).completion is not None
    assert json.loads(server.requests[0][2].decode("utf-8"))["messages"][0]["content"] == "cut \ufffd here 😀"


async def test_a_part_that_the_server_cannot_take_is_refused_before_any_call() -> None:
    call = ProviderCall({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "m")
    async with serving(fine) as (server, client):
        result = await ask(client, call)
    assert (failed(result).kind, result.bytes_sent) == (ErrorKind.INVALID_REQUEST, False)
    assert server.connections == 0


class _Rebound(AbstractResolver):
    """A name of the outside world whose server answers with an address of ours."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        return None


async def test_a_name_that_resolves_to_a_private_address_is_refused_when_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress, "DefaultResolver", _Rebound)
    async with serving(fine) as (server, _):
        client = Driver(ProviderEndpoint("compat", f"http://rebound.example:{server.port}/v1", "openai", KEY))
        result = await ask(client)
        await client.aclose()
    assert (failed(result).code, result.bytes_sent) == ("egress_refused", False)
    assert server.connections == 0


async def test_a_private_address_is_refused_from_the_start() -> None:
    with pytest.raises(EgressRefusedError):
        Driver(ProviderEndpoint("compat", "http://127.0.0.1:1/v1", "openai", KEY))


@pytest.mark.parametrize("key", ["sk-a\nb", "sk a", "sk-\u00e4", "sk-\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="provider compat: the key") as refused:
        Driver(ProviderEndpoint("compat", "https://example.com/v1", "openai", key))
    assert key not in str(refused.value)


def test_an_unknown_adapter_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown adapter"):
        Driver(ProviderEndpoint("compat", "https://example.com/v1", "smtp"))


def test_a_key_shows_in_no_repr() -> None:
    endpoint = ProviderEndpoint("compat", "https://example.com/v1", "openai", KEY)
    assert KEY not in repr(endpoint) + repr(Driver(endpoint))


async def test_a_provider_without_a_key_gets_no_credential() -> None:
    async with serving(fine, api_key=None) as (server, client):
        assert (await ask(client)).completion is not None
    assert "authorization" not in server.requests[0][1]
