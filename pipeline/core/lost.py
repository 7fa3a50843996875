"""Calls whose worker died with them in flight: whether one was, and the `finished` that nobody else will write. Pure.

`call` gives back what it may have executed before (`returned`), and knows nothing more. While the request is open its
journey judges; of a request that is over, the events of the attempt do (`lost_call`). Either way the books are closed
with what was found: the answer, if it had been written, else an estimate.
"""

import dataclasses
from collections.abc import Sequence

from schemas.completion import Usage
from schemas.events import Attempt, Ref, Response

__all__ = ["answered", "lost_call", "orphaned"]


def lost_call(of: Attempt, events: Sequence[Attempt]) -> Attempt | None:
    """The `started` of a call that nobody will finish; None if nothing was sent, somebody did, or its worker lives.

    `of`: its `returned`, or, once the call's time is over, its `kept`: whoever went on calling would have ended it by then.
    """
    mine = [event for event in events if event.attempt_id == of.attempt_id]
    phases = {event.phase for event in mine}
    started = next((event for event in mine if event.phase == "started"), None)
    if of.phase == "kept" or started is None:
        return None if "finished" in phases else started
    return None if started.worker == of.worker or phases & {"finished", "kept"} else started


def answered(started: Attempt, ref: Ref, response: Response) -> Attempt | None:
    """It had written its answer; None if that outcome is another's."""
    if (response.outcome, response.attempts, response.model) != ("ok", started.attempt, started.model):
        return None
    return dataclasses.replace(
        started,
        phase="finished",
        result="ok",
        usage=response.attempt_usage or response.usage,
        response=ref,
        finish_reason=response.finish_reason,
        first_event_ms=response.timings_ms.first_token,
        duration_ms=response.timings_ms.provider,
        streamed=response.timings_ms.first_token is not None,
        finished_at=response.finished_at,
    )


def orphaned(started: Attempt, usage: Usage, now_ms: int, *, streamed: bool = False) -> Attempt:
    """What became of it is not known: the input was surely sent, of the output is known what went out."""
    return dataclasses.replace(
        started,
        phase="finished",
        result="unknown",
        orphaned=True,
        streamed=streamed,
        usage=dataclasses.replace(usage, estimated=True),
        finished_at=now_ms,
    )
