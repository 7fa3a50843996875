"""OpenAI's wire: chat completions, responses, embeddings, models; spelled, refused and framed as the vendor does.

Where things are: `routes` the endpoints, `journey` what all answers have in common. Chat: `checks`, `messages`,
`requests` on the way in, `chat`, `replies` on the way out. Responses: `responses`, `responses_knobs`, `items`, `seals`
in, `responses_spelling`, `output` out. `fields`, `schemas`, `errors` serve both.

Sources: platform.openai.com/docs/api-reference (chat, responses, embeddings, models), /docs/guides/error-codes,
/docs/guides/rate-limits; provider_contracts.md sections 2 to 7. Not served: `functions`, custom and hosted tools.
"""

from connectors.simulator.openai.routes import add_routes

__all__ = ["add_routes"]
