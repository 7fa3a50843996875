"""Sessions: a handle that outlives its request, with temporary tables, `SET` and `USE`.

https://clickhouse.com/docs/interfaces/http#using-clickhouse-sessions-in-the-http-protocol. A session belongs to its user
and serves one statement at a time; the next one is told so (373), it does not wait.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from connectors.sql_endpoint.engine import Handle
from connectors.sql_endpoint.errors import SqlError

__all__ = ["Session", "Sessions"]

_MOST = 256
_LONGEST_S = 3600.0


@dataclass(slots=True)
class Session:
    handle: Handle
    expires_at: float
    is_busy: bool = False


class Sessions:
    """To be used from the event loop alone."""

    def __init__(self, make: Callable[[], Handle], clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._open: dict[tuple[str, str], Session] = {}

    def take(self, user: str, name: str, *, timeout_s: float, must_exist: bool) -> Session:
        """The session, busy from now on; give it back with `release`.

        Raises:
            SqlError: Busy, unknown though it must exist, or one too many.
        """
        self.sweep()
        session = self._open.get((user, name))
        if session is None:
            session = self._start(user, name, must_exist)
        if session.is_busy:
            raise SqlError(373, f"Session {name} is locked by a concurrent client")
        session.is_busy = True
        session.expires_at = self._clock() + min(timeout_s, _LONGEST_S)
        return session

    def release(self, session: Session) -> None:
        session.is_busy = False

    def sweep(self) -> None:
        """Close what has expired."""
        now = self._clock()
        for key, session in list(self._open.items()):
            if not session.is_busy and session.expires_at <= now:
                self._open.pop(key).handle.close()

    def close(self) -> None:
        for session in self._open.values():
            session.handle.close()
        self._open.clear()

    def _start(self, user: str, name: str, must_exist: bool) -> Session:
        if must_exist:
            raise SqlError(372, f"Session {name} not found")
        if len(self._open) >= _MOST:
            raise SqlError(202, f"Too many sessions: {_MOST} are open")
        session = self._open[user, name] = Session(self._make(), 0.0)
        return session
