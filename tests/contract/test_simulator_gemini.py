"""The simulated Gemini answers as Gemini does, to Google's own SDK and on the wire, streamed and unstreamed alike."""

import asyncio
import base64
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from connectors.simulator import Simulator, serve

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(60)
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Weather at a place", "parametersJsonSchema": CITY}
CLOCK = {"name": "read_clock"}
TOOLS = [{"functionDeclarations": [WEATHER, CLOCK]}]
BOTH = "What do weather and clock say?"


class FixedClock:
    """Stands still and never waits."""

    def now(self) -> float:
        return 1_795_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(seed=7, clock=FixedClock())
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-goog-api-key": "sk-sim-test"}
    async with httpx.AsyncClient(base_url=f"{simulator.root_url}/v1beta/models", headers=headers) as client:
        yield client


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[genai.client.AsyncClient]:
    once = types.HttpRetryOptions(attempts=1)
    async with httpx.AsyncClient() as own:  # aiohttp, its first choice, warns about the SDK
        options = types.HttpOptions(base_url=simulator.root_url, retry_options=once, httpx_async_client=own)
        sdk = genai.Client(api_key="sk-sim-test", http_options=options)
        yield sdk.aio
        sdk.close()


def make_request(text: str = "Why is the sky blue?", **fields: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **fields}


async def generate(http: httpx.AsyncClient, request: dict[str, Any], model: str = "gemini-2.5-flash") -> dict[str, Any]:
    response = await http.post(f"/{model}:generateContent", json=request)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def stream(
    http: httpx.AsyncClient, request: dict[str, Any], model: str = "gemini-2.5-flash"
) -> list[dict[str, Any]]:
    response = await http.post(f"/{model}:streamGenerateContent", params={"alt": "sse"}, json=request)
    assert response.status_code == 200, response.text
    return pieces(response.content)


def pieces(body: bytes) -> list[dict[str, Any]]:
    events = body.split(b"\r\n\r\n")
    assert events.pop() == b""
    assert all(event.startswith(b"data: ") for event in events)
    return [json.loads(event[6:]) for event in events]


def text_of(body: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in body["candidates"][0]["content"]["parts"])


def merged(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """What a caller makes of a stream: texts joined, the last usage and the last reason kept."""
    candidates: dict[int, dict[str, Any]] = {}
    for candidate in (candidate for chunk in chunks for candidate in chunk["candidates"]):
        kept = candidates.setdefault(candidate["index"], {"index": candidate["index"]})
        for part in candidate.get("content", {}).get("parts", ()):
            _add(kept.setdefault("content", {"parts": [], "role": "model"})["parts"], part)
        chosen = candidate.get("logprobsResult", {}).get("chosenCandidates", [])
        if chosen:
            kept.setdefault("logprobsResult", {"chosenCandidates": []})["chosenCandidates"].extend(chosen)
        kept |= {name: candidate[name] for name in ("finishReason", "avgLogprobs") if name in candidate}
    last = chunks[-1]
    return {**last, "candidates": [candidates[index] for index in sorted(candidates)]}


def _add(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    if part.get("text") == "":
        return
    if "text" in part and parts and "text" in parts[-1] and parts[-1].get("thought") == part.get("thought"):
        parts[-1]["text"] += part["text"]
    else:
        parts.append(dict(part))


# -- Google's own SDK


async def test_sdk_gets_an_answer_that_repeats_facts_of_the_request(client: genai.client.AsyncClient) -> None:
    config = types.GenerateContentConfig(
        system_instruction="Answer like a pirate", temperature=0.2, max_output_tokens=9_000, stop_sequences=["zzz"]
    )
    answer = await client.models.generate_content(
        model="gemini-2.5-flash", contents="Why is the sky blue?", config=config
    )
    assert answer.text is not None
    assert "Why is the sky blue?" in answer.text
    assert "Answer like a pirate" in answer.text
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.model_version == "gemini-2.5-flash"
    assert answer.response_id


async def test_sdk_streams(client: genai.client.AsyncClient) -> None:
    whole = await client.models.generate_content(model="gemini-3-flash", contents="Tell me a story")
    chunks = [
        chunk
        async for chunk in await client.models.generate_content_stream(
            model="gemini-3-flash", contents="Tell me a story"
        )
    ]
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert len(chunks) > 3


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash", "gemini-4-pro"])
async def test_sdk_calls_tools_and_returns_their_results(client: genai.client.AsyncClient, model: str) -> None:
    place = types.Schema(type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)})
    declared = [types.FunctionDeclaration(name="get_weather", description="Weather", parameters=place)]
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=declared)])
    said = types.Content(role="user", parts=[types.Part(text="How is the weather?")])
    first = await client.models.generate_content(model=model, contents=[said], config=config)
    assert first.candidates is not None
    assert first.function_calls is not None
    call = first.function_calls[0]
    assert call.name == "get_weather"
    assert isinstance((call.args or {})["city"], str)
    assert first.candidates[0].finish_reason == types.FinishReason.STOP
    assert first.candidates[0].content is not None
    result = types.Part(
        function_response=types.FunctionResponse(id=call.id, name="get_weather", response={"sky": "overcast"})
    )
    turns = [said, first.candidates[0].content, types.Content(role="user", parts=[result])]
    second = await client.models.generate_content(model=model, contents=turns, config=config)
    assert second.text is not None
    assert '{"sky":"overcast"}' in second.text


