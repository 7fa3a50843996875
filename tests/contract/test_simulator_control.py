"""The simulator's clock, limits, log and `/_control`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.simulator import Allowance, Simulator, serve


class JumpingClock:
    """Waits by moving the time on."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
async def simulator(clock: JumpingClock) -> AsyncIterator[Simulator]:
    running = await serve(seed=5, speed=10, clock=clock, allowance=Allowance(3, 600))
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-sim-test"}
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as client:
        yield client


async def ask(http: httpx.AsyncClient, text: str = "hello", **fields: Any) -> httpx.Response:
    request = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": text}], **fields}
    return await http.post("/chat/completions", json=request)


async def control(http: httpx.AsyncClient, simulator: Simulator, path: str = "", body: Any = None) -> Any:
    url = f"{simulator.control_url}{path}"
    response = await (http.get(url) if body is None else http.post(url, json=body))
    assert response.status_code == 200, response.text
    return response.json()


async def test_rate_limit_headers_count_down_and_429_says_when_to_come_back(
    http: httpx.AsyncClient, clock: JumpingClock, simulator: Simulator
) -> None:
    await control(http, simulator, "/latency", {"speed": 0})
    answers = [await ask(http, f"hello {number}") for number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["2", "1", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
    assert answers[0].headers["x-ratelimit-limit-tokens"] == "600"
    assert answers[0].headers["x-ratelimit-reset-requests"] == "20s"
    refused = answers[3]
    assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("20", "20000")
    assert refused.json()["error"]["type"] == "requests"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "Limit 3, Used 3, Requested 1. Please try again in 20s." in refused.json()["error"]["message"]
    clock.time += 20
    assert (await ask(http, "hello again")).status_code == 200


async def test_tokens_are_limited_by_what_the_request_may_use(http: httpx.AsyncClient) -> None:
    assert (await ask(http, max_tokens=500)).status_code == 200
    refused = await ask(http, max_tokens=500)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "tokens"
    assert (await ask(http, max_tokens=500, model="gpt-4o")).status_code == 200


async def test_limits_can_be_set_per_model(http: httpx.AsyncClient, simulator: Simulator) -> None:
    await control(http, simulator, "/limits", {"requests_per_minute": 1, "model": "gpt-4o"})
    assert (await ask(http, model="gpt-4o")).status_code == 200
    assert (await ask(http, model="gpt-4o")).status_code == 429
    assert (await ask(http)).status_code == 200


async def test_answers_take_their_time_divided_by_speed(
    http: httpx.AsyncClient, simulator: Simulator, clock: JumpingClock
) -> None:
    async def duration(**setting: Any) -> float:
        await control(http, simulator, "/reset", {})
        if setting:
            await control(http, simulator, "/latency", setting)
        start = clock.time
        await ask(http)
        return clock.time - start

    usual = await duration()
    assert 0.03 < usual < 3
    assert await duration(speed=5) == pytest.approx(2 * usual)
    assert await duration(factor=4, model="gpt-4.1-mini") == pytest.approx(4 * usual)
    assert await duration(factor=4, model="gpt-4o") == pytest.approx(usual)
    assert await duration(speed=0) == 0


async def test_directives_set_exact_times(http: httpx.AsyncClient, clock: JumpingClock) -> None:
    for stream in (False, True):
        start = clock.time
        await ask(http, "go [[sim: latency_ms=500 tokens=50 cadence_ms=20]]", stream=stream)
        assert clock.time - start == pytest.approx(0.5 + 50 * 0.02)


async def test_brown_out_is_slow(http: httpx.AsyncClient, clock: JumpingClock, simulator: Simulator) -> None:
    spans = []
    for rules in ([], [{"fault": "slow"}]):
        await control(http, simulator, "/reset", {})
        await control(http, simulator, "/faults", {"rules": rules})
        start = clock.time
        await ask(http)
        spans.append(clock.time - start)
    assert spans[1] == pytest.approx(5 * spans[0])


async def test_log_shows_requests_as_received_without_credentials(
    http: httpx.AsyncClient, simulator: Simulator
) -> None:
    await ask(http, "find me", user="u-1")
    await ask(http, "other", model="gpt-9")
    shown = await control(http, simulator)
    first, second = shown["log"]
    assert first["body"]["user"] == "u-1"
    assert "authorization" not in first["headers"]
    assert "sk-sim-test" not in str(shown)
    assert (first["outcome"], first["status"], first["attempt"], first["phase"]) == ("ok", 200, 1, "done")
    assert (second["outcome"], second["status"]) == ("refused", 404)
    assert shown["counters"] == {"ok": 1, "refused": 1}
    found = await control(http, simulator, "/log?contains=find&bodies=0")
    assert [entry["index"] for entry in found["log"]] == [0]
    assert "body" not in found["log"][0]


async def test_log_can_be_awaited(http: httpx.AsyncClient, simulator: Simulator) -> None:
    waiting = asyncio.create_task(control(http, simulator, "/log?at_least=2&stage=finished&outcome=ok"))
    for number in range(2):
        await ask(http, f"hello {number}")
    answer = await waiting
    assert answer["complete"]
    assert len(answer["log"]) == 2
    assert not (await control(http, simulator, "/log?at_least=9&timeout_s=0"))["complete"]


async def test_log_and_state_can_be_forgotten(http: httpx.AsyncClient, simulator: Simulator) -> None:
    first = (await ask(http)).json()
    await control(http, simulator, "/faults", {"background": {"auth": 1.0}})
    assert (await http.delete(f"{simulator.control_url}/log")).json()["counters"] == {}
    assert (await ask(http)).status_code == 401
    state = await control(http, simulator, "/reset", {})
    assert state["faults"]["background"] == {}
    again = (await ask(http)).json()
    assert (again["id"], again["choices"]) == (first["id"], first["choices"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"rules": [{"fault": "nonsense"}]}),
        ("/faults", {"rules": [{"fault": "auth", "when": 1}]}),
        ("/faults", {"background": {"nonsense": 1}}),
        ("/faults", {"rule": []}),
        ("/latency", {"speeed": 1}),
        ("/latency", {"speed": "fast"}),
        ("/limits", []),
    ],
    ids=str,
)
async def test_control_refuses_what_it_does_not_know(
    http: httpx.AsyncClient, simulator: Simulator, path: str, body: Any
) -> None:
    response = await http.post(f"{simulator.control_url}{path}", json=body)
    assert response.status_code == 400
    assert response.json()["error"]


async def test_a_busy_port_is_an_error_at_once(simulator: Simulator) -> None:
    with pytest.raises(OSError, match="address"):
        await serve(port=simulator.port)
