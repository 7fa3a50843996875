"""Request: what a caller asks for. Gateway, other services, replay -> `requests.v1` -> route (enrich).

This record crosses the edge of the platform (anybody with the broker's ACL may write it), so it is validated: as plain JSON
(first byte `{`, body an object) or as Avro (body JSON bytes), by the same form.
"""

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
MAX_TAGS = 16

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Tags = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=256)],
    ],
    Field(max_length=MAX_TAGS),
]


@dataclass(slots=True)
class Request:
    """`ticket` is a gateway's own mark for its waiting caller, echoed in notes; `deadline_s` counts from the append time."""

    request_id: str | None
    tenant: str
    body: bytes
    model: str = "auto"
    operation: str = "chat"
    user: str | None = None
    key_id: str | None = None
    conversation_id: str | None = None
    idempotency_key: str | None = None
    stream: bool = False
    deadline_s: float | None = None
    priority: str = "interactive"
    sensitivity: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    ticket: str | None = None


@dataclass(slots=True, frozen=True)
class InvalidRequest:
    """Why a request was refused: `code` is an error code of the contract, `param` the field at fault."""

    message: str
    code: str = "invalid_request"
    param: str | None = None


class RequestForm(BaseModel):
    """The envelope without its body; unknown fields are refused, null means absent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: Id | None = None
    tenant: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] = "auto"
    operation: Literal["chat", "embeddings"] = "chat"
    user: Annotated[str, StringConstraints(max_length=256)] | None = None
    key_id: Annotated[str, StringConstraints(max_length=128)] | None = None
    conversation_id: Id | None = None
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    stream: bool = False
    deadline_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None
    priority: Literal["interactive", "batch"] = "interactive"
    sensitivity: Literal["public", "internal", "confidential", "restricted"] | None = None
    tags: Tags = Field(default_factory=dict)
    ticket: Annotated[str, StringConstraints(max_length=128)] | None = None


def parse_request(envelope: dict[str, Any]) -> Request | InvalidRequest:
    """Validate the envelope of a request; `body` may be a JSON object or its bytes and is kept as bytes."""
    present = {name: value for name, value in envelope.items() if value is not None}
    body = present.pop("body", None)
    if isinstance(body, dict):
        body = orjson.dumps(body)
    if not isinstance(body, bytes):
        return InvalidRequest("`body` must be a JSON object", param="body")
    try:
        form = RequestForm.model_validate(present)
    except ValidationError as error:
        return first_problem(error)
    return Request(body=body, **{name: getattr(form, name) for name in _FORM_FIELDS})


_FORM_FIELDS = tuple(f.name for f in fields(Request) if f.name != "body")


def first_problem(error: ValidationError) -> InvalidRequest:
    """Of a form: the field at fault; what the record holds is not repeated."""
    problem = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return InvalidRequest(f"unknown field `{path}`", param=path)
    if not path:  # of the form as a whole
        return InvalidRequest(problem["msg"].removeprefix("Value error, "))
    return InvalidRequest(f"`{path}`: {problem['msg']}", param=path)
