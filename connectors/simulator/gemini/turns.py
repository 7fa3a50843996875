"""How contents follow each other: calls and their responses, signatures, who speaks last.

From Gemini 3 on the first call of each step of the current turn carries the signature that the model gave it
(ai.google.dev/gemini-api/docs/thought-signatures). The current turn begins with the last content that a user wrote.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from connectors.simulator.gemini import signatures
from connectors.simulator.gemini.contents import Content
from connectors.simulator.gemini.errors import Refused
from connectors.simulator.gemini.models import GeminiModel

_PAIRING = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)


def check(contents: list[Content], model: GeminiModel) -> None:
    """The conversation as a whole.

    Raises:
        Refused: The first mistake.
    """
    _check_pairing(contents)
    _check_signatures(contents, model)
    if contents[-1].get("role") == "model" and not model.prefill:
        raise Refused("Please ensure that multiturn requests end with a user role or a function response.")


def _check_pairing(contents: list[Content]) -> None:
    waiting: list[Mapping[str, Any]] = []
    before = ""
    for content in contents:
        calls = _all(content, "functionCall")
        responses = _all(content, "functionResponse")
        if responses and not waiting:
            raise Refused("Please ensure that function response turn comes immediately after a function call turn.")
        if calls and before != "user":
            message = (
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
            raise Refused(message)
        _check_responses(waiting, responses)
        waiting = calls
        before = "model" if content.get("role") == "model" else "user"
    _check_responses(waiting, [])


def _all(content: Content, name: str) -> list[Mapping[str, Any]]:
    return [part[name] for part in content["parts"] if name in part]


def _check_responses(calls: list[Mapping[str, Any]], responses: list[Mapping[str, Any]]) -> None:
    if len(calls) != len(responses):
        raise Refused(_PAIRING)
    if Counter(call["name"] for call in calls) != Counter(response["name"] for response in responses):
        raise Refused("Please ensure that the names of the function response parts are those of the function calls.")
    known = {call["id"] for call in calls if "id" in call}
    if unknown := [one["id"] for one in responses if "id" in one and known and one["id"] not in known]:
        raise Refused(f"Please ensure that function response id `{unknown[0]}` is that of a function call.")


def _check_signatures(contents: list[Content], model: GeminiModel) -> None:
    current = _start_of_turn(contents)
    for position, content in enumerate(contents):
        for part in content["parts"]:
            given = part.get("thoughtSignature")
            if given is not None and not signatures.is_valid(given, model.name, part.get("functionCall")):
                raise Refused("Thought signature is not valid.")
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first and "thoughtSignature" not in first and model.signs_calls and position > current:
            raise _unsigned(first["functionCall"]["name"], position + 1)


def _start_of_turn(contents: list[Content]) -> int:
    spoken = [
        position
        for position, content in enumerate(contents)
        if content.get("role", "user") == "user" and not _all(content, "functionResponse")
    ]
    return spoken[-1] if spoken else -1


def _unsigned(name: str, position: int) -> Refused:
    message = (
        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work "
        "correctly, and missing thought_signature may lead to degraded model performance. Additional data, function "
        f"call `default_api:{name}` , position {position}. "
        "Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
    )
    return Refused(message)
