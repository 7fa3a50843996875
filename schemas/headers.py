"""Record headers: read before the value, so that a reader skips foreign records undecoded. UTF-8; deadlines are absolute."""

from collections.abc import Iterable, Mapping

Headers = list[tuple[str, bytes]]

REQUEST_ID = "request-id"
TENANT = "tenant"
ATTEMPT = "attempt"
DEADLINE_MS = "deadline-ms"
SCHEMA = "schema"
TRACEPARENT = "traceparent"
CONTENT_TYPE = "content-type"
ROLE = "role"
RUN_ID = "run-id"
REPLAY_OF = "replay-of"
REKEYED = "rekeyed"
NOT_BEFORE_MS = "not-before-ms"
REDRIVE_OF = "redrive-of"
KIND = "kind"
EXPERIMENT = "experiment"

REPLAY = "replay"
"""A role: history that is put through again. Nobody waits for it, and it is no usage of its tenant."""

DLQ_STAGE = "dlq-stage"
DLQ_REASON = "dlq-reason"
DLQ_TOPIC = "dlq-topic"
DLQ_PARTITION = "dlq-partition"
DLQ_OFFSET = "dlq-offset"
DLQ_ERROR = "dlq-error"
DLQ_PREFIX = "dlq-"


def text(headers: Iterable[tuple[str, bytes | None]], name: str) -> str | None:
    """The first header of that name; foreign bytes that are no UTF-8 count as absent."""
    for key, value in headers:
        if key == name and value is not None:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
    return None


def integer(headers: Iterable[tuple[str, bytes | None]], name: str) -> int | None:
    """The header as a non-negative integer below 2^53; anything else counts as absent."""
    value = text(headers, name)
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 15:
        return None
    return int(value)


def run_of(role: str, tags: Mapping[str, str]) -> str | None:
    """The run that a replayed request belongs to: it travels among its tags, for its costs to be summed by."""
    return tags.get(RUN_ID) if role == REPLAY else None


def build(**values: str | int | None) -> Headers:
    """Headers from keyword names (`request_id` -> `request-id`); None is left out."""
    return [(name.replace("_", "-"), str(value).encode()) for name, value in values.items() if value is not None]
