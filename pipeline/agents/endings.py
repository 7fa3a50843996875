"""What `call` writes of a call: the events of its attempt, and the answer. Pure: from the order and what the driver says."""

from dataclasses import replace
from typing import Any

import orjson

from connectors.providers.driver import CallResult
from pipeline.core.continuation import Continuation
from pipeline.core.pricing import cost_nano_usd
from pipeline.emit import INTERNAL
from schemas.completion import Answer, Completion, Usage
from schemas.errors import BREAKER_OPEN, EVACUATED, ErrorKind
from schemas.events import Attempt, AttemptError, Call, Response, Timings

__all__ = ["answer_of", "failed", "finished", "held_back", "interrupted", "left_open", "not_sent", "phase_of"]

_INTERRUPTIONS = {
    "cancelled": ErrorKind.CANCELLED,
    "handed_over": ErrorKind.TRANSPORT,
    INTERNAL: ErrorKind.PROVIDER_FAULT,
    EVACUATED: ErrorKind.TIMEOUT,
}
"""Why a call ended without a result of the driver -> what that is to route."""


def phase_of(call: Call, phase: str, worker: str, now_ms: int) -> Attempt:
    return Attempt(
        request_id=call.request_id,
        tenant=call.tenant,
        attempt=call.attempt,
        attempt_id=call.attempt_id,
        phase=phase,
        role=call.role,
        provider=call.provider,
        model=call.model,
        region=call.region,
        worker=worker,
        started_at=now_ms,
        user=call.user,
        key_id=call.key_id,
        tags=call.tags,
        price=call.price,
        accepted_at=call.accepted_at,
    )


def left_open(call: Call, phase: str, worker: str, now_ms: int) -> Attempt:
    """`kept` or `returned`, with what its books need if it was sent and nobody ends it: since when, and how much went out."""
    event = phase_of(call, phase, worker, now_ms)
    event.started_at, event.usage = call.routed_at, Usage(call.input_tokens, estimated=True)
    return event


def finished(started: Attempt, outcome: str, now_ms: int, *, result: CallResult | None = None, **facts: Any) -> Attempt:
    if result is not None:
        facts |= {"first_event_ms": result.first_event_ms, "duration_ms": result.duration_ms}
    return replace(started, phase="finished", result=outcome, finished_at=now_ms, **facts)


def not_sent(started: Attempt, code: str, now_ms: int) -> Attempt:
    """Nobody waits for it any more, before it went out."""
    error = AttemptError(ErrorKind.CANCELLED if code == "cancelled" else ErrorKind.TIMEOUT, code=code)
    return finished(started, "cancelled" if code == "cancelled" else "error", now_ms, error=error)


def held_back(started: Attempt, now_ms: int) -> Attempt:
    """Its endpoint went out while it waited for its place."""
    error = AttemptError(ErrorKind.OVERLOADED, code=BREAKER_OPEN, message="the endpoint takes no calls for now")
    return finished(started, "error", now_ms, error=error)


def failed(started: Attempt, result: CallResult, now_ms: int, *, streamed: bool) -> Attempt:
    failure = result.error
    code = "deadline_exceeded" if result.deadline else failure.code if failure else None
    error = AttemptError(
        kind=failure.kind if failure else ErrorKind.PROVIDER_FAULT,
        status=failure.status if failure else None,
        code=code,
        message=failure.message if failure else "",
        retry_after_s=failure.retry_after_s if failure else None,
    )
    return finished(started, "error", now_ms, result=result, usage=result.usage, error=error, streamed=streamed)


def interrupted(started: Attempt, code: str, usage: Usage, now_ms: int, *, streamed: bool) -> Attempt:
    """By us, with `usage` so far."""
    error = AttemptError(_INTERRUPTIONS[code], code=code)
    outcome = "cancelled" if code == "cancelled" else "error"
    return finished(started, outcome, now_ms, error=error, usage=usage, streamed=streamed)


def answer_of(
    call: Call, started: Attempt, result: CallResult, completion: Answer, continuation: Continuation | None, now_ms: int
) -> Response:
    """Of a continuation the whole answer, with what all attempts took."""
    whole = continuation.answer(completion) if continuation and isinstance(completion, Completion) else completion
    body = whole.to_openai(f"chatcmpl-{call.request_id}", now_ms // 1000, call.model)
    return Response(
        request_id=call.request_id,
        tenant=call.tenant,
        operation=call.operation,
        outcome="ok",
        accepted_at=call.accepted_at,
        finished_at=now_ms,
        route=call.route,
        timings_ms=Timings(
            queue=started.started_at - call.accepted_at,
            first_token=result.first_event_ms,
            provider=result.duration_ms,
            total=now_ms - call.accepted_at,
        ),
        user=call.user,
        conversation_id=call.conversation_id,
        body=orjson.dumps(body),
        provider=call.provider,
        model=call.model,
        region=call.region,
        usage=whole.usage,
        finish_reason=completion.choices[0].finish_reason if isinstance(completion, Completion) else None,
        cost_nano_usd=call.spent_nano_usd + cost_nano_usd(completion.usage, call.price),
        attempts=call.attempt,
        role=call.request_role,
        tags=call.tags,
        dropped=list(result.dropped),
        attempt_usage=completion.usage if continuation is not None else None,
    )
