"""The journey as a state machine: named steps, and invariants over any order of events."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.journey import CancelAsked, DeadlinePassed, Decided, Journey, Phase, Recovered
from pipeline.core.outcomes import Decide, End, Forward, Orphan, Park, Recover, Reply
from schemas.completion import Usage
from schemas.events import Attempt, AttemptError, Decision, Enriched, Features, Price, Proof, Ref
from schemas.ids import attempt_id

NOW = 1_000_000
REF = Ref("llm.responses.v1", 0, 7)


def make_request(**changes: object) -> Enriched:
    features = Features(10, "en", "chat", 0.2, "low", "internal")
    facts = {
        "request_id": "r1", "tenant": "acme", "partition_key": "acme", "model": "auto", "operation": "chat",
        "stream": False, "priority": "interactive", "accepted_at": NOW, "deadline_at": NOW + 60_000, "features": features,
    }  # fmt: skip
    return Enriched(**(facts | changes))  # type: ignore[arg-type]


def make_journey(max_attempts: int = 3, **changes: object) -> Journey:
    return Journey(make_request(**changes), max_attempts=max_attempts)


def make_decision(attempt: int, chosen: str = "m1", error_code: str | None = None) -> Decided:
    return Decided(
        Decision(
            request_id="r1", tenant="acme", attempt=attempt, cause="first" if attempt == 1 else "failover",
            policy_version="p", profile_version="s", classifier_version="c", seed=1, decided_at=NOW, reason="because",
            proof=Proof("internal"), chosen=chosen, error_code=error_code,
        )
    )  # fmt: skip


def make_attempt(phase: str, attempt: int = 1, model: str = "m1", worker: str = "w1", **facts: object) -> Attempt:
    return Attempt(
        request_id="r1", tenant="acme", attempt=attempt, attempt_id=attempt_id("acme", "r1", attempt, model), phase=phase,
        role="primary", provider="openai", model=model, region="us", worker=worker, started_at=NOW, **facts,  # type: ignore[arg-type]
    )  # fmt: skip


def failed(kind: str, attempt: int = 1, model: str = "m1", **facts: object) -> Attempt:
    retry_after_s = facts.pop("retry_after_s", None)
    error = AttemptError(kind=kind, message="broken", retry_after_s=retry_after_s)  # type: ignore[arg-type]
    return make_attempt("finished", attempt, model, result="error", error=error, **facts)


def calling(journey: Journey, attempt: int = 1, model: str = "m1") -> Journey:
    journey.step(make_decision(attempt, model), NOW)
    journey.step(make_attempt("started", attempt, model), NOW)
    return journey


def test_a_fresh_request_is_decided_forwarded_and_ends_with_its_answer() -> None:
    journey = make_journey()
    assert journey.begin() == [Decide(attempt=1, cause="first")]
    (forward,) = journey.step(make_decision(1), NOW)
    assert isinstance(forward, Forward)
    assert forward.role == "primary"
    assert journey.step(make_attempt("started"), NOW) == []
    assert journey.step(make_attempt("finished", result="ok", response=REF), NOW) == [End(REF)]
    assert journey.phase is Phase.ENDED


def test_a_failed_call_goes_to_the_next_candidate_at_once() -> None:
    journey = calling(make_journey())
    assert journey.step(failed("provider_fault"), NOW) == [Decide(attempt=2, cause="failover")]
    assert journey.given_up == ["m1"]


def test_a_fatal_kind_is_answered_without_another_call() -> None:
    (reply,) = calling(make_journey()).step(failed("content_filtered"), NOW)
    assert isinstance(reply, Reply)
    assert reply.error.code == "content_filter"


def test_attempts_are_bounded() -> None:
    journey = calling(make_journey(max_attempts=1))
    (reply,) = journey.step(failed("provider_fault"), NOW)
    assert isinstance(reply, Reply)
    assert reply.error.code == "provider_error"


def test_returned_without_started_is_forwarded_again_under_the_same_number() -> None:
    journey = make_journey()
    (first,) = journey.step(make_decision(1), NOW)
    (again,) = journey.step(make_attempt("returned", worker="w2"), NOW)
    assert again == first


def test_returned_after_kept_waits_for_the_living_worker() -> None:
    journey = calling(make_journey())
    assert journey.step(make_attempt("kept"), NOW) == []
    assert journey.step(make_attempt("returned", worker="w2"), NOW) == []
    assert journey.step(make_attempt("finished", result="ok", response=REF), NOW) == [End(REF)]


def test_returned_after_started_looks_for_the_answer_of_the_dead_worker() -> None:
    journey = calling(make_journey())
    (recover,) = journey.step(make_attempt("returned", worker="w2"), NOW)
    assert isinstance(recover, Recover)
    assert journey.step(Recovered(recover.attempt.attempt_id, REF, streamed=False), NOW) == [End(REF)]


def test_a_lost_call_is_booked_and_made_again() -> None:
    journey = calling(make_journey())
    (recover,) = journey.step(make_attempt("returned", worker="w2"), NOW)
    assert isinstance(recover, Recover)
    orphan, decide = journey.step(Recovered(recover.attempt.attempt_id, None, streamed=False), NOW)
    assert isinstance(orphan, Orphan)
    assert decide == Decide(attempt=2, cause="retry")
    assert journey.given_up == []


def test_an_answer_that_had_begun_never_starts_again() -> None:
    journey = calling(make_journey(stream=True))
    (reply,) = journey.step(failed("transport", streamed=True), NOW)
    assert isinstance(reply, Reply)
    assert reply.error.code == "stream_interrupted"


def test_rate_limited_without_alternative_waits_as_long_as_it_was_told() -> None:
    journey = calling(make_journey())
    journey.step(failed("rate_limited", retry_after_s=3.0), NOW)
    assert journey.step(make_decision(2, "", "all_providers_unavailable"), NOW) == [Park(NOW + 3000)]


def test_a_wait_that_does_not_fit_the_deadline_is_answered() -> None:
    journey = calling(make_journey())
    journey.step(failed("rate_limited", retry_after_s=300.0), NOW)
    (reply,) = journey.step(make_decision(2, "", "all_providers_unavailable"), NOW)
    assert isinstance(reply, Reply)
    assert reply.error.code == "rate_limit_exceeded"
    assert reply.error.retry_after_s == 300.0


def test_after_a_takeover_a_call_in_flight_is_waited_for() -> None:
    journey = make_journey()
    assert journey.resume([make_attempt("started")], NOW) == []
    assert journey.step(make_attempt("finished", result="ok", response=REF), NOW) == [End(REF)]


def test_after_a_takeover_a_finished_failure_goes_on_with_the_next_attempt() -> None:
    journey = make_journey()
    assert journey.resume([make_attempt("started"), failed("overloaded")], NOW) == [Decide(attempt=2, cause="failover")]
    assert journey.attempts == 1


def test_what_a_failed_attempt_cost_is_counted_once() -> None:
    journey = calling(make_journey())
    event = failed("provider_fault", usage=Usage(input_tokens=10), price=Price("v", 1_000_000))
    journey.step(event, NOW)
    journey.step(event, NOW)
    assert journey.spent_nano_usd == 10


events = st.one_of(
    st.builds(
        make_attempt,
        st.sampled_from(["started", "kept", "returned"]),
        st.integers(1, 3),
        st.sampled_from(["m1", "m2"]),
        st.sampled_from(["w1", "w2"]),
    ),
    st.builds(
        failed,
        st.sampled_from(["provider_fault", "rate_limited", "content_filtered", "transport"]),
        st.integers(1, 3),
        st.sampled_from(["m1", "m2"]),
    ),
    st.builds(lambda a, m: make_attempt("finished", a, m, result="ok", response=REF), st.integers(1, 3), st.just("m1")),
    st.builds(make_decision, st.integers(1, 4), st.sampled_from(["m1", "m2", ""])),
    st.just(DeadlinePassed()),
    st.just(CancelAsked()),
)


@given(st.lists(events, max_size=30))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_there_is_at_most_one_end_and_nothing_after_it(happenings: list[object]) -> None:
    journey, ended = make_journey(), 0
    for event in happenings:
        steps = journey.step(event, NOW)  # type: ignore[arg-type]
        assert not (ended and steps)
        ended += sum(isinstance(step, Reply | End) for step in steps)
    assert ended <= 1
    assert (journey.phase is Phase.ENDED) == bool(ended)
    assert journey.spent_nano_usd >= 0


@given(st.lists(events, max_size=15))
@settings(max_examples=200, deadline=None)
def test_deadline_always_ends_it(happenings: list[object]) -> None:
    journey = make_journey()
    for event in happenings:
        journey.step(event, NOW)  # type: ignore[arg-type]
    journey.step(DeadlinePassed(), NOW)
    assert journey.phase is Phase.ENDED


def test_after_a_takeover_what_was_done_since_is_not_asked_for_again() -> None:
    journey = make_journey()
    assert journey.resume([make_attempt("returned", worker="w2"), make_attempt("started", worker="w3")], NOW) == []
    assert journey.step(make_attempt("finished", result="ok", response=REF), NOW) == [End(REF)]


def test_after_a_takeover_an_echo_of_the_failed_attempt_changes_nothing() -> None:
    history = [make_attempt("started"), failed("overloaded"), make_attempt("started")]
    assert make_journey().resume(history, NOW) == [Decide(attempt=2, cause="failover")]


def test_after_a_takeover_a_lost_call_is_still_looked_for() -> None:
    (recover,) = make_journey().resume([make_attempt("started"), make_attempt("returned", worker="w2")], NOW)
    assert isinstance(recover, Recover)


def state_refused(attempt: int) -> Attempt:
    error = AttemptError(kind="invalid_request", code="state_refused", message="Invalid `signature`")
    return make_attempt("finished", attempt, result="error", error=error)


def test_a_vendor_that_refuses_signatures_is_asked_once_more_without_them() -> None:
    journey = calling(make_journey())
    assert journey.step(state_refused(1), NOW) == [Decide(attempt=2, cause="retry")]
    assert journey.given_up == []
    (forward,) = journey.step(make_decision(2), NOW)
    assert isinstance(forward, Forward)
    assert not forward.keep_state
    (reply,) = journey.step(state_refused(2), NOW)
    assert isinstance(reply, Reply)
    assert reply.error.code == "invalid_request_error"


def test_after_a_takeover_refused_signatures_still_stay_out() -> None:
    journey = make_journey()
    journey.begin()
    assert journey.resume([state_refused(1)], NOW) == [Decide(attempt=2, cause="retry")]
    assert not journey.keep_state
