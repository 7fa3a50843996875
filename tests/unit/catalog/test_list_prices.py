"""List prices: the vendor's own, exact, for exact names, never guessed for a relative."""

import json
import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from catalog_builder import ROOT, problems_of, small

from pipeline.catalog_file import json_schema, parse
from schemas.catalog import Catalog, Price, list_price

OPENAI = {"adapter: openai-compatible": "adapter: openai"}
UNPRICED = {**OPENAI, "m2: {provider: p, price: {input_per_mtok_usd: 0.4, output_per_mtok_usd: 1.6}}": "gpt-4.1: {provider: p}", "[m1, m2]": "[m1]"}  # fmt: skip  # noqa: E501
TODAY = date(2026, 11, 28)


def rates(upstream: str, adapter: str) -> tuple[str | None, ...]:
    price = list_price(upstream, adapter, on=TODAY) or {}
    keys = ("input_per_mtok_usd", "cached_input_per_mtok_usd", "cache_write_per_mtok_usd", "output_per_mtok_usd")
    return tuple(str(price[key]) if key in price else None for key in keys)


@pytest.mark.parametrize(
    ("upstream", "adapter", "expected"),
    [
        ("gpt-4.1", "openai", ("2", "0.5", None, "8")),
        ("gpt-4.1-mini", "openai", ("0.4", "0.1", None, "1.6")),
        ("gpt-4.1-mini-2025-04-14", "openai", ("0.4", "0.1", None, "1.6")),
        ("gpt-4.1-nano", "openai", ("0.1", "0.025", None, "0.4")),
        ("gpt-4o", "openai", ("2.5", "1.25", None, "10")),
        ("gpt-4o-mini", "openai", ("0.15", "0.075", None, "0.6")),
        ("text-embedding-3-small", "openai", ("0.02", None, None, "0")),
        ("text-embedding-3-large", "openai", ("0.13", None, None, "0")),
        ("claude-haiku-4-5-20251001", "anthropic", ("1", "0.1", "1.25", "5")),
        ("gemini-2.5-flash", "gemini", ("0.3", "0.03", None, "2.5")),
        ("models/Gemini-2.5-Flash", "gemini", ("0.3", "0.03", None, "2.5")),
    ],
)
def test_a_listed_price_is_exact(upstream: str, adapter: str, expected: tuple[str | None, ...]) -> None:
    assert rates(upstream, adapter) == expected


@pytest.mark.parametrize(
    ("upstream", "adapter"),
    [
        ("gpt-4.1-micro", "openai"),
        ("gpt-4.1-mini-2031-01-01", "openai"),  # a snapshot that the library does not know
        ("claude-haiku-4-5-turbo", "anthropic"),  # the library itself would take it for claude-haiku-4-5
        ("gemini-3.8-flash-extra", "gemini"),
        ("gemini-2.5-flash-image", "gemini"),  # answers in images, at another rate
        ("whisper-1", "openai"),  # by the hour
        ("something-else", "openai"),
        ("", "openai"),
    ],
)
def test_a_relative_or_another_kind_of_model_has_no_listed_price(upstream: str, adapter: str) -> None:
    assert list_price(upstream, adapter) is None


@pytest.mark.parametrize(
    ("upstream", "adapter"),
    [
        ("claude-haiku-4-5", "openai"),
        ("gpt-4.1", "anthropic"),
        ("gemini-2.5-flash", "openai"),
        ("gpt-4.1", "openai-compatible"),
        ("deepseek-chat", "openai-compatible"),
        ("gpt-4.1", ""),
    ],
)
def test_only_the_adapters_own_vendor_lists_prices(upstream: str, adapter: str) -> None:
    assert list_price(upstream, adapter) is None


def test_rates_that_rise_with_the_prompt_are_the_base_rates() -> None:
    assert rates("gemini-2.5-pro", "gemini") == ("1.25", "0.125", None, "10")


