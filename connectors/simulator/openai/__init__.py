"""OpenAI's wire: chat completions, embeddings, models; spelled, refused and framed as the vendor does.

Sources: platform.openai.com/docs/api-reference (chat, embeddings, models), /docs/guides/error-codes,
/docs/guides/rate-limits; provider_contracts.md sections 2 to 7. Not served: Responses, `functions`, custom tools.
"""

from connectors.simulator.openai.routes import add_routes

__all__ = ["add_routes"]
