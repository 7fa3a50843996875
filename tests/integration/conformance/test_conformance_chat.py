"""One suite for all vendors, through the whole platform and with OpenAI's SDK.

Each case goes to each vendor that has the feature, once whole and once streamed; both must end in the same completion,
usage included, and each is one call of the vendor, whose body is looked at.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from openai import BadRequestError

from tests.integration.conformance.chat_cases import MEDIA, TEXTS
from tests.integration.conformance.exchange import Clients, Told, at, nonce_of, sent, streamed, whole
from tests.integration.conformance.knob_cases import KNOBS
from tests.integration.conformance.tool_cases import TIME, TOOLS, WEATHER, result
from tests.integration.conformance.vendors import VENDORS

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]
Outcome = Callable[[], Awaitable[Any]]
CASES = {f"{case.name}-{vendor}": (case, vendor) for case in TEXTS + MEDIA + TOOLS + KNOBS for vendor in case.vendors()}


async def _both(clients: Clients, name: str) -> tuple[Any, Any]:
    case, vendor = CASES[name]
    body = case.asked(vendor)
    if vendor in case.refused:
        return await _refusal(whole(clients.chat, body)), await _refusal(streamed(clients.chat, body))
    if case.warm:  # the vendor's prompt cache knows it then
        await whole(clients.chat, body), await streamed(clients.chat, body)
    return await whole(clients.chat, body), await streamed(clients.chat, body)


async def _refusal(asking: Awaitable[Told]) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        await asking
    return caught.value


@pytest.mark.parametrize("name", list(CASES))
async def test_whole_and_streamed_are_one_completion(name: str, outcome: Outcome, clients: Clients) -> None:
    case, vendor = CASES[name]
    plain, piecewise = await outcome()
    nonce = nonce_of(case.name, vendor)
    arrived = sent(clients.running, nonce)
    if vendor in case.refused:
        _check_refusal(plain, case.refused[vendor])
        _check_refusal(piecewise, case.refused[vendor])
        assert arrived == [], "refused before any call"
        return
    assert piecewise.choices == plain.choices
    assert usage_of(piecewise) == usage_of(plain)
    case.check(plain, nonce)
    assert plain.dropped == piecewise.dropped == case.dropped.get(vendor, plain.dropped)
    assert [entry.stream for entry in arrived] == [False, True] * (1 + case.warm), "one call each"
    for upstream in (entry.parsed_body() for entry in arrived):
        for path, wanted in case.paths(vendor).items():
            found = at(upstream, path) if path else upstream
            assert wanted(found) if callable(wanted) else found == wanted, (path, found)


def usage_of(told: Told) -> dict[str, Any]:
    """What the vendor counted; a stream says our cost beside it."""
    return {key: value for key, value in (told.usage or {}).items() if key != "millrace"}


def _check_refusal(error: BadRequestError, named: str) -> None:
    assert named in error.message, error.message
    assert error.code and error.response.headers["x-should-retry"] == "false"


# --- the second turn ----------------------------------------------------------------------------------------------

TOOLS_ASKED: dict[str, Any] = {"tools": [WEATHER, TIME], "max_completion_tokens": 8_192}
# What of a vendor's own must be in the second request.
SIGNED = {
    ("anthropic", "plain"): '"signature"',
    ("anthropic", "thinker"): '"signature"',
    ("gemini", "thinker"): '"thoughtSignature"',
    ("responses", "thinker"): '"encrypted_content"',
}
TURNS = {
    f"{vendor}-{role}-{how}-{echo}": (vendor, role, how, echo)
    for vendor in VENDORS
    for role in ("plain", "thinker")
    for how in ("whole", "streamed")
    for echo in (("plain-client", "echo") if role == "thinker" else ("plain-client",))
}
MOVES = {f"{origin}-to-{to}": (origin, to) for origin in VENDORS for to in VENDORS if origin != to}


async def _first(clients: Clients, vendor: str, role: str, nonce: str, *, how: str = "whole") -> list[dict[str, Any]]:
    """The user's question and the answer with its calls."""
    question = {"role": "user", "content": f"Tell me weather and time {nonce} [[sim: reasoning_tokens=30]]"}
    if vendor == "compatible" and role == "plain":
        question["content"] = f"Tell me weather and time {nonce}"
    body = {"model": f"{vendor}-{role}", "messages": [question], "reasoning_effort": "low", **TOOLS_ASKED}
    told = await (whole if how == "whole" else streamed)(clients.chat, body)
    assert [call["function"]["name"] for call in told.calls] == ["weather", "time"]
    return [question, {"role": "assistant", "content": told.text or None, **_echoed(told)}]


def _echoed(told: Told) -> dict[str, Any]:
    kept = {name: told.message[name] for name in ("reasoning_content", "thinking_blocks") if told.message[name]}
    return {**kept, "tool_calls": told.calls}


def plain_client(turn: dict[str, Any]) -> dict[str, Any]:
    """Knows role, content and, of a call, id, type and function."""
    calls = [{name: call[name] for name in ("id", "type", "function")} for call in turn["tool_calls"]]
    return {"role": "assistant", "content": turn["content"], "tool_calls": calls}


