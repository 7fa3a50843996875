"""What comes back from Gemini beyond the wire samples: signatures, finish reasons, ids, errors, and any cut of a stream."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.providers import Delta, ProviderCall
from connectors.providers.gemini import GEMINI
from connectors.providers.sse import SSEParser, SSEvent
from schemas.completion import Completion
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import opened, unseal

WIRE = Path(__file__).parents[1] / "wire" / "gemini"
CALL = ProviderCall({"messages": [{"role": "user", "content": "Hi"}]}, "gemini-3-flash", stream=True)
OWNER = "gemini/gemini-3-flash"


def candidate(*parts: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    said = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    return said if finish is None else {**said, "finishReason": finish}


def reply(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), "responseId": "resp-v1", **more}


def call_of(name: str, **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {}}, **more}


def whole(answer: Any, call: ProviderCall = CALL) -> Completion | ProviderError:
    outcome = GEMINI.from_wire(json.dumps(answer).encode(), call)
    assert isinstance(outcome, Completion | ProviderError)
    return outcome


def streamed(*pieces: Any, call: ProviderCall = CALL) -> tuple[Completion | ProviderError, list[Delta]]:
    parser = GEMINI.stream(call)
    deltas = [delta for piece in pieces for delta in parser.feed(SSEvent("", json.dumps(piece)))]
    return parser.finish(), deltas


def completed(outcome: Completion | ProviderError) -> Completion:
    assert isinstance(outcome, Completion), outcome
    return outcome


def failed(outcome: Completion | ProviderError) -> ProviderError:
    assert isinstance(outcome, ProviderError), outcome
    return outcome


# provider_contracts.md section 5
@pytest.mark.parametrize(
    ("reason", "parts", "finish"),
    [
        ("STOP", [{"text": "fine"}], "stop"),
        ("STOP", [], "stop"),
        ("STOP", [call_of("f"), {"text": "fine"}], "tool_calls"),
        ("MAX_TOKENS", [{"text": "fi"}], "length"),
        ("MAX_TOKENS", [call_of("f")], "length"),
        ("CONTINUATION", [{"text": "fi"}], "length"),
        *(
            (reason, parts, "content_filter")
            for reason in (
                *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION"),
                *("MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE", "OTHER"),
            )
            for parts in ([], [{"text": "fi"}])
        ),
        ("SOMETHING_NEW", [{"text": "fine"}], "stop"),
        ("SOMETHING_NEW", [call_of("f")], "tool_calls"),
    ],
)
def test_finish_reasons_of_answers(reason: str, parts: list[Any], finish: str) -> None:
    outcome = completed(whole(reply(candidate(*parts, finish=reason))))
    assert outcome.choices[0].finish_reason == finish
    assert completed(streamed(reply(candidate(*parts)), reply(candidate(finish=reason)))[0]) == outcome


@pytest.mark.parametrize(
    "reason",
    [
        *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"),
        *("MISSING_THOUGHT_SIGNATURE", "SOMETHING_NEW"),
    ],
)
def test_finish_reasons_that_are_faults(reason: str) -> None:
    parts = [{"text": "Hm", "thought": True}] if reason == "SOMETHING_NEW" else [{"text": "fi"}]
    for outcome in (
        whole(reply(candidate(*parts, finish=reason))),
        streamed(reply(candidate(*parts, finish=reason)))[0],
    ):
        error = failed(outcome)
        assert (error.kind, error.code) == (ErrorKind.PROVIDER_FAULT, reason)


@pytest.mark.parametrize("reason", [None, "", "FINISH_REASON_UNSPECIFIED"])
def test_an_answer_without_a_reason_is_no_answer(reason: str | None) -> None:
    assert failed(whole(reply(candidate({"text": "fi"}, finish=reason)))).kind is ErrorKind.MALFORMED_REPLY
    assert failed(streamed(reply(candidate({"text": "fi"}, finish=reason)))[0]).code == "early_end"


def test_a_stream_is_cut_off_while_any_candidate_is_unfinished() -> None:
    pieces = reply(candidate({"text": "a"}, finish="STOP"), candidate({"text": "b"}, index=1))
    assert failed(streamed(pieces)[0]).code == "early_end"


def test_a_stream_is_read_on_after_the_finish_and_not_after_an_error() -> None:
    parser = GEMINI.stream(CALL)
    parser.feed(SSEvent("", json.dumps(reply(candidate({"text": "fine"}, finish="STOP")))))
    assert not parser.ended
    lasts: list[Any] = [{"error": {"code": 503}}, {"promptFeedback": {"blockReason": "OTHER"}}, []]
    for last in lasts:
        parser = GEMINI.stream(CALL)
        parser.feed(SSEvent("", json.dumps(last)))
        assert parser.ended
        assert parser.feed(SSEvent("", json.dumps(reply(candidate({"text": "late"}))))) == []
        assert isinstance(parser.finish(), ProviderError)


def test_a_signature_goes_out_sealed_in_the_id_and_beside_the_call() -> None:
    part = {"functionCall": {"id": "fc_a", "name": "f", "args": {}}, "thoughtSignature": "c2ln"}
    outcome = completed(whole(reply(candidate(part, finish="STOP"))))
    other, deltas = streamed(reply(candidate(part)), reply(candidate(finish="STOP")))
    assert other == outcome
    call = outcome.choices[0].tool_calls[0]
    assert (unseal(call.id).text, unseal(call.id).owner, unseal(call.id).state) == (
        "fc_a",
        OWNER,
        {"signature": "c2ln"},
    )
    assert call.extra_content is not None
    assert opened(call.extra_content["google"]["thought_signature"], OWNER) == "c2ln"
    assert opened(call.extra_content["google"]["thought_signature"], "gemini/other") is None
    assert deltas[0].delta["tool_calls"][0]["extra_content"] == call.extra_content


def test_the_next_turn_carries_the_signature_of_a_client_that_knows_ids_only() -> None:
    signature = "c2ln" * 100
    answer = completed(whole(reply(candidate(call_of("f", thoughtSignature=signature), finish="STOP"))))
    id = answer.choices[0].tool_calls[0].id
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": id, "content": "1"},
    ]
    wire = GEMINI.to_wire(ProviderCall({"messages": messages}, "gemini-3-flash"))
    assert not isinstance(wire, ProviderError)
    assert wire.json["contents"][1]["parts"][0]["thoughtSignature"] == signature


def test_calls_without_an_id_get_ids_that_differ_and_are_alike_on_every_run() -> None:
    def ids(call: ProviderCall) -> list[str]:
        parts = (call_of("f"), call_of("f"))
        outcome = completed(
            whole(reply(candidate(*parts, finish="STOP"), candidate(*parts, finish="STOP", index=1)), call)
        )
        return [tool_call.id for choice in outcome.choices for tool_call in choice.tool_calls]

    later = ProviderCall({"messages": [{"role": "user", "content": "Hi"}] * 3}, "gemini-3-flash")
    assert ids(CALL) == ids(CALL)
    assert len({*ids(CALL), *ids(later)}) == 8


def test_one_id_given_to_two_calls_is_kept_for_the_first() -> None:
    part = {"functionCall": {"id": "x", "name": "f"}}
    first, second = completed(whole(reply(candidate(part, part, finish="STOP")))).choices[0].tool_calls
    assert first.id == "x"
    assert second.id not in {"", "x"}


@pytest.mark.parametrize(
    "part",
    [
        {"inlineData": {"mimeType": "image/png", "data": "UE5H"}},
        {"executableCode": {"code": "1"}},
        {"somethingNew": {}},
        {"functionCall": {"name": ""}},
        {"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a"}]}},
        {"functionCall": {"name": "f", "args": "{}"}},
        {"text": 1},
        "text",
    ],
)
def test_a_part_without_a_canonical_form_is_an_error_and_never_dropped(part: Any) -> None:
    for outcome in (whole(reply(candidate(part, finish="STOP"))), streamed(reply(candidate(part, finish="STOP")))[0]):
        assert failed(outcome).kind is ErrorKind.MALFORMED_REPLY


def test_usage_of_a_broken_stream_is_the_last_that_was_said_or_counted() -> None:
    parser = GEMINI.stream(CALL)
    assert parser.usage_so_far() is None
    parser.feed(SSEvent("", json.dumps(reply(candidate({"text": "fi"})))))
    counted = parser.usage_so_far()
    assert counted is not None
    assert counted.estimated
    said = {"promptTokenCount": 3, "candidatesTokenCount": 1}
    parser.feed(SSEvent("", json.dumps(reply(candidate({"text": "ne"}), usageMetadata=said))))
    told = parser.usage_so_far()
    assert told is not None
    assert (told.input_tokens, told.output_tokens, told.estimated) == (3, 1, False)


@pytest.mark.parametrize("number", ["1e999", "-1", "NaN", '"6"', "true", "null", "0", "9" * 30])
def test_a_number_of_tokens_that_is_none_is_estimated(number: str) -> None:
    body = f'{{"candidates": [{{"finishReason": "STOP"}}], "usageMetadata": {{"promptTokenCount": {number}}}}}'
    outcome = GEMINI.from_wire(body.encode(), CALL)
    assert isinstance(outcome, Completion)
    assert outcome.usage.estimated


SAMPLES = sorted(path.parent.name for path in WIRE.glob("*/events.sse"))


def read_stream(data: bytes, cuts: list[int], call: ProviderCall) -> Completion | ProviderError:
    parser, events = GEMINI.stream(call), SSEParser()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        for event in events.feed(data[start:end]):
            parser.feed(event)
    return parser.finish()


@settings(derandomize=True, deadline=None, max_examples=200)
@given(sample=st.sampled_from(SAMPLES), cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_a_stream_reads_alike_however_its_bytes_are_cut(sample: str, cuts: list[int]) -> None:
    asked = json.loads((WIRE / sample / "request.json").read_text(encoding="utf-8"))
    call = ProviderCall(asked["body"], asked["upstream"], True)
    data = (WIRE / sample / "events.sse").read_bytes()
    assert read_stream(data, cuts, call) == read_stream(data, [], call)


PARTS = st.one_of(
    st.text(min_size=1, max_size=4).map(lambda text: {"text": text}),
    st.text(min_size=1, max_size=4).map(lambda text: {"text": text, "thought": True}),
    st.builds(
        lambda id, args, more: {"functionCall": {"name": "f", "args": args, **id}, **more},
        st.sampled_from([{}, {"id": "a"}, {"id": "b"}]),
        st.dictionaries(st.text(max_size=3), st.integers(-9, 9), max_size=2),
        st.sampled_from([{}, {"thoughtSignature": "c2ln"}]),
    ),
)


@settings(derandomize=True, deadline=None)
@given(parts=st.lists(PARTS, max_size=6), cuts=st.lists(st.integers(0, 6), max_size=3), parallel=st.booleans())
def test_an_answer_in_pieces_ends_in_the_same_completion(parts: list[Any], cuts: list[int], parallel: bool) -> None:
    call = ProviderCall({**CALL.body, "parallel_tool_calls": parallel}, CALL.upstream)
    usage = {"promptTokenCount": 3, "candidatesTokenCount": len(parts)}
    edges = [0, *sorted(cuts), len(parts)]
    pieces = [reply(candidate(*parts[a:b])) for a, b in pairwise(edges)]
    last = reply(candidate(finish="STOP"), usageMetadata=usage)
    outcome, deltas = streamed(*pieces, last, call=call)
    assert outcome == whole(reply(candidate(*parts, finish="STOP"), usageMetadata=usage), call)
    choice = completed(outcome).choices[0]
    assert "".join(delta.delta.get("content", "") for delta in deltas) == choice.text
    told = [piece for delta in deltas for piece in delta.delta.get("tool_calls", ())]
    assert [piece["id"] for piece in told] == [tool_call.id for tool_call in choice.tool_calls]
    assert len(told) == len({piece["id"] for piece in told})
    assert parallel or len(told) <= 1


RUBBISH: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={name: right | RUBBISH for name, right in fields.items()})


ODD_PART = maybe(text=st.just("a"), thought=st.booleans(), functionCall=maybe(name=st.just("f"), args=st.just({})))
ODD_TOKENS = st.lists(maybe(token=st.just("a"), logProbability=st.just(-1)), max_size=2)
ODD_CANDIDATE = maybe(
    index=st.integers(0, 1),
    content=maybe(parts=st.lists(ODD_PART, max_size=2)),
    finishReason=st.sampled_from(["STOP", "NEW"]),
    logprobsResult=maybe(chosenCandidates=ODD_TOKENS, topCandidates=st.lists(maybe(candidates=ODD_TOKENS), max_size=2)),
)
ODD_REPLY = maybe(
    candidates=st.lists(ODD_CANDIDATE, max_size=2),
    usageMetadata=maybe(promptTokenCount=st.integers(), thoughtsTokenCount=st.integers()),
    promptFeedback=maybe(blockReason=st.just("SAFETY")),
    responseId=st.just("r"),
    error=maybe(
        code=st.integers(), details=st.lists(maybe(violations=st.lists(maybe(quotaId=st.just("x")))), max_size=2)
    ),
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(pieces=st.lists(ODD_REPLY, min_size=1, max_size=3))
def test_an_answer_of_any_shape_is_a_value(pieces: list[Any]) -> None:
    outcome, deltas = streamed(*pieces)
    assert all(delta.delta or delta.logprobs for delta in deltas)
    for told in (outcome, whole(pieces[0])):
        assert isinstance(told, ProviderError) or json.dumps(told.to_openai("id", 1, "m"))
    assert GEMINI.to_error(400, {}, json.dumps(pieces[0]).encode()).message


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("API Key not found. Please pass a valid API key.", ErrorKind.AUTH),
        ("API key expired. Please renew the API key.", ErrorKind.AUTH),
        ("The input token count exceeds the maximum number of tokens allowed 1048576.", ErrorKind.CONTEXT_TOO_LONG),
        ("Request contains an invalid argument.", ErrorKind.INVALID_REQUEST),
    ],
)
def test_what_a_400_means_is_in_its_words(message: str, kind: ErrorKind) -> None:
    body = {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}
    assert GEMINI.to_error(400, {}, json.dumps(body).encode()).kind is kind


def test_messages_hold_no_address_no_key_and_no_project() -> None:
    message = (
        "Quota exceeded for consumer 'project_number:681255809395' of projects/my-project-1 at "
        "https://console.cloud.google.com/x?project=681255809395 with AIzaSyDUMMYDUMMYDUMMYDUMMY"
    )
    shown = GEMINI.to_error(429, {}, json.dumps({"error": {"message": message}}).encode()).message
    assert not any(word in shown for word in ("681255809395", "my-project-1", "://", "AIza"))
    assert shown.startswith("Quota exceeded for consumer")


def test_a_redirect_is_a_fault() -> None:
    assert GEMINI.to_error(302, {}, b"").code == "redirect_refused"


def test_a_block_after_the_first_text_is_a_block_and_no_early_end() -> None:
    parser = GEMINI.stream(CALL)
    text = {"candidates": [{"content": {"parts": [{"text": "Well"}]}, "index": 0}]}
    for reply in (text, {"promptFeedback": {"blockReason": "SAFETY"}}):
        parser.feed(SSEvent("message", json.dumps(reply)))
    told = parser.finish()
    assert isinstance(told, ProviderError)
    assert told.kind is ErrorKind.CONTENT_FILTERED
