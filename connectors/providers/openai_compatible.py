"""Servers that speak like OpenAI: vLLM, llama.cpp, Ollama, Mistral, Groq, DeepSeek, OpenRouter and many more.

They differ from OpenAI by data alone. What they do differently in answers is read for everybody (openai_chat.fold,
calls, errors): OpenAI itself never does it, so nothing is lost.
"""

from connectors.providers.openai_chat import ChatAdapter
from connectors.providers.openai_chat.request import Quirks

__all__ = ["OPENAI_COMPATIBLE"]

OPENAI_COMPATIBLE = ChatAdapter(
    Quirks(
        max_tokens_name="max_tokens",  # older servers know no other
        knows_developer=False,
        # OpenAI's own account features (provider_contracts.md section 4); strict servers refuse what they do not know.
        lacks=frozenset(
            {
                "user",
                "safety_identifier",
                "metadata",
                "store",
                "prompt_cache_key",
                "prompt_cache_retention",
                "service_tier",
                "modalities",
                "web_search_options",
                "cache_control",
            }
        ),
        input_flags={"image_url": "image", "file": "pdf", "input_audio": "audio", "video_url": "video"},
        embeddings_as="float",
    )
)
