"""What route and call make of what they hear: views for decisions, excused failures, evacuation."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.agents.endpoints import Endpoints, closed_for_s
from pipeline.agents.sensing import Sensing
from schemas.catalog import Catalog
from schemas.codec import encode
from schemas.errors import SAYS_NOTHING, ErrorKind
from schemas.events import Attempt, AttemptError, Breaker, Call
from tests.agents.fakes import NOW, make_call, make_record, make_tools

ENDPOINT = "sim/m/us"
CATALOG = Catalog.model_validate(
    {
        "version": 1,
        "providers": {"sim": {"adapter": "openai", "base_url": "http://127.0.0.1:1/v1", "region": "us"}},
        "models": {"m": {"provider": "sim", "price": {"input_per_mtok_usd": 1, "output_per_mtok_usd": 2}}},
        "tenants": {"t": {}},
    }
)


def tools() -> Any:
    loaded = SimpleNamespace(catalog=CATALOG, off_providers=frozenset())
    return make_tools(loaded=loaded, partitions=4, metrics=SimpleNamespace(set=lambda *_, **__: None))


def ended(call: Call, kind: str | None = None, code: str | None = None, **facts: Any) -> Attempt:
    error = AttemptError(kind, code=code, retry_after_s=facts.pop("retry_after_s", None)) if kind else None
    return Attempt(
        request_id=call.request_id, tenant=call.tenant, attempt=call.attempt, attempt_id=call.attempt_id,
        phase="finished", role=call.role, provider=call.provider, model=call.model, region=call.region, worker="w1",
        started_at=NOW, result="error" if kind else "ok", error=error, **facts,
    )  # fmt: skip


def view(endpoints: Endpoints) -> Any:
    return endpoints.situation().views[ENDPOINT]


def test_what_is_forwarded_counts_at_once_and_until_it_has_ended() -> None:
    endpoints, call = Endpoints(tools()), make_call()
    endpoints.forwarded(call, 0)
    assert (view(endpoints).in_flight, endpoints.situation().in_flight["sim"]) == (1, 1)
    endpoints.settled(ended(call), 0)
    assert view(endpoints).in_flight == 0


def test_five_failures_in_a_row_open_it_here_with_no_broker() -> None:
    endpoints = Endpoints(tools())
    for number in range(5):
        assert view(endpoints).breaker == "closed"
        endpoints.settled(ended(make_call(number), "provider_fault"), 0)
    assert view(endpoints).breaker == "open"


@pytest.mark.parametrize("code", sorted(SAYS_NOTHING))
def test_what_says_nothing_about_the_endpoint_does_not_count(code: str) -> None:
    """BerriAI/litellm#41223: the callers' own deadlines took a provider away from everybody."""
    endpoints = Endpoints(tools())
    for number in range(20):
        endpoints.settled(ended(make_call(number), "timeout", code), 0)
    assert view(endpoints).breaker == "closed"


def test_a_vendors_word_closes_it_to_all_but_not_for_a_day() -> None:
    endpoints = Endpoints(tools())
    endpoints.settled(ended(make_call(), "rate_limited", retry_after_s=7.0), 0)
    assert view(endpoints).limited_until == NOW + 7_000
    assert closed_for_s(86_400.0, CATALOG) == CATALOG.breaker.open_max_s


def test_healths_word_is_heard() -> None:
    endpoints = Endpoints(tools())
    endpoints.heard(make_record(0, encode(Breaker(ENDPOINT, "ramp", epoch=2, allowed_in_flight=1))))
    assert (view(endpoints).breaker, view(endpoints).allowed_in_flight) == ("ramp", 1)
    endpoints.heard(make_record(1, encode(Breaker(ENDPOINT, "closed", epoch=1))))
    assert view(endpoints).breaker == "ramp", "an older word changes nothing"


