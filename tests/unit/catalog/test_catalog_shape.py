"""What the catalogue means once it is read: defaults, prices, names, look-ups."""

from decimal import Decimal
from typing import Any

import pytest
from catalog_builder import ROOT, SMALL, loaded, small

from pipeline.catalog_file import (
    EDGE_ADDRESS,
    OWN_ADDRESSES,
    dump_document,
    json_schema,
    load,
    offers_edge,
    parse,
    read_document,
    simulated,
)
from schemas.catalog import Catalog, Objective, ObjectiveOverride, Price, Sensitivity, When

DEFAULT = ROOT / "infra" / "catalog.yaml"
REPORTS = ROOT / "tests" / "unit" / "catalog" / "reports.yaml"


def test_the_default_catalogue_loads_without_any_key() -> None:
    found = load(DEFAULT, {})
    assert found.off_providers == {"openai", "anthropic", "gemini"}
    assert {"gpt-4.1-mini", "claude-haiku-4-5", "gemini-3.8-flash", "smollm2-135m"} <= set(found.catalog.models)
    assert {w.message.split(" is not set")[0] for w in found.warnings} == {
        "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MILLRACE_DEMO_KEYS", "ACME_KEYS", "GLOBEX_KEYS",
    }  # fmt: skip


def test_the_catalogue_of_the_reports_loads() -> None:
    found = load(REPORTS, {})
    assert len(found.off_providers) == 6
    assert found.catalog.tenants["broke"].budgets[0].limit_nano_usd == 1_000
    assert found.catalog.models["claude-haiku-4-5"].flags.thinking == "budget"


def test_defaults_are_those_of_the_contract() -> None:
    catalog = loaded(SMALL).catalog
    tenant, route, provider = catalog.tenants["t"], catalog.routes["auto"], catalog.providers["p"]
    assert (catalog.retry.delays_s, catalog.retry.budget_ratio) == ((1, 5, 30), 0.2)
    assert (route.max_attempts, route.stream_recovery, route.deadline_s, route.default_max_tokens) == (
        3,
        "continue",
        120,
        4096,
    )
    assert (provider.clearance, provider.max_in_flight, provider.bulk_share) == (Sensitivity.INTERNAL, 200, 0.2)
    assert (tenant.shards, tenant.max_in_flight, tenant.store_bodies, tenant.retention_days) == (1, 200, False, 30)
    assert tuple(catalog.breaker.model_dump().values()) == (5, 10, 10, 0.2, 0.5, 5, 60)
    assert catalog.exploration.share == 0


def test_the_schema_lists_every_default_and_explains_every_key() -> None:
    schema = json_schema()
    parts = {"Catalog": schema, **schema["$defs"]}
    keys = [(part, name, key) for part, body in parts.items() for name, key in body.get("properties", {}).items()]
    assert len(keys) > 100
    for part, name, key in keys:
        assert key.get("description"), (part, name)
        assert "default" in key or name in parts[part]["required"], (part, name)
    assert schema["$defs"]["Timeouts"]["properties"]["first_event_s"]["default"] == 30
    assert schema["additionalProperties"] is False


def test_prices_are_whole_nano_dollars() -> None:
    price = load(DEFAULT, {}).catalog.models["gpt-4.1-nano"].price
    assert price.input_per_mtok_usd == Decimal("0.1")
    assert price.input_nano_usd_per_mtok == 100_000_000
    assert price.cached_input_nano_usd_per_mtok == 25_000_000
    assert price.output_nano_usd_per_mtok == 400_000_000


def test_cache_rates_fall_back_to_the_rate_of_input() -> None:
    plain: Any = {"input_per_mtok_usd": 1, "output_per_mtok_usd": 2}
    price = Price.model_validate(plain)
    assert price.cached_input_nano_usd_per_mtok == price.cache_write_1h_nano_usd_per_mtok == 1_000_000_000
    dearer = Price.model_validate({**plain, "cache_write_per_mtok_usd": 1.25, "cache_write_1h_per_mtok_usd": 2})
    assert dearer.cache_write_nano_usd_per_mtok == 1_250_000_000
    assert dearer.cache_write_1h_nano_usd_per_mtok == 2_000_000_000


def test_a_price_version_changes_with_the_rates_only() -> None:
    base: Any = {
        "input_per_mtok_usd": 1,
        "output_per_mtok_usd": 2,
        "tiers": {"flex": {"input_per_mtok_usd": 0.5, "output_per_mtok_usd": 1}},
    }
    version = Price.model_validate(base).version
    assert Price.model_validate({**base, "checked": "2026-11-01", "source": "page"}).version == version
    assert Price.model_validate({**base, "output_per_mtok_usd": 3}).version != version
    assert Price.model_validate({**base, "valid_from": "2026-11-01"}).version != version


def test_sensitivity_is_ordered() -> None:
    rising = [Sensitivity("public"), Sensitivity("internal"), Sensitivity("confidential"), Sensitivity("restricted")]
    assert max(rising) is rising[3]
    assert sorted(rising, key=lambda level: level.rank) == sorted(rising)
    assert Sensitivity.CONFIDENTIAL > Sensitivity.INTERNAL >= Sensitivity.INTERNAL
    with pytest.raises(TypeError):
        _ = Sensitivity.PUBLIC < "restricted"  # words would be ordered by the alphabet