def test_the_price_is_that_of_the_day_and_the_newest_without_one() -> None:
    def of(day: date | None) -> Decimal:
        return (list_price("gemini-3.8-flash", "gemini", on=day) or {})["input_per_mtok_usd"]  # type: ignore[no-any-return]

    assert [str(of(day)) for day in (TODAY, date(2027, 1, 1), None)] == ["0.75", "1.5", "1.5"]


def test_service_tiers_have_rates_of_their_own() -> None:
    price = Price.model_validate(list_price("gpt-6-sol", "openai", on=TODAY))
    assert {name: str(tier.input_per_mtok_usd) for name, tier in price.tiers.items()} == {
        "flex": "1", "priority": "4", "fast": "4",
    }  # fmt: skip
    assert "batch" not in price.tiers
    assert not Price.model_validate(list_price("gpt-4.1", "openai", on=date(2026, 1, 1))).tiers


def test_a_price_says_where_it_is_from() -> None:
    price = Price.model_validate(list_price("claude-opus-4-8", "anthropic"))
    assert price.source == f"genai-prices {genai_prices.__version__}"
    assert (price.cache_write_nano_usd_per_mtok, price.cache_write_1h_nano_usd_per_mtok) == (6_250_000_000, 10**10)


def test_every_price_that_the_library_has_for_our_vendors_fits_the_catalogue() -> None:
    from genai_prices.data_snapshot import get_snapshot

    vendors = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}
    found = 0
    for adapter, vendor in vendors.items():
        for model in get_snapshot().find_provider(None, vendor, None).models:
            if price := list_price(model.id, adapter):
                found += 1
                assert Price.model_validate(price).input_nano_usd_per_mtok > 0
    assert found > 100


def test_the_catalogue_takes_the_listed_price_where_it_is_silent() -> None:
    price = parse(small(swap=UNPRICED), {}).catalog.models["gpt-4.1"].price
    assert (price.input_nano_usd_per_mtok, price.cached_input_nano_usd_per_mtok) == (2_000_000_000, 500_000_000)
    assert "priority" in price.tiers


def test_the_catalogues_own_price_wins_as_a_whole() -> None:
    text = small(swap={**OPENAI, "m2: {": "m2: {upstream: gpt-4.1, "})
    price = parse(text, {}).catalog.models["m2"].price
    assert (price.input_nano_usd_per_mtok, price.cached_input_nano_usd_per_mtok) == (400_000_000, 400_000_000)
    assert (price.source, price.tiers) == ("", {})


@pytest.mark.parametrize("provider", ["p", "nobody", "5"])
def test_a_model_without_a_listed_price_has_to_say_one(provider: str) -> None:
    swap = {**UNPRICED, "adapter: openai-compatible": "adapter: openai-compatible"}
    text = small(swap=swap).replace("gpt-4.1: {provider: p}", f"gpt-4.1: {{provider: {provider}}}")
    assert ("is required", 'models["gpt-4.1"].price') in {(found.message, found.path) for found in problems_of(text)}


def test_a_listed_price_survives_the_canonical_form() -> None:
    catalog = parse(small(swap=UNPRICED), {}).catalog
    assert Catalog.model_validate_json(catalog.canonical()) == catalog


def test_the_schema_and_a_dump_show_tiers_and_policy() -> None:
    parts = json_schema()["$defs"]
    assert {"tiers", "cache_write_1h_per_mtok_usd"} <= set(parts["Price"]["properties"])
    assert {"stop", "levels", "policy", "efforts_responses"} <= set(parts["Flags"]["properties"])
    shown: Any = json.loads(parse(small(swap=UNPRICED), {}).catalog.canonical())["models"]["gpt-4.1"]
    assert shown["price"]["tiers"]["priority"]["input_per_mtok_usd"] == 3.5
    assert shown["flags"]["policy"]["logprobs"] == "refuse"


def test_a_catalogue_that_says_its_prices_never_imports_the_library() -> None:
    code = "import sys; from pipeline.catalog_file import load; load('infra/catalog.yaml', {}); sys.exit('genai_prices' in sys.modules)"  # noqa: E501
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
