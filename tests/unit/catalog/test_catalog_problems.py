"""What is wrong with a file is said with its line and path, all of it at once."""

import itertools
from pathlib import Path

import pytest
from catalog_builder import SMALL, loaded, problems_of, small

from pipeline.catalog_file import CatalogError, check, load

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise("abcdefg")
)


def test_the_small_catalogue_is_valid() -> None:
    assert problems_of(SMALL) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "message"),
    [
        ("region: us", "regoin: us", 3, "providers.p.regoin", 'unknown key "regoin"; did you mean "region"?'),
        ("version: 1", 'version: "1"', 1, "version", "must be 1"),
        ("version: 1", "version: true", 1, "version", "must be 1"),
        ("region: us", "max_in_flight: '12'", 3, "providers.p.max_in_flight", "whole number"),
        ("region: us", "max_in_flight: 1.5", 3, "providers.p.max_in_flight", "whole number"),
        ("region: us", "max_in_flight: true", 3, "providers.p.max_in_flight", "whole number"),
        ("region: us", "allow_private_egress: yes", 3, "providers.p.allow_private_egress", "true or false"),
        ("region: us", "allow_private_egress: 1", 3, "providers.p.allow_private_egress", "true or false"),
        ("region: us", "bulk_share: 1.2", 3, "providers.p.bulk_share", "less than or equal to 1"),
        ("region: us", "region: 5", 3, "providers.p.region", "must be text"),
        ("region: us", "terms: no_training", 3, "providers.p.terms", "must be a list"),
        ("region: us", "terms: [a, a]", 3, "providers.p.terms", "said twice: a"),
        ("region: us", "clearance: secret", 3, "providers.p.clearance", "'restricted'"),
        ("openai-compatible", "cohere", 3, "providers.p.adapter", "'openai-compatible'"),
        ("http://127", "http://user:pw@127", 3, "providers.p.base_url", "must have the form"),
        ("/v1", "/v1?key=x", 3, "providers.p.base_url", "must have the form"),
        ("adapter: openai-compatible, ", "", 3, "providers.p.adapter", "is required"),
        ("m1: {provider: p, ", "m1: {provider: q, ", 5, "models.m1.provider", 'no provider has the name "q"'),
        ("input_per_mtok_usd: 1.0", "input_per_mtok_usd: '1.0'", 5, "models.m1.price.input_per_mtok_usd", "a number"),
        ("input_per_mtok_usd: 1.0", "input_per_mtok_usd: true", 5, "models.m1.price.input_per_mtok_usd", "a number"),
        ("input_per_mtok_usd: 1.0", "input_per_mtok_usd: 1e400", 5, "models.m1.price.input_per_mtok_usd", "finite"),
        ("input_per_mtok_usd: 1.0", "input_per_mtok_usd: 1e-10", 5, "models.m1.price.input_per_mtok_usd", "9 decimal"),
        (", price: {input_per_mtok_usd: 1.0, output_per_mtok_usd: 2.0}", "", 5, "models.m1.price", "is required"),
        ("m1: {", "m1: {upstream: 5, ", 5, "models.m1.upstream", "must be text"),
        ("region: us", "region: null", 3, "providers.p.region", "must be text"),
        ("m1: {", "m1: {max_output_tokens: 9000, ", 5, "models.m1", "larger than context_tokens"),
        ("input_per_mtok_usd: 1.0", "input_per_mtok_usd: 1, checked: 2026-02-30", 5, "models.m1.price.checked", "date"),
        ("input_per_mtok_usd: 1.0", "input_per_mtok_usd: 1, checked: 20260201", 5, "models.m1.price.checked", "date"),
        ("[m1, m2]", "[m1, m2, m1]", 8, "routes.auto.order[2]", '"m1" stands twice'),
        ("[m1, m2]", "[m1, m3]", 8, "routes.auto.order[1]", 'no model has the name "m3"'),
        ("order: [m1, m2]", "order: []", 8, "routes.auto", "either `order`"),
        ("order: [m1, m2]", "candidates: []", 8, "routes.auto", "no model to choose from"),
        ("order: [m1, m2]", "order: [m1], candidates: [m2]", 8, "routes.auto", "excludes"),
        ("order: [m1, m2]", "order: [m1], objective: {lambda_cost: 1}", 8, "routes.auto", "excludes"),
        ("order: [m1, m2]", "order: [m1], max_attempts: 11", 8, "routes.auto.max_attempts", "equal to 10"),
        ("t: {", "t: {budgets: [{usd: 1, scope: 'shadow:x'}], ", 10, "tenants.t.budgets[0].scope", "no shadow has the"),
        ("auto: {order", "m1: {order", 8, "routes.m1", "the name of a model and of a route"),
        ("routes: [auto, m1]", "routes: [auto, m9]", 10, "tenants.t.routes[1]", 'no route or model has the name "m9"'),
        ("  t: {", "  'a#1': {", 10, 'tenants["a#1"]', "must have the form"),
        ("  t: {", "  _platform: {", 10, "tenants._platform", "the platform's own tenant"),
        ("  t: {", "  7: {", 10, "tenants", "put 7 in quotes"),
        ("  p: {", "  P_1: {", 3, "providers.P_1", "must have the form"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, path: str, message: str) -> None:
    found = [problem for problem in problems_of(small(swap={old: new})) if problem.path == path]
    assert [problem.line for problem in found] == [line]
    assert message in found[0].message


@pytest.mark.parametrize(
    ("more", "path", "message"),
    [
        ("rules: [{when: {tags: {team: 5}}, pin: m1}]", "rules[0].when.tags.team", "must be text; put it in quotes"),
        ("rules: [{when: {user: x}}]", "rules[0]", "does nothing"),
        ("rules: [{pin: m1, by: 0.3}]", "rules[0]", "`by` without `prefer`"),
        ("rules: [{require: {}}]", "rules[0].require", "requires nothing"),
        ("rules: [{require: {models: [x]}}]", "rules[0].require.models[0]", 'no model has the name "x"'),
        ("rules: [{require: {providers: [x]}}]", "rules[0].require.providers[0]", 'no provider has the name "x"'),
        ("rules: [{when: {tenant: x}, pin: m1}]", "rules[0].when.tenant", 'no tenant has the name "x"'),
        ("rules: [{when: {route: [auto, x]}, pin: m1}]", "rules[0].when.route[1]", "no route or model has the name"),
        ("rules: [{when: {hours: 25-3}, pin: m1}]", "rules[0].when.hours", "must have the form"),
        ("rules: [{when: {weekdays: [monday]}, pin: m1}]", "rules[0].when.weekdays[0]", "'mon'"),
        ("rules: [{name: a, pin: m1}, {name: a, pin: m1}]", "rules[1].name", '"a" stands twice in rules'),
        ("experiments: [{name: e, route: m1, arms: {a: {candidates: [m1]}}}]", "experiments[0].arms", "at least 2"),
        ("experiments: [{name: e, route: m1, arms: {}}]", "experiments[0].route", 'no route has the name "m1"'),
        ("experiments: [{name: e, arms: {a: {candidates: [x]}}}]", "experiments[0].arms.a.candidates[0]", "no model"),
        ("shadows: [{name: s, model: x, budget: {usd: 1}}]", "shadows[0].model", 'no route or model has the name "x"'),
        ("shadows: [{name: s, model: m1, budget: {usd: 1}, judge: x}]", "shadows[0].judge", "no model"),
        ("shadows: [{name: s, model: m1}]", "shadows[0].budget", "is required"),
        ("breaker: {open_s: 61}", "breaker", "open_s is larger"),
        ("retry: {delays_s: [5, 1]}", "retry.delays_s", "delays must rise"),
        ("retry: {delays_s: [1, 1]}", "retry.delays_s", "delays must rise"),
        ("retry: {delays_s: [0]}", "retry.delays_s[0]", "greater than or equal to 1"),
        ("retry: {delays_s: []}", "retry.delays_s", "at least 1"),
        ("alerts: [{name: a, when: load > 5}]", "alerts[0].when", "must be TERM > NUMBER"),
        ("alerts: [{name: a, when: error_rate > 0.5, to: [mail:me]}]", "alerts[0].to[0]", "must have the form"),
        ("rules: 5", "rules", "must be a list"),
        ("retry: [1]", "retry", "must be a mapping"),
        ("version: 1", "version", 'the key "version" stands twice (first in line 1)'),
        ("alerts: !!python/object:os.system []", "alerts", "the tag tag:yaml.org,2002:python/object:os.system is not"),
        ("rules: !!int x", "rules", "cannot be read as int"),
        ("shadows: !!set {a}", "shadows", "is not allowed"),
        ('exploration: {share: "\\ud800"}', "exploration.share", "cannot be read as str"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_added_line_is_told(more: str, path: str, message: str) -> None:
    found = [problem for problem in problems_of(small(more=more)) if problem.path == path]
    assert [problem.line for problem in found] == [11]
    assert message in found[0].message


def test_all_problems_are_reported_at_once() -> None:
    text = small(
        swap={"region: us": "regoin: us", "[m1, m2]": "[m1, m1]", "routes: [auto, m1]": "routes: [nope]"},
        more="exploration: {share: 2}\nversion: 1\n",
    )
    found = [(problem.line, problem.path) for problem in problems_of(text, {"P_KEY": "a b", "T_KEYS": "short"})]
    assert found == [
        (3, "providers.p.api_key_env"),
        (3, "providers.p.regoin"),
        (8, "routes.auto.order[1]"),
        (10, "tenants.t.keys_env"),
        (10, "tenants.t.routes[0]"),
        (11, "exploration.share"),
        (12, "version"),
    ]


def test_a_list_whose_entries_are_wrong_is_not_called_too_short() -> None:
    (found,) = problems_of(small(swap={"m1: {": "m1: {flags: {inputs: [smell]}, "}))
    assert found.path == "models.m1.flags.inputs[0]"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 0, "is empty"),
        ("# nothing\n", 0, "is empty"),
        ("- 1\n", 0, "must be a mapping"),
        ("text", 0, "must be a mapping"),
        ("a: 1\nb: [1\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "expected a single document"),
        ("a: 1\nb: \x00\n", 2, "U+0000"),
        ("a: *nowhere\n", 1, "undefined alias"),
        ("a: " + "[" * 2_000, 0, "RecursionError"),
        ("a: &a [*a]\n", 1, "deeply nested"),
        ('a: "\\UFFFFFFFF"\n', 0, "not valid YAML"),
        (BOMB, 1, "aliases count in full"),
    ],
)  # fmt: skip
def test_what_is_no_catalogue_at_all_is_told_plainly(text: str, line: int, message: str) -> None:
    (problem,) = problems_of(text)
    assert problem.line == line
    assert message in problem.message


def test_a_mapping_merged_into_itself_is_refused() -> None:
    assert any("into itself" in problem.message for problem in problems_of("a: &a {<<: *a}\n"))


def test_a_number_of_many_digits_is_refused() -> None:
    (problem, *_) = problems_of(small(more=f"retry: {{budget_ratio: {'9' * 5_000}}}"))
    assert (problem.line, problem.path) == (11, "retry.budget_ratio")


def test_yaml_means_what_it_says() -> None:
    text = small(
        swap={"region: us": "region: no, terms: [on, 1_000]", "1.0, ": "1.0, valid_from: 2026-01-01, source: 012, "}
    )
    provider, price = loaded(text).catalog.providers["p"], loaded(text).catalog.models["m1"].price
    assert (provider.region, provider.terms, price.source) == ("no", ("on", "1_000"), "012")
    assert str(price.valid_from) == "2026-01-01"


def test_anchors_and_merge_keys_spare_repetition() -> None:
    text = small(swap={"m1: {": "m1: &base {", "m2: {provider: p, ": "m2: {<<: *base, context_tokens: 9000, "})
    models = loaded(text).catalog.models
    assert (models["m2"].provider, models["m2"].context_tokens, models["m1"].context_tokens) == ("p", 9_000, 8_192)
    assert models["m2"].price.input_nano_usd_per_mtok == 400_000_000


def test_earlier_merges_win_over_later_ones() -> None:
    more = """
        retry: &a {budget_ratio: 0.1}
        exploration: &b {share: 0.5}
        rules:
          - {pin: m1, when: {<<: [{user: x}, {user: y, domain: law}]}}
        """
    when = loaded(small(more=more)).catalog.rules[0].when
    assert (when.user, when.domain) == (("x",), ("law",))


def test_only_mappings_can_be_merged() -> None:
    assert any("only mappings" in problem.message for problem in problems_of(small(more="retry: {<<: [1]}")))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"version: \xff\n", "is not UTF-8"), (b"#" * (4 * 1024**2 + 1), "larger than 4 MiB")],
)
def test_bytes_that_are_no_text_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=message):
        load(path, {})


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(SMALL, encoding="utf-8-sig")
    assert load(path, {}).catalog.models


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (missing,) = check(tmp_path / "none.yaml", {})["problems"]
    assert missing == {"line": 0, "path": "", "message": "the catalogue file does not exist"}
    assert "not a regular file" in check(tmp_path, {})["problems"][0]["message"]
    assert "does not exist" in check("\0", {})["problems"][0]["message"]


def test_a_file_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(SMALL)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert check(path, {})["problems"][0]["message"] == "the catalogue file cannot be read: Permission denied"


def test_check_says_problems_and_warnings_as_the_contract_has_them(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(small(swap={"[m1, m2]": "[m1, m1]"}))
    said = check(path, {"T_KEYS": "key-of-t-1"})
    assert said["ok"] is False
    assert [(problem["line"], problem["path"]) for problem in said["problems"]] == [(8, "routes.auto.order[1]")]
    assert said["warnings"] == [
        {"line": 3, "path": "providers.p.api_key_env", "message": "P_KEY is not set: the provider p is off"}
    ]
    path.write_text(SMALL)
    assert check(path, {"P_KEY": "x", "T_KEYS": "key-of-t-1"}) == {"ok": True, "problems": [], "warnings": []}
