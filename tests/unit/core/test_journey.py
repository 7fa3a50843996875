"""The journey as a state machine: named steps, and invariants over any order of events."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.journey import Journey, Phase
from pipeline.core.journey_events import BudgetSpent, CancelAsked, Collected, DeadlinePassed, Decided, Recovered
from pipeline.core.outcomes import Collect, Decide, End, Forward, Orphan, Park, Recover, Reply, Step
from schemas.completion import Usage
from schemas.events import Attempt, AttemptError, Decision, Enriched, Features, Prefix, Price, Proof, Ref
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


def failed(kind: str, attempt: int = 1, model: str = "m1", **facts: Any) -> Attempt:
    retry_after_s, code = facts.pop("retry_after_s", None), facts.pop("code", None)
    error = AttemptError(kind=kind, code=code, message="broken", retry_after_s=retry_after_s)
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


def test_a_request_of_the_past_is_decided_as_a_replay() -> None:
    assert make_journey(role="replay").begin() == [Decide(attempt=1, cause="replay")]
    assert make_journey(role="replay").resume([], NOW) == [Decide(attempt=1, cause="replay")]


def test_a_failed_call_goes_to_the_next_candidate_at_once() -> None:
    journey = calling(make_journey())
    assert journey.step(failed("provider_fault"), NOW) == [Decide(attempt=2, cause="failover", pays="m1")]
    assert journey.given_up == ["m1"]


def test_a_context_that_is_too_small_is_left_for_larger_ones_only() -> None:
    journey = make_journey()
    journey.step(replace(make_decision(1), context_tokens=8_192), NOW)
    (decide,) = journey.step(failed("context_too_long"), NOW)
    assert decide == Decide(attempt=2, cause="failover", larger_than_tokens=8_192, pays="m1")


def test_a_request_that_comes_back_before_its_time_waits_on_and_is_still_parked() -> None:
    journey = make_journey()
    assert journey.wait(NOW + 3_000) == [Park(NOW + 3_000)]
    assert journey.phase is Phase.PARKED
    assert journey.resume([], NOW + 3_000) == [Decide(attempt=1, cause="first")]


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


PREFIX = Prefix(attempt=1, pieces=2, content="The export", thinking_blocks=b"[]")
NOTHING = Prefix(attempt=1, pieces=1, content="")
USAGE = Usage(input_tokens=12, output_tokens=3, estimated=True)


def begun(kind: str = "transport", **changes: object) -> tuple[Journey, list[Step]]:
    """A journey whose first attempt broke off after pieces went out, and what it asks for."""
    facts: dict[str, Any] = {"stream": True, **changes}
    journey = calling(make_journey(**facts))
    return journey, journey.step(failed(kind, streamed=True, usage=USAGE), NOW)


def continuation(attempt: int, chosen: str = "m2", *, prefills: bool = False) -> Decided:
    event = make_decision(attempt, chosen, None if chosen else "all_providers_unavailable")
    event.decision.cause = "continuation"
    return Decided(event.decision, prefills)


def code_of(steps: list[Step]) -> str:
    (reply,) = steps
    assert isinstance(reply, Reply)
    return reply.error.code


def test_an_answer_that_had_begun_is_continued_from_exactly_there_by_the_next_candidate() -> None:
    journey, steps = begun()
    assert steps == [Collect()]
    assert journey.step(Collected(PREFIX), NOW) == [Decide(attempt=2, cause="continuation", pays="m1")]
    assert journey.given_up == ["m1"]
    (forward,) = journey.step(continuation(2), NOW)
    assert isinstance(forward, Forward)
    assert (forward.role, forward.prefix) == ("continuation", replace(PREFIX, input_tokens=12, output_tokens=3))


def test_a_second_break_is_continued_from_all_that_was_said() -> None:
    journey, _ = begun()
    journey.step(Collected(PREFIX), NOW)
    calling_on = continuation(2)
    journey.step(calling_on, NOW)
    journey.step(make_attempt("started", 2, "m2"), NOW)
    usage = Usage(input_tokens=99, output_tokens=4)
    assert journey.step(failed("timeout", 2, "m2", streamed=True, usage=usage), NOW) == [Collect()]
    longer = Prefix(attempt=2, pieces=1, content="The export fails")
    assert journey.step(Collected(longer), NOW) == [Decide(attempt=3, cause="continuation", pays="m2")]
    assert journey.prefix == replace(longer, input_tokens=12, output_tokens=7)


def test_a_continuation_that_fails_before_its_first_piece_leaves_the_prefix_as_it_was() -> None:
    journey, _ = begun()
    journey.step(Collected(PREFIX), NOW)
    journey.step(continuation(2), NOW)
    assert journey.step(failed("overloaded", 2, "m2"), NOW) == [Collect()]


def test_where_nothing_was_said_after_all_it_is_an_ordinary_fail_over() -> None:
    journey, _ = begun()
    assert journey.step(Collected(NOTHING), NOW) == [Decide(attempt=2, cause="failover", pays="m1")]
    (forward,) = journey.step(make_decision(2, "m2"), NOW)
    assert isinstance(forward, Forward)
    assert (forward.role, forward.prefix) == ("failover", None)


def test_who_broke_off_goes_on_himself_if_nobody_else_can_but_only_once_per_failure() -> None:
    journey, _ = begun()
    journey.step(Collected(PREFIX), NOW)
    assert journey.step(continuation(2, ""), NOW) == [Decide(attempt=2, cause="continuation")]
    assert journey.given_up == []
    assert code_of(journey.step(continuation(2, ""), NOW)) == "stream_interrupted"


def test_who_will_fail_again_is_not_asked_to_go_on() -> None:
    journey, _ = begun("auth")
    journey.step(Collected(PREFIX), NOW)
    assert code_of(journey.step(continuation(2, ""), NOW)) == "stream_interrupted"


@pytest.mark.parametrize("kind", ["content_filtered", "invalid_request"])
def test_a_fatal_kind_is_not_continued(kind: str) -> None:
    assert code_of(begun(kind)[1]) == "stream_interrupted"


def test_pieces_that_nobody_can_go_on_from_end_the_stream() -> None:
    journey, _ = begun()
    assert code_of(journey.step(Collected(None), NOW)) == "stream_interrupted"


@pytest.mark.parametrize("need", ["n", "logprobs"])
def test_what_pieces_do_not_carry_is_not_continued(need: str) -> None:
    journey, _ = begun(features=Features(10, "en", "chat", 0.2, "low", "internal", needs=[need]))
    assert code_of(journey.step(Collected(PREFIX), NOW)) == "stream_interrupted"


def test_under_the_policy_error_a_broken_stream_ends_but_an_unbegun_one_fails_over() -> None:
    for prefix, expected in ((PREFIX, "stream_interrupted"), (NOTHING, "failover")):
        journey, _ = begun()
        journey.continues = False
        (step,) = journey.step(Collected(prefix), NOW)
        assert (step.error.code if isinstance(step, Reply) else getattr(step, "cause", "")) == expected


def test_attempts_stay_bounded_for_a_broken_stream_too() -> None:
    journey = calling(make_journey(max_attempts=1, stream=True))
    assert code_of(journey.step(failed("transport", streamed=True), NOW)) == "stream_interrupted"


@pytest.mark.parametrize("need", ["json_mode", "json_schema"])
def test_json_is_continued_only_by_a_model_that_goes_on_by_itself(need: str) -> None:
    journey, _ = begun(features=Features(10, "en", "chat", 0.2, "low", "internal", needs=[need]))
    journey.step(Collected(PREFIX), NOW)
    assert journey.step(continuation(2, "m2"), NOW) == [Decide(attempt=2, cause="continuation")]
    assert journey.given_up == ["m1", "m2"]
    (forward,) = journey.step(continuation(2, "m3", prefills=True), NOW)
    assert isinstance(forward, Forward)


def test_a_stream_whose_worker_died_is_booked_with_what_went_out_and_continued() -> None:
    journey = make_journey(stream=True)
    journey.step(make_decision(1), NOW)
    journey.step(make_attempt("started", price=Price("v", 1_000_000, output_nano_usd_per_mtok=1_000_000)), NOW)
    journey.step(make_attempt("returned", worker="w2"), NOW)
    orphan, collect = journey.step(Recovered(journey.current_id, None, streamed=True, output_tokens=5), NOW)
    assert isinstance(orphan, Orphan)
    assert (orphan.streamed, orphan.output_tokens, journey.spent_nano_usd) == (True, 5, 15)
    assert collect == Collect()
    assert journey.step(Collected(PREFIX), NOW) == [Decide(attempt=2, cause="continuation")]
    assert journey.prefix == replace(PREFIX, input_tokens=10, output_tokens=5)


def test_after_a_takeover_a_broken_stream_is_continued() -> None:
    journey = make_journey(stream=True)
    assert journey.resume([make_attempt("started"), failed("transport", streamed=True, usage=USAGE)], NOW) == [
        Collect()
    ]
    assert journey.step(Collected(PREFIX), NOW) == [Decide(attempt=2, cause="continuation")]


def test_after_a_takeover_a_continuation_that_was_never_sent_is_made_again_with_its_prefix() -> None:
    history = [make_attempt("started"), failed("transport", streamed=True), make_attempt("returned", 2, "m2", "w2")]
    journey = make_journey(stream=True)
    assert journey.resume(history, NOW) == [Collect()]
    assert journey.step(Collected(PREFIX), NOW) == [Decide(attempt=2, cause="continuation")]


def test_a_request_that_was_carried_forward_with_its_answer_begun_is_continued() -> None:
    journey = Journey(make_request(stream=True), 3, attempts=1, given_up=["m1"], streamed=True)
    assert journey.resume([], NOW) == [Collect()]
    assert journey.step(Collected(PREFIX), NOW) == [Decide(attempt=2, cause="continuation")]


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
        streamed=st.booleans(),
    ),
    st.builds(Collected, st.sampled_from([PREFIX, NOTHING, None])),
    st.builds(continuation, st.integers(1, 4), st.sampled_from(["m1", "m2", ""])),
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


@given(st.lists(events, max_size=30))
@settings(max_examples=300, deadline=None)
def test_once_something_was_said_no_call_starts_the_answer_again(happenings: list[object]) -> None:
    journey = make_journey(stream=True)
    journey.step(make_decision(1), NOW)
    journey.step(failed("transport", streamed=True), NOW)
    journey.step(Collected(PREFIX), NOW)
    for event in happenings:
        if isinstance(event, Decided):  # the shell decides what it was asked to
            event.decision.cause = "continuation"
        if isinstance(event, Collected) and event.prefix is NOTHING:
            continue  # what was delivered stays delivered
        for step in journey.step(event, NOW):  # type: ignore[arg-type]
            if isinstance(step, Forward):
                assert step.prefix is not None


def test_who_was_evacuated_has_failed_at_nothing_and_pays_nothing() -> None:
    journey = calling(make_journey())
    assert journey.step(failed("timeout", code="evacuated"), NOW) == [Decide(attempt=2, cause="failover")]


def test_who_failed_and_finds_no_token_is_told_so() -> None:
    journey = calling(make_journey())
    journey.step(failed("provider_fault"), NOW)
    (reply,) = journey.step(BudgetSpent(), NOW)
    assert isinstance(reply, Reply)


def test_a_refusal_for_want_of_a_provider_says_when_to_come_again_even_if_nobody_knows() -> None:
    journey = make_journey()
    (reply,) = journey.step(make_decision(1, "", "all_providers_unavailable"), NOW)
    assert isinstance(reply, Reply)
    assert reply.error.retry_after_s == 1.0
