"""What the network did, as errors that name the phase and nothing else.

Exceptions of the transport hold the vendor's address in their text, and httpx_aiohttp turns every lost connection into
a connect timeout; so the original exception of aiohttp decides and its text is never used. First match wins.
"""

from dataclasses import dataclass

import aiohttp

from connectors.providers.egress import EgressRefusedError
from schemas.errors import ErrorKind, ProviderError

__all__ = ["Failure", "failure_of"]


@dataclass(frozen=True, slots=True)
class Failure:
    """`bytes_sent` is false where the request certainly did not leave."""

    error: ProviderError
    bytes_sent: bool


@dataclass(frozen=True, slots=True)
class _Row:
    raised: type[BaseException]
    code: str
    message: str
    kind: ErrorKind = ErrorKind.TRANSPORT
    bytes_sent: bool = True


_ROWS = (
    _Row(EgressRefusedError, "egress_refused", "the provider's address is private", bytes_sent=False),
    _Row(aiohttp.ConnectionTimeoutError, "connect_timeout", "no connection in time", ErrorKind.TIMEOUT, False),
    _Row(aiohttp.ClientConnectorDNSError, "dns", "the provider's name cannot be resolved", bytes_sent=False),
    _Row(aiohttp.ClientConnectorCertificateError, "tls", "the provider's certificate is not trusted", bytes_sent=False),
    _Row(aiohttp.ClientConnectorSSLError, "tls", "no TLS connection", bytes_sent=False),
    _Row(aiohttp.ClientConnectorError, "connect", "no connection", bytes_sent=False),
    _Row(aiohttp.ServerTimeoutError, "timeout", "no answer in time", ErrorKind.TIMEOUT),
    _Row(aiohttp.ServerDisconnectedError, "disconnected", "the connection was closed before the answer"),
    _Row(aiohttp.ClientPayloadError, "early_end", "the connection was closed inside the answer"),
    _Row(aiohttp.ClientResponseError, "bad_http", "the answer is no HTTP", ErrorKind.MALFORMED_REPLY),
    _Row(BaseException, "reset", "the connection was lost"),
)


def failure_of(raised: BaseException) -> Failure:
    """Looks through wrappers to the exception that says most."""
    cause = raised if isinstance(raised, aiohttp.ClientError) else raised.__cause__ or raised
    inner = getattr(cause, "os_error", None)
    told = inner if isinstance(inner, EgressRefusedError) else cause
    row = next(row for row in _ROWS if isinstance(told, row.raised))
    return Failure(ProviderError(row.kind, code=row.code, message=row.message), row.bytes_sent)
