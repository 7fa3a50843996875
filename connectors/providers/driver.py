"""Carries out a call to a provider: the only module that touches httpx, and the only place where a key meets a request.

1. `adapter.to_wire` says what to send; the key is added here.
2. The answer is read as bytes, decompressed if need be, whole or event by event; pieces go to `on_delta` as they come.
3. `adapter` reads it; the driver names the provider and adds what headers say about waiting.

Every end gives the connection back: finished answers keep it alive, all others close it at once, also when the task is
cancelled before the headers, inside a body or a stream. Nothing is retried here, not even a connection that went
stale: vendors do not recognise duplicates, so each attempt is the router's decision and stands in the books.

httpx's transport is used without its client: what the client adds (redirects, cookies, proxies from the environment,
a log line with the URL) is what a provider call must not have, and it takes a quarter of the CPU of a call (540
against 410 us).
"""

import functools
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from connectors.providers import ADAPTERS
from connectors.providers.adapter import Delta, Estimate, ProviderCall, StreamParser, WireRequest, rough_usage
from connectors.providers.egress import GuardedResolver, checked_base_url
from connectors.providers.error_bodies import names_state
from connectors.providers.failures import failure_of
from connectors.providers.limits import Limits, Timeouts
from connectors.providers.rate_limits import pause_s
from connectors.providers.retry_after import retry_after_s
from connectors.providers.scrub import scrubbed
from connectors.providers.sse import EventTooLargeError, SSEParser
from schemas.completion import Answer, Usage
from schemas.errors import STATE_REFUSED, ErrorKind, ProviderError

__all__ = ["CallResult", "Driver", "OnDelta", "OnWire", "ProviderEndpoint", "Timeouts"]

