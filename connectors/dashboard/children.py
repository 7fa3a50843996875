"""The metrics of all processes as one page: each series with the labels `stage` and `instance` of its process.

A metric that has a label `stage` of its own keeps it; its process is then called `process_stage`. A process that does not
answer is left out, and `millrace_child_up` says so. Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from schemas.metrics import METRICS, PREFIX

__all__ = ["ChildProcess", "Scrape", "lags", "merged", "scrape", "targets"]

_TIMEOUT_S: Final = 2.0
_WORTH_A_LINE_S: Final = 0.05
_UP: Final = METRICS["child_up"]


@dataclass(slots=True, frozen=True)
class ChildProcess:
    """`port`: of its own admin port, on loopback."""

    stage: str
    instance: int
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


Scrape = Mapping[ChildProcess, list[Metric] | None]
"""What each process said; None: no answer, or none that could be read."""


async def scrape(children: Sequence[ChildProcess], http: httpx.AsyncClient) -> Scrape:
    """All at the same time."""
    pages = await asyncio.gather(*(_families(child, http) for child in children))
    return dict(zip(children, pages, strict=True))


def merged(pages: Scrape) -> bytes:
    """One page. The first process to name a metric says its type and help; another type under the name is left out."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(pages))
    return generate_latest(registry)


def targets(children: Sequence[ChildProcess]) -> list[dict[str, Any]]:
    """https://prometheus.io/docs/prometheus/latest/http_sd/."""
    return [
        {"targets": [child.address], "labels": {"stage": child.stage, "instance": str(child.instance)}}
        for child in children
    ]


def lags(pages: Scrape) -> list[dict[str, Any]]:
    """Per topic: records that wait, and the age of the oldest one whose work is not done."""
    waiting, oldest_s = _by_topic(pages, "consumer_lag", sum), _by_topic(pages, "oldest_unacked_seconds", max)
    return [
        {
            "topic": topic,
            "records": int(waiting.get(topic, 0)),
            "oldest_s": oldest_s.get(topic, 0.0),
            "is_busy": waiting.get(topic, 0) > 0 or oldest_s.get(topic, 0) >= _WORTH_A_LINE_S,
        }
        for topic in sorted({*waiting, *oldest_s})
    ]


async def _families(child: ChildProcess, http: httpx.AsyncClient) -> list[Metric] | None:
    try:
        answer = await http.get(f"http://{child.address}/metrics", timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return list(text_string_to_metric_families(answer.text))
    except (httpx.HTTPError, ValueError):
        return None


class _Merged:
    """A collector, as prometheus_client asks for one."""

    def __init__(self, pages: Scrape) -> None:
        self._pages = pages

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for child, families in self._pages.items():
            for family in families or ():
                kept = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                if kept.type == family.type:
                    for sample in family.samples:
                        kept.add_sample(
                            sample.name, _labels(sample.labels, child), sample.value, sample.timestamp, sample.exemplar
                        )
        up = self._up()
        return [*(family for name, family in found.items() if name != up.name), up]

    def _up(self) -> Metric:
        up = Metric(PREFIX + _UP.name, _UP.help, _UP.kind)
        for child, families in self._pages.items():
            up.add_sample(up.name, _labels({}, child), float(families is not None))
        return up


def _labels(own: Mapping[str, str], child: ChildProcess) -> dict[str, str]:
    stage = "process_stage" if "stage" in own else "stage"
    return {**own, stage: child.stage, "instance": str(child.instance)}


def _by_topic(pages: Scrape, metric: str, fold: Any) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for families in pages.values():
        for family in families or ():
            if family.name == PREFIX + metric:
                for sample in family.samples:
                    found.setdefault(sample.labels["topic"], []).append(sample.value)
    return {topic: fold(values) for topic, values in found.items()}
