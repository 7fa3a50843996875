"""OpenAI's wire: chat completions, responses, embeddings, models, files, fine-tuning; refused and framed as the vendor does.

Where things are: `routes` the endpoints, `journey` what all answers have in common. Chat: `checks`, `messages`,
`requests` on the way in, `chat`, `replies` on the way out. Responses: `responses`, `responses_knobs`, `items`, `seals`
in, `responses_spelling`, `output` out. Fine-tuning: `files`, `multipart`, `tuning`, `training_data`. `fields`, `schemas`,
`errors` serve all.

Sources: platform.openai.com/docs/api-reference (chat, responses, embeddings, models, files, fine-tuning),
/docs/guides/error-codes, /docs/guides/rate-limits; provider_contracts.md sections 2 to 7. Not served: `functions`, custom
and hosted tools.
"""

from connectors.simulator.openai.routes import add_routes

__all__ = ["add_routes"]
