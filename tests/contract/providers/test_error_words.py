"""Words of vendors' messages that decide what happens next, as the vendors and their users' reports give them."""

import pytest

from connectors.providers.error_bodies import names_state


@pytest.mark.parametrize(
    "message",
    [
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
        "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
        "Function call is missing a thought_signature in functionCall parts.",
        "Thought signature is not valid.",
        "The encrypted content gAAA could not be verified.",
    ],
)
def test_a_refused_signature_is_known_by_its_words(message: str) -> None:
    assert names_state(message)


@pytest.mark.parametrize(
    "message", ["max_tokens: must be greater than `thinking.budget_tokens`", "invalid tool schema"]
)
def test_other_refusals_are_not_taken_for_one(message: str) -> None:
    assert not names_state(message)
