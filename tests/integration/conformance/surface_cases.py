"""The same questions in the words of Anthropic's Messages and of OpenAI's Responses, and what must hold of the answers.

`message` and `response` are what the SDKs made of an answer, as plain data.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.conformance.chat_cases import PDF, PNG
from tests.integration.conformance.exchange import Body
from tests.integration.conformance.knob_cases import SCHEMA
from tests.integration.conformance.tool_cases import CITY
from tests.integration.conformance.vendors import VENDORS


@dataclass(frozen=True, kw_only=True)
class SurfaceCase:
    name: str
    body: Callable[[str], Body]
    check: Callable[[Body, str], None]
    role: str = "plain"
    but: Mapping[str, str] = field(default_factory=dict)

    def vendors(self) -> list[str]:
        return [vendor for vendor in VENDORS if vendor not in self.but]


NO_PDF = {"compatible": "its server takes no files"}
NO_JSON_MODE = {"anthropic": "has no JSON mode, and its simulator does not follow words"}

# --- Messages -----------------------------------------------------------------------------------------------------


def message(content: Any, **more: Any) -> Body:
    return {"max_tokens": 4_096, "messages": [{"role": "user", "content": content}], **more}


def said(message: Body) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def _tells(message: Body, *words: str, stop: str = "end_turn") -> None:
    assert message["stop_reason"] == stop
    assert all(word in said(message) for word in words), said(message)
    assert message["usage"]["input_tokens"] > 0 and message["usage"]["output_tokens"] > 0


def _uses(message: Body, *names: str) -> None:
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    assert [call["name"] for call in calls] == list(names)
    assert message["stop_reason"] == "tool_use"
    assert all(isinstance(call["input"], dict) for call in calls)


def _thinks(message: Body) -> None:
    kinds = [block["type"] for block in message["content"]]
    assert kinds[-1] == "text"
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 0 or "thinking" in kinds


TOOL = {"name": "weather", "description": "Tells the weather.", "input_schema": CITY}
SOURCE = {"type": "base64", "media_type": "image/png", "data": PNG}
HISTORY: list[Body] = [
    {"role": "assistant", "content": [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}},
        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {"city": "Basel"}}]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "foggy"}]}]},
]  # fmt: skip

MESSAGES = [
    SurfaceCase(name="text", body=lambda n: message(f"Hello 🎉 {n}"), check=lambda m, n: _tells(m, n, "🎉")),
    SurfaceCase(name="system", body=lambda n: message(f"Hello {n}", system=[{"type": "text", "text": "Be terse."}]),
                check=_tells),
    SurfaceCase(name="image", check=lambda m, n: _tells(m, n, "image"), body=lambda n: message(
        [{"type": "image", "source": SOURCE}, {"type": "text", "text": f"What is it {n}"}])),
    SurfaceCase(name="document", check=lambda m, n: _tells(m, n, "15 bytes"), but=NO_PDF, body=lambda n: message(
        [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
         {"type": "text", "text": f"What is it {n}"}])),
    SurfaceCase(name="tool", body=lambda n: message(f"How is the weather {n}", tools=[TOOL]),
                check=lambda m, n: _uses(m, "weather")),
    SurfaceCase(name="any-tool", check=lambda m, n: _uses(m, "weather"),
                body=lambda n: message(f"Hello {n}", tools=[TOOL], tool_choice={"type": "any"})),
    SurfaceCase(name="results", check=lambda m, n: _tells(m, "sunny", "foggy"), body=lambda n: {
        "max_tokens": 4_096, "tools": [TOOL], "messages": [{"role": "user", "content": f"Weather {n}"}, *HISTORY]}),
    SurfaceCase(name="limit", check=lambda m, n: _tells(m, stop="max_tokens"),
                body=lambda n: message(f"Tell me a lot {n} [[sim: tokens=300]]", max_tokens=30)
                | {"thinking": {"type": "disabled"}}),
    SurfaceCase(name="stop", check=lambda m, n: _tells(m, "alpha"),
                body=lambda n: message(f"Say {n} alpha STOPHERE beta", stop_sequences=["STOPHERE"])),
    SurfaceCase(name="schema", check=lambda m, n: _is_reply(said(m)), body=lambda n: message(
        f"Reply {n}", output_config={"format": {"type": "json_schema", "schema": SCHEMA}})),
    SurfaceCase(name="effort", role="thinker", check=lambda m, n: _thinks(m), body=lambda n: message(
        f"Think about {n} [[sim: reasoning_tokens=30]]", output_config={"effort": "high"})),
]  # fmt: skip


def _is_reply(text: str) -> None:
    assert {"answer", "count"} <= json.loads(text).keys()


# --- Responses ----------------------------------------------------------------------------------------------------


def ask(content: Any, **more: Any) -> Body:
    return {"input": content, "max_output_tokens": 4_096, "store": False, **more}


def heard(response: Body) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts if part["type"] == "output_text")


def _completes(response: Body, *words: str, status: str = "completed") -> None:
    assert response["status"] == status
    assert all(word in heard(response) for word in words), heard(response)
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


def _calls(response: Body, *names: str) -> None:
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    assert [call["name"] for call in calls] == list(names)
    assert all(isinstance(json.loads(call["arguments"]), dict) and call["call_id"] for call in calls)


def _reasons(response: Body) -> None:
    kinds = [item["type"] for item in response["output"]]
    assert kinds[-1] == "message"
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] > 0 or "reasoning" in kinds


FUNCTION = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": CITY,
    "strict": False,
}
CALLED: list[Body] = [
    {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Bern"}'},
    {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": ""},
    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    {"type": "function_call_output", "call_id": "call_2", "output": "foggy"},
]

RESPONSES = [
    SurfaceCase(name="text", body=lambda n: ask(f"Hello 🎉 {n}"), check=lambda r, n: _completes(r, n, "🎉")),
    SurfaceCase(name="instructions", body=lambda n: ask(f"Hello {n}", instructions="Be terse."),
                check=_completes),
    SurfaceCase(name="image", check=lambda r, n: _completes(r, n, "image"), body=lambda n: ask([{"role": "user", "content": [
        {"type": "input_text", "text": f"What is it {n}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}]}])),
    SurfaceCase(name="file", check=lambda r, n: _completes(r, n, "15 bytes"), but=NO_PDF,
                body=lambda n: ask([{"role": "user", "content": [
                    {"type": "input_text", "text": f"What is it {n}"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}]}])),
    SurfaceCase(name="tool", body=lambda n: ask(f"How is the weather {n}", tools=[FUNCTION]),
                check=lambda r, n: _calls(r, "weather")),
    SurfaceCase(name="required-tool", check=lambda r, n: _calls(r, "weather"),
                body=lambda n: ask(f"Hello {n}", tools=[FUNCTION], tool_choice="required")),
    SurfaceCase(name="results", check=lambda r, n: _completes(r, "sunny", "foggy"), body=lambda n: ask(
        [{"role": "user", "content": f"Weather {n}"}, *CALLED], tools=[FUNCTION])),
    SurfaceCase(name="limit", check=lambda r, n: _completes(r, status="incomplete"),
                body=lambda n: ask(f"Tell me a lot {n} [[sim: tokens=300]]", max_output_tokens=30)),
    SurfaceCase(name="schema", check=lambda r, n: _is_reply(heard(r)), body=lambda n: ask(
        f"Reply {n}", text={"format": {"type": "json_schema", "name": "reply", "schema": SCHEMA}})),
    SurfaceCase(name="json", check=lambda r, n: json.loads(heard(r)), but=NO_JSON_MODE,
                body=lambda n: ask(f"Reply in JSON {n}", text={"format": {"type": "json_object"}})),
    SurfaceCase(name="effort", role="thinker", check=lambda r, n: _reasons(r), body=lambda n: ask(
        f"Think about {n} [[sim: reasoning_tokens=30]]", reasoning={"effort": "high"})),
]  # fmt: skip
