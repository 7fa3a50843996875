"""Parameters over Chat Completions: passed on, fitted, dropped and named, or refused by name."""

import json
from typing import Any

from tests.integration.conformance.chat_cases import Case, holds, lacks, says, user
from tests.integration.conformance.exchange import Told
from tests.integration.conformance.vendors import VENDORS

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "count": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["answer", "count"],
    "additionalProperties": False,
}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA}}


def asks(text: str = "Say something about", **more: Any) -> Any:
    return lambda n: user(f"{text} {n}", **more)


def _json(told: Told, *keys: str) -> None:
    value = json.loads(told.text)
    assert set(keys) <= value.keys()
    assert told.finish == "stop"


def _short(told: Told, most: int) -> None:
    assert told.finish == "length"
    assert told.usage is not None and 0 < told.usage["completion_tokens"] <= most


def _thinks(told: Told, *, aloud: bool) -> None:
    """Compatible servers tell what was thought, and not how much."""
    assert told.usage is not None
    thought = told.usage["completion_tokens_details"]["reasoning_tokens"]
    heard = told.message["reasoning_content"]
    assert (thought > 0 or heard) and thought < told.usage["completion_tokens"]
    assert bool(heard) if aloud else True
    assert not heard or heard not in told.text


def _no_thought(told: Told) -> None:
    assert told.usage is not None
    assert told.usage["completion_tokens_details"]["reasoning_tokens"] == 0
    assert not told.message["reasoning_content"]


def _choices(told: Told, count: int) -> None:
    assert len(told.choices) == count
    assert all(choice["content"] and choice["finish_reason"] == "stop" for choice in told.choices)


def _logprobs(told: Told) -> None:
    tokens = told.message["logprobs"]
    assert "".join(token["token"] for token in tokens) == told.text
    assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 2 for token in tokens)


