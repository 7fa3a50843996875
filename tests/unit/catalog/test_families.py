"""What a model takes is known by its name: the longest beginning wins, the newest restrictions hold for the unknown."""

from pathlib import Path
from typing import Any

import pytest
from catalog_builder import ROOT, loaded, small
from pydantic import ValidationError

from pipeline.catalog_file import read_document
from schemas.catalog import Flags, known_facts
from schemas.catalog.families import family_of, load, read
from schemas.catalog.families.__main__ import main, renewed
from schemas.catalog.families.table import FILE

PAGE = ROOT / "docs" / "models.md"
UNKNOWN = ("gpt-9", "gpt-6.9-vega", "o7-mini", "claude-zeta-9", "claude-opus-5-9", "gemini-9-krypton", "gemini-3.9-pro")
POLICY = {"n": "refuse", "logprobs": "refuse", "top_logprobs": "refuse"} | dict.fromkeys(
    ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed", "logit_bias", "stop",
     "reasoning_effort", "parallel_tool_calls", "user", "safety_identifier", "metadata", "store", "service_tier",
     "prompt_cache_key", "prediction", "verbosity", "modalities", "web_search_options", "tool_choice"),
    "drop",
)  # fmt: skip


def flags_of(upstream: str) -> Flags:
    return Flags.model_validate(known_facts(upstream)["flags"])


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        # api
        ("gpt-4.1-mini", {"api": "both", "sampling": "yes", "max_tokens_name": "max_completion_tokens"}),
        ("gpt-5-pro", {"api": "responses", "efforts": words("high")}),
        ("gpt-5.4-pro-2026-03-05", {"api": "responses", "efforts": words("medium high xhigh"), "sampling": "no"}),
        ("gpt-9-pro", {"api": "responses"}),
        ("gpt-5.3-codex", {"api": "responses", "efforts": words("low medium high")}),
        ("gpt-5.1-codex-mini", {"api": "responses", "default_effort": None}),
        ("codex-mini-latest", {"api": "responses"}),
        ("o3-pro", {"api": "responses"}),
        ("qwen3-8b", {"api": "chat", "max_tokens_name": "max_tokens"}),
        # tools_need_responses
        ("gpt-4o", {"tools_need_responses": False, "n_max": 128, "json_schema": True}),
        ("gpt-5.1", {"tools_need_responses": False, "default_effort": "none"}),
        ("gpt-5.4", {"tools_need_responses": True, "default_effort": None}),
        ("gpt-5.6-luna", {"tools_need_responses": True}),
        ("gpt-6", {"tools_need_responses": True}),
        ("gpt-6.1-sol", {"tools_need_responses": True}),
        ("gpt-6.2", {"tools_need_responses": True, "sampling": "no"}),
        # efforts, sampling
        ("gpt-4.1", {"efforts": (), "temperature_max": 2}),
        ("gpt-5-mini", {"efforts": words("minimal low medium high"), "sampling": "no", "thinking_off": False}),
        ("gpt-5.1-2025-11-13", {"efforts": words("none low medium high"), "sampling": "if_effort_none"}),
        ("gpt-6-sol", {"efforts": words("none low medium high xhigh"), "efforts_responses": ("max",)}),
        ("gpt-6-luna", {"efforts": words("none low medium high xhigh"), "sampling": "if_effort_none"}),
        ("gpt-6-astra", {"efforts": words("low medium high xhigh"), "thinking_off": False}),
        ("gpt-6.1-terra", {"efforts": words("low medium high xhigh"), "efforts_responses": ()}),
        ("gpt-6.2-sol", {"efforts": words("low medium high xhigh")}),
        ("gpt-oss-120b", {"efforts": words("low medium high"), "api": "chat", "sampling": "yes"}),
        ("o1", {"sampling": "no", "stop": True}),
        ("o3", {"sampling": "no", "stop": False}),
        ("o4-mini", {"sampling": "no", "stop": False, "efforts": words("low medium high")}),
        ("claude-haiku-4-5-20251001", {"sampling": "one_of_temperature_top_p", "temperature_max": 1}),
        ("claude-sonnet-4-6", {"sampling": "one_of_temperature_top_p", "efforts": words("low medium high max")}),
        ("claude-opus-4-7", {"sampling": "no", "efforts": words("low medium high xhigh max"), "mid_system": False}),
        ("claude-haiku-5-5", {"sampling": "no", "thinking": "adaptive", "forced_tools": True, "n_max": 1}),
        # thinking
        ("claude-haiku-4-5", {"thinking": "budget", "prefill": True, "json_schema": True, "logprobs": False}),
        ("claude-opus-4-6", {"thinking": "adaptive", "thinking_off": True, "prefill": False}),
        ("claude-opus-4-8", {"thinking": "adaptive", "mid_system": True, "signatures": True}),
        ("claude-opus-5-20260801", {"thinking": "adaptive", "thinking_off": True, "forced_tools": True}),
        ("claude-opus-5-5", {"thinking_off": False, "forced_tools": False, "mid_system": True, "prefill": False}),
        ("claude-sonnet-5-5", {"thinking_off": "between_tools", "forced_tools": False}),
        ("claude-fable-5", {"thinking_off": False, "forced_tools": True}),
        ("claude-fable-5-1", {"thinking_off": False, "forced_tools": False}),
        ("claude-mythos-5-2", {"thinking_off": False, "forced_tools": False}),
        ("claude-3-haiku-20240307", {"thinking": "none", "json_schema": False, "sampling": "yes"}),
        ("gemini-2.5-flash", {"thinking": "budget", "thinking_off": True, "sampling": "yes", "n_max": 8}),
        ("gemini-2.5-pro", {"thinking_off": False, "signatures": False, "prefill": True}),
        ("gemini-3-flash-preview", {"thinking": "level", "levels": words("minimal low medium high"), "n_max": 1}),
        ("gemini-3-pro-preview", {"levels": words("low high"), "sampling": "yes", "prefill": True}),
        ("gemini-3.6-flash", {"levels": words("minimal low medium high"), "sampling": "no", "prefill": False}),
        ("gemini-3.7-flash", {"levels": words("low medium high"), "signatures": True}),
        ("gemini-3.8-flash", {"levels": words("low medium high"), "sampling": "no"}),
        ("gemini-4-argon", {"levels": words("low medium high"), "json_schema": True, "temperature_max": 2}),
        # inputs
        ("gpt-4o-mini", {"inputs": words("text image pdf")}),
        ("gpt-3.5-turbo", {"inputs": words("text"), "json_schema": False}),
        ("o3-mini", {"inputs": words("text")}),
        ("claude-sonnet-5", {"inputs": words("text image pdf")}),
        ("gemini-3.8-flash", {"inputs": words("text image pdf audio video")}),
        ("Qwen/Qwen2.5-VL-7B-Instruct", {"inputs": words("text image")}),
        ("google/gemma-3-4b-it", {"inputs": words("text image")}),
        ("gemma3:1b", {"inputs": words("text")}),
        ("llama3.2-vision:11b", {"inputs": words("text image")}),
        ("mistral-small-latest", {"inputs": words("text image")}),
        # embeddings
        ("text-embedding-3-small", {"tools": False, "streaming": False}),
        ("gemini-embedding-001", {"tools": False, "streaming": False, "thinking": "none"}),
        ("BAAI/bge-m3", {"streaming": False}),
        ("nomic-embed-text", {"streaming": False}),
        ("mistral-embed", {"streaming": False}),
    ],
)  # fmt: skip
def test_a_family_has_the_flags_of_the_specification(upstream: str, said: dict[str, Any]) -> None:
    flags = flags_of(upstream)
    assert {flag: getattr(flags, flag) for flag in said} == said