def test_a_call_that_still_waits_for_its_place_is_not_made_where_nobody_is() -> None:
    sensing = Sensing(tools(), None)  # type: ignore[arg-type]
    assert not sensing.is_out(make_call())
    record = make_record(0, encode(Breaker(ENDPOINT, "open", epoch=1, open_until=NOW + 5_000, cause="failing")))
    assert sensing.heard(record) is None
    assert sensing.is_out(make_call())
    assert not sensing.is_out(make_call(role="probe"))


def test_only_calls_that_wait_for_a_first_event_are_silent() -> None:
    sensing = Sensing(tools(), None)  # type: ignore[arg-type]
    silent, speaking = make_call(1, stream=True), make_call(2, stream=True)
    sensing.started(silent)
    sensing.started(speaking)
    sensing.first_event(speaking)
    record = make_record(0, encode(Breaker(ENDPOINT, "open", epoch=1, open_until=NOW + 5_000, cause="silent")))
    assert sensing.heard(record) == ENDPOINT
    assert (sensing.is_silent(silent), sensing.is_silent(speaking)) == (True, False)


def test_the_result_of_a_probe_is_said_and_nothing_else() -> None:
    sensing = Sensing(tools(), None)  # type: ignore[arg-type]
    probe = make_call(role="probe", request_role="probe")
    sensing.started(probe)
    sensing.finished(probe, ended(probe, "transport"))
    (signal,) = sensing._sensor.urgent(NOW)
    assert (signal.ok, signal.errors, signal.consecutive) == (0, {}, 0)
    assert signal.probe is not None
    assert (signal.probe.ok, signal.probe.kind) == (False, ErrorKind.TRANSPORT)


def test_calls_of_a_partition_that_went_elsewhere_are_forgotten() -> None:
    endpoints = Endpoints(tools())
    endpoints.forwarded(make_call(1), 0)
    endpoints.forwarded(make_call(2), 3)
    endpoints.owned({3})
    assert view(endpoints).in_flight == 1


def test_who_owns_a_part_of_the_requests_has_that_part_of_the_retries_of_a_quiet_system() -> None:
    endpoints = Endpoints(tools())
    endpoints.owned({0})
    assert [endpoints.may_retry("m") for _ in range(3)] == [True, True, False]
    endpoints.owned({0, 1, 2, 3})
    assert [endpoints.may_retry("m") for _ in range(9)] == [True] * 8 + [False]


@pytest.mark.parametrize(("pause_s", "until"), [(0.3, None), (2.0, NOW + 2_000), (86_400.0, NOW + 60_000)])
def test_a_limit_that_a_good_answer_told_closes_the_endpoint_before_the_first_429(
    pause_s: float, until: int | None
) -> None:
    sensing, call = Sensing(tools(), None), make_call()  # type: ignore[arg-type]
    sensing.started(call)
    sensing.limited(call, pause_s)
    sensing.finished(call, ended(call))
    (signal,) = sensing._sensor.signals(NOW)
    assert (signal.ok, signal.errors, signal.limited_until) == (1, {}, until)
    assert sensing.is_out(make_call(2)) == (until is not None)


@pytest.mark.parametrize("role", ["shadow", "judge"])
def test_nobody_learns_anything_of_bulk_calls(role: str) -> None:
    endpoints = Endpoints(tools())
    sensing = Sensing(tools(), None)  # type: ignore[arg-type]
    for number in range(50):
        call = make_call(number, role=role)
        started = ended(call)
        started.phase = "started"
        endpoints.settled(started, 0)
        endpoints.settled(ended(call, "provider_fault"), 0)
        sensing.started(call)
        sensing.first_event(call)
        sensing.finished(call, ended(call, "rate_limited", retry_after_s=30.0))
        sensing.limited(call, 30.0)
    assert (view(endpoints).breaker, view(endpoints).in_flight, view(endpoints).limited_until) == ("closed", 0, None)
    assert not sensing.is_out(make_call())
    assert (sensing._sensor.urgent(NOW), sensing._sensor.signals(NOW)) == ([], [])
