"""How much a call took whose vendor did not say: counted as `enrich` counts what is asked."""

from collections.abc import Sequence

from connectors.providers import ProviderCall
from pipeline.core.classify import count_input_tokens, count_tokens
from schemas.completion import Choice, Usage

__all__ = ["estimated_usage"]


def estimated_usage(call: ProviderCall, choices: Sequence[Choice]) -> Usage:
    """Of an answer, or of what came of it. Tool calls count as their names and arguments."""
    said = sum(count_tokens(text) for choice in choices for text in _texts(choice))
    return Usage(count_input_tokens(dict(call.body)), said, estimated=True)


def _texts(choice: Choice) -> list[str]:
    calls = [text for call in choice.tool_calls for text in (call.name, call.arguments)]
    return [choice.text, choice.reasoning_content or "", choice.refusal or "", *calls]
