"""Keys come from the environment, and no message shows one."""

import hashlib

import pytest
from catalog_builder import SMALL, loaded, problems_of, small

from pipeline.catalog_file import CatalogError, parse

ENV = {"P_KEY": "edge-abc", "T_KEYS": "key-of-t-1"}
TWO_TENANTS = small(swap={"tenants:\n": "tenants:\n  u: {keys_env: U_KEYS}\n"})


def test_edges_of_a_provider_key_are_trimmed() -> None:
    keys = loaded(SMALL, {**ENV, "P_KEY": "\t edge-abc\r\n"}).provider_keys
    assert keys["p"].get_secret_value() == "edge-abc"
    assert "edge-abc" not in repr(keys)


@pytest.mark.parametrize("key", ["edge-abc\ndef", "edge-abc def", "edge-abc\u2028def", "edge-abc\x00", "edge-äbc"])
def test_a_provider_key_that_fits_no_header_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(CatalogError) as caught:
        parse(SMALL, {**ENV, "P_KEY": key})
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (3, "providers.p.api_key_env")
    assert "P_KEY" in problem.message
    assert "edge" not in str(caught.value)


@pytest.mark.parametrize("env", [{}, {"P_KEY": ""}, {"P_KEY": " \n"}])
def test_a_provider_without_key_is_off_with_a_warning(env: dict[str, str]) -> None:
    found = loaded(SMALL, {"T_KEYS": "key-of-t-1", **env})
    assert found.off_providers == {"p"}
    assert [(warning.line, warning.message) for warning in found.warnings] == [
        (3, "P_KEY is not set: the provider p is off")
    ]


def test_a_provider_that_wants_no_key_is_on() -> None:
    found = loaded(small(swap={"api_key_env: P_KEY, ": ""}))
    assert (found.off_providers, found.provider_keys) == (frozenset(), {})


def test_tenant_keys_are_kept_as_digests_only() -> None:
    found = loaded(TWO_TENANTS, {**ENV, "T_KEYS": " key-of-t-1, key-of-t-2\n", "U_KEYS": "key-of-u-1,key-of-u-1"})
    digests = {hashlib.sha256(key.encode()).hexdigest(): key[7] for key in ("key-of-t-1", "key-of-t-2", "key-of-u-1")}
    assert found.tenant_keys == digests
    assert "key-of" not in repr(found)


def test_a_tenant_without_keys_gets_a_warning() -> None:
    (warning,) = loaded(SMALL, {"P_KEY": "x"}).warnings
    assert (warning.line, warning.path) == (10, "tenants.t.keys_env")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("key-of-t-1,,key-of-t-2", "T_KEYS: key 2 is empty"),
        ("key-of-t-1,", "T_KEYS: key 2 is empty"),
        ("sesame", "T_KEYS: key 1 is shorter than 8 characters"),
        ("key of t 1", "T_KEYS: key 1 has a space"),
        ("key-of-\udcff-1", "T_KEYS: key 1 has a space, a line end or a character outside ASCII"),
    ],
)
def test_tenant_keys_that_cannot_be_right_are_refused(keys: str, message: str) -> None:
    (problem,) = problems_of(SMALL, {**ENV, "T_KEYS": keys})
    assert problem.message.startswith(message)
    assert keys not in problem.message


def test_a_key_belongs_to_one_tenant() -> None:
    (problem,) = problems_of(TWO_TENANTS, {**ENV, "U_KEYS": "key-of-u-1,key-of-t-1"})
    assert (problem.line, problem.message) == (11, "T_KEYS: key 1 is a key of u too: a key belongs to one tenant")


def test_a_variable_name_of_the_wrong_form_is_not_repeated() -> None:
    (problem,) = problems_of(small(swap={"P_KEY": "sk-proj-0123456789"}), ENV)
    assert problem.path == "providers.p.api_key_env"
    assert "sk-proj" not in problem.message


def test_an_alert_without_its_webhook_and_split_limits_are_worth_a_warning() -> None:
    text = small(
        swap={"keys_env: T_KEYS, ": "keys_env: T_KEYS, shards: 2, "},
        more='alerts: [{name: a, when: "error_rate > 0.5", to: ["webhook:HOOK", "webhook:SET", "webhook:OPEN"]}]',
    )
    env = {**ENV, "SET": "https://example.org", "SET_SECRET": "a-secret", "OPEN": "https://example.org"}
    warnings = [(w.path, w.message) for w in loaded(text, env).warnings]
    assert warnings == [
        ("tenants.t.shards", "hard limits of t are divided evenly over 2 shards"),
        ("alerts[0].to[0]", "HOOK is not set: nobody is told"),
        ("alerts[0].to[2]", "OPEN_SECRET is not set: nobody is told"),
    ]


def test_a_flag_without_a_name_here_is_kept_with_a_warning() -> None:
    found = loaded(small(swap={"m2: {provider: p, ": "m2: {provider: p, flags: {novel: 1}, "}), ENV)
    assert found.catalog.models["m2"].flags.unnamed == {"novel": 1}
    assert [warning.path for warning in found.warnings] == ["models.m2.flags.novel"]


HOOKED = small(more='alerts: [{name: a, when: "error_rate > 0.5", to: ["webhook:HOOK"]}]')


def test_a_webhook_has_its_address_its_secret_and_perhaps_leave_for_private_addresses() -> None:
    env = {**ENV, "HOOK": " https://example.org/in?key=1\n", "HOOK_SECRET": "sesame-sesame"}
    found = loaded(HOOKED, env).webhooks["HOOK"]
    assert (found.url.get_secret_value(), found.secret.get_secret_value()) == (env["HOOK"].strip(), "sesame-sesame")
    assert not found.allow_private
    assert loaded(HOOKED, {**env, "HOOK_ALLOW_PRIVATE": "true"}).webhooks["HOOK"].allow_private
    assert "sesame" not in repr(loaded(HOOKED, env)) and "example.org" not in repr(loaded(HOOKED, env))


@pytest.mark.parametrize(
    ("url", "secret", "message"),
    [
        ("ftp://example.org", "sesame-sesame", "HOOK: is no http:// or https:// address; the value is not shown"),
        ("https:///path", "sesame-sesame", "HOOK: is no http:// or https:// address; the value is not shown"),
        ("http://[1", "sesame-sesame", "HOOK: is no http:// or https:// address; the value is not shown"),
        ("https://example.org/ a", "sesame-sesame", "HOOK: is no http:// or https:// address; the value is not shown"),
        ("https://example.org", "sesame", "HOOK_SECRET is shorter than 8 characters"),
    ],
)
def test_a_webhook_that_cannot_be_right_is_refused_without_being_shown(url: str, secret: str, message: str) -> None:
    (problem,) = problems_of(HOOKED, {**ENV, "HOOK": url, "HOOK_SECRET": secret})
    assert (problem.path, problem.message) == ("alerts[0].to[0]", message)
