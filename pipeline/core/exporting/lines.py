"""One request -> its lines in a file, or the reason why it has none.

    openai-chat   a line: the conversation with its answer
    preference    a line per pair: an edit is preferred over the answer that it corrects; of two compared answers the
                  one that the judge preferred
    csv           a row

    operation     no chat                              no_body     its content is not there (any more)
    unfinished    cut off, or filtered                 not_text    images, sounds, files; tool calls in a pair
    no_pair       nothing to prefer over anything

Formats: https://platform.openai.com/docs/guides/supervised-fine-tuning, .../direct-preference-optimization.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from pipeline.core.exporting import table
from pipeline.core.exporting.messages import Cleaner, answer_of, parsed
from pipeline.core.exporting.records import Bodies, Exchange, Place
from pipeline.core.redaction import Redactor

__all__ = ["FORMATS", "Line", "Skip", "lines_of"]

_FINISHED = frozenset({"stop", "tool_calls"})


@dataclass(slots=True, frozen=True)
class Skip:
    reason: str


@dataclass(slots=True, frozen=True)
class Line:
    """`text` with its line end; `sources`: by topic the records that it was made of, besides request and outcome."""

    text: bytes
    sources: tuple[tuple[str, Place], ...] = ()


def lines_of(format: str, exchange: Exchange, bodies: Bodies, redactor: Redactor) -> list[Line] | Skip:
    """`redactor`: a fresh one, which then knows what was replaced."""
    return FORMATS[format](exchange, bodies, redactor)


def _chat(exchange: Exchange, bodies: Bodies, redactor: Redactor) -> list[Line] | Skip:
    prompt, cleaner = _prompt(exchange, bodies, redactor)
    if isinstance(prompt, Skip):
        return prompt
    said = answer_of(bodies.answered)
    if said is None:
        return Skip("no_body")
    answer = cleaner.message(said)
    if answer is None:
        return Skip("not_text")
    return [_line({**prompt, "messages": [*prompt["messages"], answer]})]


def _preference(exchange: Exchange, bodies: Bodies, redactor: Redactor) -> list[Line] | Skip:
    pairs = list(_pairs(exchange, bodies))
    if not pairs:
        return Skip("no_pair")
    prompt, cleaner = _prompt(exchange, bodies, redactor)
    if isinstance(prompt, Skip):
        return prompt
    found = []
    for better, worse, source in pairs:
        sides = [_text_only(cleaner.message(side)) for side in (better, worse)]
        if None not in sides and sides[0] != sides[1]:
            pair = {"input": prompt, "preferred_output": [sides[0]], "non_preferred_output": [sides[1]]}
            found.append(_line(pair, source))
    return found or Skip("not_text")


def _pairs(exchange: Exchange, bodies: Bodies) -> Iterator[tuple[dict[str, Any], dict[str, Any], tuple[str, Place]]]:
    """Better, worse, and who says so. Pairs of which one is missing or equal to the other are none."""
    answer = answer_of(bodies.answered)
    if answer is None:
        return
    for rating in exchange.ratings:
        edit = rating.said.edit
        if rating.said.request_id and edit and edit != answer.get("content"):
            yield {"role": "assistant", "content": edit}, answer, ("feedback.v1", rating.place)
    for versus in sorted(exchange.versus, key=lambda each: each.said.experiment):
        other = answer_of(bodies.shadows.get(versus.said.shadow_request_id or ""))
        if other is not None and other != answer:
            sides = (other, answer) if versus.said.winner == "shadow" else (answer, other)
            yield *sides, ("shadow-comparisons.v1", versus.place)


def _text_only(message: dict[str, Any] | None) -> dict[str, Any] | None:
    """Preferences are trained on text."""
    return message if message and message.get("content") and "tool_calls" not in message else None


def _prompt(exchange: Exchange, bodies: Bodies, redactor: Redactor) -> tuple[dict[str, Any] | Skip, Cleaner]:
    cleaner = Cleaner(redactor)
    if exchange.asked.operation != "chat":
        return Skip("operation"), cleaner
    if exchange.answered.finish_reason not in _FINISHED:
        return Skip("unfinished"), cleaner
    body = parsed(bodies.asked)
    if body is None:
        return Skip("no_body"), cleaner
    return cleaner.prompt(body) or Skip("not_text"), cleaner


def _line(value: Mapping[str, Any], *sources: tuple[str, Place]) -> Line:
    return Line(orjson.dumps(value) + b"\n", sources)


def _csv(exchange: Exchange, bodies: Bodies, redactor: Redactor) -> list[Line] | Skip:
    sources = tuple(("feedback.v1", rating.place) for rating in exchange.ratings)
    return [Line(table.row_of(exchange, bodies, redactor), sources)]


FORMATS: Final[Mapping[str, Callable[[Exchange, Bodies, Redactor], list[Line] | Skip]]] = {
    "openai-chat": _chat,
    "preference": _preference,
    "csv": _csv,
}
