"""Tools over Chat Completions: choices, histories, results, and state that must come back through a plain client."""

import json
from typing import Any

from tests.integration.conformance.chat_cases import PNG, Case, Check, holds, image, lacks, says, user
from tests.integration.conformance.exchange import Body, Told

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, parameters: Body | None = CITY) -> Body:
    function: Body = {"name": name, "description": f"Tells the {name}."}
    return {"type": "function", "function": function | ({"parameters": parameters} if parameters else {})}


WEATHER, TIME = tool("weather"), tool("time")


def calls(*names: str, finish: str = "tool_calls") -> Check:
    def check(told: Told, nonce: str) -> None:
        assert [call["function"]["name"] for call in told.calls] == list(names)
        assert told.finish == finish
        assert len({call["id"] for call in told.calls}) == len(names)
        for call in told.calls:
            assert call["type"] == "function" and isinstance(json.loads(call["function"]["arguments"]), dict)

    return check


def asks_for(*tools: Body, text: str = "What are weather and time there?", **more: Any) -> Any:
    return lambda n: user(f"{text} {n}", tools=list(tools), **more)


def called(id: str, name: str, arguments: str) -> Body:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id: str, content: Any) -> Body:
    return {"role": "tool", "tool_call_id": id, "content": content}


def after(*results: Body, calls: list[Body], text: str | None = None, **more: Any) -> Any:
    def body(n: str) -> Body:
        turn = {"role": "assistant", "content": text, "tool_calls": calls}
        return {
            "messages": [{"role": "user", "content": f"Weather and time {n}"}, turn, *results],
            "tools": [WEATHER, TIME],
            **more,
        }

    return body


TWO = [called("call_1", "weather", '{"city":"Zürich"}'), called("call_2", "time", '{"city":"Bern"}')]
RESULTS = (result("call_1", "sunny\u2028warm ☀️"), result("call_2", "noon"))

