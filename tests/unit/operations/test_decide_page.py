"""The report of a decide-replay as a page: whole, escaped, for itself."""

from html.parser import HTMLParser
from typing import Any

import pytest

from pipeline.core.redeciding.tally import Cell, Example, Tally
from pipeline.core.redeciding.verdict import report
from pipeline.operations.redeciding.page import page

HEAD = {"run_id": "decide-1", "mode": "decide", "from": "2026-01-01T00:00:00.000Z", "to": "2026-01-02T00:00:00.000Z"}


def document(*, changed: int = 4, decisions: int = 10) -> dict[str, Any]:
    tally = Tally()
    if decisions:
        kept = ("acme", "auto", "", "low", "large", "large")
        tally.cells[kept] = Cell(decisions=decisions - changed, cost_logged=100, cost_replayed=100, weight=6.0)
    if changed:
        key = ("acme", "auto", "law", "low", "large", "!no_eligible_model")
        tally.cells[key] = Cell(decisions=changed, changed=changed, cost_logged=100)
        tally.examples = [Example("<script>alert(1)</script>", "acme", 1, "large", None, "a & b", -0.5, -7)]
        tally.left_out["its catalogue is not in the log"] = 1
    tally.policies_logged["aaa"] = tally.policies_replayed["bbb"] = decisions
    tally.priors["large"] = 0.9
    return {**HEAD, **report(tally)}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def test_a_page_loads_nothing_and_escapes_everything() -> None:
    found = read(page(document()))
    assert {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe"} == set()
    assert not any({"src", "href"} & attributes.keys() for _, attributes in found.tags)
    assert "<script>alert(1)</script>" in found.text
    assert "40.0% of the decisions change, costs -50.0%, expected quality falls." in found.text
    for said in ("no_eligible_model", "1 left out: its catalogue", "domain law", "a & b", "refused"):
        assert said in " ".join(found.text.split())


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"changed": 0}, "Every decision comes out as it was logged."),
        ({"changed": 0, "decisions": 0}, "The range holds no decision."),
    ],
)
def test_a_page_says_in_one_sentence_what_came_out(said: dict[str, int], sentence: str) -> None:
    assert sentence in read(page(document(**said))).text
