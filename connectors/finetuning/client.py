"""OpenAI's files and fine-tuning jobs over HTTP.

As for calls, httpx's transport is used without its client: no redirects, no proxies from the environment, no log lines with
the URL; addresses go through the same guard. Nothing is repeated here: a job that was made twice would cost twice.
Interface: https://platform.openai.com/docs/api-reference/fine-tuning, .../files
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from connectors.providers.driver import ProviderEndpoint
from connectors.providers.egress import GuardedResolver, checked_base_url

__all__ = ["ENDED", "Event", "Job", "TuningClient", "TuningError"]

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})

_TIMEOUT: Final = {"connect": 10.0, "pool": 10.0, "read": 120.0, "write": 120.0}
_MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
_MAX_TEXT: Final = 500
_PAGE: Final = 50
_PIECE_BYTES: Final = 256 * 1024


class TuningError(Exception):
    """The provider said no, or nothing; for people, without the key. `is_passing`: asking again may help."""

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


@dataclass(slots=True, frozen=True)
class Job:
    """`status`: validating_files, queued, running, succeeded, failed or cancelled. `base`: the model that is tuned."""

    id: str
    status: str
    base: str
    model: str | None
    error: str | None
    trained_tokens: int | None

    @property
    def is_over(self) -> bool:
        return self.status in ENDED


@dataclass(slots=True, frozen=True)
class Event:
    id: str
    level: str
    message: str


class TuningClient:
    """Of one provider. Raises EgressRefusedError: its address may not be called."""

    def __init__(self, provider: ProviderEndpoint) -> None:
        self._key = (provider.api_key or "").strip()
        self._base_url = checked_base_url(provider.base_url, allow_private=provider.allow_private_egress)
        resolves = provider.allow_private_egress

        def session() -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(resolver=None if resolves else GuardedResolver())
            return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

        self._transport = AiohttpTransport(client=session)

    async def close(self) -> None:
        await self._transport.aclose()

    async def upload(self, name: str, content: bytes) -> str:
        """The id of the file. Raises TuningError."""
        boundary = secrets.token_hex(16)
        head = "".join(
            (
                f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n',
                f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n',
                "content-type: application/jsonl\r\n\r\n",
            )
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        said = await self._ask("POST", "/files", body, f"multipart/form-data; boundary={boundary}")
        return self._text(said.get("id"))

    async def create(self, model: str, file: str, *, method: str, suffix: str | None) -> Job:
        """Raises TuningError."""
        order: dict[str, Any] = {"model": model, "training_file": file, "method": {"type": method}}
        if suffix is not None:
            order["suffix"] = suffix
        return self._job(await self._ask("POST", "/fine_tuning/jobs", orjson.dumps(order), "application/json"))

    async def job(self, id: str) -> Job:
        """Raises TuningError."""
        return self._job(await self._ask("GET", f"/fine_tuning/jobs/{id}"))

    async def cancel(self, id: str) -> Job:
        """Raises TuningError."""
        return self._job(await self._ask("POST", f"/fine_tuning/jobs/{id}/cancel"))

    async def events(self, id: str, seen: set[str]) -> list[Event]:
        """Those that are not `seen`, the oldest first. Raises TuningError."""
        found: list[Event] = []
        after = ""
        while True:
            more = f"&after={after}" if after else ""
            page = await self._ask("GET", f"/fine_tuning/jobs/{id}/events?limit={_PAGE}{more}")
            rows = page.get("data") if isinstance(page.get("data"), list) else []
            events = [self._event(row) for row in rows or () if isinstance(row, dict)]
            fresh = [event for event in events if event.id not in seen]
            found += fresh
            if not page.get("has_more") or len(fresh) < len(events) or not events:
                return found[::-1]
            after = events[-1].id

    async def _ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> dict[str, Any]:
        headers = {"user-agent": "millrace", "accept-encoding": "identity", "content-length": str(len(body))}
        if content_type:
            headers["content-type"] = content_type
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        content = _pieces(body) if body else b""
        request = httpx.Request(
            method, self._base_url + path, headers=headers, content=content, extensions={"timeout": _TIMEOUT}
        )
        try:
            response = await self._transport.handle_async_request(request)
            answer = await _read(response)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            raise TuningError(f"the provider does not answer ({type(error).__name__})", is_passing=True) from None
        return self._understood(response.status_code, answer)

    def _understood(self, status: int, answer: bytes) -> dict[str, Any]:
        try:
            said = orjson.loads(answer)
        except orjson.JSONDecodeError:
            said = None
        if 200 <= status < 300 and isinstance(said, dict):
            return said
        error = said.get("error") if isinstance(said, dict) else None
        words = self._text(error.get("message")) if isinstance(error, dict) else "no reason given"
        raise TuningError(f"HTTP {status}: {words}", is_passing=status in {408, 409, 429} or status >= 500)

    def _job(self, said: Mapping[str, Any]) -> Job:
        failure = said.get("error")
        tokens = said.get("trained_tokens")
        return Job(
            id=self._text(said.get("id")),
            status=self._text(said.get("status")),
            base=self._text(said.get("model")),
            model=self._text(said["fine_tuned_model"]) if said.get("fine_tuned_model") else None,
            error=self._text(failure.get("message")) if isinstance(failure, dict) and failure.get("message") else None,
            trained_tokens=tokens if isinstance(tokens, int) else None,
        )

    def _event(self, row: Mapping[str, Any]) -> Event:
        return Event(self._text(row.get("id")), self._text(row.get("level")), self._text(row.get("message")))

    def _text(self, value: Any) -> str:
        """One short line that a terminal can take; never the key."""
        text = str(value if value is not None else "")[: 4 * _MAX_TEXT]
        text = text.replace(self._key, "[secret]") if self._key else text
        return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_MAX_TEXT]


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """The loop lives on while a large file goes out."""
    view = memoryview(body)
    for at in range(0, len(body), _PIECE_BYTES):
        yield bytes(view[at : at + _PIECE_BYTES])


async def _read(response: httpx.Response) -> bytes:
    pieces, size = [], 0
    try:
        async for piece in response.aiter_raw():
            size += len(piece)
            if size > _MAX_ANSWER_BYTES:
                raise TuningError(f"an answer of more than {_MAX_ANSWER_BYTES} bytes")
            pieces.append(piece)
    finally:
        await response.aclose()
    return b"".join(pieces)