async def test_sdk_sees_thoughts_apart_from_the_answer(client: genai.client.AsyncClient) -> None:
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH)
    config = types.GenerateContentConfig(thinking_config=thinking)
    answer = await client.models.generate_content(model="gemini-4-pro", contents="Think hard", config=config)
    assert answer.candidates is not None
    assert answer.candidates[0].content is not None
    parts = answer.candidates[0].content.parts or []
    assert [part.thought for part in parts] == [True, None]
    assert parts[0].text
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.thoughts_token_count or 0) >= 768


async def test_sdk_embeds_counts_and_lists(client: genai.client.AsyncClient) -> None:
    texts = ["water mill", "mill water", "number theory"]
    config = types.EmbedContentConfig(output_dimensionality=256)
    answer = await client.models.embed_content(model="gemini-embedding-001", contents=texts, config=config)
    vectors = [row.values or [] for row in answer.embeddings or ()]
    assert [len(vector) for vector in vectors] == [256] * 3
    assert vectors[0] == vectors[1] != vectors[2]
    counted = await client.models.count_tokens(model="gemini-2.5-flash", contents="How long is this?")
    told = await client.models.generate_content(model="gemini-2.5-flash", contents="How long is this?")
    assert told.usage_metadata is not None
    assert counted.total_tokens == told.usage_metadata.prompt_token_count
    beta = types.ListModelsConfig(http_options=types.HttpOptions(api_version="v1beta"))
    names = [model.name async for model in await client.models.list(config=beta)]
    assert {"models/gemini-2.5-flash", "models/gemini-embedding-001"} <= set(names)


async def test_sdk_raises_its_errors(client: genai.client.AsyncClient) -> None:
    with pytest.raises(errors.ClientError) as refused:
        await client.models.generate_content(model="gemini-2.5-flash", contents="x [[sim: fault=rate_limited]]")
    assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
    with pytest.raises(errors.ServerError) as failed:
        await client.models.generate_content(model="gemini-2.5-flash", contents="x [[sim: fault=overloaded]]")
    assert (failed.value.code, failed.value.status) == (503, "UNAVAILABLE")
    broken = await client.models.generate_content_stream(
        model="gemini-2.5-flash", contents="x [[sim: fault=error_mid_stream]]"
    )
    with pytest.raises(errors.ServerError):
        _ = [chunk async for chunk in broken]


