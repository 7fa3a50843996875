"""Randomness that depends on nothing but the request: one digest, one independent stream per purpose."""

import random
from collections.abc import Hashable
from hashlib import blake2b
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Draw:
    """All chance of one attempt, derived from (seed, model, canonical request, attempt)."""

    __slots__ = ("_digest",)

    def __init__(self, seed: int, model: str, canonical: bytes, attempt: int) -> None:
        key = f"{seed}|{model}|{attempt}|".encode()
        self._digest = blake2b(key + canonical, digest_size=32).digest()

    def stream(self, purpose: str) -> random.Random:
        """A generator of its own per purpose, so that switching a fault on changes no text and no delay."""
        return random.Random(int.from_bytes(self._hash(purpose).digest()[:16]))

    def hex(self, purpose: str, length: int) -> str:
        """Letters and digits for an identifier, at most 64."""
        return self._hash(purpose).hexdigest()[:length]

    def _hash(self, purpose: str) -> blake2b:
        return blake2b(self._digest + purpose.encode(), digest_size=32)


class Tally(Generic[K]):
    """Counts how often each key was seen; forgets the oldest keys beyond `size`."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._seen: dict[K, int] = {}

    def next(self, key: K) -> int:
        """The ordinal of this sighting, from 1."""
        count = self._seen.pop(key, 0) + 1
        self._seen[key] = count
        if len(self._seen) > self._size:
            del self._seen[next(iter(self._seen))]
        return count
