"""The pages of experiments: what they show of a report, as HTML, as JSON, and drawn by a real Chromium."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contract.dashboard.surface import Memory, surface

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ODD = "<script>alert(1)</script>"
RATE = {"estimate": 0.541, "low": 0.504, "high": 0.578, "level": 0.95}
DELTA = {"pairs": 90, "estimate": -593_421.7, "low": -634_656.2, "high": -552_187.2, "level": 0.95}


def side(model: str | None, **more: Any) -> dict[str, Any]:
    return {
        "model": model, "models": {}, "requests": 100, "errors": 2, "refusals": 0, "cost_nano_usd": 1_012_761_241,
        "first_token_ms": {"p50": 247, "p95": 410}, "total_ms": {"p50": 1207, "p95": None}, **more,
    }  # fmt: skip


SHADOW: dict[str, Any] = {
    "experiment": "nano", "kind": "shadow", "status": "running", "names": ["primary", "gpt-4.1-nano"], "judged_by": "rules",
    "pairs": 100, "answered": 98, "skipped": {"budget": 65, "store_bodies": 42},
    "agreement": {"exact": 0.11, "token_f1": 0.629, "json_equal": None, "tool_calls_equal": None, "normalised": 0.18,
                  "length_ratio": 1.2},
    "primary": side("gpt-4.1-mini"), "shadow": side("gpt-4.1-nano"),
    "judge": {"wins": 41, "losses": 31, "ties": 28, "by": "rules", "cost_nano_usd": 0},
    "win_rate": RATE, "verdict": "promote", "more_needed": 0,
    "deltas": {"cost_nano_usd": DELTA, "first_token_ms": None, "total_ms": {**DELTA, "estimate": 12.4, "low": 3.0, "high": 20.1}},
    "cost_ratio": 0.277,
    "segments": [
        {"by": "domain", "value": ODD, "pairs": 60, "judge": {"wins": 1, "losses": 0, "ties": 0}, "win_rate": RATE,
         "cost_delta_nano_usd": -601_000.2},
        {"by": "band", "value": "low", "pairs": 40, "judge": {"wins": 0, "losses": 0, "ties": 0},
         "win_rate": {**RATE, "estimate": None}, "cost_delta_nano_usd": None},
    ],
    "budget": {"spent_nano_usd": 280_845_555, "limit_nano_usd": 5_000_000_000, "per": "day"},
    "sentence": "Promote gpt-4.1-nano: it wins 54.1 %.",
}  # fmt: skip
SPLIT: dict[str, Any] = {
    **SHADOW, "experiment": "halves", "kind": "split", "pairs": 0, "answered": 0, "skipped": {}, "segments": [], "verdict": "more",
    "agreement": dict.fromkeys(SHADOW["agreement"]), "primary": side("m-1", arm="control"), "shadow": side(None, arm="candidate"),
    "quality": {"primary": {"rated": 139, **RATE}, "shadow": {"rated": 147, **RATE, "estimate": None}},
    "budget": {"spent_nano_usd": 0, "limit_nano_usd": None, "per": None}, "sentence": "About 370,000 more rated answers needed.",
}  # fmt: skip
PLOTS: dict[str, Any] = {
    "names": ["primary", "gpt-4.1-nano"],
    "win_rate": {
        "at": [10, 50, 100],
        "estimate": [0.6, 0.55, 0.54],
        "low": [0.2, 0.45, 0.504],
        "high": [0.9, 0.7, 0.58],
    },
    "total_ms": {"at": [5, 50, 95], "primary": [300, 900, 2000], "shadow": [200, 800, 1700]},
    "cost_nano_usd": {"at": [5, 50, 95], "primary": [None] * 3, "shadow": [100_000, 200_000, 900_000]},
}
ROWS = [
    {"name": "nano", "kind": "shadow", "status": "running", "primary": "primary", "shadow": "gpt-4.1-nano", "judge": "rules"},
    {"name": "halves", "kind": "split", "status": "running", "primary": "control", "shadow": "candidate", "judge": "feedback"},
    {"name": "idle", "kind": "shadow", "status": "stopped", "primary": "primary", "shadow": "m", "judge": "none"},
]  # fmt: skip


def memory(**changes: Any) -> Memory:
    return Memory(answers={}, experiments=ROWS, reports={"nano": SHADOW, "halves": SPLIT}, columns=PLOTS, **changes)


async def test_the_report_is_the_same_document_for_programs() -> None:
    async with surface(memory()) as client:
        assert (await client.get("/admin/shadows/nano")).json() == SHADOW
        assert (await client.get("/dash/experiments/nano/plots")).json() == PLOTS
        unknown = await client.get("/admin/shadows/nobody")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


async def test_the_list_says_of_each_experiment_what_to_do() -> None:
    async with surface(memory()) as client:
        page = (await client.get("/dash/experiments")).text
    told = (
        "shadow gpt-4.1-nano, judge rules",
        "candidate against control",
        SHADOW["sentence"],
        SPLIT["sentence"],
        "stopped",
    )
    assert [fact for fact in told if fact not in page] == []
    assert 'href="/experiments/halves"' in page


async def test_without_experiments_it_is_said_where_they_go() -> None:
    async with surface(Memory(answers={})) as client:
        assert "<code>shadows:</code>" in (await client.get("/dash/experiments")).text


async def test_a_shadows_page_shows_pairs_skips_segments_and_money() -> None:
    async with surface(memory()) as client:
        page = (await client.get("/dash/experiments/nano")).text
    told = (
        SHADOW["sentence"], "54.1 %", "50.4 to 57.8 %", 'data-value="100"', "41 won, 31 lost, 28 ties", "-72.3 %",
        "-$0.000593", "+12 ms", "gpt-4.1-mini", "$1.01<", "247 ms", "words in common", "store_bodies", "per day",
    )  # fmt: skip
    assert [fact for fact in told if fact not in page] == []
    assert "JSON equal" not in page
    assert (ODD in page, "&lt;script&gt;alert(1)" in page) == (False, True)


async def test_every_further_arm_has_its_sentence_and_its_row() -> None:
    own = {name: SPLIT[name] for name in ("win_rate", "verdict", "more_needed", "deltas", "cost_ratio")}
    arms = [
        {
            "arm": arm,
            "sentence": f"About {arm}.",
            "figures": side("m-3", arm=arm),
            "quality": SPLIT["quality"]["primary"],
            **own,
        }
        for arm in ("candidate", ODD)
    ]
    rows = [{**ROWS[1], "arms": ["control", "candidate", ODD]}]
    known = Memory(answers={}, experiments=rows, reports={"halves": {**SPLIT, "arms": arms}}, columns=PLOTS)
    async with surface(known) as client:
        page = (await client.get("/dash/experiments/halves")).text
        listed = (await client.get("/dash/experiments")).text
    assert "About candidate." not in page  # its sentence is that of the report
    assert page.count("data-arm=") == 1
    assert "candidate, &lt;script&gt;alert(1)&lt;/script&gt; against control" in listed
    assert "About &lt;script&gt;" in listed
    assert ODD not in page + listed


async def test_a_splits_page_shows_arms_and_what_people_said() -> None:
    async with surface(memory()) as client:
        page = (await client.get("/dash/experiments/halves")).text
    told = ("control", "candidate", "Rated answers", "286", "139 and 147", SPLIT["sentence"])
    assert [fact for fact in told if fact not in page] == []
    assert [fact for fact in ("Skipped", "Agreement", "per day") if fact in page] == []


async def test_what_nobody_knows_is_said() -> None:
    async with surface(memory()) as client:
        assert "nothing was written under it" in (await client.get("/dash/experiments/nobody")).text


@pytest.mark.parametrize("name", ["a%20b", "%27", "x" * 65])
@pytest.mark.parametrize("path", ["/experiments/", "/dash/experiments/", "/admin/shadows/"])
async def test_what_is_no_name_is_not_found(path: str, name: str) -> None:
    async with surface(memory()) as client:
        assert (await client.get(path + name)).status_code == 404


async def test_without_clickhouse_the_catalogues_experiments_are_there() -> None:
    async with surface(Memory(experiments=ROWS)) as client:
        listed, part, plots, report = [
            await client.get(path)
            for path in (
                "/dash/experiments",
                "/dash/experiments/nano",
                "/dash/experiments/nano/plots",
                "/admin/shadows/nano",
            )
        ]
    assert ("ClickHouse does not answer" in listed.text, "halves" in listed.text) == (True, True)
    assert "ClickHouse does not answer" in part.text
    assert (plots.status_code, report.status_code) == (503, 503)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
async def test_the_pages_are_drawn_without_a_fault_fit_any_screen_and_follow_the_report(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    desk = memory()
    desk.reports["nano"] = copy.deepcopy(SHADOW)
    faults: list[str] = []
    async with surface(desk) as client, playwright.async_playwright() as engine:
        browser = await engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
        page = await context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.clock.install()
        await page.goto(f"{client.base_url}/experiments")
        await page.get_by_role("link", name="nano").focus()
        await page.keyboard.press("Enter")
        for selector in (
            ".sentence",
            ".segments",
            "#plot-win-rate[data-points='3']",
            "#plot-cost[data-points='3'] canvas",
        ):
            await page.wait_for_selector(selector)
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            for theme in ("dark", "light"):
                await page.get_by_role("button", name="Dark theme").click()
                await page.wait_for_selector(f"[data-theme={theme}] #plot-win-rate canvas")
                await page.screenshot(path=tmp_path / f"experiment-{width}-{theme}.png", full_page=True)
                assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        desk.reports["nano"]["pairs"] = 101
        await page.clock.fast_forward(11_000)
        await page.wait_for_selector('[data-value="101"]')
        await browser.close()
    assert faults == []
