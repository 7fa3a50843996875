"""Google's wire: the Gemini API, v1beta; spelled, refused and framed as the vendor does.

Sources: ai.google.dev/api (generateContent, embeddings, tokens, models), ai.google.dev/gemini-api/docs (thinking,
thought-signatures, function-calling, structured-output, troubleshooting); provider_contracts.md sections 2 to 8. Not
served: `/v1` but for calls of a model, tools that Google runs itself, uploaded files, cached contents, `text/x.enum`,
Live.
"""

from connectors.simulator.gemini.routes import add_routes

__all__ = ["add_routes"]
