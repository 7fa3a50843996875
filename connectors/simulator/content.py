"""What the simulated model answers: decided by (seed, model, canonical request, attempt) alone.

1. Forced or fitting tools are called, with arguments that satisfy their schemas.
2. Else JSON on demand: a value for the schema, or an object of facts.
3. Else prose: it repeats facts of the request, so that what a translation lost can be seen, then fills up with
   sentences, in a share of answers with text that careless readers break (emoji, U+2028, right-to-left).
4. Then stop sequences and token limits cut it, as they cut a real answer.
"""

import random
import re

import orjson

from connectors.simulator import tokens
from connectors.simulator.ask import Answer, Ask, Choice, Finish, Tool, ToolCall
from connectors.simulator.draws import Draw
from connectors.simulator.json_values import ValueMaker

_ECHOED_WORDS = 12
_CALL_OVERHEAD = 7  # tokens that frame a tool call
_MOST_CALLS = 3
_TRICKY_SHARE = 0.3
_REFUSAL = "I'm sorry, but I can't help with that."
_REASONING = {
    "minimal": (0, 32),
    "low": (32, 192),
    "medium": (192, 768),
    "high": (768, 2_048),
    "xhigh": (2_048, 6_000),
    "max": (6_000, 12_000),
}

# As tokens. Each begins with a space and ends with a stop, so that joined tokens are those of the joined text.
_SENTENCES = tuple(
    tokens.encode(sentence)
    for sentence in (
        " The short answer depends on what you want to keep and what you can let go.",
        " First, look at the numbers that you already have.",
        " A small change in the second step usually matters more than a large one in the first.",
        " Most teams find out about this on a Friday afternoon.",
        " In practice, two of the three options cost about the same.",
        " It helps to write the question down before looking for the answer.",
        " Water that has passed the wheel turns no mill, as the saying goes.",
        " If the result looks too good, measure it again on another day.",
        " There is a trade-off between speed and certainty here.",
        " Start with the smallest case that still shows the problem.",
        " Compare both versions on the same input, side by side.",
        " Nothing in the data speaks against that reading.",
        " The remaining risk is low, though it is not zero.",
        " Keep a note of the assumptions; they age faster than the code.",
        " As a next step, try it with real traffic for an hour.",
        " Finally, check that the old behaviour is still what you think it was.",
    )
)
_TRICKY = tuple(
    tokens.encode(sentence)
    for sentence in (
        " Grüße aus Zürich — naïve Leser stolpern über „Anführungszeichen“.",
        " Done 🎉, with a family 👩‍👩‍👧‍👦 and a flag 🇨🇭 to spare.",
        " One line\u2028and another\u2029and a third\u0085end here.",
        " 日本語の文章も、そのまま届くはずです。",
        " هذا نص من اليمين إلى اليسار.",
    )
)


def compose(ask: Ask, draw: Draw, *, cached: int = 0, ending: str = "") -> Answer:
    """The whole answer.

    Args:
        ask: The request.
        draw: Its randomness.
        cached: Prompt tokens that were read from the provider's cache.
        ending: `content_filter` or `refusal` to end that way, else empty.
    """
    choices = tuple(_choice(ask, draw, position, ending) for position in range(ask.choices))
    return Answer(choices=choices, input_tokens=ask.prompt_tokens, cache_read_tokens=cached)


def _choice(ask: Ask, draw: Draw, position: int, ending: str) -> Choice:
    rng = draw.stream(f"choice {position}")
    thought = _reasoning_tokens(ask, rng)
    limit = ask.max_tokens or ask.model.max_output_tokens
    if thought >= limit:  # thinking ate the budget: no visible text at all
        return Choice(text="", ids=[], finish="length", output_tokens=limit, reasoning_tokens=limit)
    if ending == "refusal":
        used = tokens.count(_REFUSAL) + thought
        return Choice(text=None, ids=[], finish="stop", refusal=_REFUSAL, output_tokens=used, reasoning_tokens=thought)
    if called := _tools_to_call(ask):
        call_id = draw.hex(f"call {position}", 22)
        return _calling(ask, called, rng, call_id=call_id, limit=limit - thought, thought=thought)
    return _telling(ask, rng, limit=limit - thought, thought=thought, filtered=ending == "content_filter")


def _reasoning_tokens(ask: Ask, rng: random.Random) -> int:
    if not ask.model.reasons or ask.thinking_budget == 0:
        return 0
    wished = ask.directive.reasoning_tokens
    thought = rng.randint(*_REASONING.get(ask.effort, (0, 0))) if wished is None else int(wished)
    return thought if ask.thinking_budget is None else min(thought, ask.thinking_budget)


def thoughts(ask: Ask, rng: random.Random, size: int) -> list[int]:
    """What the model thinks aloud, as tokens: at most `size`, fewer where a cut would split a character."""
    ids = tokens.encode(f"The user said “{_last_words(ask.last_user)}”.")
    while len(ids) < size:
        ids += rng.choice(_SENTENCES)
    return tokens.cut(ids, size)


# -- tools


