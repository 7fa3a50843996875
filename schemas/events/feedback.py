"""Feedback: what a person said of an answer, or of a whole conversation. Gateway, other services -> `feedback.v1` -> sink.

One per (request or conversation, user): the last record wins.

This record crosses the edge of the platform (anybody with the broker's ACL may write it), so it is validated by the form
below: over HTTP, as plain JSON on the topic, and as Avro.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from schemas.events.ref import TimestampMs
from schemas.events.request import Id, InvalidRequest, first_problem

__all__ = ["MAX_COMMENT", "MAX_EDIT", "Feedback", "parse_feedback"]

MAX_COMMENT = 8_192
MAX_EDIT = 262_144
"""Characters."""


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


class _Form(BaseModel):
    """Unknown fields are refused, null and "" mean absent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: Id | None = None
    conversation_id: Id | None = None
    tenant: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    user: Annotated[str, StringConstraints(max_length=256)] = ""
    at: Annotated[int, Field(ge=0, le=253_402_300_799_999)]
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    label: Literal["up", "down"] | None = None
    comment: Annotated[str, StringConstraints(max_length=MAX_COMMENT)] | None = None
    edit: Annotated[str, StringConstraints(max_length=MAX_EDIT)] | None = None

    @model_validator(mode="after")
    def _says_what_of_what(self) -> Self:
        if (self.request_id is None) == (self.conversation_id is None):
            raise ValueError("say either `request_id` or `conversation_id`")
        if self.score is None and self.label is None:
            raise ValueError("say `score` (0 to 1), `label` (up or down), or both")
        return self


def parse_feedback(envelope: dict[str, Any], *, at_ms: int) -> Feedback | InvalidRequest:
    """Validate a feedback; `at_ms` is when it was given where the envelope does not say that itself."""
    present = {name: value for name, value in envelope.items() if value is not None and value != ""}
    try:
        form = _Form.model_validate({"at": at_ms, **present})
    except ValidationError as error:
        return first_problem(error)
    said = {field.name: getattr(form, field.name) for field in fields(Feedback)}
    return Feedback(**{**said, "request_id": form.request_id or "", "conversation_id": form.conversation_id or ""})
