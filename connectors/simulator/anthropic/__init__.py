"""Anthropic's wire: the Messages API and its token count; spelled, refused and framed as the vendor does.

Sources: platform.claude.com/docs/en/api (messages, messages-count-tokens, errors, rate-limits, versioning),
/docs/en/build-with-claude (thinking, prompt-caching, streaming, structured-outputs); provider_contracts.md sections 2
to 7. Not served: server tools, files, batches, containers, `max_tokens: 0`, `GET /v1/models` (which is OpenAI's here).

Thinking is signed: the signature names model and text, and is checked when the block comes back.
"""

from connectors.simulator.anthropic.routes import add_routes

__all__ = ["add_routes"]
