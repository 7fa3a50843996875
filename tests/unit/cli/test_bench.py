"""The arithmetic of `millrace bench` and the shape of its report; the runs themselves need a whole platform."""

import math
import os

import orjson
import pytest

from pipeline.cli.benching import report, runs
from pipeline.cli.benching.load import Outcomes, Wish, percentile
from pipeline.cli.benching.usage import Meter, ours

RUN = {
    "name": "32 in flight",
    "requests": 10,
    "gateway_ms": {"p50": 12.34567, "p99": math.nan},
    "ratios": {"requests_per_s": 0.25, "p50": None},
}


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 0.5))


def test_what_is_added_is_counted_from_the_direct_median() -> None:
    assert runs._added([10.0, 10.0, 30.0], [25.0, 25.0, 60.0]) == {"p50": 15.0, "p99": 50.0}


def test_cpu_of_ours_leaves_out_broker_simulator_and_load() -> None:
    spent = {"gateway": 0.1, "route+call": 0.3, "broker": 5.0, "simulator": 5.0, "load": 5.0}
    assert ours(spent) == pytest.approx(0.4)
    assert runs._per(spent, 100)["ours"] == pytest.approx(4.0)


def test_a_run_in_which_nothing_answered_is_still_a_run() -> None:
    assert runs._per({"gateway": 0.5}, 0)["gateway"] == 500
    run = runs._named("x", Outcomes(), Outcomes(failed=3), Meter({"load": os.getpid()}))
    assert report.document([run])["runs"][0]["gateway_ms"] == {"p50": None, "p99": None}
    assert run["failed"] == 3


def test_every_request_asks_something_else() -> None:
    wish = Wish(latency_ms=5, tokens=7, cadence_ms=20, stream=True)
    first, second = (orjson.loads(wish.body()) for _ in range(2))
    assert first != second
    assert first["stream"] is True
    assert "[[sim: latency_ms=5 tokens=7 cadence_ms=20]]" in first["messages"][0]["content"]


def test_the_document_has_the_agreed_shape_and_is_json() -> None:
    found = orjson.loads(orjson.dumps(report.document([RUN])))
    assert set(found) == {"machine", "runs"}
    assert found["runs"][0] == {**RUN, "gateway_ms": {"p50": 12.346, "p99": None}}


def test_both_files_are_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    report.write(tmp_path / "new", report.document([RUN]))
    assert orjson.loads((tmp_path / "new" / "bench.json").read_bytes())["runs"][0]["requests"] == 10
    assert (
        "| 32 in flight | gateway / direct | requests_per_s 0.25, p50 - |"
        in (tmp_path / "new" / "bench.md").read_text()
    )


def test_the_meter_sees_the_work_of_a_process() -> None:
    meter = Meter({"load": os.getpid()})
    while meter.spent_s()["load"] < 0.02:
        sum(range(10_000))
    assert meter.elapsed_s() > 0
    assert meter.foreign_cores() >= 0
    assert meter.rss_mb()["load"] > 1
