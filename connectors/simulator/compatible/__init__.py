"""A server that speaks like OpenAI and is not OpenAI: vLLM, llama.cpp, Mistral, Groq and others, one oddity at a time.

Under `/compatible/v1`: chat completions, embeddings, models. Plain it answers as vLLM does, with bare error bodies
(`{"object": "error", ...}`) or FastAPI's `detail`, without rate-limit headers and request ids, and takes no key at all
as well as a right one. It refuses what strict servers refuse: fields that only OpenAI has, the role `developer`,
`tools: []`, a tool choice without tools, `tool_calls: null`; `max_completion_tokens` it reads past.

Oddities are asked for by the directive `quirk=NAME+NAME` or by the end of the model's name, `qwen3-edge-8b@no_role`;
the table is in the docstring of `connectors.simulator`. What is odd about OpenAI's own answers is in `connectors.simulator.openai`.

Sources: docs.vllm.ai (OpenAI-compatible server), provider_contracts.md section 6.
"""

from connectors.simulator.compatible.routes import add_routes

__all__ = ["add_routes"]
