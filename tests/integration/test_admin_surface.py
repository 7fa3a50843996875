"""The stage `admin` beside a running platform: over HTTP, and in a real Chromium that clicks."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.platform import KEY, Platform

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ENDPOINT = "other/gpt-4.1-nano/us"
SENT = 6
IN_MODULE = pytest.mark.asyncio(loop_scope="module")
IN_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


async def ask(running: Platform, model: str, client: httpx.AsyncClient) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "the-prompt-that-nobody-shows"}]}
    headers = {"authorization": f"Bearer {KEY}", "x-deadline-ms": "5000"}
    return await client.post(f"{running.gateway}/v1/chat/completions", json=body, headers=headers, timeout=30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def request_id(running: Platform, client: httpx.AsyncClient) -> str:
    """Of the last of SENT requests."""
    for _ in range(SENT):
        answer = await ask(running, "gpt-4.1-mini", client)
        assert answer.status_code == 200
    return answer.headers["x-request-id"]


async def sql(running: Platform, client: httpx.AsyncClient, text: str) -> int:
    answer = await client.get(running.sql, params={"query": text, "database": "millrace"})
    assert answer.status_code == 200, answer.text
    return int(answer.text)


@IN_MODULE
async def test_metrics_and_targets_are_those_of_all_processes_and_follow_a_restart(
    running: Platform, client: httpx.AsyncClient
) -> None:
    page = (await client.get(f"{running.surface}/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(page)}
    up = {(s.labels["stage"], s.labels["instance"]): s.value for s in families["millrace_child_up"].samples}
    assert up == {tuple(name.rsplit("-", 1)): 1.0 for name in running.children}
    assert {s.labels["stage"] for s in families["millrace_config_info"].samples} == {stage for stage, _ in up}

    heard = len(running.lines)
    running.kill("health+retry+alerts-0")
    await running.until(lambda: {"health", "retry", "alerts"} <= {line.get("stage") for line in running.lines[heard:]})
    port = next(line["admin_port"] for line in running.lines[heard:] if line.get("stage") == "health")
    targets = (await client.get(f"{running.surface}/admin/targets")).json()
    assert {row["labels"]["stage"]: row["targets"] for row in targets}["health+retry+alerts"] == [f"127.0.0.1:{port}"]
    assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200


@IN_MODULE
async def test_breakers_are_shown_and_ordered(running: Platform, client: httpx.AsyncClient) -> None:
    async def rows() -> dict[str, Any]:
        return {row["endpoint"]: row for row in (await client.get(f"{running.surface}/admin/breakers")).json()}

    assert set(await rows()) == {"sim/gpt-4.1-mini/us", ENDPOINT, "narrow/gpt-4o-mini/us"}
    for word, state, status in (("open", "open", 503), ("close", "closed", 200), ("auto", "closed", 200)):
        given = await client.post(f"{running.surface}/admin/breakers", json={"endpoint": ENDPOINT, "order": word})
        assert (given.status_code, given.json()["state"], given.json()["forced"]) == (200, state, word != "auto")
        assert (await rows())[ENDPOINT] == given.json()
        assert (await ask(running, "gpt-4.1-nano", client)).status_code == status


@IN_MODULE
async def test_a_request_is_explained_from_its_first_moment_and_without_its_prompt(
    running: Platform, client: httpx.AsyncClient, request_id: str
) -> None:
    answer = await client.get(f"{running.surface}/admin/explain/{request_id}")
    document = answer.json()
    assert document["response"]["outcome"] == "ok"
    assert document["decisions"][0]["chosen"] == "gpt-4.1-mini"
    assert "started" in [attempt["phase"] for attempt in document["attempts"]]
    assert "the-prompt-that-nobody-shows" not in answer.text
    assert (await client.get(f"{running.surface}/admin/explain/nothing")).status_code == 404


@IN_MODULE
async def test_the_catalogue_and_dead_letters_are_shown_and_no_key(
    running: Platform, client: httpx.AsyncClient
) -> None:
    config = await client.get(f"{running.surface}/admin/config")
    assert config.json()["tenants"] == ["main", "other"]
    assert config.json()["routes"]["steady"] == ["gpt-4.1-mini", "gpt-4.1-nano"]
    assert [word for word in (KEY, "sk-sim", "TEST_") if word in config.text] == []
    assert (await client.get(f"{running.surface}/admin/dlq")).json() == []
    assert (await client.get(f"{running.surface}/admin/shadows/nobody")).status_code == 404
    assert "The catalogue has no experiments" in (await client.get(f"{running.surface}/dash/experiments")).text


@pytest_asyncio.fixture(loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as engine:
        started = await engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


async def opened(context: "BrowserContext", running: Platform, faults: list[str], query: str = "") -> "Page":
    """The dashboard once everything that it fetches is there. A refused script or style is an error in the console."""
    page = await context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(f"{running.surface}/{query}")
    for selector in ('[data-figure="requests"]', "#plot-traffic[data-points]", "#breakers", ".recent"):
        await page.wait_for_selector(selector, timeout=60_000)
    return page


async def figure(page: "Page", name: str) -> int:
    return int(await page.get_attribute(f'[data-figure="{name}"]', "data-value") or -1)


@IN_BROWSER
@IN_MODULE
async def test_the_figures_on_the_page_come_by_themselves_and_equal_sql(
    running: Platform, client: httpx.AsyncClient, request_id: str, browser: Any
) -> None:
    faults: list[str] = []
    context = await browser.new_context()
    page = await opened(context, running, faults)
    before = await figure(page, "requests")
    assert (await ask(running, "gpt-4.1-mini", client)).status_code == 200
    await page.wait_for_function(
        """(before) => Number(document.querySelector('[data-figure="requests"]').dataset.value) > before""",
        arg=before, timeout=60_000,
    )  # fmt: skip
    for label in ("1h", "24h", "15m"):
        await page.click(f"#filters label:has-text('{label}')")
        await page.wait_for_function("(name) => location.search.includes(`range=${name}`)", arg=label)
    await until_settled(page, await sql(running, client, "SELECT sum(cost_nano_usd) FROM ledger"), "spend")
    assert await figure(page, "requests") == await sql(
        running, client, "SELECT count() FROM outcomes WHERE role = 'primary'"
    )
    text = await page.text_content('[data-figure="spend"]')
    assert text is not None
    assert round(float(text.strip("$")) * 1e9) == await figure(page, "spend")
    assert faults == []
    await context.close()


async def until_settled(page: "Page", value: int, name: str) -> None:
    """The page has fetched what stands in the tables."""
    await page.wait_for_function(
        "([name, value]) => document.querySelector(`[data-figure=\"${name}\"]`).dataset.value === value",
        arg=[name, str(value)], timeout=60_000,
    )  # fmt: skip


@IN_BROWSER
@IN_MODULE
async def test_an_operator_holds_an_endpoint_by_clicking(
    running: Platform, client: httpx.AsyncClient, request_id: str, browser: Any
) -> None:
    faults: list[str] = []
    context = await browser.new_context()
    page = await opened(context, running, faults)
    row = page.locator(f'tr[data-endpoint="{ENDPOINT}"]')

    await row.get_by_role("button", name=f"Hold {ENDPOINT} open").click()
    await page.get_by_role("button", name="Cancel").click()
    assert await row.locator(".badge").text_content() == "closed"

    await row.get_by_role("button", name=f"Hold {ENDPOINT} open").click()
    await page.get_by_role("button", name="Confirm").click()
    await row.locator(".badge.bad").wait_for()
    assert (await ask(running, "gpt-4.1-nano", client)).status_code == 503

    await row.get_by_role("button", name=f"Let {ENDPOINT} go").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("dialog").wait_for()
    await page.get_by_role("button", name="Confirm").focus()
    await page.keyboard.press("Enter")
    await row.locator(".badge.good").wait_for()
    assert (await ask(running, "gpt-4.1-nano", client)).status_code == 200
    assert faults == []
    await context.close()


@IN_MODULE
async def test_transitions_of_breakers_become_rows(running: Platform, client: httpx.AsyncClient) -> None:
    """The page above and the tables tell the same story."""
    for word in ("open", "auto"):
        await client.post(f"{running.surface}/admin/breakers", json={"endpoint": ENDPOINT, "order": word})
    (row,) = [r for r in (await client.get(f"{running.surface}/admin/breakers")).json() if r["endpoint"] == ENDPOINT]
    seen = "SELECT max(epoch) FROM breaker_transitions WHERE endpoint = 'other/gpt-4.1-nano/us'"
    async with asyncio.timeout(30):
        while await sql(running, client, seen) < row["epoch"]:  # noqa: ASYNC110  the sink is another process
            await asyncio.sleep(0.2)


@IN_BROWSER
@IN_MODULE
async def test_the_theme_is_the_systems_until_it_is_chosen_and_the_choice_stays(
    running: Platform, request_id: str, browser: Any
) -> None:
    faults: list[str] = []
    context = await browser.new_context(color_scheme="dark")
    page = await opened(context, running, faults)

    async def theme() -> str | None:
        return await page.get_attribute("html", "data-theme")

    assert await theme() == "dark"
    await page.get_by_role("button", name="Dark theme").click()
    assert await theme() == "light"
    await page.reload()
    assert await theme() == "light"
    assert faults == []
    await context.close()


@IN_BROWSER
@IN_MODULE
async def test_a_recent_request_opens_its_explanation(running: Platform, request_id: str, browser: Any) -> None:
    faults: list[str] = []
    context = await browser.new_context()
    page = await opened(context, running, faults)
    await page.get_by_role("link", name=request_id).click()
    await page.wait_for_url(f"**/requests/{request_id}?tenant=main")
    headings = await page.get_by_role("heading", level=2).all_text_contents()
    assert [
        name for name in ("Accepted", "Decided", "Call", "Booked", "Outcome") if name not in " ".join(headings)
    ] == []
    assert await page.locator("tr.chosen").count() == 1
    assert "the-prompt-that-nobody-shows" not in await page.content()
    assert faults == []
    await context.close()


@IN_BROWSER
@IN_MODULE
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_fit_a_screen_of_any_width_in_both_themes(
    running: Platform, request_id: str, browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    faults: list[str] = []
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = await opened(context, running, faults, "?range=1h")
    shots = []
    for name in ("dashboard", "request"):
        shots.append(await page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True))
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.goto(f"{running.surface}/requests/{request_id}")
    assert (len(set(shots)), faults) == (2, [])
    await context.close()


@IN_MODULE
async def test_without_clickhouse_the_page_says_so_and_breakers_are_live(
    running: Platform, client: httpx.AsyncClient
) -> None:
    heard = len(running.lines)
    running.kill("sql-0")
    figures = await client.get(f"{running.surface}/dash/figures")
    live = await client.get(f"{running.surface}/dash/live")
    assert "ClickHouse does not answer" in figures.text
    assert ENDPOINT in live.text
    await running.until(lambda: "sql" in {line.get("stage") for line in running.lines[heard:]})
    assert "data-figure" in (await client.get(f"{running.surface}/dash/figures")).text
