"""The tables of kinds and codes are whole and agree with each other."""

import pytest

from schemas.errors import ERROR_CODES, ERROR_KINDS, ErrorCode, ErrorKind, ProviderError


def test_every_kind_and_every_code_has_a_row() -> None:
    assert set(ERROR_KINDS) == set(ErrorKind)
    assert len(ErrorKind) == 13
    assert set(ERROR_CODES) == set(ErrorCode)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("invalid_request", 400, "invalid_request_error"),
        ("context_too_long", 400, "context_length_exceeded"),
        ("content_filtered", 400, "content_filter"),
        ("auth", 502, "provider_auth_error"),
        ("quota_exhausted", 429, "insufficient_quota"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("overloaded", 503, "overloaded"),
        ("provider_fault", 502, "provider_error"),
        ("malformed_reply", 502, "provider_error"),
        ("timeout", 504, "timeout"),
        ("transport", 502, "provider_unreachable"),
        ("not_found", 404, "model_not_found"),
        ("cancelled", 499, "cancelled"),
    ],
)
def test_a_kind_is_told_to_the_caller_as_the_contract_says(kind: str, status: int, code: str) -> None:
    row = ERROR_KINDS[ErrorKind(kind)]
    assert (row.status, row.code) == (status, code)


@pytest.mark.parametrize("kind", ["invalid_request", "content_filtered", "cancelled"])
def test_what_is_fatal_is_neither_retried_nor_routed_around(kind: str) -> None:
    row = ERROR_KINDS[ErrorKind(kind)]
    assert not (row.fails_over or row.retries_same or row.waits or row.counts_for_breaker)


def test_only_what_the_endpoint_did_wrong_counts_for_its_breaker() -> None:
    counting = {kind.value for kind, row in ERROR_KINDS.items() if row.counts_for_breaker}
    assert counting == {"overloaded", "provider_fault", "malformed_reply", "timeout", "transport"}


def test_a_credential_is_taken_out_with_an_alarm_and_without_a_retry() -> None:
    rows = [row for row in ERROR_KINDS.values() if row.takes_credential_out]
    assert len(rows) == 2
    assert all(row.alarms and row.fails_over and not row.retries_same for row in rows)


@pytest.mark.parametrize(
    ("code", "status"),
    [("budget_exceeded", 429), ("rate_limited_tenant", 429), ("response_too_large", 502), ("outcome_pending", 504)],
)
def test_codes_have_the_status_of_the_contract(code: str, status: int) -> None:
    assert ERROR_CODES[ErrorCode(code)].status == status


def test_clients_are_told_to_retry_only_what_was_not_retried() -> None:
    told = {code.value for code, row in ERROR_CODES.items() if row.should_retry}
    assert told == {
        "rate_limited_tenant", "rate_limit_exceeded", "all_providers_unavailable", "broker_unavailable",
        "analytics_unavailable",
    }  # fmt: skip


def test_an_error_is_a_value() -> None:
    error = ProviderError(ErrorKind.TIMEOUT, "openai", "gpt", None, "total_timeout", "no answer", None)
    assert error == ProviderError(ErrorKind.TIMEOUT, "openai", "gpt", code="total_timeout", message="no answer")