def _tools_to_call(ask: Ask) -> list[Tool]:
    """The tools to call: named, wished for, required, or mentioned; none once their results are there."""
    if ask.tool_choice == "none":
        return []
    if named := ask.forced_tool or ask.directive.tool:
        return [tool for tool in ask.tools if tool.name == named]
    if ask.results and ask.tool_choice == "auto":
        return []
    fitting = [tool for tool in ask.tools if _is_mentioned(tool, ask.last_user)]
    if ask.tool_choice == "required" and not fitting:
        fitting = list(ask.tools[:1])
    return fitting[: _MOST_CALLS if ask.parallel_tools else 1]


def _is_mentioned(tool: Tool, text: str) -> bool:
    """Whether the tool's name, or a word of four letters or more from it, occurs in the text."""
    said = set(re.findall(r"\w+", text.lower()))
    words = {word for word in re.split(r"[^a-z0-9]+", tool.name.lower()) if len(word) >= 4}
    return tool.name.lower() in said or bool(words & said)


def _calling(ask: Ask, called: list[Tool], rng: random.Random, *, call_id: str, limit: int, thought: int) -> Choice:
    calls: list[ToolCall] = []
    used = 0
    for position, tool in enumerate(called):
        value = ValueMaker(tool.parameters, rng, _last_words(ask.last_user)).make()
        arguments = tokens.encode(orjson.dumps(value if isinstance(value, dict) else {}).decode())
        room = limit - used - _CALL_OVERHEAD - tokens.count(tool.name)
        if room <= 0:
            break
        kept = tokens.cut(arguments, room)
        used += _CALL_OVERHEAD + tokens.count(tool.name) + len(kept)
        calls.append(ToolCall(f"call_{call_id}{position:02d}", tool.name, tokens.decode(kept) or ""))
        if len(kept) < len(arguments):
            break
    else:
        # OpenAI says `stop`, not `tool_calls`, when the function was named in tool_choice.
        return _called(calls, "stop" if ask.forced_tool else "tool_calls", used + thought, thought)
    return _called(calls, "length", limit + thought, thought)


def _called(calls: list[ToolCall], finish: Finish, used: int, thought: int) -> Choice:
    return Choice(
        text=None if calls else "",
        ids=[],
        finish=finish,
        calls=tuple(calls),
        output_tokens=used,
        reasoning_tokens=thought,
    )


# -- text


def _telling(ask: Ask, rng: random.Random, *, limit: int, thought: int, filtered: bool) -> Choice:
    ids, stopped_by = _ids(ask, rng)
    finish: Finish = "stop"
    if filtered:
        ids, finish, stopped_by = tokens.cut(ids, len(ids) // 2), "content_filter", ""
    elif len(ids) > limit:
        ids, finish, stopped_by = tokens.cut(ids, limit), "length", ""
    return Choice(
        text=tokens.decode(ids) or "",
        ids=ids,
        finish=finish,
        output_tokens=len(ids) + thought,
        reasoning_tokens=thought,
        stopped_by=stopped_by,
    )


def _ids(ask: Ask, rng: random.Random) -> tuple[list[int], str]:
    """The text as tokens, and the stop sequence that cut it."""
    ids = _json_ids(ask, rng) if ask.wants_json else _prose(ask, rng)
    if ask.directive.tokens is not None and not ask.wants_json:
        ids = tokens.cut(ids, int(ask.directive.tokens))
    if not ask.stop:
        return ids, ""
    text = tokens.decode(ids) or ""
    cuts = [(at, stop) for stop in ask.stop if (at := text.find(stop)) >= 0]
    if not cuts:
        return ids, ""
    at, stop = min(cuts)
    return tokens.encode(text[:at]), stop


def _json_ids(ask: Ask, rng: random.Random) -> list[int]:
    words = _last_words(ask.last_user)
    value: object = {"answer": words, "messages": ask.messages, "model": ask.model.name} | (
        {"media": ask.media} if ask.media else {}
    )
    if ask.schema is not None:
        value = ValueMaker(ask.schema, rng, words).make()
    return tokens.encode(orjson.dumps(value).decode())


def _prose(ask: Ask, rng: random.Random) -> list[int]:
    ids = tokens.encode(_facts(ask))
    wished = ask.directive.tokens
    target = wished if wished is not None else min(max(rng.lognormvariate(4.5, 0.5), 24), 400)
    if rng.random() < _TRICKY_SHARE:
        ids += rng.choice(_TRICKY)
    while len(ids) < target:
        ids += rng.choice(_SENTENCES)
    return ids


def _facts(ask: Ask) -> str:
    """The request as the model understood it, in one sentence."""
    facts = [f"{ask.messages} message" + "s" * (ask.messages != 1)]
    if ask.system:
        facts.append(f"system “{_last_words(ask.system)}”")
    if ask.tools:
        facts.append("tools " + ", ".join(tool.name for tool in ask.tools))
    if ask.results:
        facts.append("results " + "; ".join(result[:80] for result in ask.results))
    if ask.media:
        facts.append("media " + ", ".join(ask.media))
    return f"You said “{_last_words(ask.last_user)}” ({'; '.join(facts)})."


def _last_words(text: str) -> str:
    return " ".join(text.split()[-_ECHOED_WORDS:])
