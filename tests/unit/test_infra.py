"""Grafana and Prometheus files: every metric that they name exists, with its labels."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.metrics import METRICS, PREFIX, Metric

INFRA = Path(__file__).resolve().parents[2] / "infra"
DASHBOARDS = sorted((INFRA / "grafana" / "dashboards").glob("*.json"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((INFRA / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
OF_THE_PROCESS = {"stage", "instance", "le"}
SOURCES = {"prometheus": "millrace-prometheus", "grafana-clickhouse-datasource": "millrace-clickhouse"}


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands -> PromQL."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                if "expr" in target:
                    yield f"{path.stem}: {panel['title']}", target["expr"]


EXPRESSIONS = list(expressions())


def metrics_in(expression: str) -> list[Metric]:
    """Raises KeyError for one that does not exist."""
    names = re.findall(rf"{PREFIX}(\w+)", expression)
    assert names, "no metric of ours"
    return [METRICS[re.sub(r"_bucket$", "", name)] for name in names]


@pytest.mark.parametrize(("place", "expression"), EXPRESSIONS, ids=[place for place, _ in EXPRESSIONS])
def test_every_metric_and_label_exists_and_is_used_as_its_kind_allows(place: str, expression: str) -> None:
    for metric in metrics_in(expression):
        allowed = OF_THE_PROCESS | set(metric.labels)
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
        matched = set(re.findall(r"[{,]\s*(\w+)\s*=~?", expression))
        assert grouped | matched <= allowed, place
        assert (f"{PREFIX}{metric.name}_bucket[" in expression) == (metric.kind == "histogram")
        rated = re.search(rf"(rate|increase)\({PREFIX}{metric.name}(_bucket)?\b", expression)
        assert bool(rated) == (metric.kind != "gauge")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_rule_says_how_bad_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    known = OF_THE_PROCESS.union(*(metric.labels for metric in metrics_in(rule["expr"])))
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= known


def test_the_scraped_paths_are_those_of_the_admin_surface() -> None:
    (job,) = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert (job.get("metrics_path", "/metrics"), job["honor_labels"]) == ("/metrics", True)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_their_own_places_and_sources_that_are_provisioned(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    provisioned = yaml.safe_load((INFRA / "grafana/provisioning/datasources/millrace.yml").read_text())["datasources"]
    assert {source["type"]: source["uid"] for source in provisioned} == SOURCES
    cells = set()
    for panel in dashboard["panels"]:
        assert SOURCES[panel["datasource"]["type"]] == panel["datasource"]["uid"]
        at = panel["gridPos"]
        covered = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & covered
        assert at["x"] + at["w"] <= 24
        cells |= covered
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
