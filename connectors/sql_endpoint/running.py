"""A statement in the engine: a place, a handle, its settings; stopped when its caller goes away.

1. wait for a place at the gate, lease a handle (of the session, or a fresh one)
2. parse, judge; then database, and at once settings, limits, the mark under which it can be killed, `readonly`
3. the caller of this module makes engine calls through `call`, each in a thread
4. cancelled (the client hung up, or the endpoint stops): the statement is killed, the thread waited for, the handle given back
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from connectors.sql_endpoint.asking import Ask
from connectors.sql_endpoint.bodies import Text
from connectors.sql_endpoint.callers import Caller
from connectors.sql_endpoint.engine import MARK, Engine, Handle
from connectors.sql_endpoint.errors import SqlError
from connectors.sql_endpoint.formats import can_stream
from connectors.sql_endpoint.gate import Gate
from connectors.sql_endpoint.guard import Statement, check_setting, judge
from connectors.sql_endpoint.limits import INSERT, PERSON, WHOLE_RESULT_BYTES, limited
from connectors.sql_endpoint.parsing import parse
from connectors.sql_endpoint.sessions import Session, Sessions

__all__ = ["Run", "Workshop"]

P = ParamSpec("P")
R = TypeVar("R")

_KILL_AGAIN_S: Final = 0.25
_SPARE_THREADS: Final = 4
_MORE_ROWS: Final = re.compile(r"\b(totals|extremes)\b", re.I)
_SAME_ID: Final = "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING"


@dataclass(slots=True)
class Workshop:
    """What all statements share. `places` run at once, `queue` wait; people get at most `people` of the places."""

    engine: Engine
    places: int
    people: int
    queue: int
    gate: Gate = field(init=False)
    people_gate: Gate = field(init=False)
    sessions: Sessions = field(init=False)
    threads: ThreadPoolExecutor = field(init=False)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    _running: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gate, self.people_gate = Gate(self.places, self.queue), Gate(self.people, self.queue)
        self.sessions = Sessions(self.engine.handle)
        # A kill, and the stage's own question whether the engine answers, must not wait behind statements.
        self.threads = ThreadPoolExecutor(self.places + _SPARE_THREADS, thread_name_prefix="sql")
        self.idle.set()

    def gates(self, caller: Caller) -> tuple[Gate, ...]:
        """To be passed in this order: whatever people ask, the platform finds a place."""
        return (self.people_gate, self.gate) if caller.is_person else (self.gate,)

    def begin(self, query_id: str) -> None:
        """Raises SqlError: a statement of this id is there already."""
        if query_id in self._running:
            raise SqlError(216, f"Query with id = {query_id} is already running", _SAME_ID)
        self._running.add(query_id)
        self.idle.clear()

    def end(self, query_id: str) -> None:
        self._running.discard(query_id)
        if not self._running:
            self.idle.set()

    async def kill_all(self, within_s: float) -> None:
        """Ask all statements to end, again and again; returns when they have, or when the time is over."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self._running and asyncio.get_running_loop().time() < deadline:
            for query_id in list(self._running):
                await self.in_thread(self.engine.kill, query_id)
            await self.drained(_KILL_AGAIN_S)

    async def drained(self, within_s: float) -> None:
        """Returns when nothing runs, or when the time is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.idle.wait(), within_s)

    async def in_thread(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self.threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        self.sessions.close()
        self.threads.shutdown(wait=True)


class Run:
    """`async with Run(...) as run:` and then `run.statement`, `run.handle`, `run.call`."""

    statement: Statement
    handle: Handle

    def __init__(self, shop: Workshop, ask: Ask, caller: Caller, text: Text, *, may_write: bool) -> None:
        self._shop, self._ask, self._caller, self._text = shop, ask, caller, text
        self._may_write = may_write
        self._session: Session | None = None
        self._undo: dict[str, str] = {}

    @property
    def form(self) -> str:
        """Of the answer."""
        return self.statement.format or self._ask.default_format

    @property
    def streams(self) -> bool:
        return self.statement.streams and can_stream(self.form) and not self._has_more_rows

    @property
    def _has_more_rows(self) -> bool:
        """Totals and extremes come after the rows, which a stream leaves out."""
        return _MORE_ROWS.search(self._text.statement) is not None or "extremes" in self._ask.settings

    async def __aenter__(self) -> "Run":
        async with AsyncExitStack() as stack:
            self._shop.begin(self._ask.query_id)
            stack.callback(self._shop.end, self._ask.query_id)
            for gate in self._shop.gates(self._caller):
                await stack.enter_async_context(gate)
            stack.push_async_callback(self._leave)
            await self._lease()
            await self.call(self._prepare)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def call(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """An engine call in a thread. If we are cancelled it is killed, and over when this returns."""
        working = asyncio.ensure_future(self._shop.in_thread(work, *args, **kwargs))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await self._kill(working)
            raise

    async def _kill(self, working: "asyncio.Future[R]") -> None:
        """Again and again: it may not have begun to run when the first order comes."""
        while not working.done():
            await self._shop.in_thread(self._shop.engine.kill, self._ask.query_id)
            await asyncio.wait({working}, timeout=_KILL_AGAIN_S)
        working.exception()

    async def _lease(self) -> None:
        """A person's statements run on a fresh handle always: what makes it readonly cannot be taken back."""
        ask = self._ask
        if ask.session is None or self._caller.is_person:
            self.handle = await self._shop.in_thread(self._shop.engine.handle)
            return
        self._session = self._shop.sessions.take(
            self._caller.user, ask.session, timeout_s=ask.session_timeout_s, must_exist=ask.session_must_exist
        )
        self.handle = self._session.handle

    def _prepare(self) -> None:
        """In a thread: everything up to the statement itself. Raises SqlError."""
        types, handle = self._shop.engine.setting_types, self.handle
        tree = parse(self._text.statement, handle.parse)
        self.statement = judge(tree, types, may_write=self._may_write)
        if (self.statement.kind == "insert") != (tree.get("type") == "InsertQuery"):
            raise SqlError(62, "not an INSERT")
        for name in self._ask.settings:
            check_setting(name, types)
        settings = self._settings()
        if self._session is not None:
            self._undo = handle.values_of(settings)
        if self._ask.database:
            handle.use(self._ask.database)
        handle.set({**settings, **self._readonly()})

    def _settings(self) -> dict[str, str]:
        limits = dict(PERSON) if self._caller.is_person else {}
        if self.statement.has_rows and not self.streams:
            limits["max_result_bytes"] = WHOLE_RESULT_BYTES
        asked = {name: value for name, value in self._ask.settings.items() if name != "readonly"}
        blocks = INSERT if self.statement.kind == "insert" else {}
        return {**blocks, **limited(asked, limits), MARK: self._ask.query_id}

    def _readonly(self) -> dict[str, str]:
        """A session's handle must stay free; there the guard alone decides."""
        level = "1" if self._caller.is_person else "2" if not self._may_write else self._ask.settings.get("readonly")
        return {} if level is None or self._session is not None else {"readonly": level}

    async def _leave(self) -> None:
        """Undo and give back, whatever happened; not to be cut short."""
        await asyncio.shield(asyncio.ensure_future(self._give_back()))

    async def _give_back(self) -> None:
        if self._session is not None:
            with suppress(SqlError):  # a session may have made itself readonly
                await self._shop.in_thread(self.handle.set, self._undo)
            self._shop.sessions.release(self._session)
        elif hasattr(self, "handle"):
            await self._shop.in_thread(self.handle.close)