def test_flags_come_from_the_family_where_the_file_is_silent() -> None:
    text = small(swap={"m2: {": "m2: {upstream: v/Claude-Haiku-4-5-20251001, flags: {json_schema: false}, "})
    flags = loaded(text).catalog.models["m2"].flags
    assert (flags.thinking, flags.temperature_max, flags.json_schema, flags.streaming) == ("budget", 1, False, True)
    assert loaded(text).catalog.models["m2"].context_tokens == 200_000
    assert loaded(text).catalog.models["m1"].flags.max_tokens_name == "max_tokens"
    assert loaded(text).catalog.models["m1"].upstream == "m1"


def test_a_familys_longest_answer_gives_way_to_a_small_context() -> None:
    text = small(swap={"m2: {provider: p, ": "m2: {provider: p, upstream: gpt-4o, context_tokens: 4096, "})
    assert loaded(text).catalog.models["m2"].max_output_tokens == 4_096


def test_targets_are_what_a_tenant_may_ask_for() -> None:
    catalog = load(DEFAULT, {}).catalog
    assert catalog.targets("demo") == {"auto", "steady", *catalog.models}
    assert catalog.targets("acme") == {"auto", "steady", "gpt-4.1-mini"}
    assert catalog.targets("nobody") == frozenset()
    assert catalog.tenant_of("nobody") is None
    assert catalog.tenant_of("acme") is catalog.tenants["acme"]


def test_candidates_stand_for_models_in_order() -> None:
    catalog = load(DEFAULT, {}).catalog
    assert catalog.candidates_of("steady") == ("gpt-4.1-mini", "qwen3-edge-8b")
    chat = tuple(sorted(name for name, model in catalog.models.items() if model.operation == "chat"))
    assert catalog.candidates_of("auto") == chat
    assert catalog.candidates_of("gpt-4.1") == ("gpt-4.1",)
    assert catalog.expand(("qwen3-edge-8b", "*"))[0] == "qwen3-edge-8b"
    with pytest.raises(KeyError):
        catalog.candidates_of("nothing")


def test_an_endpoint_is_provider_model_and_region() -> None:
    assert load(DEFAULT, {}).catalog.endpoint_of("smollm2-135m") == "edge/smollm2-135m/local"


def test_shadows_have_a_budget_and_perhaps_a_judge() -> None:
    more = """
        shadows:
          - {name: a, model: m2, budget: {usd: 1.5}, judge: m1}
          - {name: b, model: m2, budget: {usd: 1.5}, judge: rules, filter: {tenant: t, route: auto, share: 0.1}}
        """
    text = small(
        swap={"t: {keys": "t: {budgets: [{usd: 3, scope: 'shadow:a', on_exceed: warn}, {usd: 1}], keys"}, more=more
    )
    catalog = loaded(text).catalog
    assert [shadow.judge_model for shadow in catalog.shadows] == ["m1", None]
    assert catalog.shadows[0].budget.limit_nano_usd == 1_500_000_000
    assert [(budget.is_hard, budget.per) for budget in catalog.tenants["t"].budgets] == [(False, "day"), (True, "day")]


def test_star_stands_for_chat_models_only() -> None:
    more = "  e: {candidates: ['*']}\n"
    text = small(
        swap={"m2: {": "m2: {operation: embeddings, ", "  auto: {order: [m1, m2]}\n": "  auto: {order: [m1]}\n" + more}
    )
    assert loaded(text).catalog.candidates_of("e") == ("m1",)


def test_a_route_without_order_has_an_objective() -> None:
    text = small(swap={"order: [m1, m2]": "objective: {mu_latency: 1}"})
    route = loaded(text).catalog.routes["auto"]
    assert (route.is_ordered, route.candidates, route.objective) == (False, ("*",), Objective(mu_latency=1))


def test_a_tenants_objective_overrides_field_by_field() -> None:
    merged = Objective(lambda_cost=0.1, mu_latency=0.5).overridden_by(ObjectiveOverride(lambda_cost=0.2))
    assert merged == Objective(lambda_cost=0.2, mu_latency=0.5)
    assert merged.overridden_by(None) is merged


@pytest.mark.parametrize(
    ("hours", "expected"),
    [("8-10", {8, 9}), ("22-2", {22, 23, 0, 1}), ("0-24", set(range(24))), ("5-5", set(range(24))), ("23-24", {23})],
)
def test_hours_may_cross_midnight(hours: str, expected: set[int]) -> None:
    assert set(When(hours=hours).hours_of_day or ()) == expected


def test_no_hours_mean_no_condition() -> None:
    assert When().hours_of_day is None


def test_a_final_slash_of_an_address_makes_no_difference() -> None:
    with_slash = loaded(small(swap={"/v1": "/v1/"})).catalog
    assert with_slash.hash == loaded(SMALL).catalog.hash