# -- on the wire


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("gemini-2.5-flash", {}),
        ("gemini-2.5-flash", {"generationConfig": {"candidateCount": 3}}),
        ("gemini-2.5-flash", {"generationConfig": {"maxOutputTokens": 1}}),
        ("gemini-2.5-flash", {"generationConfig": {"stopSequences": ["sky"]}}),
        ("gemini-2.5-flash", {"generationConfig": {"responseLogprobs": True}}),
        ("gemini-2.5-pro", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 128, "includeThoughts": True}}}),
        ("gemini-3-flash", {"tools": TOOLS, "text": BOTH}),
        (
            "gemini-3-flash",
            {"tools": TOOLS, "text": "Call it", "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        ),
        ("gemini-4-pro", {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": CITY}}),
        ("gemini-4-pro", {"text": "Filter this [[sim: finish=SAFETY]]"}),
        ("gemini-4-pro", {"text": "Void this [[sim: finish=MALFORMED_FUNCTION_CALL]]"}),
        ("gemini-4-pro", {"text": "Be exact [[sim: tokens=333]]"}),
    ],
    ids=str,
)
async def test_streamed_and_unstreamed_answers_are_equal(
    http: httpx.AsyncClient, model: str, fields: dict[str, Any]
) -> None:
    request = make_request(**fields)
    whole, chunks = await generate(http, request, model), await stream(http, request, model)
    for candidate in whole["candidates"]:
        candidate.pop("safetyRatings", None)
        candidate.pop("finishMessage", None)
    assert merged(chunks) == whole
    for before, after in itertools.pairwise(chunks):
        assert before["usageMetadata"]["totalTokenCount"] <= after["usageMetadata"]["totalTokenCount"]
    listed = await http.post(f"/{model}:streamGenerateContent", json=request)
    assert listed.headers["content-type"].startswith("application/json")
    assert isinstance(listed.json(), list)


async def test_same_seed_gives_the_same_bytes_in_any_concurrency() -> None:
    async def traffic(width: int) -> list[bytes]:
        running = await serve(seed=3, clock=FixedClock(), background={"provider_fault": 0.2})
        gate = asyncio.Semaphore(width)
        async with httpx.AsyncClient(base_url=running.root_url, headers={"x-goog-api-key": "sk-sim-test"}) as http:

            async def one(number: int) -> bytes:
                action = ("generateContent", "streamGenerateContent?alt=sse")[number % 2]
                path = f"/v1beta/models/gemini-3-flash:{action}"
                async with gate:
                    return (await http.post(path, json=make_request(f"Question {number // 2}"))).content

            bodies = await asyncio.gather(*map(one, range(24)))
        await running.close()
        return bodies

    assert await traffic(1) == await traffic(12)


async def test_media_are_repeated_by_type_size_and_digest(http: httpx.AsyncClient) -> None:
    blob = {"mimeType": "image/png", "data": base64.b64encode(PIXEL).decode()}
    file = {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}
    parts = [{"text": "What is this?"}, {"inlineData": blob}, {"fileData": file}]
    body = await generate(http, {"contents": [{"parts": parts}]})
    digest = hashlib.sha256(PIXEL).hexdigest()[:12]
    assert f"image image/png {len(PIXEL)} bytes sha256:{digest}" in text_of(body)
    assert "file application/pdf at https://example.com/a.pdf" in text_of(body)
    bare = await generate(http, make_request("What is this?"))
    assert body["usageMetadata"]["promptTokenCount"] == bare["usageMetadata"]["promptTokenCount"] + 2 * 258


async def test_snake_case_names_and_single_parts_mean_the_same(http: httpx.AsyncClient) -> None:
    request = {
        "system_instruction": {"parts": {"text": "Be brief"}},
        "contents": {"parts": {"text": "Hi"}},
        "generation_config": {"max_output_tokens": 7, "thinking_config": {"thinking_budget": 0}},
    }
    body = await generate(http, request)
    assert body["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert body["usageMetadata"]["candidatesTokenCount"] == 7
    assert "thoughtsTokenCount" not in body["usageMetadata"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_thinking_can_eat_the_whole_budget(http: httpx.AsyncClient, streamed: bool) -> None:
    request = make_request("Think [[sim: reasoning_tokens=500]]", generationConfig={"maxOutputTokens": 100})
    bodies = await stream(http, request) if streamed else [await generate(http, request)]
    assert [body["candidates"] for body in bodies] == [[{"index": 0, "finishReason": "MAX_TOKENS"}]]
    assert bodies[0]["usageMetadata"]["thoughtsTokenCount"] == 100
    assert "candidatesTokenCount" not in bodies[0]["usageMetadata"]


async def test_only_the_first_call_of_gemini_3_is_signed_and_2_5_has_neither_ids_nor_signatures(
    http: httpx.AsyncClient,
) -> None:
    request = make_request(BOTH, tools=TOOLS)
    new = (await generate(http, request, "gemini-4-pro"))["candidates"][0]["content"]["parts"]
    assert [part["functionCall"]["name"] for part in new] == ["get_weather", "read_clock"]
    assert ["thoughtSignature" in part for part in new] == [True, False]
    assert len({part["functionCall"]["id"] for part in new}) == 2
    old = (await generate(http, request))["candidates"][0]["content"]["parts"]
    assert [set(part) for part in old] == [{"functionCall"}] * 2
    assert all("id" not in part["functionCall"] for part in old)


async def test_finish_comes_sometimes_with_the_last_content_and_sometimes_later(http: httpx.AsyncClient) -> None:
    lasts = [(await stream(http, make_request(f"{BOTH} {n}", tools=TOOLS)))[-1] for n in range(12)]
    parts = [last["candidates"][0]["content"]["parts"] for last in lasts]
    assert {"functionCall" in found[0] for found in parts} == {True, False}
    assert all(last["candidates"][0]["finishReason"] == "STOP" for last in lasts)


async def test_repeated_prefixes_are_read_from_the_cache(http: httpx.AsyncClient) -> None:
    request = make_request("word " * 3_000)
    first = await generate(http, request)
    second = await generate(http, request)
    assert "cachedContentTokenCount" not in first["usageMetadata"]
    assert second["usageMetadata"]["cachedContentTokenCount"] >= 1_024
    assert second["usageMetadata"]["promptTokenCount"] == first["usageMetadata"]["promptTokenCount"]


async def test_json_satisfies_either_kind_of_schema(http: httpx.AsyncClient) -> None:
    older = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}, "days": {"type": "INTEGER"}}}
    for schema in ({"responseJsonSchema": CITY}, {"responseSchema": older}):
        config = {"responseMimeType": "application/json", **schema}
        value = json.loads(text_of(await generate(http, make_request(generationConfig=config))))
        assert isinstance(value["city"], str)
        assert isinstance(value["days"], int)


async def test_named_function_is_called_and_none_means_none(http: httpx.AsyncClient) -> None:
    named = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["read_clock"]}}
    body = await generate(http, make_request(tools=TOOLS, toolConfig=named))
    assert [part["functionCall"]["name"] for part in body["candidates"][0]["content"]["parts"]] == ["read_clock"]
    nothing = {"functionCallingConfig": {"mode": "NONE"}}
    assert "tools get_weather, read_clock" in text_of(
        await generate(http, make_request(BOTH, tools=TOOLS, toolConfig=nothing))
    )


async def test_call_that_does_not_fit_the_limit_is_left_out(http: httpx.AsyncClient) -> None:
    config = {"maxOutputTokens": 12, "thinkingConfig": {"thinkingBudget": 0}}
    candidate = (await generate(http, make_request("The weather", tools=TOOLS, generationConfig=config)))["candidates"]
    assert candidate == [{"index": 0, "finishReason": "MAX_TOKENS"}]


async def test_log_never_shows_a_key_wherever_it_came(simulator: Simulator, http: httpx.AsyncClient) -> None:
    request = make_request()
    async with httpx.AsyncClient(base_url=http.base_url) as bare:
        response = await bare.post("/gemini-2.5-flash:generateContent?key=sk-sim-secret", json=request)
        assert response.status_code == 200
    await http.post("/gemini-2.5-flash:generateContent", headers={"x-goog-api-key": "sk-sim-secret"}, json=request)
    log = json.dumps([entry.public() for entry in simulator.world.journal.entries])
    assert "secret" not in log