@pytest.mark.parametrize(
    ("upstream", "context_tokens", "max_output_tokens"),
    [
        ("gpt-6.1-sol", 1_050_000, 128_000),
        ("gpt-4.1-nano", 1_047_576, 32_768),
        ("claude-sonnet-5-5", 1_000_000, 128_000),
        ("claude-haiku-4-5", 200_000, 64_000),
        ("gemini-3.8-flash", 1_048_576, 65_536),
        ("text-embedding-3-large", 8_192, 1),
        ("meta-llama/Llama-3.1-8B-Instruct", 131_072, 8_192),
        ("mistralai/Ministral-8B-Instruct-2410", 32_768, 8_192),
        ("codestral-latest", 32_768, 8_192),
        ("deepseek-chat", 65_536, 8_192),
        ("smollm2:135m", 8_192, 2_048),
        ("phi4:14b", 16_384, 4_096),
    ],
)
def test_limits_come_from_the_family(upstream: str, context_tokens: int, max_output_tokens: int) -> None:
    family = family_of(upstream)
    assert (family.context_tokens, family.max_output_tokens) == (context_tokens, max_output_tokens)


def test_the_longest_beginning_wins_whatever_the_order() -> None:
    text = "{policy: {}, families: {ab: {flags: {n_max: 2}}, abc: {flags: {n_max: 3}}, a: {flags: {n_max: 1}}}}"
    table = read(text)
    assert [table.family_of(name).flags for name in ("a", "abd", "x/y/ABCD", "b")] == [
        {"n_max": 1}, {"n_max": 2}, {"n_max": 3}, {},
    ]  # fmt: skip


def test_a_row_is_laid_over_the_one_it_extends_and_a_variant_over_both() -> None:
    table = read("""
        policy: {}
        bases:
          low: {flags: {n_max: 2, stop: false, policy: {n: drop, seed: drop}}, context_tokens: 10, max_output_tokens: 5}
        families:
          a: {extends: low, also: [b], flags: {n_max: 3, policy: {seed: refuse}}, context_tokens: 20}
        variants:
          "?-x*": {flags: {prefill: false}, max_output_tokens: 7}
        """)
    assert table.family_of("b").flags == {"n_max": 3, "stop": False, "policy": {"n": "drop", "seed": "refuse"}}
    family = table.family_of("a-x1")
    assert (family.context_tokens, family.max_output_tokens, family.flags["prefill"]) == (20, 7, False)