def test_an_alert_is_read_as_a_condition() -> None:
    (alert,) = loaded(small(more='alerts: [{name: a, when: "budget_used >= 0.8"}]')).catalog.alerts
    assert (alert.condition.term, alert.condition.operator, alert.condition.threshold) == ("budget_used", ">=", 0.8)


def test_the_hash_is_of_the_content_and_not_of_its_layout() -> None:
    said = loaded("# a comment\n" + small(swap={"region: us": "max_in_flight: 200, region: us"})).catalog
    assert said.hash == loaded(SMALL, {"P_KEY": "x"}).catalog.hash
    assert len(said.hash) == 12
    assert loaded(small(swap={"region: us": "region: eu"})).catalog.hash != said.hash
    assert loaded(small(swap={"[m1, m2]": "[m2, m1]"})).catalog.hash != said.hash


@pytest.mark.parametrize("path", [DEFAULT, REPORTS])
def test_the_canonical_form_reads_back_as_the_same_catalogue(path: Any) -> None:
    catalog = load(path, {}).catalog
    again = Catalog.model_validate_json(catalog.canonical())
    assert again == catalog
    assert again.hash == catalog.hash


def test_a_dumped_document_loads_as_the_same_catalogue() -> None:
    for path in (DEFAULT, REPORTS):
        assert parse(dump_document(read_document(path)), {}).catalog.hash == load(path, {}).catalog.hash


def test_dumping_keeps_text_that_looks_like_something_else() -> None:
    document = {"a": ["1e3", "no", "true", "~", "012", "2026-01-01", "1", ".5", "<<", "é 🙂", 1e-06, 0.1, None, True]}
    text = dump_document(document)
    (problem_free,) = (parse_data(text),)
    assert problem_free == document


def parse_data(text: str) -> Any:
    from pipeline.catalog_file.document import Document

    document = Document(text)
    assert document.problems == []
    return document.data


def test_the_simulator_plays_providers_that_are_off_and_servers_of_ones_own() -> None:
    document = read_document(DEFAULT)
    played = simulated(
        document, off={"openai", "anthropic", "gemini"}, root_url="http://127.0.0.1:4001", key_env="SIM_KEY"
    )
    found = parse(dump_document(played), {"SIM_KEY": "sim-key"})
    assert found.off_providers == frozenset()
    paths = {"openai": "/v1", "anthropic": "", "gemini": "", "edge": "/compatible/v1", "vllm": "/compatible/v1"}
    for name, path in paths.items():
        provider = found.catalog.providers[name]
        assert (provider.base_url, provider.allow_private_egress) == ("http://127.0.0.1:4001" + path, True)
        assert provider.api_key_env == "SIM_KEY"
    assert found.catalog.providers["edge"].region == "local"
    assert document == read_document(DEFAULT)


def test_the_simulator_leaves_alone_what_works() -> None:
    document = read_document(DEFAULT)
    assert simulated(document, off=set(), root_url="http://x", key_env="K", at_home=OWN_ADDRESSES) == document
    own_edge = {**document, "providers": {"edge": {**document["providers"]["edge"], "base_url": "http://10.0.0.5/v1"}}}
    assert simulated(own_edge, off=set(), root_url="http://x", key_env="K") == own_edge
    assert (offers_edge(document), offers_edge(own_edge)) == (True, False)


def test_a_real_model_at_the_edge_is_not_simulated() -> None:
    document = read_document(DEFAULT)
    played = simulated(document, off=set(), root_url="http://x", key_env="K", at_home={EDGE_ADDRESS})["providers"]
    assert played["edge"] == document["providers"]["edge"]
    assert (played["vllm"]["base_url"], played["vllm"]["api_key_env"]) == ("http://x/compatible/v1", "K")


def test_a_document_with_equal_keys_is_not_read(tmp_path: Any) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(Exception, match="stands twice"):
        read_document(path)


def test_a_catalogue_comes_back_from_its_document_under_the_hash_that_it_had() -> None:
    catalog = load(DEFAULT, {}).catalog
    again = Catalog.of_document(catalog.document(), catalog.hash)
    assert (again, again.hash) == (catalog, catalog.hash)
    assert list(again.models) == list(catalog.models)
    assert Catalog.model_validate_json(catalog.document()).hash == catalog.hash
    assert Catalog.of_document(catalog.document(), "of-another-release").hash == "of-another-release"


def test_the_document_of_a_catalogue_names_variables_and_holds_no_key() -> None:
    keys = {"OPENAI_API_KEY": "sk-secret-of-openai", "ACME_KEYS": "mr_secret-key-of-acme-0123456789"}
    document = load(DEFAULT, keys).catalog.document().decode()
    assert "OPENAI_API_KEY" in document
    assert not any(value in document for value in keys.values())


def test_nothing_that_is_decided_hangs_on_the_order_of_the_models_in_the_file() -> None:
    catalog = load(DEFAULT, {}).catalog
    turned = catalog.model_copy(update={"models": dict(reversed(catalog.models.items()))})
    assert turned.expand(("*",)) == catalog.expand(("*",))
