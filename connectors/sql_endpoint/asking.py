"""What a request asks for: the query string (or form) of ClickHouse's HTTP interface, taken apart. Pure.

https://clickhouse.com/docs/interfaces/http: what is neither a name of the transport nor `param_*` is a setting.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from connectors.sql_endpoint.errors import SqlError

__all__ = ["Ask", "read_ask"]

_TRANSPORT: Final = frozenset(
    [
        "query",
        "database",
        "default_format",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "user",
        "password",
        "quota_key",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "role",
        "roles",
        "compress",
        "decompress",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "http_write_exception_in_output_format",
        "add_http_cors_header",
        "log_queries",
        "stacktrace",
    ]
)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_QUERY_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")
_DEFAULT_FORMAT: Final = "TabSeparated"
_SESSION_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """`revision`: of the Native format that the client reads; `params` are in escaped form, as they came."""

    query: str
    query_id: str
    default_format: str
    database: str | None = None
    session: str | None = None
    session_timeout_s: float = _SESSION_S
    session_must_exist: bool = False
    revision: int = 0
    compresses: bool = True
    params: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def read_ask(query: Mapping[str, str], headers: Mapping[str, str]) -> Ask:
    """The request of a query string or form.

    Raises:
        SqlError: A name that is none, a number that is none, or something that is not offered.
    """
    if _flag(query, "compress") or _flag(query, "decompress"):
        raise SqlError(48, "compress=1 and decompress=1 are not offered: use Accept-Encoding and Content-Encoding")
    settings = {name: value for name, value in query.items() if name not in _TRANSPORT and not _is_param(name)}
    for name in (*settings, *(name for name in query if _is_param(name))):
        if not _WORD.match(name):
            raise SqlError(115, f"Unknown setting '{name[:80]}'", "UNKNOWN_SETTING")
    return Ask(
        query=query.get("query", ""),
        query_id=_query_id(query.get("query_id", "")),
        default_format=query.get("default_format") or headers.get("X-ClickHouse-Format") or _DEFAULT_FORMAT,
        database=query.get("database") or headers.get("X-ClickHouse-Database") or None,
        session=query.get("session_id") or None,
        session_timeout_s=_number(query, "session_timeout", _SESSION_S),
        session_must_exist=_flag(query, "session_check"),
        revision=int(_number(query, "client_protocol_version", 0)),
        compresses=query.get("enable_http_compression", "1") != "0",
        params={name[len("param_") :]: value for name, value in query.items() if _is_param(name)},
        settings=settings,
    )


def _is_param(name: str) -> bool:
    return name.startswith("param_")


def _query_id(text: str) -> str:
    if text and not _QUERY_ID.match(text):
        raise SqlError(36, "query_id: at most 128 letters, digits and ._:-")
    return text or str(uuid.uuid4())


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "0") not in ("0", "false", "")


def _number(query: Mapping[str, str], name: str, default: float) -> float:
    try:
        return max(0.0, float(query.get(name) or default))
    except ValueError:
        raise SqlError(36, f"{name} is not a number") from None