OnDelta = Callable[[list[Delta]], None]
OnWire = Callable[[WireRequest], None]

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
# After the vendor's last event the end of the body is waited for a moment: only then the connection can be used again.
_LINGER_S: Final = 0.1
# Longer than most servers keep theirs: their close is seen at once, and a handshake saved is a first token sooner.
_KEEP_ALIVE_S: Final = 30.0
# aiohttp writes a bytes body in one go and warns above 1 MiB.
_PIECE_BYTES: Final = 256 * 1024
_HEADERS: Final = {"user-agent": "millrace", "accept-encoding": "identity"}
_LOST = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True)
class ProviderEndpoint:
    """Who a provider is; the key shows in no repr."""

    name: str
    base_url: str
    adapter: str
    api_key: str | None = field(default=None, repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)
    allow_private_egress: bool = False
    max_connections: int = 256


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call ended: either `completion` or `error` is there.

    Attributes:
        first_event_ms: from the start to the first event of a stream; None for unstreamed calls.
        bytes_sent: false if the request certainly did not leave: asking again costs nothing.
        deadline: the caller's own deadline ended it, which says nothing about the provider.
        usage: of the completion, or an estimate of what came before an error; None if nothing came.
        dropped: parameters of the request that were left out.
        pause_s: until one more call like this fits the vendor's rate limits, by the headers of a good answer.
    """

    completion: Answer | None
    error: ProviderError | None
    first_event_ms: int | None
    duration_ms: int
    vendor_request_id: str | None
    bytes_sent: bool
    deadline: bool = False
    usage: Usage | None = None
    dropped: tuple[str, ...] = ()
    pause_s: float = 0.0


@dataclass(slots=True)
class _Run:
    """One call under way."""

    call: ProviderCall
    limits: Limits
    on_delta: OnDelta | None
    on_first_event: Callable[[], None] | None = None
    started: float = field(default_factory=time.monotonic)
    first_event_ms: int | None = None
    vendor_request_id: str | None = None
    bytes_sent: bool = True
    parser: StreamParser | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    headers_at: float = 0.0

    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


class Driver:
    """Of one provider; keeps its connections alive. Needs no loop until the first call.

    Raises:
        ValueError: the adapter is unknown, or the key holds white space.
        EgressRefusedError: the base URL may not be called.
    """

    def __init__(self, provider: ProviderEndpoint, *, estimate: Estimate = rough_usage) -> None:
        if provider.adapter not in ADAPTERS:
            raise ValueError(f"provider {provider.name}: unknown adapter {provider.adapter}")
        self._provider = provider
        self._adapter = ADAPTERS[provider.adapter]
        self._estimate = estimate
        self._key = _checked_key(provider)
        self._base_url = checked_base_url(provider.base_url, allow_private=provider.allow_private_egress)
        self._host = httpx.URL(self._base_url).host
        self._urls: dict[str, httpx.URL] = {}
        connect_s = provider.timeouts.connect_s
        self._extensions = {"timeout": {"connect": connect_s, "pool": connect_s}}
        self._transport = AiohttpTransport(verify=_tls(), client=self._session)

    async def complete(
        self,
        call: ProviderCall,
        *,
        model: str,
        timeout_s: float,
        on_delta: OnDelta | None = None,
        on_wire: OnWire | None = None,
        on_first_event: Callable[[], None] | None = None,
    ) -> CallResult:
        """Makes the call; every failure is in the result.

        Args:
            call: what to ask.
            model: the catalogue's name, for the error.
            timeout_s: what is left until the caller's deadline.
            on_delta: gets the pieces of a stream as they come, those of one network read at once; must not block.
            on_wire: is told what goes out, just before.
            on_first_event: is told that the first event of a stream came, whatever it holds.
        """
        run = _Run(call, Limits(self._provider.timeouts, timeout_s), on_delta, on_first_event)
        wire = self._adapter.to_wire(call)
        if isinstance(wire, ProviderError):
            run.bytes_sent = False
            return self._result(run, wire, model, ())
        if on_wire is not None:
            on_wire(wire)
        return self._result(run, await self._outcome(wire, run), model, wire.dropped)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _outcome(self, wire: WireRequest, run: _Run) -> Answer | ProviderError:
        """However a stream ended: if the vendor had finished by then, it is an answer."""
        if run.limits.are_over:
            run.bytes_sent = False
            return run.limits.error()
        try:
            async with run.limits.timer:
                return await self._exchange(wire, run)
        except TimeoutError:
            failed = run.limits.error()
        except httpx.DecodingError:
            failed = _malformed("undecodable", "the answer cannot be decompressed")
        except EventTooLargeError:
            failed = _malformed("response_too_large", "an event of the answer is too large")
        except _LOST as raised:
            failure = failure_of(raised)
            failed, run.bytes_sent = failure.error, failure.bytes_sent
        told = run.parser.finish() if run.parser is not None else failed
        return told if not isinstance(told, ProviderError) else failed

    async def _exchange(self, wire: WireRequest, run: _Run) -> Answer | ProviderError:
        if wire.stream:
            run.limits.hold("first_event", self._provider.timeouts.first_event_s)
        response = await self._transport.handle_async_request(self._request(wire))
        try:
            run.headers, run.headers_at = response.headers, time.time()
            run.vendor_request_id = _request_id(response)
            if response.is_success and wire.stream and _is_stream(response):
                return await self._read_stream(response, run)
            return await self._read_whole(response, run)
        finally:
            with suppress(*_LOST):
                await response.aclose()

    def _request(self, wire: WireRequest) -> httpx.Request:
        name, prefix = self._adapter.credential
        headers = {**_HEADERS, **wire.headers}
        if self._key is not None:
            headers[name] = prefix + self._key
        body: bytes | AsyncIterator[bytes] = wire.content()
        if isinstance(body, bytes) and len(body) > _PIECE_BYTES:
            headers["content-length"] = str(len(body))
            body = _pieces(body)
        return httpx.Request(
            wire.method, self._url(wire.path), headers=headers, content=body, extensions=self._extensions
        )

    def _url(self, path: str) -> httpx.URL:
        """Parsed once: a provider has few paths, and parsing costs more than all that an adapter does."""
        if path not in self._urls:
            self._urls[path] = httpx.URL(self._base_url + path)
        return self._urls[path]

    async def _read_whole(self, response: httpx.Response, run: _Run) -> Answer | ProviderError:
        parts: list[bytes] = []
        size = 0
        async for chunk in _chunks(response):
            run.limits.hold("gap", self._provider.timeouts.gap_s)
            parts.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                return _malformed("response_too_large", "the answer is too large")
        told = self._told(response, b"".join(parts), run.call)
        return self._with_wait(told, response) if isinstance(told, ProviderError) else told

    def _told(self, response: httpx.Response, body: bytes, call: ProviderCall) -> Answer | ProviderError:
        if response.is_success:
            return self._adapter.from_wire(body, call, estimate=self._estimate)
        if self._key is not None:  # before anything is cut short, so that no half of it is left
            body = body.replace(self._key.encode(), b"[secret]")
        error = self._adapter.to_error(response.status_code, response.headers, body)
        if error.kind is ErrorKind.INVALID_REQUEST and call.keep_state and names_state(error.message):
            return replace(error, code=STATE_REFUSED)
        return error

    async def _read_stream(self, response: httpx.Response, run: _Run) -> Answer | ProviderError:
        parser = run.parser = self._adapter.stream(run.call, estimate=self._estimate)
        events, size, gap_s = SSEParser(), 0, self._provider.timeouts.gap_s
        async for chunk in _chunks(response):
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                return _malformed("response_too_large", "the answer is too large")
            if _take(events, chunk, run):
                run.limits.hold("gap", _LINGER_S if parser.ended else gap_s)
            if parser.ended and isinstance(told := parser.finish(), ProviderError):
                return self._with_wait(told, response)
        return parser.finish()

    def _with_wait(self, error: ProviderError, response: httpx.Response) -> ProviderError:
        """Adds what headers say about waiting; a limit's reset counts only if it was that limit."""
        limited = error.kind is ErrorKind.RATE_LIMITED
        wait = retry_after_s(response.headers, now=time.time(), hint=error.retry_after_s, use_resets=limited)
        return replace(error, retry_after_s=wait)

    def _result(self, run: _Run, outcome: Answer | ProviderError, model: str, dropped: tuple[str, ...]) -> CallResult:
        error = self._named(outcome, model) if isinstance(outcome, ProviderError) else None
        completion = None if isinstance(outcome, ProviderError) else outcome
        if completion is not None:
            usage: Usage | None = completion.usage
        else:
            usage = run.parser.usage_so_far() if run.parser is not None else None
        return CallResult(
            completion=completion,
            error=error,
            first_event_ms=run.first_event_ms,
            duration_ms=run.elapsed_ms(),
            vendor_request_id=run.vendor_request_id,
            bytes_sent=run.bytes_sent,
            deadline=error is not None and run.limits.deadline_hit,
            usage=usage,
            dropped=dropped,
            pause_s=_pause_s(run, completion.usage) if completion is not None else 0.0,
        )

    def _named(self, error: ProviderError, model: str) -> ProviderError:
        message = scrubbed(error.message, self._key or "", self._host)
        return replace(error, provider=self._provider.name, model=model, message=message)

    def _session(self) -> aiohttp.ClientSession:
        """Made by the transport inside the loop, at the first call."""
        connector = aiohttp.TCPConnector(
            limit=self._provider.max_connections,
            ssl=_tls(),
            keepalive_timeout=_KEEP_ALIVE_S,
            resolver=None if self._provider.allow_private_egress else GuardedResolver(),
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all: reading the root certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()


def _checked_key(provider: ProviderEndpoint) -> str | None:
    """The key without the line end of the file it came from (conductor-oss/conductor#1437)."""
    key = (provider.api_key or "").strip()
    if not key.isprintable() or not key.isascii() or " " in key:
        raise ValueError(f"provider {provider.name}: the key holds white space or characters that no header may have")
    return key or None


def _take(events: SSEParser, chunk: bytes, run: _Run) -> bool:
    """Reads the events that are whole with this chunk and passes their pieces on; whether there were any."""
    deltas: list[Delta] = []
    came = False
    try:
        for event in events.feed(chunk):
            came = True
            if run.first_event_ms is None:
                run.first_event_ms = run.elapsed_ms()
                if run.on_first_event is not None:
                    run.on_first_event()
            if run.parser is not None:
                deltas += run.parser.feed(event)
    finally:
        if deltas and run.on_delta is not None:
            run.on_delta(deltas)
    return came


def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """We ask for no compression, so a stream is not held back by it; who compresses all the same is understood."""
    return response.aiter_bytes() if "content-encoding" in response.headers else response.aiter_raw()


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for at in range(0, len(body), _PIECE_BYTES):
        yield bytes(view[at : at + _PIECE_BYTES])


def _is_stream(response: httpx.Response) -> bool:
    """Some servers answer a wish for a stream with a whole answer, or an error, in JSON."""
    kind = response.headers.get("content-type", "").lower()
    return "json" not in kind and "html" not in kind


def _request_id(response: httpx.Response) -> str | None:
    told = response.headers.get("x-request-id") or response.headers.get("request-id")
    return told[:128] if told else None


def _pause_s(run: _Run, usage: Usage) -> float:
    """Of it what is left: a stream may have gone on for longer."""
    return max(0.0, pause_s(run.headers, usage, now=run.headers_at) - (time.time() - run.headers_at))


def _malformed(code: str, message: str) -> ProviderError:
    return ProviderError(ErrorKind.MALFORMED_REPLY, code=code, message=message)