TOOLS = [
    Case(name="tool-call", body=asks_for(WEATHER, text="How is the weather?"), check=calls("weather"),
         sent={"chat": {"tools.0.function.name": "weather"},
               "responses": {"tools.0.name": "weather", "tools.0.function": None},
               "anthropic": {"tools.0.name": "weather", "tools.0.input_schema.type": "object"},
               "gemini": {"tools.0.functionDeclarations.0.name": "weather"}}),
    Case(name="parallel-calls", body=asks_for(WEATHER, TIME), check=calls("weather", "time")),
    Case(name="parallel-off", body=asks_for(WEATHER, TIME, parallel_tool_calls=False), check=calls("weather"),
         sent={"chat": {"parallel_tool_calls": False}, "responses": {"parallel_tool_calls": False},
               "anthropic": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}}),
    Case(name="choice-auto", body=asks_for(WEATHER, text="Hello", tool_choice="auto"), check=says("tools weather"),
         sent={"gemini": {"toolConfig": lambda v: v is None or holds("AUTO")(v)},
               "anthropic": {"tool_choice": lambda v: v in (None, {"type": "auto"})}}),
    Case(name="choice-none", body=asks_for(WEATHER, tool_choice="none"), check=says(),
         sent={"chat": {"tool_choice": "none"}, "responses": {"tool_choice": "none"},
               "anthropic": {"tool_choice": {"type": "none"}},
               "gemini": {"toolConfig.functionCallingConfig.mode": "NONE"}}),
    Case(name="choice-required", body=asks_for(WEATHER, text="Hello", tool_choice="required"), check=calls("weather"),
         sent={"chat": {"tool_choice": "required"}, "responses": {"tool_choice": "required"},
               "anthropic": {"tool_choice.type": "any"},
               "gemini": {"toolConfig.functionCallingConfig.mode": "ANY"}}),
    Case(name="choice-named", check=lambda told, n: _named(told),
         body=asks_for(WEATHER, TIME, text="Hello", tool_choice={"type": "function", "function": {"name": "time"}}),
         sent={"chat": {"tool_choice.function.name": "time"},
               "responses": {"tool_choice": {"type": "function", "name": "time"}},
               "anthropic": {"tool_choice.type": "tool", "tool_choice.name": "time"},
               "gemini": {"toolConfig.functionCallingConfig.allowedFunctionNames": ["time"]}}),
    Case(name="choice-required-of-a-model-that-cannot-be-forced", role="strict",
         body=asks_for(WEATHER, text="How is the weather?", tool_choice="required"), check=calls("weather"),
         sent={"anthropic": {"tool_choice": lambda v: v in (None, {"type": "auto"}), "system": holds("must call")}},
         but=dict.fromkeys(("openai", "responses", "gemini", "compatible"), "forces tools on every model")),
    Case(name="tool-without-parameters", body=asks_for(tool("weather", None), text="How is the weather?"),
         check=lambda told, n: _no_arguments(told),
         sent={"anthropic": {"tools.0.input_schema.type": "object"}}),
    Case(name="tool-history", body=after(*RESULTS, calls=TWO), check=says("sunny", "noon", "tools weather, time"),
         sent={"chat": {"messages.1.tool_calls.0.id": "call_1", "messages.2.tool_call_id": "call_1"},
               "responses": {"input.1.type": "function_call", "input.3.type": "function_call_output"},
               "anthropic": {"messages": lambda v: [m["role"] for m in v] == ["user", "assistant", "user"],
                             "messages.2.content": lambda v: [b["type"] for b in v] == ["tool_result"] * 2},
               "gemini": {"contents": lambda v: len(v) == 3,
                          "contents.2.parts": lambda v: [p["functionResponse"]["name"] for p in v] == ["weather", "time"]}}),
    Case(name="tool-history-in-another-order", body=after(*reversed(RESULTS), calls=TWO), check=says("sunny", "noon")),
    Case(name="tool-history-with-text", check=says("sunny", "noon"), body=after(*RESULTS, calls=TWO, text="I look."),
         sent={"anthropic": {"messages.1.content.0": {"type": "text", "text": "I look."}}}),
    Case(name="question-after-results", check=says("sunny"), body=lambda n: {
        "messages": [{"role": "user", "content": "Weather?"},
                     {"role": "assistant", "content": None, "tool_calls": TWO[:1]}, RESULTS[0],
                     {"role": "user", "content": f"And tomorrow {n}"}], "tools": [TIME]},
         sent={"anthropic": {"messages.2.content": lambda v: [b["type"] for b in v] == ["tool_result", "text"]}},
         but={"gemini": "its simulator reads results of the current turn only",
              **dict.fromkeys(("openai", "responses", "compatible"), "their simulators read results of the last turn only")}),
    Case(name="empty-arguments-in-history", check=says("sunny"),
         body=after(RESULTS[0], calls=[called("call_1", "weather", "")]),
         sent={"anthropic": {"messages.1.content.0.input": {}}, "gemini": {"contents.1.parts.0.functionCall.args": {}},
               "chat": {"messages.1.tool_calls.0.function.arguments": "{}"},
               "responses": {"input.1.arguments": "{}"}}),
    Case(name="result-that-is-JSON", check=says("21"), body=after(
        result("call_1", '{"degrees": 21}'), calls=TWO[:1]),
         sent={"gemini": {"contents.2.parts.0.functionResponse.response": holds("degrees")}}),
    Case(name="result-that-is-empty", check=says(), body=after(result("call_1", ""), calls=TWO[:1])),
    Case(name="result-in-parts", check=says("sunny"), body=after(
        result("call_1", [{"type": "text", "text": "sunny"}]), calls=TWO[:1])),
    Case(name="image-in-a-result", check=says("media image"), body=after(
        result("call_1", [{"type": "text", "text": "a picture"}, image(f"data:image/png;base64,{PNG}")]), calls=TWO[:1]),
         sent={wire: {"": holds(PNG)} for wire in ("responses", "anthropic", "gemini")},
         refused={"openai": "messages.2.content.1"}, but={"compatible": "passes it on; its server refuses it"}),
    Case(name="long-and-odd-ids", check=says("sunny"), body=after(
        result("call:1/ü " + "x" * 80, "sunny"), calls=[called("call:1/ü " + "x" * 80, "weather", '{"city":"Bern"}')])),
    Case(name="history-without-tools", check=says("sunny"), body=lambda n: {
        key: value for key, value in after(*RESULTS, calls=TWO)(n).items() if key != "tools"}),
    Case(name="unknown-fields-of-other-vendors-in-history", check=says("sunny"), body=lambda n: {
        "messages": [{"role": "user", "content": f"Weather {n}"},
                     {"role": "assistant", "content": "", "reasoning_content": "thought", "tool_calls": TWO[:1]},
                     RESULTS[0]], "tools": [WEATHER]},
         sent={"chat": {"messages": lacks("reasoning_content")}}),
]  # fmt: skip


def _named(told: Told) -> None:
    """OpenAI says `stop` when the function was named, others `tool_calls`."""
    assert [call["function"]["name"] for call in told.calls] == ["time"]
    assert told.finish in {"stop", "tool_calls"}


def _no_arguments(told: Told) -> None:
    assert [call["function"]["arguments"] for call in told.calls] == ["{}"]
