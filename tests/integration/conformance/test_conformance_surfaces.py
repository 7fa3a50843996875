"""Every vendor over Anthropic's Messages and OpenAI's Responses and Embeddings, with the vendors' own SDKs."""

import base64
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest

from tests.integration.conformance.exchange import Body, Clients, nonce_of, sent
from tests.integration.conformance.surface_cases import FUNCTION, MESSAGES, RESPONSES, TOOL, ask, heard, message, said
from tests.integration.conformance.vendors import EMBEDDERS, VENDORS

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]
Outcome = Callable[[], Awaitable[Any]]
ON_MESSAGES = {f"{case.name}-{vendor}": (case, vendor) for case in MESSAGES for vendor in case.vendors()}
ON_RESPONSES = {f"{case.name}-{vendor}": (case, vendor) for case in RESPONSES for vendor in case.vendors()}


# --- Messages -----------------------------------------------------------------------------------------------------


async def create(clients: Clients, body: Body) -> Body:
    make: Any = clients.messages.messages.create
    return _plain(await make(**body))


async def stream(clients: Clients, body: Body) -> Body:
    make: Any = clients.messages.messages.stream
    async with make(**body) as events:
        return _plain(await events.get_final_message())


def _plain(got: Any) -> Body:
    found: Body = got.model_dump(mode="json", exclude_none=True)
    for block in found["content"]:
        block.pop("parsed_output", None)
    return {name: value for name, value in found.items() if name != "id"}


async def _messages(clients: Clients, name: str) -> tuple[Body, Body]:
    case, vendor = ON_MESSAGES[name]
    body = {"model": f"{vendor}-{case.role}", **case.body(nonce_of("messages", name))}
    return await create(clients, body), await stream(clients, body)


@pytest.mark.parametrize("name", list(ON_MESSAGES))
async def test_messages_are_answered_by_every_vendor(name: str, outcome: Outcome, clients: Clients) -> None:
    plain, piecewise = await outcome()
    assert piecewise == plain
    ON_MESSAGES[name][0].check(plain, nonce_of("messages", name))
    assert len(sent(clients.running, nonce_of("messages", name))) == 2, "one call each"


async def _message_turns(clients: Clients, vendor: str) -> tuple[Body, Body]:
    question = message(f"How is the weather {nonce_of('message-turns', vendor)} [[sim: reasoning_tokens=20]]")
    if vendor == "compatible":
        question = message(f"How is the weather {nonce_of('message-turns', vendor)}")
    asked = {**question, "model": f"{vendor}-thinker", "tools": [TOOL], "output_config": {"effort": "low"}}
    first = await stream(clients, asked)
    (call,) = [block for block in first["content"] if block["type"] == "tool_use"]
    answer = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    asked["messages"] += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": [answer]}]
    return await create(clients, asked), await stream(clients, asked)


@pytest.mark.parametrize("name", VENDORS)
async def test_a_message_comes_back_whole_in_the_next_turn(name: str, outcome: Outcome, clients: Clients) -> None:
    plain, piecewise = await outcome()
    assert plain == piecewise and "sunny" in said(plain)
    assert all(b"mrs1-" not in entry.body for entry in sent(clients.running, nonce_of("message-turns", name)))


async def test_tokens_of_a_message_are_counted(clients: Clients) -> None:
    make: Any = clients.messages.messages.count_tokens
    counted = await make(model="anthropic-plain", messages=[{"role": "user", "content": "five words are in here"}])
    assert 4 <= counted.input_tokens <= 20


# --- Responses ----------------------------------------------------------------------------------------------------


async def respond(clients: Clients, body: Body) -> Body:
    make: Any = clients.chat.responses.create
    return _response(await make(**body))


