"""Which part of a prompt the provider has read before: OpenAI's automatic prompt caching.

From 1,024 tokens on, in steps of 128 (platform.openai.com/docs/guides/prompt-caching). Compared in blocks of 512 bytes,
about 128 tokens. This is the one place where an answer's usage depends on what arrived earlier.
"""

from hashlib import blake2b

_LEAST_TOKENS = 1_024
_STEP_TOKENS = 128
_BLOCK_BYTES = 512


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