KNOBS = [
    Case(name="json-schema", body=asks(response_format=JSON_SCHEMA), check=lambda t, n: _json(t, "answer", "count"),
         sent={"chat": {"response_format.json_schema.schema": SCHEMA},
               "responses": {"text.format.schema": SCHEMA, "text.format.type": "json_schema"},
               "anthropic": {"output_config.format.schema": lacks("minimum", "maximum")},
               "gemini": {"generationConfig.responseMimeType": "application/json",
                          "generationConfig.responseJsonSchema": holds("answer", "count")}}),
    Case(name="json-object", check=lambda t, n: _json(t, "answer"),
         body=asks("Reply in JSON about", response_format={"type": "json_object"}),
         sent={"chat": {"response_format.type": "json_object"}, "responses": {"text.format.type": "json_object"},
               "gemini": {"generationConfig.responseMimeType": "application/json"}},
         but={"anthropic": "its simulator does not follow words; see json-object-in-words"}),
    Case(name="json-object-in-words", check=says(),
         body=asks("Reply in JSON about", response_format={"type": "json_object"}),
         sent={"anthropic": {"system": holds("JSON")}},
         but={name: "has a JSON mode" for name in VENDORS if name != "anthropic"}),
    Case(name="length", body=asks("Tell me a lot [[sim: tokens=300]]", max_tokens=20), check=lambda t, n: _short(t, 20),
         sent={"openai": {"max_completion_tokens": 20, "max_tokens": None}, "compatible": {"max_tokens": 20},
               "responses": {"max_output_tokens": 20}, "anthropic": {"max_tokens": 20},
               "gemini": {"generationConfig.maxOutputTokens": 20}},
         but={"gemini": "its plain model thinks the 20 tokens away; see length-where-thinking-comes-first"}),
    Case(name="length-where-thinking-comes-first", check=lambda t, n: _short(t, 20),
         body=asks("Tell me a lot [[sim: tokens=300]]", max_completion_tokens=20),
         sent={"gemini": {"generationConfig.maxOutputTokens": 20}}, but={"responses": "takes no fewer than 16, as above"}),
    Case(name="stop-string", body=asks("Say alpha STOPHERE beta", stop="STOPHERE"), check=lambda t, n: _stopped(t),
         sent={"chat": {"stop": lambda v: v in ("STOPHERE", ["STOPHERE"])}, "responses": {"stop": None},
               "anthropic": {"stop_sequences": ["STOPHERE"]},
               "gemini": {"generationConfig.stopSequences": ["STOPHERE"]}}),
    Case(name="stop-list", body=asks("Say alpha STOPHERE beta", stop=["never", "STOPHERE"]),
         check=lambda t, n: _stopped(t)),
    Case(name="two-choices", body=asks(n=2), check=lambda t, n: _choices(t, 2),
         sent={"chat": {"n": 2}, "gemini": {"generationConfig.candidateCount": 2}},
         refused={"anthropic": "n", "responses": "n"}),
    Case(name="one-choice", body=asks(n=1), check=says(), sent={"anthropic": {"n": None}, "responses": {"n": None}}),
    Case(name="seed", body=asks(seed=7), check=says(),
         sent={"chat": {"seed": 7}, "gemini": {"generationConfig.seed": 7}},
         dropped={"anthropic": "seed", "responses": "seed"}),
    Case(name="sampling", body=asks(temperature=0.3, top_p=0.9), check=says(),
         sent={"chat": {"temperature": 0.3, "top_p": 0.9}, "responses": {"temperature": 0.3, "top_p": 0.9},
               "anthropic": {"temperature": 0.3, "top_p": None},
               "gemini": {"generationConfig.temperature": 0.3, "generationConfig.topP": 0.9}},
         dropped={"anthropic": "top_p"}),
    Case(name="temperature-above-the-range", body=asks(temperature=1.7), check=says(),
         sent={"anthropic": {"temperature": 1}, "chat": {"temperature": 1.7}}),
    Case(name="sampling-of-a-model-without", role="strict", check=says(),
         body=asks(temperature=0.3, top_p=0.9),
         sent={"chat": {"temperature": None, "top_p": None}, "responses": {"temperature": None, "top_p": None},
               "anthropic": {"temperature": None, "top_p": None},
               "gemini": {"generationConfig.temperature": None, "generationConfig.topP": None}},
         dropped=dict.fromkeys(VENDORS, "temperature, top_p")),
    Case(name="penalties", body=asks(presence_penalty=0.5, frequency_penalty=0.4), check=says(),
         sent={"chat": {"presence_penalty": 0.5}, "gemini": {"generationConfig.presencePenalty": 0.5}},
         dropped=dict.fromkeys(("anthropic", "responses"), "frequency_penalty, presence_penalty")),
    Case(name="logprobs", body=asks(logprobs=True, top_logprobs=2), check=lambda t, n: _logprobs(t),
         sent={"chat": {"logprobs": True, "top_logprobs": 2}, "responses": {"top_logprobs": 2},
               "gemini": {"generationConfig.responseLogprobs": True, "generationConfig.logprobs": 2}},
         refused={"anthropic": "logprobs"}),
    Case(name="account-parameters", check=says(),
         body=asks(user="someone@example.com", metadata={"team": "x"}, store=False),
         sent={"openai": {"user": "someone@example.com"}, "anthropic": {"": lacks("someone@example.com", "team")},
               "gemini": {"user": None}, "compatible": {"user": None, "metadata": None, "store": None}}),
    Case(name="effort-low", role="thinker", body=asks(reasoning_effort="low"),
         check=lambda t, n: _thinks(t, aloud=False),
         sent={"openai": {"reasoning_effort": "low"}, "compatible": {"reasoning_effort": "low"},
               "responses": {"reasoning.effort": "low", "store": False},
               "anthropic": {"thinking.type": "adaptive", "output_config.effort": "low"},
               "gemini": {"generationConfig.thinkingConfig.thinkingLevel": lambda v: v.lower() == "low"}}),
    Case(name="effort-high", role="thinker", body=asks(reasoning_effort="high"),
         check=lambda t, n: _thinks(t, aloud=False),
         sent={"chat": {"reasoning_effort": "high"}, "responses": {"reasoning.effort": "high"},
               "anthropic": {"output_config.effort": "high"},
               "gemini": {"generationConfig.thinkingConfig.thinkingLevel": lambda v: v.lower() == "high"}}),
    Case(name="effort-none", role="thinker", body=asks(reasoning_effort="none"), check=lambda t, n: _no_thought(t),
         sent={"openai": {"reasoning_effort": "none"}, "responses": {"reasoning.effort": "none"},
               "anthropic": {"thinking": lambda v: v in (None, {"type": "disabled"})}},
         but={"gemini": "its models of level 3 always think: effort-none-of-a-model-that-always-thinks",
              "compatible": "its model always thinks"}),
    Case(name="effort-none-of-a-model-that-always-thinks", role="thinker", body=asks(reasoning_effort="none"),
         check=says(),
         sent={"gemini": {"generationConfig.thinkingConfig.thinkingLevel": lambda v: v.lower() == "minimal"},
               "compatible": {"reasoning_effort": "low"}},
         but=dict.fromkeys(("openai", "responses", "anthropic"), "its thinker can be switched off")),
    Case(name="effort-of-a-budget", body=asks(reasoning_effort="low"), check=says(),
         sent={"anthropic": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
               "gemini": {"generationConfig.thinkingConfig.thinkingBudget": 1024}},
         dropped=dict.fromkeys(("openai", "responses", "compatible"), "reasoning_effort")),
    Case(name="reasoning-is-heard", role="thinker", check=lambda t, n: _thinks(t, aloud=True),
         body=asks("Think [[sim: reasoning_tokens=40]] about", reasoning_effort="high"),
         but={"openai": "tells no reasoning on Chat Completions"}),
]  # fmt: skip


def _stopped(told: Told) -> None:
    assert told.finish == "stop"
    assert "alpha" in told.text and "STOPHERE" not in told.text and "beta" not in told.text
