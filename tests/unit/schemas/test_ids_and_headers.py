"""Ids say the same thing twice as the same thing; headers are read without trust."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import headers, ids
from schemas.metrics import METRICS


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_time_ordered_ids_sort_by_time(now_ms: int, one: bytes, other: bytes) -> None:
    earlier, later = ids.time_ordered_id(now_ms, one), ids.time_ordered_id(now_ms + 1, other)
    assert earlier < later
    assert UUID(earlier).version == 7
    assert UUID(earlier).variant == "specified in RFC 4122"


def test_idempotent_id_is_stable_and_differs_per_tenant_key_and_pepper() -> None:
    found = ids.idempotent_request_id(b"p", "acme", "k")
    assert found == ids.idempotent_request_id(b"p", "acme", "k")
    others = [(b"p", "other", "k"), (b"p", "acme", "l"), (b"q", "acme", "k")]
    assert len({found, *(ids.idempotent_request_id(*other) for other in others)}) == 4


def test_sharded_tenant_keeps_a_conversation_together() -> None:
    keys = {ids.partition_key("acme", shards=8, conversation_id="c", request_id=str(n)) for n in range(50)}
    spread = {ids.partition_key("acme", shards=8, conversation_id=None, request_id=str(n)) for n in range(50)}
    assert len(keys) == 1
    assert 1 < len(spread) <= 8
    assert ids.partition_key("acme", shards=1, conversation_id="c", request_id="r") == "acme"


def test_headers_are_built_and_read() -> None:
    built = headers.build(request_id="r-1", attempt=2, role=None)
    assert built == [("request-id", b"r-1"), ("attempt", b"2")]
    assert headers.text(built, headers.REQUEST_ID) == "r-1"
    assert headers.integer(built, headers.ATTEMPT) == 2
    assert headers.text(built, headers.ROLE) is None


@pytest.mark.parametrize("value", [b"\xff", b"", b"-1", b"1.5", "٣".encode(), b"9" * 16, None])
def test_header_that_is_no_integer_counts_as_absent(value: bytes | None) -> None:
    assert headers.integer([("attempt", value)], headers.ATTEMPT) is None


def test_first_header_of_a_name_counts() -> None:
    assert headers.text([("role", b"replay"), ("role", b"primary")], headers.ROLE) == "replay"


def test_metrics_are_named_by_prometheus_rules_and_only_histograms_have_buckets() -> None:
    for name, metric in METRICS.items():
        assert name == metric.name
        assert name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(set(metric.buckets))
