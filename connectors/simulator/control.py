"""`/_control`: read what arrived, change what will happen, forget everything.

| request | does |
|---|---|
| `GET /_control` | state, counters and the log |
| `GET /_control/state` | state and counters |
| `GET /_control/log` | the log; takes the filters below, waits when `at_least` is given |
| `DELETE /_control/log` | forgets entries and counters |
| `POST /_control/faults` | `{"rules": [RULE, ...], "background": {kind: share}}`; what is named is replaced |
| `POST /_control/latency` | `{"speed": X}` and/or `{"factor": F, "model"?: M}` |
| `POST /_control/limits` | `{"requests_per_minute"?, "tokens_per_minute"?, "output_tokens_per_minute"?, "model"?}` |
| `POST /_control/reset` | back to the configuration |

RULE: `{fault, model?, share?, count?, from_s?, to_s?, after?, retry_after_s?}`, see `faults.Rule`.
Filters: `since` (index), `model`, `outcome`, `stage` (`arrived`, `streaming`, `finished`, `hung_up`), `contains` (text
of the body); `bodies=0` leaves bodies out. `at_least=N` waits until N entries match, at most `timeout_s` (10);
`complete` tells whether they do.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from connectors.simulator.config import Allowance
from connectors.simulator.journal import HUNG_UP, OPEN, Entry
from connectors.simulator.world import World

_LONGEST_WAIT_S = 300.0
_STAGES: Mapping[str, Callable[[Entry], bool]] = {
    "arrived": lambda entry: True,
    "streaming": lambda entry: entry.first_byte_at is not None,
    "finished": lambda entry: entry.outcome != OPEN,
    HUNG_UP: lambda entry: entry.outcome == HUNG_UP,
}
_FILTERS = frozenset({"since", "model", "outcome", "stage", "contains", "bodies", "at_least", "timeout_s"})


class BadControl(ValueError):
    """A control request that makes no sense."""


def add_routes(app: web.Application, world: World) -> None:
    """Puts the control paths into the application."""
    control = _Control(world)
    for method, path, handler in (
        ("GET", "/_control", control.show),
        ("GET", "/_control/state", control.show_state),
        ("GET", "/_control/log", control.show_log),
        ("DELETE", "/_control/log", control.clear_log),
        ("POST", "/_control/faults", control.set_faults),
        ("POST", "/_control/latency", control.set_latency),
        ("POST", "/_control/limits", control.set_limits),
        ("POST", "/_control/reset", control.reset),
    ):
        app.router.add_route(method, path, _answered(handler))


def _answered(handler: Callable[[web.Request], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            value, status = await handler(request), 200
        except (ValueError, TypeError) as wrong:  # BadControl, BadFault, or a value of the wrong type
            value, status = {"error": str(wrong)}, 400
        return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")

    return answer


class _Control:
    def __init__(self, world: World) -> None:
        self._world = world

    async def show(self, request: web.Request) -> Any:
        return self._world.state() | await self.show_log(request)

    async def show_state(self, _: web.Request) -> Any:
        return self._world.state()

    async def show_log(self, request: web.Request) -> Any:
        query = request.query
        if unknown := sorted(set(query) - _FILTERS):
            raise BadControl(f"unknown filter '{unknown[0]}'")
        at_least = int(_number(query, "at_least", 0))
        timeout_s = min(_number(query, "timeout_s", 10.0), _LONGEST_WAIT_S)
        entries = await self._world.journal.wait(_wanted(query), count=at_least, timeout_s=timeout_s)
        bodies = query.get("bodies") != "0"
        return {"log": [entry.public(bodies=bodies) for entry in entries], "complete": len(entries) >= at_least}

    async def clear_log(self, _: web.Request) -> Any:
        self._world.journal.clear()
        return self._world.state()

    async def set_faults(self, request: web.Request) -> Any:
        body = await _object(request, {"rules", "background"})
        if "rules" in body:
            self._world.faults.script(body["rules"], now=self._world.clock.now())
        if "background" in body:
            self._world.faults.set_background(body["background"])
        return self._world.state()

    async def set_latency(self, request: web.Request) -> Any:
        body = await _object(request, {"speed", "factor", "model"})
        if "speed" in body:
            self._world.latency.speed = float(body["speed"])
        if "factor" in body:
            self._world.latency.factors[body.get("model", "*")] = float(body["factor"])
        return self._world.state()

    async def set_limits(self, request: web.Request) -> Any:
        body = await _object(request, {"requests_per_minute", "tokens_per_minute", "output_tokens_per_minute", "model"})
        model = body.pop("model", None)
        self._world.limiter.set(Allowance(**body), model)
        return self._world.state()

    async def reset(self, _: web.Request) -> Any:
        self._world.reset()
        return self._world.state()


def _wanted(query: Mapping[str, str]) -> Callable[[Entry], bool]:
    stage = query.get("stage", "arrived")
    if stage not in _STAGES:
        raise BadControl(f"unknown stage '{stage}'")
    since = int(_number(query, "since", 0))
    tests: list[Callable[[Entry], bool]] = [_STAGES[stage], lambda entry: entry.index >= since]
    for name in ("model", "outcome"):
        if name in query:
            tests.append(lambda entry, name=name: getattr(entry, name) == query[name])  # type: ignore[misc]
    if "contains" in query:
        tests.append(lambda entry: query["contains"].encode() in entry.body)
    return lambda entry: all(test(entry) for test in tests)


def _number(query: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(query.get(name, default))
    except ValueError:
        raise BadControl(f"'{name}' takes a number") from None


async def _object(request: web.Request, known: set[str]) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise BadControl("the body is no JSON") from None
    if not isinstance(body, dict) or not body.keys() <= known:
        raise BadControl(f"expected an object with some of {', '.join(sorted(known))}")
    return body
