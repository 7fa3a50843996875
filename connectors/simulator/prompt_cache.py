"""Which part of a prompt the provider has read before: automatic caching as OpenAI's, explicit as Anthropic's.

Automatic: from 1,024 tokens on, in steps of 128 (platform.openai.com/docs/guides/prompt-caching), compared in blocks
of 512 bytes, about 128 tokens. This is the one place where an answer's usage depends on what arrived earlier.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

_LEAST_TOKENS = 1_024
_STEP_TOKENS = 128
_BLOCK_BYTES = 512
_LOOK_BACK = 20


class PromptCache:
    """Remembers prefixes per model; forgets the oldest blocks beyond `size`."""

    def __init__(self, size: int = 200_000) -> None:
        self._size = size
        self._blocks: dict[bytes, None] = {}

    def read(self, model: str, prompt: bytes, tokens: int) -> int:
        """Tokens of this prompt that are cached; remembers the prompt for the next one."""
        if tokens < _LEAST_TOKENS:
            return 0
        known = self._known_blocks(model, prompt)
        share = min(known * _BLOCK_BYTES / len(prompt), 1.0)
        cached = int(share * tokens) // _STEP_TOKENS * _STEP_TOKENS
        return cached if cached >= _LEAST_TOKENS else 0

    def _known_blocks(self, model: str, prompt: bytes) -> int:
        chain = blake2b(model.encode(), digest_size=16)
        known = 0
        for position, start in enumerate(range(0, len(prompt), _BLOCK_BYTES)):
            chain.update(prompt[start : start + _BLOCK_BYTES])
            key = chain.digest()
            if known == position and key in self._blocks:
                known += 1
            self._blocks.pop(key, None)
            self._blocks[key] = None
        while len(self._blocks) > self._size:
            del self._blocks[next(iter(self._blocks))]
        return known


class Block(NamedTuple):
    """A piece of a prompt as an explicit cache sees it; `ttl_s` is 0 unless the caller marked its end."""

    data: bytes
    tokens: int
    ttl_s: int = 0


class CacheUse(NamedTuple):
    """Prompt tokens that were read from the cache, and those written to it by the time they are kept."""

    read: int = 0
    written: Mapping[int, int] = {}

    @property
    def total(self) -> int:
        return self.read + sum(self.written.values())


class MarkedCache:
    """A cache that works where the caller says so: Anthropic's `cache_control`.

    Each mark writes the prompt up to its block. A read finds the longest prefix that was written before, looking back
    at most 20 blocks from each mark (platform.claude.com/docs/en/build-with-claude/prompt-caching).
    """

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._until: dict[bytes, tuple[float, int]] = {}

    def use(self, model: str, blocks: Sequence[Block], *, now: float) -> CacheUse:
        """Reads and writes what this prompt marks; tokens behind the last mark stay outside."""
        marked = [position for position, block in enumerate(blocks) if block.ttl_s]
        sums = list(accumulate(block.tokens for block in blocks))
        marked = [position for position in marked if sums[position] >= _LEAST_TOKENS]
        if not marked:
            return CacheUse()
        keys = _prefixes(model, blocks)
        near = {at for mark in marked for at in range(max(0, mark - _LOOK_BACK), mark + 1)}
        warm = {at for at in near if self._is_warm(keys[at], now)}
        for at in {*marked, *warm}:
            self._keep(keys[at], blocks[at].ttl_s, now)
        read = sums[max(warm)] if warm else 0
        return CacheUse(read, _written([(sums[mark], blocks[mark].ttl_s) for mark in marked], read))

    def _is_warm(self, key: bytes, now: float) -> bool:
        until, _ = self._until.get(key, (0.0, 0))
        return now < until

    def _keep(self, key: bytes, ttl_s: int, now: float) -> None:
        """Keeps a prefix for its time from now; reading renews it."""
        _, known = self._until.pop(key, (0.0, 0))
        self._until[key] = (now + max(ttl_s, known), max(ttl_s, known))
        if len(self._until) > self._size:
            del self._until[next(iter(self._until))]


def _written(marks: Sequence[tuple[int, int]], read: int) -> dict[int, int]:
    """Tokens between one mark and the next, under the time of the mark that ends them."""
    written: dict[int, int] = {}
    for end, ttl_s in marks:
        if end > read:
            written[ttl_s] = written.get(ttl_s, 0) + end - read
            read = end
    return written


def _prefixes(model: str, blocks: Sequence[Block]) -> list[bytes]:
    chain = blake2b(model.encode(), digest_size=16)
    keys = []
    for block in blocks:
        chain.update(len(block.data).to_bytes(8) + block.data)
        keys.append(chain.digest())
    return keys
