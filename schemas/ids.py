"""Identities: keys that decide a partition, and ids that say the same thing twice as the same thing.

All are pure: time and random bytes come in as arguments.
"""

import hashlib
import hmac
import zlib
from collections.abc import Mapping
from uuid import UUID

_NAMESPACE = UUID("6d696c6c-7261-6365-8000-000000000001").bytes


def partition_key(tenant: str, *, shards: int, conversation_id: str | None, request_id: str) -> str:
    """The key of a request's life: the tenant, or for a sharded tenant `tenant#k` by conversation, else by request."""
    if shards <= 1:
        return tenant
    return f"{tenant}#{zlib.crc32((conversation_id or request_id).encode()) % shards}"


def time_ordered_id(now_ms: int, random_bytes: bytes) -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of epoch milliseconds, then 74 of the 80 random bits."""
    value = (now_ms & (2**48 - 1)) << 80 | int.from_bytes(random_bytes[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def idempotent_request_id(pepper: bytes, tenant: str, idempotency_key: str) -> str:
    """The same key of the same tenant is the same request; nobody can compute another tenant's id without the pepper."""
    digest = hmac.new(pepper, f"{tenant}\x00{idempotency_key}".encode(), hashlib.sha256).hexdigest()
    return _named(digest)


def record_request_id(topic: str, partition: int, offset: int) -> str:
    """For a record without an id: derived from where it stands, so that redelivery finds the same one."""
    return _named(f"{topic}/{partition}/{offset}")


def attempt_id(tenant: str, request_id: str, attempt: int, model: str) -> str:
    return _named(f"{tenant}/{request_id}/{attempt}/{model}")


def shadow_request_id(tenant: str, request_id: str, experiment: str) -> str:
    """Whose calls are those of one experiment for one request, however often it is run."""
    return _named(f"shadow/{tenant}/{request_id}/{experiment}")


def sample_point(tenant: str, request_id: str) -> float:
    """Where a request lies in 0..1: a share s of all lies below s, the same for every experiment."""
    digest = hashlib.blake2b(f"{tenant}\x00{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def cost_id(attempt: str, kind: str, price_version: str) -> str:
    return _named(f"{attempt}/{kind}/{price_version}")


def replayed_id(run: str, tenant: str, request_id: str) -> str:
    """Of a request in a replay: the same run sends it under the same id, however often it begins anew."""
    return _named(f"{run}/{tenant}/{request_id}")


def alert_id(name: str, labels: Mapping[str, str], since_ms: int) -> str:
    """Of one episode of a rule, whoever computes it."""
    return _named("\x00".join((name, *(f"{key}={labels[key]}" for key in sorted(labels)), str(since_ms))))


def fingerprint(model: str, operation: str, body: bytes) -> str:
    """What an Idempotency-Key is bound to; `body` is the JSON as sent, so equal bytes are the equal request."""
    return hashlib.sha256(b"\x00".join((model.encode(), operation.encode(), body))).hexdigest()[:32]


def decision_seed(request_id: str, attempt: int) -> int:
    """A seed that a replay derives again."""
    return zlib.crc32(f"{request_id}/{attempt}".encode())


def _named(name: str) -> str:
    """`str(uuid5(namespace, name))` (RFC 9562, version 5), at a third of its cost."""
    digest = bytearray(hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
