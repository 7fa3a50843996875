"""The demo's prompts are requests of the contract, for the default catalogue."""

import json
from typing import Any

from catalog_builder import ROOT

from pipeline.catalog_file import load
from schemas.events.request import Request, parse_request

CATALOG = load(ROOT / "infra" / "catalog.yaml", {}).catalog
PROMPTS: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "infra" / "demo" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
]
MEANT_TO_FAIL = {"model_not_found", "invalid_request"}


def expected(prompt: dict[str, Any]) -> str:
    return str(prompt["tags"].get("expect", "ok"))


def test_every_line_is_a_request_of_the_contract() -> None:
    assert all(isinstance(parse_request(dict(prompt)), Request) for prompt in PROMPTS)
    assert len(PROMPTS) >= 40


def test_every_target_exists_but_the_one_that_is_meant_not_to() -> None:
    unknown = [prompt for prompt in PROMPTS if prompt["model"] not in CATALOG.targets("demo")]
    assert [expected(prompt) for prompt in unknown] == ["model_not_found"]
    assert {prompt["tenant"] for prompt in PROMPTS} == {"demo"}


def test_a_few_are_refused_so_that_people_see_typed_errors() -> None:
    assert {expected(prompt) for prompt in PROMPTS} - {"ok"} == MEANT_TO_FAIL
    for prompt in PROMPTS:
        assert isinstance(prompt["body"]["messages"], list) == (expected(prompt) != "invalid_request")


def test_the_prompts_show_what_the_platform_does() -> None:
    def count(key: str, value: object) -> int:
        return sum(prompt.get(key) == value for prompt in PROMPTS)

    assert count("model", "auto") > len(PROMPTS) / 2
    assert count("sensitivity", "confidential") == 2
    assert min(count("stream", True), count("priority", "batch"), count("model", "steady")) >= 3
    assert sum("tools" in prompt["body"] for prompt in PROMPTS) == 2
    assert sum("response_format" in prompt["body"] for prompt in PROMPTS) == 2
    assert any(len(prompt["body"]["messages"]) == 3 and "conversation_id" in prompt for prompt in PROMPTS)
