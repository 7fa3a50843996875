"""Metrics: one row per series family, for Prometheus. Code that counts looks its row up here; docs are derived from it.

No label holds a prompt, a key or anything without bound; tenants are those of the catalogue, at most 100, the rest `other`.
Source: CONTRACT 7.
"""

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["METRICS", "PREFIX", "Kind", "Metric"]

PREFIX: Final = "millrace_"

Kind = Literal["counter", "gauge", "histogram"]

_CALL_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)
_FIRST_TOKEN_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)
_ADDED_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0)
_FRESHNESS_BUCKETS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 60.0, 600.0, 3600.0)
_SQL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


@dataclass(slots=True, frozen=True)
class Metric:
    """`name` without the prefix; `buckets` (seconds) for histograms only."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_ALL = (
    Metric("accepted_total", "counter", (), "Requests that were accepted"),
    Metric("outcomes_total", "counter", ("code", "route"), "Outcomes; code is `ok` or an error code"),
    Metric("attempts_total", "counter", ("provider", "model", "result", "role"), "Attempts that finished"),
    Metric("attempt_seconds", "histogram", ("provider", "model", "role"), "Duration of attempts", _CALL_BUCKETS),
    Metric(
        "first_token_seconds",
        "histogram",
        ("provider", "model"),
        "From the call to the first piece of its answer",
        _FIRST_TOKEN_BUCKETS,
    ),
    Metric("added_seconds", "histogram", ("stream",), "What the platform adds to the provider's time", _ADDED_BUCKETS),
    Metric("breaker_state", "gauge", ("endpoint",), "0 closed, 1 half open or ramping, 2 open"),
    Metric("retry_budget_tokens", "gauge", ("provider",), "Retries that may be made at once"),
    Metric("in_flight", "gauge", ("provider", "lane"), "Calls that are being made"),
    Metric("consumer_lag", "gauge", ("topic",), "Records that are not read yet"),
    Metric("oldest_unacked_seconds", "gauge", ("topic",), "Age of the oldest record whose work is not done"),
    Metric("duplicates_suppressed_total", "counter", (), "Records that said again what was known"),
    Metric("dead_letters_total", "counter", ("stage", "reason"), "Records that could not be processed"),
    Metric("sink_rows_total", "counter", ("table",), "Records that became rows in ClickHouse"),
    Metric(
        "sink_freshness_seconds",
        "histogram",
        (),
        "Age of the oldest record of a batch when its rows are visible",
        _FRESHNESS_BUCKETS,
    ),
    Metric("shadow_comparisons_total", "counter", ("experiment", "status"), "Sampled requests: compared or skipped"),
    Metric("alerts_firing", "gauge", ("name",), "Subjects for which a rule of the catalogue fires"),
    Metric("alert_webhooks_total", "counter", ("result",), "Posts to webhooks: ok, failed (tried again) or given_up"),
    Metric("event_loop_lag_seconds", "histogram", (), "How late the event loop wakes up", _LAG_BUCKETS),
    Metric("child_up", "gauge", ("stage", "instance"), "1 if the process answered the admin surface, 0 if not"),
    Metric("config_info", "gauge", ("version",), "1 for the catalogue version in force"),
    Metric("sql_statements_total", "counter", ("kind", "result"), "Statements: ok, error, refused or cancelled"),
    Metric("sql_seconds", "histogram", ("kind",), "From a statement's arrival to the end of its answer", _SQL_BUCKETS),
    Metric("sql_running", "gauge", (), "Statements in the embedded ClickHouse"),
    Metric("sql_waiting", "gauge", (), "Statements that wait for a place in it"),
    Metric("spend_nano_usd_total", "counter", ("tenant", "model"), "Booked cost in nano-dollars"),
)

METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _ALL}
