"""Feedback: what a person said of an answer, or of a whole conversation. Gateway, other services -> `feedback.v1` -> sink.

One per (request or conversation, user): the last record wins.
"""

from dataclasses import dataclass

from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class Feedback:
    """Of a request or of a conversation, the other one is empty; `score` 0..1 or `label` up or down, or both.

    `edit`: how the answer should have been. `user` is empty where nobody is named.
    """

    request_id: str
    conversation_id: str
    tenant: str
    user: str
    at: TimestampMs
    score: float | None = None
    label: str | None = None
    comment: str | None = None
    edit: str | None = None
