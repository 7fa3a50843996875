"""ClickHouse's HTTP interface (https://clickhouse.com/docs/interfaces/http): the journey of a request.

1. may it come from a web page? who is it? what does it ask? (`callers.py`, `asking.py`)
2. the statement from query string, form or body; the data of an insert stays in the body (`bodies.py`)
3. a place and a handle; the guard (`running.py`)
4. rows piece by piece, rows as a whole, data into the engine, or a command
5. an error before the first byte: `Code: N. DB::Exception: ...` with its status; after it: the marked block that clients look for
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from connectors.origin import is_loopback
from connectors.sql_endpoint.asking import Ask, read_ask
from connectors.sql_endpoint.bodies import Body, Text, read_text
from connectors.sql_endpoint.callers import Caller, Passwords, identify, refuse_pages
from connectors.sql_endpoint.encodings import Encoder, choose, decoder, encoder
from connectors.sql_endpoint.engine import Engine
from connectors.sql_endpoint.errors import KeyRequired, SqlError
from connectors.sql_endpoint.formats import Joiner, media_type
from connectors.sql_endpoint.native import REVISION, upgrade
from connectors.sql_endpoint.running import Run, Workshop

__all__ = ["EndpointConfig", "SqlServer", "serve"]

log = logging.getLogger(__name__)

_HEADER_BYTES: Final = 256 * 1024
_FORM: Final = "multipart/form-data"
_FORM_BYTES: Final = 1 << 20
_STALLED_S: Final = 60.0
_GRACE_S, _KILL_S = 2.0, 1.0

Observe = Callable[[str, str, float], None]


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """`port` 0 takes a free one; the numbers of statements at once are those of `Workshop`."""

    host: str = "127.0.0.1"
    port: int = 0
    passwords: Passwords = field(default_factory=Passwords)
    places: int = 8
    people: int = 4
    queue: int = 64


class SqlServer:
    """A running endpoint."""

    def __init__(self, runner: web.AppRunner, shop: Workshop) -> None:
        self._runner, self._shop = runner, shop

    @property
    def port(self) -> int:
        return int(self._runner.addresses[0][1])

    @property
    def running(self) -> int:
        return self._shop.gate.running

    @property
    def waiting(self) -> int:
        return self._shop.gate.waiting + self._shop.people_gate.waiting

    async def answers(self) -> bool:
        """Whether the engine does; takes as long as the engine."""
        self._shop.sessions.sweep()
        try:
            await self._shop.in_thread(self._shop.engine.once, "SELECT 1")
        except SqlError:
            return False
        return True

    async def stop(self) -> None:
        """Takes no more requests; running statements have 2 s, then they are killed; the engine is closed in order."""
        for site in list(self._runner.sites):
            await site.stop()
        await self._shop.drained(_GRACE_S)
        await self._shop.kill_all(_KILL_S)
        await self._runner.cleanup()
        # What still waits for a body was cancelled just now.
        await self._shop.drained(_KILL_S)
        await asyncio.to_thread(self._shop.close)
        await asyncio.to_thread(self._shop.engine.close)


async def serve(directory: Path, config: EndpointConfig, observe: Observe) -> SqlServer:
    """Open the directory and serve it. `observe`: kind, result, seconds of each statement.

    Raises:
        EngineStartError: No password though not on loopback, or the directory cannot be opened.
        OSError: The address cannot be bound; the message names it. In both cases nothing is held.
    """
    if config.passwords.key is None and not is_loopback(config.host):
        raise KeyRequired(config.host)
    engine = await asyncio.to_thread(Engine, directory)
    try:
        return await _listen(engine, config, observe)
    except OSError as error:
        await asyncio.to_thread(engine.close)
        raise OSError(error.errno, f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error


async def _listen(engine: Engine, config: EndpointConfig, observe: Observe) -> SqlServer:
    shop = Workshop(engine, config.places, config.people, config.queue)
    endpoint = _Endpoint(shop, config.passwords, observe)
    app = web.Application(client_max_size=_FORM_BYTES)
    app.add_routes(
        [
            web.get("/ping", endpoint.ping),
            web.get("/replicas_status", endpoint.ping),
            web.get("/", endpoint.handle),
            web.post("/", endpoint.handle),
        ]
    )
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=_KILL_S / 2, auto_decompress=False,
        max_line_size=_HEADER_BYTES, max_field_size=_HEADER_BYTES,
    )  # fmt: skip
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port).start()
    except OSError:
        await runner.cleanup()
        raise
    return SqlServer(runner, shop)


class _Endpoint:
    def __init__(self, shop: Workshop, passwords: Passwords, observe: Observe) -> None:
        self._shop, self._passwords, self._observe = shop, passwords, observe

    async def ping(self, _request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        answer = _Answer(request, self._shop.engine)
        started, result = time.monotonic(), "ok"
        try:
            return await self._serve(request, answer)
        except SqlError as error:
            result = "refused" if error.code in (164, 452, 497, 516) else "error"
            return await answer.fail(error)
        except (ConnectionError, asyncio.CancelledError):
            result = "cancelled"
            raise
        except Exception as error:
            # Its text may hold data; the class says where to look.
            log.error("statement failed", extra={"error": type(error).__name__, "query_id": answer.query_id})
            result = "error"
            return await answer.fail(SqlError(1002, "internal error of the endpoint"))
        finally:
            self._observe(answer.kind, result, time.monotonic() - started)

    async def _serve(self, request: web.Request, answer: "_Answer") -> web.StreamResponse:
        refuse_pages(request.headers, has_password=self._passwords.key is not None)
        fields = {**request.query, **await _form(request)}
        caller = identify(request.headers, request.query, self._passwords)
        ask = read_ask(fields, request.headers)
        answer.begin(ask)
        is_form = request.content_type == _FORM
        body = Body(request.content, None if is_form else decoder(request.headers.get("Content-Encoding", "").lower()))
        text = await read_text(ask.query.encode(), body)
        if not text.statement:
            return web.Response(text="Ok.\n", headers=answer.headers)
        may_write = caller.may_write and request.method == "POST"
        return await self._run(ask, caller, text, body, may_write, answer)

    async def _run(
        self, ask: Ask, caller: Caller, text: Text, body: Body, may_write: bool, answer: "_Answer"
    ) -> web.StreamResponse:
        async with Run(self._shop, ask, caller, text, may_write=may_write) as run:
            answer.kind = run.statement.kind
            if text.head is not None:
                return answer.done(written_rows=await _insert(run, ask, text, body))
            if run.streams:
                return await _stream(run, ask, text, answer)
            rows = await run.call(run.handle.ask, text.statement, run.form, ask.params)
            if not run.statement.has_rows:
                return answer.done()
            if run.form == "Native" and ask.revision >= REVISION:
                rows = upgrade(rows)
            return await answer.send(_only(rows), run.form)


async def _form(request: web.Request) -> dict[str, str]:
    """Fields of a multipart form. The other kind is none: curl calls every body so."""
    if request.content_type != _FORM:
        return {}
    fields = await request.post()
    if not all(isinstance(value, str) for value in fields.values()):
        raise SqlError(48, "external data is not offered: use a temporary table in a session")
    return {name: value for name, value in fields.items() if isinstance(value, str)}


async def _insert(run: Run, ask: Ask, text: Text, body: Body) -> int:
    """The data of the body into the engine, in constant memory; nothing more is kept if the body ends badly."""
    assert text.head is not None
    if ask.params:
        await run.call(run.handle.set, {f"param_{name}": value for name, value in ask.params.items()})
    inserting = await run.call(run.handle.insert, text.head.target.decode(), text.head.format)
    try:
        async with aclosing(body.blocks()) as blocks:  # type: ignore[type-var]
            async for block in blocks:
                await run.call(inserting.append, block)
        return await run.call(inserting.finish)
    except BaseException:
        await run.call(inserting.cancel)
        raise


async def _stream(run: Run, ask: Ask, text: Text, answer: "_Answer") -> web.StreamResponse:
    """The status is known once the first piece is there."""
    joiner = Joiner(run.form)
    pieces = run.handle.stream(text.statement, run.form, ask.params)
    try:
        first = await run.call(_next, pieces)
        if first is None and joiner.has_header:
            first = await run.call(run.handle.ask, text.statement, run.form, ask.params)
        is_newer = run.form == "Native" and ask.revision >= REVISION
        return await answer.send(_joined(run, pieces, first, joiner, is_newer=is_newer), run.form)
    finally:
        await run.call(_close, pieces)


async def _joined(
    run: Run, pieces: Iterator[bytes], first: bytes | None, joiner: Joiner, *, is_newer: bool
) -> AsyncIterator[bytes]:
    piece = first
    while piece is not None:
        yield await run.call(upgrade, piece) if is_newer else joiner.join(piece)
        piece = await run.call(_next, pieces)


async def _only(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


def _close(pieces: Iterator[bytes]) -> None:
    pieces.close()  # type: ignore[attr-defined]  # a generator


class _Answer:
    """Status, headers and bytes of one answer, as a ClickHouse server words them."""

    def __init__(self, request: web.Request, engine: Engine) -> None:
        self._request, self._engine = request, engine
        self._started = time.monotonic()
        self._accepted = request.headers.get("Accept-Encoding", "")
        self._response: web.StreamResponse | None = None
        self._encoder: Encoder | None = None
        self._tag = secrets.token_hex(8)
        self.kind = "none"
        self.query_id = ""
        self.headers = {"X-ClickHouse-Server-Display-Name": "millrace", "X-ClickHouse-Timezone": engine.timezone}

    def begin(self, ask: Ask) -> None:
        self.query_id = ask.query_id
        self.headers["X-ClickHouse-Query-Id"] = ask.query_id
        if not ask.compresses:
            self._accepted = ""

    def done(self, *, written_rows: int = 0) -> web.Response:
        """Without rows."""
        return web.Response(headers={**self.headers, **self._summary(written_rows=str(written_rows))})

    async def send(self, pieces: AsyncIterator[bytes], form: str) -> web.StreamResponse:
        headers = {
            **self.headers,
            **self._summary(),
            "X-ClickHouse-Format": form,
            "X-ClickHouse-Exception-Tag": self._tag,
            "Content-Type": media_type(form),
            "X-Content-Type-Options": "nosniff",
        }
        if name := choose(self._accepted):
            headers["Content-Encoding"], self._encoder = name, encoder(name)
        self._response = web.StreamResponse(headers=headers)
        await self._response.prepare(self._request)
        async for piece in pieces:
            await self._write(piece)
        await self._end()
        return self._response

    async def fail(self, error: SqlError) -> web.StreamResponse:
        if self._response is None:
            headers = {**self.headers, "X-ClickHouse-Exception-Code": str(error.code)}
            return web.Response(
                text=f"{error} (version {self._engine.version})\n", status=error.status, headers=headers
            )
        text = f"{error}\n"
        block = f"\r\n__exception__\r\n{self._tag}\r\n{text}{len(text.encode())} {self._tag}\r\n__exception__\r\n"
        await self._write(block.encode())
        if self._encoder is not None:
            await self._put(self._encoder.flush())
        # Without its last chunk the answer is visibly incomplete to those who do not look for the block.
        if self._request.transport is not None:
            self._request.transport.close()
        return self._response

    async def _write(self, piece: bytes) -> None:
        if self._encoder is not None:
            piece = await asyncio.to_thread(self._encoder.compress, piece)
        await self._put(piece)

    async def _end(self) -> None:
        assert self._response is not None
        if self._encoder is not None:
            await self._put(self._encoder.flush())
        await self._response.write_eof()

    async def _put(self, data: bytes) -> None:
        """Who does not read for a minute is taken for gone."""
        assert self._response is not None
        try:
            await asyncio.wait_for(self._response.write(data), _STALLED_S)
        except TimeoutError:
            raise ConnectionResetError("the client does not read") from None

    def _summary(self, **facts: str) -> Mapping[str, str]:
        elapsed_ns = str(int((time.monotonic() - self._started) * 1e9))
        return {
            "X-ClickHouse-Summary": json.dumps({"read_rows": "0", "read_bytes": "0", **facts, "elapsed_ns": elapsed_ns})
        }
