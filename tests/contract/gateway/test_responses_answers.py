"""The response object and its events, as bytes on the wire."""

from typing import Any

import pytest
from gateway_house import House, answered, failed
from responses_house import CALLS, CITED, HIDDEN, LOGPROBS, THOUGHT, URL, completed, events_of, saying

from connectors.gateway.responses.carried import unpacked
from schemas.completion import Choice
from schemas.events import Request

BODY = {"model": "small", "input": "hi"}


async def whole_of(choice: Choice, **more: Any) -> dict[str, Any]:
    async with House(saying(choice)).client() as client:
        got = await client.post(URL, json={**BODY, **more})
    assert got.status_code == 200, got.text
    read: dict[str, Any] = got.json()
    return read


async def events_for(choice: Choice, *pieces: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    async with House(saying(choice, *pieces)).client() as client:
        got = await client.post(URL, json={**BODY, "stream": True, **more})
    assert got.headers["content-type"].startswith("text/event-stream")
    return events_of(got.text)


def told(events: list[dict[str, Any]]) -> list[str]:
    return [f"{event['type'].removeprefix('response.')} {event.get('output_index', '')}".strip() for event in events]


async def test_an_answer_has_reasoning_message_and_calls_in_this_order() -> None:
    choice = Choice(
        text="I look.", reasoning_content="let me see", thinking_blocks=[THOUGHT, HIDDEN], tool_calls=CALLS,
        finish_reason="tool_calls",
    )  # fmt: skip
    got = await whole_of(choice)
    thought, message, *calls = got["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "let me see"}]
    assert unpacked(thought["encrypted_content"]) == [THOUGHT, HIDDEN]
    assert message["content"] == [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]
    assert [(c["call_id"], c["name"], c["arguments"]) for c in calls] == [
        ("call_1", "weather", '{"city":"Paris"}'),
        ("call_2", "time", "{}"),
    ]
    assert {item.get("status") for item in (message, *calls)} == {"completed"}
    assert len({item["id"] for item in got["output"]}) == 4
    assert (got["object"], got["status"], got["error"], got["incomplete_details"]) == (
        "response",
        "completed",
        None,
        None,
    )
    assert got["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 19,
    }


async def test_an_answer_repeats_what_was_asked_and_that_nothing_is_stored() -> None:
    said: dict[str, Any] = {
        "instructions": "be brief", "metadata": {"a": "b"}, "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 99,
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": False}], "tool_choice": "none",
        "parallel_tool_calls": False, "truncation": "disabled", "user": "u",
    }  # fmt: skip
    got = await whole_of(Choice(text="42"), **said, text={"verbosity": "low"}, reasoning={"effort": "low"})
    assert {name: got[name] for name in said} == said
    assert got["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert got["reasoning"] == {"effort": "low", "summary": None}
    assert (got["store"], got["background"], got["previous_response_id"]) == (False, False, None)


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_a_cut_answer_is_incomplete_where_it_was_cut(finish: Any, reason: str) -> None:
    text = await whole_of(Choice(text="hel", finish_reason=finish))
    assert (text["status"], text["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in text["output"]] == ["incomplete"]
    calls = await whole_of(Choice(text="I look.", tool_calls=CALLS, finish_reason=finish))
    assert [item["status"] for item in calls["output"]] == ["completed", "completed", "incomplete"]


async def test_notes_on_the_text_stand_in_its_part_whole_and_streamed() -> None:
    choice = Choice(text="hello", annotations=[CITED], logprobs=LOGPROBS)
    part = (await whole_of(choice))["output"][0]["content"][0]
    assert part["annotations"] == [
        {"type": "url_citation", "start_index": 0, "end_index": 5, "title": "t", "url": "https://e.org"}
    ]
    assert part["logprobs"] == LOGPROBS["content"]
    events = await events_for(choice, {"content": "hel"})
    assert events[-1]["response"]["output"][0]["content"][0] == part
    assert [e["annotation"] for e in events if e["type"].endswith("annotation.added")] == part["annotations"]


async def test_an_answer_without_words_has_no_items() -> None:
    assert (await whole_of(Choice()))["output"] == []
    assert told(await events_for(Choice())) == ["created", "in_progress", "completed"]


async def test_a_stream_tells_of_each_item_from_its_beginning_to_its_end() -> None:
    choice = Choice(
        text="I look.", reasoning_content="let me see", thinking_blocks=[THOUGHT], tool_calls=CALLS[:1],
        finish_reason="tool_calls",
    )  # fmt: skip
    named = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    events = await events_for(
        choice,
        {"role": "assistant", "reasoning_content": "let me "},
        {"reasoning_content": "see"},
        {"thinking_blocks": [THOUGHT]},
        {"content": "I look."},
        {"tool_calls": [named]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Paris"}'}}]},
    )
    assert told(events) == [
        "created",
        "in_progress",
        "output_item.added 0",
        "reasoning_summary_part.added 0",
        "reasoning_summary_text.delta 0",
        "reasoning_summary_text.delta 0",
        "reasoning_summary_text.done 0",
        "reasoning_summary_part.done 0",
        "output_item.done 0",
        "output_item.added 1",
        "content_part.added 1",
        "output_text.delta 1",
        "output_item.added 2",
        "function_call_arguments.delta 2",
        "output_text.done 1",
        "content_part.done 1",
        "output_item.done 1",
        "function_call_arguments.done 2",
        "output_item.done 2",
        "completed",
    ]
    assert events[0]["response"]["status"] == "in_progress"
    assert events[-1]["response"] == {**await whole_of(choice), "created_at": events[0]["response"]["created_at"]}


async def test_a_refusal_is_told_as_one() -> None:
    events = await events_for(Choice(refusal="I will not.", finish_reason="content_filter"), {"refusal": "I will"})
    assert told(events)[2:] == [
        "output_item.added 0",
        "content_part.added 0",
        "refusal.delta 0",
        "refusal.delta 0",
        "refusal.done 0",
        "content_part.done 0",
        "output_item.done 0",
        "incomplete",
    ]
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]


async def test_reasoning_between_words_is_an_item_of_its_own_and_the_message_stays_one() -> None:
    choice = Choice(text='{"a":1}', reasoning_content="first then", thinking_blocks=[THOUGHT])
    events = await events_for(
        choice, {"reasoning_content": "first"}, {"content": '{"a"'}, {"reasoning_content": " then"}, {"content": ":1}"}
    )
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "reasoning", "reasoning"]
    assert output[1]["content"][0]["text"] == '{"a":1}'
    assert unpacked(output[3]["encrypted_content"]) == [THOUGHT]


async def test_two_calls_whose_pieces_are_mixed_stay_two_calls() -> None:
    events = await events_for(
        Choice(tool_calls=CALLS, finish_reason="tool_calls"),
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather"}}]},
        {"tool_calls": [{"index": 1, "id": "call_2", "type": "function", "function": {"name": "time"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Paris"}'}}]},
    )
    whole = await whole_of(Choice(tool_calls=CALLS, finish_reason="tool_calls"))
    assert events[-1]["response"]["output"] == whole["output"]


async def test_a_failure_after_the_start_fails_the_response_and_is_an_error_event() -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, {"content": "hel"})
        house.respond(failed(request, "stream_interrupted"))

    async with House(answer).client() as client:
        got = await client.post(URL, json={**BODY, "stream": True})
    *_, broken, error = events_of(got.text)
    assert (broken["type"], broken["response"]["status"]) == ("response.failed", "failed")
    assert broken["response"]["error"] == {"code": "stream_interrupted", "message": "no"}
    assert broken["response"]["output"][0]["status"] == "incomplete"
    assert (error["type"], error["code"], error["error"]["code"]) == (
        "error",
        "stream_interrupted",
        "stream_interrupted",
    )
    assert "[DONE]" not in got.text
    assert "response.completed" not in got.text


async def test_what_was_left_out_and_what_it_cost_stand_in_the_headers() -> None:
    house = House(lambda h, r: h.respond(answered(r, dropped=["temperature"])) and None)
    async with house.client() as client:
        got = await client.post(URL, json={**BODY, "temperature": 1})
    assert got.headers["x-dropped-params"] == "temperature"
    assert got.headers["x-cost-usd"] == "0.0000015"


async def test_usage_that_the_body_lacks_is_that_of_the_record() -> None:
    def answer(house: House, request: Request) -> None:
        house.respond(completed(request))  # without a choice

    async with House(answer).client() as client:
        got = (await client.post(URL, json=BODY)).json()
    assert (got["status"], got["output"], got["usage"]["total_tokens"]) == ("completed", [], 19)


async def test_an_error_before_the_first_piece_is_plain_http_in_openais_shape() -> None:
    house = House(lambda h, r: h.respond(failed(r, "rate_limit_exceeded", retry_after_s=1.2)) and None)
    async with house.client() as client:
        got = await client.post(URL, json={**BODY, "stream": True})
    assert (got.status_code, got.headers["retry-after"]) == (429, "2")
    assert set(got.json()["error"]) == {"message", "type", "param", "code"}