def answered(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    calls = said[-1]["tool_calls"]
    return [*said, result(calls[0]["id"], "sunny"), result(calls[1]["id"], "noon")]


async def _turns(clients: Clients, name: str) -> tuple[Told, Told]:
    vendor, role, how, echo = TURNS[name]
    said = await _first(clients, vendor, role, nonce_of("turns", name), how=how)
    if echo == "plain-client":
        said[-1] = plain_client(said[-1])
    body = {"model": f"{vendor}-{role}", "messages": answered(said), "reasoning_effort": "low", **TOOLS_ASKED}
    return await whole(clients.chat, body), await streamed(clients.chat, body)


@pytest.mark.parametrize("name", list(TURNS))
async def test_what_a_vendor_wants_back_survives_the_client(name: str, outcome: Outcome, clients: Clients) -> None:
    """The simulators refuse the second turn without the signatures that the first one gave."""
    vendor, role, *_ = TURNS[name]
    plain, piecewise = await outcome()
    assert piecewise.choices == plain.choices and usage_of(piecewise) == usage_of(plain)
    assert "sunny" in plain.text and "noon" in plain.text
    _, *second = sent(clients.running, nonce_of("turns", name))
    assert len(second) == 2
    for entry in second:
        assert b"mrs1-" not in entry.body, "our seals are no vendor's business"
        assert SIGNED.get((vendor, role), "").encode() in entry.body


async def _moves(clients: Clients, name: str) -> Told:
    origin, to = MOVES[name]
    said = await _first(clients, origin, "thinker", nonce_of("moves", name))
    return await whole(clients.chat, {"model": f"{to}-thinker", "messages": answered(said), **TOOLS_ASKED})


@pytest.mark.parametrize("name", list(MOVES))
async def test_a_conversation_moves_from_vendor_to_vendor(name: str, outcome: Outcome, clients: Clients) -> None:
    told = await outcome()
    assert "sunny" in told.text and "noon" in told.text
    _, second = sent(clients.running, nonce_of("moves", name))
    assert b"mrs1-" not in second.body


# --- streams ------------------------------------------------------------------------------------------------------

PIECES = 2_000


async def _unasked(clients: Clients, vendor: str) -> Told:
    body = {
        "model": f"{vendor}-plain",
        "messages": [{"role": "user", "content": f"Hello {nonce_of('unasked', vendor)}"}],
    }
    return await streamed(clients.chat, body, usage=False)


@pytest.mark.parametrize("name", VENDORS)
async def test_usage_comes_in_a_stream_only_when_asked(name: str, outcome: Outcome) -> None:
    told = await outcome()
    assert told.usage is None and nonce_of("unasked", name) in told.text and told.finish == "stop"


async def _many(clients: Clients, vendor: str) -> tuple[Told, Told]:
    text = f"Many {nonce_of('many', vendor)} [[sim: tokens={PIECES} cadence_ms=1]]"
    body = {"model": f"{vendor}-plain", "messages": [{"role": "user", "content": text}], "max_completion_tokens": 8_000}
    return await whole(clients.chat, body), await streamed(clients.chat, body)


@pytest.mark.parametrize("name", VENDORS)
async def test_the_order_of_2000_pieces_is_kept(name: str, outcome: Outcome) -> None:
    plain, piecewise = await outcome()
    assert piecewise.text == plain.text and usage_of(piecewise) == usage_of(plain)
    assert piecewise.pieces > PIECES // 20, "what waits when the answer is whole comes with its end, in one piece"


# --- endings ------------------------------------------------------------------------------------------------------

ENDINGS = {f"{kind}-{vendor}": (kind, vendor) for kind in ("refusal", "content_filter") for vendor in VENDORS}


async def _ends(clients: Clients, name: str) -> tuple[Told, Told]:
    kind, vendor = ENDINGS[name]
    text = f"Tell me {nonce_of('ends', name)} [[sim: fault={kind} tokens=60]]"
    body = {"model": f"{vendor}-plain", "messages": [{"role": "user", "content": text}], "max_completion_tokens": 4_096}
    return await whole(clients.chat, body), await streamed(clients.chat, body)


@pytest.mark.parametrize("name", list(ENDINGS))
async def test_a_refusal_and_a_filter_are_told_as_such(name: str, outcome: Outcome, clients: Clients) -> None:
    kind, _ = ENDINGS[name]
    plain, piecewise = await outcome()
    assert piecewise.choices == plain.choices and usage_of(piecewise) == usage_of(plain)
    if kind == "refusal":
        assert plain.message["refusal"] or plain.finish == "content_filter"
    else:
        assert plain.finish == "content_filter"
    assert len(sent(clients.running, nonce_of("ends", name))) == 2


EXCHANGES = {
    "test_whole_and_streamed_are_one_completion": _both,
    "test_what_a_vendor_wants_back_survives_the_client": _turns,
    "test_a_conversation_moves_from_vendor_to_vendor": _moves,
    "test_usage_comes_in_a_stream_only_when_asked": _unasked,
    "test_the_order_of_2000_pieces_is_kept": _many,
    "test_a_refusal_and_a_filter_are_told_as_such": _ends,
}
