"""Posts bodies to webhooks, once each; trying again is the caller's.

As for providers, httpx's transport is used without its client: no redirects, no proxies from the environment, no log line
with the URL, which often is a secret itself. Addresses go through the same guard (`providers/egress`).
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from connectors.providers.egress import GuardedResolver, checked_url
from connectors.webhooks.signature import HEADER, signature

__all__ = ["Poster", "Webhook"]

TIMEOUT_S: Final = 5.0
_HEADERS: Final = {"user-agent": "millrace", "content-type": "application/json", "accept-encoding": "identity"}
_LOST: Final = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Address and secret show in no repr. `allow_private`: it may stand inside our own network."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    allow_private: bool = False


class Poster:
    """Needs a running loop from the first post on."""

    def __init__(self) -> None:
        context = httpx.create_ssl_context()
        self._transports = {allow: _transport(context, allow_private=allow) for allow in (False, True)}

    async def post(self, webhook: Webhook, body: bytes) -> str | None:
        """None if it was taken (2xx), else why not, in a word or two without the address."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._send(webhook, body)
        except TimeoutError:
            return "timeout"
        except (
            Exception
        ) as error:  # what strange addresses and answers raise has no common name, and must not end a process
            return type(error).__name__
        return None if 200 <= status < 300 else f"HTTP {status}"

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()

    async def _send(self, webhook: Webhook, body: bytes) -> int:
        url = checked_url(webhook.url, allow_private=webhook.allow_private)
        headers = {**_HEADERS, HEADER: signature(body, webhook.secret.encode())}
        request = httpx.Request("POST", url, headers=headers, content=body)
        response = await self._transports[webhook.allow_private].handle_async_request(request)
        with suppress(*_LOST):  # the answer is the status; what else it says is not read
            await response.aclose()
        return response.status_code


def _transport(context: ssl.SSLContext, *, allow_private: bool) -> AiohttpTransport:
    def session() -> aiohttp.ClientSession:
        resolver = None if allow_private else GuardedResolver()
        connector = aiohttp.TCPConnector(ssl=context, resolver=resolver)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    return AiohttpTransport(verify=context, client=session)
