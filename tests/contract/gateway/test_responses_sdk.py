"""The Responses surface with the unmodified SDK: whatever vendor answered, it reads as OpenAI's."""

from typing import Any

import openai
import pytest
from gateway_house import House, failed
from openai.types.responses import Response
from pydantic import BaseModel
from responses_house import CALLS, THOUGHT, asked_of, saying, sdk

from schemas.completion import Choice
from schemas.events import Request

IMAGE = "data:image/png;base64,AAAA"
TOOL: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
ANSWERS: dict[str, tuple[Choice, list[dict[str, Any]]]] = {
    "text": (Choice(text="hello\u2028wörld 🎉"), [{"content": "hello\u2028w"}, {"content": "örld 🎉"}]),
    "tools": (
        Choice(text="I look.", tool_calls=CALLS, finish_reason="tool_calls"),
        [
            {"content": "I look."},
            {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        ],
    ),
    "reasoning": (
        Choice(text="42", reasoning_content="let me see", thinking_blocks=[THOUGHT]),
        [{"reasoning_content": "let me see"}, {"thinking_blocks": [THOUGHT]}, {"content": "4"}],
    ),
    "refusal": (Choice(refusal="I will not."), [{"refusal": "I will"}]),
    "empty": (Choice(), []),
}


def _facts(response: Response) -> dict[str, Any]:
    said: dict[str, Any] = response.model_dump(exclude={"created_at"}, exclude_none=True, warnings=False)
    return said


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("upto", [0, 1, 9])
async def test_a_stream_ends_in_the_same_response_as_the_whole_answer(name: str, upto: int) -> None:
    choice, pieces = ANSWERS[name]
    async with sdk(House(saying(choice, *pieces[:upto]))) as client:
        whole = await client.responses.parse(model="small", input="hi", tools=[TOOL])
        async with client.responses.stream(model="small", input="hi", tools=[TOOL]) as stream:
            text = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
            streamed = await stream.get_final_response()
    # Ids name their request, of which there were two.
    first, second = whole.id.removeprefix("resp_"), streamed.id.removeprefix("resp_")
    assert str(_facts(streamed)).replace(second, first) == str(_facts(whole))
    assert text == whole.output_text == choice.text


async def test_a_plain_stream_is_read_event_by_event() -> None:
    choice, pieces = ANSWERS["text"]
    async with sdk(House(saying(choice, *pieces))) as client:
        events = [event async for event in await client.responses.create(model="small", input="hi", stream=True)]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == choice.text
    assert events[-1].type == "response.completed"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_second_turn_brings_back_calls_results_and_thinking(stream: bool) -> None:
    choice = Choice(
        text="I look.", reasoning_content="let me see", thinking_blocks=[THOUGHT], tool_calls=CALLS,
        finish_reason="tool_calls",
    )  # fmt: skip
    house = House(saying(choice))
    async with sdk(house) as client:
        said: list[Any] = [{"role": "user", "content": "hi"}]
        async with client.responses.stream(model="small", input=said, tools=[TOOL]) as events:
            streamed = await events.get_final_response()
        first = streamed if stream else await client.responses.create(model="small", input=said, tools=[TOOL])
        said += first.output
        for item in first.output:
            if item.type == "function_call":
                said.append({"type": "function_call_output", "call_id": item.call_id, "output": f"of {item.name}"})
        await client.responses.create(model="small", input=said, tools=[TOOL])
    calls = [call.to_openai() for call in CALLS]
    assert asked_of(house)["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "I look.", "tool_calls": calls, "thinking_blocks": [THOUGHT]},
        {"role": "tool", "tool_call_id": "call_1", "content": "of weather"},
        {"role": "tool", "tool_call_id": "call_2", "content": "of time"},
    ]


async def test_reasoning_and_images_go_through_the_typed_client() -> None:
    house = House(saying(ANSWERS["reasoning"][0]))
    parts: Any = [
        {"type": "input_text", "text": "what?"},
        {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
    ]
    async with sdk(house) as client:
        got = await client.responses.create(
            model="small", input=[{"role": "user", "content": parts}], reasoning={"effort": "low", "summary": "auto"}
        )
    thought = got.output[0]
    assert thought.type == "reasoning"
    assert thought.summary[0].text == "let me see"
    assert got.output_text == "42"
    assert got.usage is not None
    assert got.usage.output_tokens_details.reasoning_tokens == 3
    asked = asked_of(house)
    assert asked["reasoning_effort"] == "low"
    assert asked["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": IMAGE, "detail": "auto"}}


class Answer(BaseModel):
    value: int


async def test_structured_output_is_parsed_whole_and_streamed() -> None:
    house = House(saying(Choice(text='{"value":42}'), {"content": '{"val'}))
    async with sdk(house) as client:
        whole = await client.responses.parse(model="small", input="hi", text_format=Answer)
        async with client.responses.stream(model="small", input="hi", text_format=Answer) as stream:
            streamed = await stream.get_final_response()
    assert whole.output_parsed == streamed.output_parsed == Answer(value=42)
    wanted = asked_of(house)["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"]) == ("json_schema", "Answer")


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("invalid_request_error", openai.BadRequestError),
        ("no_eligible_model", openai.PermissionDeniedError),
        ("model_not_found", openai.NotFoundError),
        ("rate_limit_exceeded", openai.RateLimitError),
        ("provider_error", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_the_sdks_own_exceptions(code: str, raised: type[openai.APIError], stream: bool) -> None:
    async with sdk(House(lambda house, request: house.respond(failed(request, code)) and None)) as client:
        with pytest.raises(raised) as caught:
            await client.responses.create(model="small", input="hi", stream=stream)
    assert caught.value.code == code


async def test_a_client_notices_a_stream_that_breaks_off() -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, {"content": "hel"})
        house.respond(failed(request, "stream_interrupted"))

    seen = []
    async with sdk(House(answer)) as client:
        with pytest.raises(openai.APIError, match="no") as caught:
            async for event in await client.responses.create(model="small", input="hi", stream=True):
                seen.append(event.type)
        assert caught.value.code == "stream_interrupted"
        with pytest.raises(openai.APIError):
            async with client.responses.stream(model="small", input="hi") as stream:
                await stream.get_final_response()
    assert seen[-1] == "response.failed"


async def test_what_wants_a_store_is_a_bad_request() -> None:
    async with sdk(House()) as client:
        with pytest.raises(openai.BadRequestError, match="nothing is stored here"):
            await client.responses.create(model="small", input="hi", previous_response_id="resp_1")
        with pytest.raises(openai.BadRequestError, match="nothing is stored here"):
            await client.responses.create(model="small", input="hi", store=True)
