"""The metrics table as live Prometheus metrics, one registry per process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from schemas.metrics import METRICS

MAX_TENANT_LABELS = 100


class Metrics:
    """Counters, gauges and histograms by their name in the table; unknown names are programming mistakes (KeyError)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._live: dict[str, Counter | Gauge | Histogram] = {}
        for name, row in METRICS.items():
            self._live[name] = self._make(row.kind, f"millrace_{name}", row.help, row.labels, row.buckets)

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        self._at(name, labels).inc(value)

    def set(self, name: str, value: float, **labels: str) -> None:
        self._at(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        self._at(name, labels).observe(value)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)

    def _at(self, name, labels):  # type: ignore[no-untyped-def]  # three unrelated classes share these verbs
        metric = self._live[name]
        return metric.labels(**labels) if labels else metric

    def _make(self, kind, name, text, labels, buckets):  # type: ignore[no-untyped-def]  # as above
        if kind == "histogram" and buckets:
            return Histogram(name, text, labels, registry=self._registry, buckets=buckets)
        return {"counter": Counter, "gauge": Gauge, "histogram": Histogram}[kind](
            name, text, labels, registry=self._registry
        )
