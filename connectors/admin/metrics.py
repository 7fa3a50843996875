"""The metrics table as live Prometheus metrics, one registry per process."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from schemas.metrics import METRICS, PREFIX, Metric


class Metrics:
    """Counters, gauges and histograms by their name in the table; unknown names are programming mistakes (KeyError)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._live: dict[str, Any] = {name: self._make(row) for name, row in METRICS.items()}
        self._bound: dict[tuple[str, ...], Any] = {}

    def count(self, name: str, value: float = 1, /, **labels: str) -> None:
        self._at(name, labels).inc(value)

    def set(self, name: str, value: float, /, **labels: str) -> None:
        self._at(name, labels).set(value)

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        self._at(name, labels).observe(value)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)

    def _at(self, name: str, labels: dict[str, str]) -> Any:
        if not labels:
            return self._live[name]
        place = (name, *labels.values())
        if place not in self._bound:  # binding checks and sorts the names each time
            self._bound[place] = self._live[name].labels(**labels)
        return self._bound[place]

    def _make(self, row: Metric) -> Any:
        common: dict[str, Any]
        name, common = PREFIX + row.name, {"labelnames": row.labels, "registry": self._registry}
        if row.kind == "counter":
            return Counter(name, row.help, **common)
        if row.kind == "gauge":
            return Gauge(name, row.help, **common)
        return Histogram(name, row.help, **common, buckets=row.buckets)