@pytest.mark.parametrize("upstream", UNKNOWN)
def test_an_unknown_model_of_a_known_vendor_is_restricted_like_the_newest(upstream: str) -> None:
    flags, family = flags_of(upstream), family_of(upstream)
    assert flags.sampling == "no"
    assert not flags.thinking_off
    assert family.context_tokens
    assert {"none", "minimal", "max"}.isdisjoint({*flags.efforts, *flags.efforts_responses, *flags.levels})
    if upstream.startswith("claude"):
        assert not (flags.forced_tools or flags.prefill or flags.mid_system)


@pytest.mark.parametrize("upstream", ["olmo-2", "openchat", "claudette", "gpt4all-j", "something-else"])
def test_a_name_that_only_looks_like_a_vendors_is_no_family(upstream: str) -> None:
    assert known_facts(upstream) == {"flags": {"policy": POLICY}}


def test_a_fine_tuned_model_is_like_its_base() -> None:
    assert known_facts("ft:gpt-4.1-mini-2025-04-14:org:mine:abc") == known_facts("gpt-4.1-mini-2025-04-14")


def test_every_row_holds_together() -> None:
    for beginning, family in load().by_beginning.items():
        flags = Flags.model_validate(family.flags)
        assert beginning == beginning.lower()
        assert not flags.unnamed
        assert not (flags.levels and flags.thinking != "level"), beginning
        assert (family.max_output_tokens or 0) <= (family.context_tokens or 0), beginning
        assert flags.default_effort in {None, *flags.efforts} or "-pro" in beginning, beginning
        assert flags.sampling != "if_effort_none" or "none" in flags.efforts or "-pro" in beginning, beginning


def test_facts_are_nobodys_to_change() -> None:
    known_facts("gpt-4.1")["flags"]["policy"]["n"] = "drop"
    known_facts("gpt-4.1")["flags"]["stop"] = False
    assert known_facts("gpt-4.1")["flags"]["policy"] == POLICY
    assert "stop" not in known_facts("gpt-4.1")["flags"]


def test_what_the_catalogue_says_wins_flag_by_flag() -> None:
    text = small(swap={"m2: {": "m2: {upstream: claude-opus-5-5, flags: {forced_tools: true}, context_tokens: 500, "})
    model = loaded(text).catalog.models["m2"]
    assert (model.flags.forced_tools, model.flags.thinking_off, model.flags.thinking) == (True, False, "adaptive")
    assert (model.context_tokens, model.max_output_tokens) == (500, 500)


def test_every_model_has_the_whole_policy_and_its_own_entries_win() -> None:
    own = "flags: {policy: {temperature: refuse, n: drop, novel: refuse}}"
    models = loaded(small(swap={"m2: {": f"m2: {{upstream: gpt-5.1, {own}, "})).catalog.models
    assert models["m1"].flags.policy == POLICY
    assert models["m2"].flags.policy == POLICY | {"temperature": "refuse", "n": "drop", "novel": "refuse"}


def test_a_familys_policy_stands_between_the_default_and_the_catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    table = read(
        "{policy: {n: refuse, seed: drop, user: drop}, families: {m: {flags: {policy: {n: drop, seed: refuse}}}}}"
    )
    monkeypatch.setattr("schemas.catalog.families.table.load", lambda: table)
    own = small(swap={"m2: {": "m2: {flags: {policy: {seed: drop}}, "})
    assert loaded(own).catalog.models["m2"].flags.policy == {"n": "drop", "seed": "drop", "user": "drop"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{policy: {}, families: {a: {}}, familys: {}}", "familys"),
        ("{policy: {}, families: {a: {contxt_tokens: 5}}}", "contxt_tokens"),
        ("{policy: {}, families: {a: {flags: {smapling: yes}}}}", "no such flag: smapling"),
        ("{policy: {}, families: {a: {flags: {sampling: no}}}}", "'no'"),  # YAML 1.1 reads a bare no as false
        ("{policy: {}, families: {a: {flags: {policy: {n: ignore}}}}}", "'drop' or 'refuse'"),
        ("{policy: {n: maybe}, families: {a: {}}}", "'drop' or 'refuse'"),
        ("{policy: {}, families: {a: {extends: b}}}", "a extends b, which does not exist"),
        ("{policy: {}, families: {a: {extends: b}, b: {extends: a}}}", "which extends it"),
        ("{policy: {}, families: {a: {also: [b]}, b: {}}}", "b stands twice"),
        ("{policy: {}, families: {}}", "there are no families"),
        ("{policy: {}, families: {a: {}}, variants: {'b*': {also: [c]}}}", "a variant says flags and limits only"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(text)


def test_no_key_of_the_file_stands_twice() -> None:
    assert read_document(FILE)["policy"] == POLICY


def test_the_page_of_models_is_fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(PAGE)]) == 0, "run `python -m schemas.catalog.families --write docs/models.md`"
    copy = tmp_path / "models.md"
    copy.write_text(PAGE.read_text(encoding="utf-8").replace("1,050,000", "1,050"), encoding="utf-8")
    assert main(["--check", str(copy)]) == 1
    assert "is stale" in capsys.readouterr().err
    assert main(["--write", str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


def test_a_page_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="no lines"):
        renewed("# Models\n")
