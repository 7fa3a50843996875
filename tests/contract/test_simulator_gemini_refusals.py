"""The simulated Gemini refuses what Gemini refuses, in its words: a lenient double hides bugs."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.simulator import Simulator, serve

OLD, NEW = "gemini-2.5-flash", "gemini-3.8-flash"
USER = {"role": "user", "parts": [{"text": "hello"}]}
CALL = {"functionCall": {"name": "f", "args": {}}}
SIGNED = {**CALL, "thoughtSignature": "skip_thought_signature_validator"}
RESULT = {"functionResponse": {"name": "f", "response": {"output": 1}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0, models=("gemini-9-ultra", "gemini-3.1-flash-lite", "gpt-9"))
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-goog-api-key": "sk-sim-test"}
    async with httpx.AsyncClient(base_url=f"{simulator.root_url}/v1beta/models", headers=headers) as client:
        yield client


def config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def thinking(**fields: Any) -> dict[str, Any]:
    return config(thinkingConfig=fields)


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def talk(*contents: dict[str, Any]) -> dict[str, Any]:
    return {"contents": list(contents)}


def tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": [{"name": "f", **fields}]}]}


def calling(**fields: Any) -> dict[str, Any]:
    return {**tool(), "toolConfig": {"functionCallingConfig": fields}}


CASES: list[tuple[str, dict[str, Any], str]] = [
    (OLD, {"bogus": 1}, 'Unknown name "bogus": Cannot find field.'),
    (OLD, config(topP=0.5, bogus=1), "Unknown name \"bogus\" at 'generation_config': Cannot find field."),
    (OLD, talk({"role": "user", "content": "x"}), "Unknown name \"content\" at 'contents[0]': Cannot find field."),
    (OLD, talk(user({"text": "x", "cache_control": {}})), "Unknown name \"cache_control\" at 'contents[0].parts[0]'"),
    (OLD, tool(strict=True), "Unknown name \"strict\" at 'tools[0].function_declarations[0]'"),
    (OLD, config(temperature="hot"), "Invalid value at 'generation_config.temperature' (TYPE_FLOAT), \"hot\""),
    (OLD, config(maxOutputTokens=True), "(TYPE_INT32), true"),
    (OLD, config(stopSequences="x"), "Invalid value at 'generation_config.stop_sequences'"),
    (OLD, {"systemInstruction": [USER]}, "Proto field is not repeating, cannot start list."),
    (OLD, talk({"role": "assistant", "parts": [{"text": "x"}]}), "Please use a valid role: user, model."),
    (OLD, {"contents": []}, "contents is not specified"),
    (OLD, {"contents": None}, "contents is not specified"),
    (OLD, talk(user()), "contents[0].parts: contents.parts must not be empty."),
    (OLD, talk(user({})), "required oneof field 'data' must have one initialized field"),
    (OLD, talk(user({"text": ""})), "required oneof field 'data' must have one initialized field"),
    (OLD, talk(user({"thought": True})), "required oneof field 'data' must have one initialized field"),
    (OLD, talk(user({"text": "x", "inlineData": {}})), "(oneof), oneof field 'data' is already set"),
    (OLD, {"systemInstruction": user(RESULT)}, "System instruction only supports text parts."),
    (OLD, talk(user({"inlineData": {"mimeType": "image/png", "data": "%%"}})), "Base64 decoding failed"),
    (OLD, talk(user({"inlineData": {"mimeType": "image/gif", "data": "AAAA"}})), "Unsupported MIME type: image/gif"),
    (OLD, talk(user({"inlineData": {"mimeType": "image/png", "data": ""}})), "must not be empty"),
    (OLD, talk(user({"fileData": {"fileUri": "http://example.com/a"}})), "Invalid or unsupported file uri"),
    (OLD, thinking(thinkingLevel="LOW", thinkingBudget=5), "only one of thinking budget and thinking level"),
    (OLD, thinking(thinkingLevel="LOW"), "Thinking level is not supported for this model."),
    (OLD, thinking(thinkingBudget=99_999), "Please choose a value between 0 and 24576"),
    ("gemini-2.5-pro", thinking(thinkingBudget=0), "Budget 0 is invalid. This model only works in thinking mode."),
    ("gemini-2.5-pro", thinking(thinkingBudget=5), "between 128 and 32768"),
    (NEW, thinking(thinkingLevel="MINIMAL"), "Thinking level MINIMAL is not supported for this model."),
    ("gemini-4-pro", thinking(thinkingLevel="minimal"), "Thinking level MINIMAL is not supported for this model."),
    (NEW, thinking(thinkingLevel="XHIGH"), "Thinking level XHIGH is not supported for this model."),
    (NEW, thinking(thinkingLevel="none"), 'ThinkingConfig.ThinkingLevel), "none"'),
    (NEW, thinking(thinkingBudget=512), "Thinking budget is not supported for this model."),
    ("gemini-9-ultra", thinking(thinkingLevel="MINIMAL"), "Thinking level MINIMAL is not supported for this model."),
    (OLD, config(temperature=2.1), "must be in the range [0, 2]"),
    (OLD, config(topP=1.5), "must be in the range [0, 1]"),
    (NEW, config(temperature=1), "`temperature` is not supported for this model."),
    (NEW, config(topP=1), "`topP` is not supported for this model."),
    (OLD, config(candidateCount=9), "Candidate count must be in the range [1, 8]"),
    (NEW, config(candidateCount=2), "Multiple candidates is not enabled for this model"),
    (OLD, config(maxOutputTokens=0), "supported range is from 1 (inclusive) to 65537 (exclusive)"),
    (OLD, config(stopSequences=["a"] * 6), "must be at most 5"),
    (OLD, config(stopSequences=["a", ""]), "must not be empty"),
    (OLD, config(logprobs=2), "only supported when response_logprobs is set to true"),
    (NEW, config(responseLogprobs=True), "Logprobs is not enabled for models/gemini-3.8-flash"),
    (OLD, config(responseJsonSchema=SCHEMA), "requires `responseMimeType` to be application/json"),
    (OLD, config(responseMimeType="application/xml"), "allowed mimetypes are"),
    (OLD, config(responseMimeType="application/json", responseSchema={"$ref": "#"}), 'Unknown name "$ref"'),
    (OLD, {**tool(), **config(responseMimeType="application/json")}, "response mime type: 'application/json'"),
    (OLD, calling(mode="any"), 'FunctionCallingConfig.Mode), "any"'),
    (OLD, calling(mode="REQUIRED"), 'FunctionCallingConfig.Mode), "REQUIRED"'),
    (OLD, calling(mode="ANY", allowedFunctionNames=["g"]), "contains `g`, which is not a function declaration"),
    (OLD, calling(mode="AUTO", allowedFunctionNames=["f"]), "only when function calling mode is ANY"),
    (OLD, {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "requires function declarations"),
    (OLD, tool(name="1f"), "Invalid function name."),
    (OLD, tool(name="a b"), "Invalid function name."),
    (OLD, {"tools": tool()["tools"] * 2}, "Duplicate function declaration found: f"),
    (OLD, tool(parameters={"type": "OBJECT"}, parametersJsonSchema=SCHEMA), "only one of parameters and"),
    (OLD, tool(parametersJsonSchema={"type": "string"}), "only allowed to be of type OBJECT"),
    (OLD, tool(parameters={"type": "OBJECT", "properties": {}}), "should be non-empty for OBJECT type"),
    (OLD, tool(parameters={**SCHEMA, "required": ["b"]}), "required[0]: property is not defined"),
    (OLD, tool(parameters={"type": "object", "properties": {"a": {"enum": [""]}}}), "enum[0]: cannot be empty"),
    (OLD, tool(parameters={"type": ["object", "null"]}), "Proto field is not repeating, cannot start list."),
    (OLD, {"tools": [{"googleSearch": {}}]}, "is not served"),
    (OLD, talk(USER, user(RESULT)), "function response turn comes immediately after a function call turn"),
    (OLD, talk(model(CALL), user(RESULT)), "function call turn comes immediately after a user turn"),
    (OLD, talk(USER, model(CALL), USER), "equal to the number of function call parts"),
    (OLD, talk(USER, model(CALL), user(RESULT, RESULT)), "equal to the number of function call parts"),
    (OLD, talk(USER, model(CALL)), "equal to the number of function call parts"),
    (OLD, talk(USER, model({"functionCall": {"name": "g"}}), user(RESULT)), "those of the function calls"),
    (
        OLD,
        talk(
            USER,
            model({"functionCall": {"name": "f", "id": "1"}}),
            user({"functionResponse": {**RESULT["functionResponse"], "id": "2"}}),
        ),
        "function response id `2`",
    ),
    (OLD, talk(USER, model(CALL), user({"functionResponse": {"name": "f", "response": "x"}})), "protobuf.Struct"),
    (OLD, talk(USER, model(CALL), user({"functionResponse": {"name": "f"}})), "required field is not set"),
    (OLD, talk(USER, user(CALL), user(RESULT)), "have the role model"),
    (OLD, talk(USER, model({**CALL, "thoughtSignature": "QUJD"}), user(RESULT)), "Thought signature is not valid."),
    (NEW, talk(USER, model(CALL), user(RESULT)), "function call `default_api:f` , position 2."),
    (NEW, talk(USER, model(SIGNED), user(RESULT), model(CALL), user(RESULT)), "position 4."),
    ("gemini-9-ultra", talk(USER, model(CALL), user(RESULT)), "missing a thought_signature in functionCall parts"),
    (NEW, talk(USER, model({"text": "As I said"})), "multiturn requests end with a user role"),
    (OLD, talk(user({"text": "word " * 1_100_000})), "exceeds the maximum number of tokens allowed (1048576)."),
    (OLD, talk(user({"text": "[[sim: falt=x]]"})), "falt=x"),
    (OLD, talk(user({"text": "[[sim: fault=x]]"})), "unknown fault 'x'"),
    (OLD, talk(user({"text": "x" * 21_000_000})), "payload size exceeds the limit: 20971520 bytes"),
]


@pytest.mark.parametrize(("name", "fields", "words"), CASES, ids=lambda value: str(value)[:60])
async def test_wrong_requests_are_refused_in_the_words_of_google(
    http: httpx.AsyncClient, name: str, fields: dict[str, Any], words: str
) -> None:
    response = await http.post(f"/{name}:generateContent", json={"contents": [USER], **fields})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert words in error["message"]
    assert not [header for header in response.headers if "ratelimit" in header or header == "retry-after"]


@pytest.mark.parametrize("keyword", ["$ref", "$defs", "$schema", "const", "allOf", "oneOf", "patternProperties"])
async def test_the_older_schema_knows_no_json_schema_keywords(http: httpx.AsyncClient, keyword: str) -> None:
    parameters = {**SCHEMA, "properties": {"a": {"type": "string", keyword: "x"}}}
    body = {"contents": [USER], **tool(parameters=parameters)}
    error = (await http.post(f"/{OLD}:generateContent", json=body)).json()["error"]
    path = "tools[0].function_declarations[0].parameters.properties[0].value"
    assert error["message"].endswith(f"Unknown name \"{keyword}\" at '{path}': Cannot find field.")
    assert error["details"][0]["fieldViolations"] == [{"field": path, "description": error["message"]}]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (OLD, config(temperature=2, topP=0.9, topK=40, seed=7, presencePenalty=0.5)),
        (OLD, thinking(thinkingBudget=-1)),
        (OLD, config(responseLogprobs=True, logprobs=3)),
        (OLD, talk(USER, model(CALL), user(RESULT))),
        (OLD, talk(USER, model({"text": "As I said"}))),
        (OLD, talk(USER, model(CALL, CALL), {"role": "function", "parts": [RESULT, RESULT]})),
        ("gemini-3-flash", thinking(thinkingLevel="minimal")),
        ("gemini-3.1-flash-lite", config(temperature=0.2)),
        (
            NEW,
            tool(
                parametersJsonSchema={"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}}
            ),
        ),
        (NEW, talk(USER, model(SIGNED), user(RESULT))),
        (NEW, talk(USER, model(SIGNED, CALL), user(RESULT, RESULT))),
        (NEW, talk(USER, model(CALL), user(RESULT), model({"text": "So"}), USER)),
        (NEW, talk(USER, model({"text": "", "thoughtSignature": "skip_thought_signature_validator"}), USER)),
        (
            NEW,
            {"labels": {"team": "a"}, "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]},
        ),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_unusual_but_right_requests_are_served(
    http: httpx.AsyncClient, name: str, fields: dict[str, Any]
) -> None:
    response = await http.post(f"/{name}:generateContent", json={"contents": [USER], **fields})
    assert response.status_code == 200, response.text


async def test_signatures_come_back_only_to_their_model_and_function(http: httpx.AsyncClient) -> None:
    asked = {"contents": [USER], **calling(mode="ANY")}
    turn = (await http.post(f"/{NEW}:generateContent", json=asked)).json()["candidates"][0]["content"]
    signature = turn["parts"][0]["thoughtSignature"]
    turns = [USER, turn, user(RESULT)]
    assert (await http.post(f"/{NEW}:generateContent", json={"contents": turns})).status_code == 200
    moved = await http.post("/gemini-4-pro:generateContent", json={"contents": turns})
    assert moved.json()["error"]["message"] == "Thought signature is not valid."
    urlsafe = base64.urlsafe_b64encode(base64.b64decode(signature)).decode()
    respelled = [USER, model({**CALL, "thought_signature": urlsafe}), user(RESULT)]
    assert (await http.post(f"/{NEW}:generateContent", json={"contents": respelled})).status_code == 200


async def test_missing_and_wrong_keys_are_refused(simulator: Simulator) -> None:
    url = f"{simulator.root_url}/v1beta/models"
    async with httpx.AsyncClient() as http:
        missing = await http.get(url)
        wrong = await http.get(url, headers={"x-goog-api-key": "sk-live-0123456789"})
        bearer = await http.get(url, headers={"authorization": "Bearer sk-sim-test"})
        query = await http.get(url, params={"key": "sk-bad-0123456789"})
    assert (missing.status_code, missing.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert (bearer.status_code, bearer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    for refused in (wrong, query):
        error = refused.json()["error"]
        assert (refused.status_code, error["status"]) == (400, "INVALID_ARGUMENT")
        assert error["details"][0]["reason"] == "API_KEY_INVALID"
        assert "0123456789" not in refused.text


async def test_unknown_models_urls_and_broken_bodies_are_refused(http: httpx.AsyncClient) -> None:
    for name in ("gemini-7", "gpt-4.1", "gpt-9", "claude-haiku-4-5", "gemini-embedding-001"):
        response = await http.post(f"/{name}:generateContent", json={"contents": [USER]})
        assert (response.status_code, response.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert (await http.post(f"/{OLD}:predict", json={})).status_code == 404
    assert (await http.get(f"/{OLD}:generateContent")).status_code == 404
    assert (await http.get("/gemini-7")).status_code == 404
    assert (await http.get(f"/{OLD}")).json()["name"] == f"models/{OLD}"
    broken = await http.post(f"/{OLD}:generateContent", content=b"{")
    assert "Invalid JSON payload received." in broken.json()["error"]["message"]
    listed = await http.post(f"/{OLD}:streamGenerateContent", content=b"[]")
    assert listed.json()[0]["error"]["code"] == 400
    cached = await http.post(f"/{OLD}:generateContent", json={"contents": [USER], "cachedContent": "cachedContents/x"})
    assert (cached.status_code, cached.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


async def test_wrong_embedding_requests_are_refused(http: httpx.AsyncClient) -> None:
    good = {"model": "models/gemini-embedding-001", "content": user({"text": "x"})}
    one = await http.post("/gemini-embedding-001:embedContent", json=good)
    assert len(one.json()["embedding"]["values"]) == 3_072
    wrong: list[dict[str, Any]] = [
        {"content": None},
        {"content": user({"text": ""})},
        {"outputDimensionality": 0},
        {"outputDimensionality": 4_000},
        {"input": "x"},
        {"content": user({"text": "word " * 3_000})},
    ]
    for fields in wrong:
        response = await http.post("/gemini-embedding-001:embedContent", json={**good, **fields})
        assert response.status_code == 400, fields
    for batch in ([], [{**good, "model": "models/other"}], [good] * 101):
        response = await http.post("/gemini-embedding-001:batchEmbedContents", json={"requests": batch})
        assert response.status_code == 400
    assert (await http.post(f"/{OLD}:embedContent", json=good)).status_code == 404


async def test_openai_does_not_serve_the_models_of_google(simulator: Simulator) -> None:
    request = {"model": "gemini-9-ultra", "messages": [{"role": "user", "content": "hi"}]}
    async with httpx.AsyncClient(base_url=simulator.base_url) as http:
        response = await http.post("/chat/completions", json=request, headers={"authorization": "Bearer sk-sim-test"})
    assert response.status_code == 404
