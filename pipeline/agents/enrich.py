"""enrich: a record of `requests.v1` -> an `Enriched` request, or why it is refused. Hands over to route in process."""

import contextlib
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.kafka.partition import partition_of
from pipeline.core.classify import classify
from pipeline.tools import Tools
from schemas import headers as h
from schemas import ids
from schemas.bodies import check_body
from schemas.codec import Undecodable, decode
from schemas.events import Enriched, InvalidRequest, Ref, Request
from schemas.incoming import decode_request
from schemas.topics import INLINE_BODY_BYTES


@dataclass(slots=True, frozen=True)
class Refused:
    """A record that becomes a dead letter for a `reason`, and an outcome where its id and tenant can be read."""

    reason: str
    message: str
    request_id: str | None
    tenant: str | None
    code: str = "invalid_request"


@dataclass(slots=True, frozen=True)
class Elsewhere:
    """The record stands in the wrong partition: it belongs to the owner of this key."""

    key: str
    request_id: str
    deadline_at: int


class Enricher:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def enrich(self, record: Any) -> tuple[Enriched, Request] | Refused | Elsewhere:
        """Decode, validate, place, classify."""
        request = decode_request(record.value)
        if isinstance(request, Undecodable | InvalidRequest):
            return _refused(record, request)
        tenant = self._tools.loaded.catalog.tenant_of(request.tenant)
        request_id = request.request_id or self._id_for(record, request)
        if tenant is None:
            return Refused(
                "unknown_tenant",
                f"no tenant `{request.tenant}` in the catalogue",
                request_id,
                request.tenant,
                "unknown_tenant",
            )
        body = _checked_body(request)  # before the place: a refused record keeps the key and the place it came with
        if isinstance(body, InvalidRequest):
            return Refused("invalid_request", body.message, request_id, request.tenant, body.code)
        key = ids.partition_key(
            request.tenant, shards=tenant.shards, conversation_id=request.conversation_id, request_id=request_id
        )
        deadline_at = self._deadline(record, request)
        misplaced = partition_of(key.encode(), self._tools.partitions) != record.partition
        if misplaced and h.text(record.headers, h.REKEYED) is None:
            return Elsewhere(key, request_id, deadline_at)
        return self._understood(record, request, body, request_id, key, deadline_at), request

    def _understood(
        self, record: Any, request: Request, body: dict[str, Any], request_id: str, key: str, deadline_at: int
    ) -> Enriched:
        inline = len(request.body) <= INLINE_BODY_BYTES
        return Enriched(
            request_id=request_id,
            tenant=request.tenant,
            partition_key=key,
            model=request.model,
            operation=request.operation,
            stream=request.stream or bool(body.get("stream")),
            priority=request.priority,
            accepted_at=record.timestamp,
            deadline_at=deadline_at,
            features=classify(body, asked_sensitivity=request.sensitivity),
            body=request.body if inline else None,
            body_ref=None if inline else Ref(record.topic, record.partition, record.offset),
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            user=request.user,
            key_id=request.key_id,
            conversation_id=request.conversation_id,
            idempotent=request.idempotency_key is not None,
            fingerprint=ids.fingerprint(request.model, request.operation, request.body),
            tags=request.tags,
            role=h.text(record.headers, h.ROLE) or "primary",
        )

    def _id_for(self, record: Any, request: Request) -> str:
        """A header says it for a record that was re-produced; else the key, else where the record stands."""
        if said := h.text(record.headers, h.REQUEST_ID):
            return said
        if request.idempotency_key is not None:
            return ids.idempotent_request_id(self._tools.pepper, request.tenant, request.idempotency_key)
        return ids.record_request_id(record.topic, record.partition, record.offset)

    def _deadline(self, record: Any, request: Request) -> int:
        """The earlier of what the header says (absolute) and what the request or its route allows from the append on."""
        route = self._tools.loaded.catalog.routes.get(request.model)
        allowed_s = request.deadline_s or (route.deadline_s if route else 120)
        own = int(record.timestamp) + int(allowed_s * 1000)
        said = h.integer(record.headers, h.DEADLINE_MS)
        return own if said is None else min(own, said)


def _checked_body(request: Request) -> dict[str, Any] | InvalidRequest:
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        return InvalidRequest(f"`body` is no JSON: {error.msg}", param="body")
    if not isinstance(body, dict):
        return InvalidRequest("`body` must be a JSON object", param="body")
    return check_body(request.operation, body) or body


def _refused(record: Any, problem: Undecodable | InvalidRequest) -> Refused:
    said = peek(record.value)
    request_id = h.text(record.headers, h.REQUEST_ID) or said.get("request_id")
    tenant = h.text(record.headers, h.TENANT) or said.get("tenant")
    if isinstance(problem, Undecodable):
        return Refused(problem.reason, problem.detail, request_id, tenant)
    return Refused("invalid_request", problem.message, request_id, tenant)


def peek(value: bytes | None) -> dict[str, str]:
    """Id and tenant of a record that was refused, JSON or Avro, where they are well-formed."""
    said: dict[str, Any] = {}
    if value and value[:1] == b"{":
        with contextlib.suppress(orjson.JSONDecodeError):
            said = orjson.loads(value)
    elif isinstance(request := decode(Request, value), Request):
        said = {"request_id": request.request_id, "tenant": request.tenant}
    return {
        name: said[name]
        for name in ("request_id", "tenant")
        if isinstance(said.get(name), str) and 0 < len(said[name]) <= 128
    }