async def respond_in_pieces(clients: Clients, body: Body) -> Body:
    """The last event has the whole; the pieces of text add up to it."""
    make: Any = clients.chat.responses.create
    events = [event async for event in await make(**body, stream=True)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", f"response.{events[-1].response.status}")
    whole = _response(events[-1].response)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == heard(whole)
    return whole


def _response(got: Any) -> Body:
    """Without what differs from one response to the next."""
    found: Body = got.to_dict(mode="json")
    output = [{name: value for name, value in item.items() if name != "id"} for item in found["output"]]
    return {name: found[name] for name in ("status", "incomplete_details", "usage", "model")} | {"output": output}


async def _responses(clients: Clients, name: str) -> tuple[Body, Body]:
    case, vendor = ON_RESPONSES[name]
    body = {"model": f"{vendor}-{case.role}", **case.body(nonce_of("responses", name))}
    return await respond(clients, body), await respond_in_pieces(clients, body)


@pytest.mark.parametrize("name", list(ON_RESPONSES))
async def test_responses_are_given_by_every_vendor(name: str, outcome: Outcome, clients: Clients) -> None:
    plain, piecewise = await outcome()
    assert piecewise == plain
    ON_RESPONSES[name][0].check(plain, nonce_of("responses", name))
    assert len(sent(clients.running, nonce_of("responses", name))) == 2, "one call each"


async def _response_turns(clients: Clients, vendor: str) -> tuple[Body, Body]:
    text = f"How is the weather {nonce_of('response-turns', vendor)}"
    asked = ask([{"role": "user", "content": text}], tools=[FUNCTION], reasoning={"effort": "low"})
    asked |= {"model": f"{vendor}-thinker", "include": ["reasoning.encrypted_content"]}
    make: Any = clients.chat.responses.create
    first = await make(**asked)
    items = [item.to_dict(mode="json") for item in first.output]
    (call,) = [item for item in items if item["type"] == "function_call"]
    asked["input"] += [*items, {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}]
    return await respond(clients, asked), await respond_in_pieces(clients, asked)


@pytest.mark.parametrize("name", VENDORS)
async def test_a_response_comes_back_whole_in_the_next_turn(name: str, outcome: Outcome, clients: Clients) -> None:
    plain, piecewise = await outcome()
    assert plain == piecewise and "sunny" in heard(plain)
    assert all(b"mrs1-" not in entry.body for entry in sent(clients.running, nonce_of("response-turns", name)))


# --- Embeddings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", EMBEDDERS)
@pytest.mark.parametrize("several", [False, True])
async def test_embeddings_are_the_same_numbers_in_both_formats(vendor: str, several: bool, clients: Clients) -> None:
    text = f"a text {nonce_of('embeddings', vendor, str(several))}"
    given = [text, "another 🎉", "and one more"] if several else text
    # Left to itself the SDK asks for base64 and unpacks it.
    unsaid = await clients.chat.embeddings.create(model=f"{vendor}-embedder", input=given)
    floats = await clients.chat.embeddings.create(model=f"{vendor}-embedder", input=given, encoding_format="float")
    packed = await clients.chat.embeddings.create(model=f"{vendor}-embedder", input=given, encoding_format="base64")
    assert [row.index for row in floats.data] == list(range(len(given) if several else 1))
    for row, same, coded in zip(floats.data, unsaid.data, packed.data, strict=True):
        assert len(row.embedding) >= 1_536 and array("f", row.embedding) == array("f", same.embedding)
        assert array("f", base64.b64decode(str(coded.embedding))) == array("f", row.embedding)
    assert floats.usage.prompt_tokens == unsaid.usage.prompt_tokens == floats.usage.total_tokens > 0
    assert len(sent(clients.running, nonce_of("embeddings", vendor, str(several)))) == 3


@pytest.mark.parametrize("vendor", EMBEDDERS)
async def test_embeddings_have_the_dimensions_that_were_asked_for(vendor: str, clients: Clients) -> None:
    got = await clients.chat.embeddings.create(model=f"{vendor}-embedder", input="short", dimensions=256)
    assert [len(row.embedding) for row in got.data] == [256]


@pytest.mark.parametrize("model", ["gemini-plain", "anthropic-plain"])
async def test_a_model_that_chats_embeds_nothing(model: str, clients: Clients) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await clients.chat.embeddings.create(model=model, input=f"nothing {nonce_of('no-embedding', model)}")
    assert "embeddings" in caught.value.message
    assert sent(clients.running, nonce_of("no-embedding", model)) == []


# --- errors in the words of the surface ----------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_error_is_the_sdks_own(vendor: str, clients: Clients) -> None:
    text = "Hello [[sim: fault=rate_limited retry_after_s=7]]"
    with pytest.raises(anthropic.RateLimitError) as on_messages:
        await create(clients, {"model": f"once-{vendor}", **message(text)})
    with pytest.raises(openai.RateLimitError) as on_responses:
        await respond(clients, {"model": f"once-{vendor}", **ask(text)})
    assert on_messages.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
    for caught in (on_messages.value, on_responses.value):
        assert caught.response.headers["retry-after"] == "7"


EXCHANGES = {
    "test_messages_are_answered_by_every_vendor": _messages,
    "test_a_message_comes_back_whole_in_the_next_turn": _message_turns,
    "test_responses_are_given_by_every_vendor": _responses,
    "test_a_response_comes_back_whole_in_the_next_turn": _response_turns,
}
