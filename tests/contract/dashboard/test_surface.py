"""What the admin surface answers, to whom, and what it never says."""

import base64
import re
from typing import Any

import httpx
import pytest

from connectors.dashboard import Access, ChildProcess, KeyRequired
from tests.contract.dashboard.surface import ENDPOINT, REPLAY, Memory, child, surface

KEY = "the-admin-key"
JSON = {"content-type": "application/json"}
GETS = (
    "/",
    "/metrics",
    "/admin/breakers",
    "/admin/targets",
    "/admin/config",
    "/admin/dlq",
    "/dash/live",
    "/requests/r-1",
    "/experiments",
    "/experiments/any",
    "/dash/experiments",
    "/dash/experiments/any",
    "/admin/shadows/any",
    "/admin/replays",
    "/replays",
)


@pytest.mark.parametrize("word", ["open", "close", "auto"])
async def test_an_order_is_given_and_answered_with_the_breaker(word: str) -> None:
    memory = Memory()
    async with surface(memory) as client:
        answer = await client.post("/admin/breakers", json={"endpoint": ENDPOINT, "order": word})
        assert (answer.status_code, memory.orders) == (200, [(ENDPOINT, word)])
        assert answer.json() == memory.row == (await client.get("/admin/breakers")).json()[0]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"endpoint": "sim/none/us", "order": "open"}', 404),
        (b'{"endpoint": "sim/gpt-4.1-mini/us", "order": "shut"}', 400),
        (b'{"endpoint": "sim/gpt-4.1-mini/us"}', 400),
        (b'{"endpoint": 1, "order": "open"}', 400),
        (b"[]", 400),
        (b"{", 400),
        (b"x" * 20_000, 413),
    ],
)
async def test_an_order_that_means_nothing_is_refused(body: bytes, status: int) -> None:
    memory = Memory()
    async with surface(memory) as client:
        answer = await client.post("/admin/breakers", content=body, headers=JSON)
        assert (answer.status_code, memory.orders) == (status, [])
        assert answer.json()["error"]["message"]


async def test_an_order_that_nobody_carries_out_says_so() -> None:
    async with surface(Memory(health_works=False)) as client:
        answer = await client.post("/admin/breakers", json={"endpoint": ENDPOINT, "order": "open"})
        assert (answer.status_code, answer.json()["error"]["message"]) == (504, "health does not run")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "text/plain"}, 415),
        (JSON | {"origin": "http://evil.example"}, 403),
        (JSON | {"origin": "null"}, 403),
        (JSON | {"sec-fetch-site": "cross-site"}, 403),
        (JSON | {"sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_an_order_of_a_foreign_page_is_refused(headers: dict[str, str], status: int) -> None:
    memory = Memory()
    async with surface(memory) as client:
        body = b'{"endpoint": "sim/gpt-4.1-mini/us", "order": "open"}'
        answer = await client.post("/admin/breakers", content=body, headers=headers)
        assert (answer.status_code, memory.orders) == (status, [])


@pytest.mark.parametrize("path", [*GETS, "/static/dashboard.js", "/nothing"])
async def test_a_name_that_was_rebound_to_this_address_is_refused(path: str) -> None:
    async with surface(Memory()) as client:
        assert (await client.get(path, headers={"host": "evil.example:8081"})).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "LOCALHOST:8081", "[::1]:8081"])
async def test_every_name_of_loopback_is_served(host: str) -> None:
    async with surface(Memory()) as client:
        assert (await client.get("/admin/breakers", headers={"host": host})).status_code == 200


async def test_a_configured_name_is_served() -> None:
    async with surface(Memory(), Access(names=frozenset({"ops.example"}), key=KEY)) as client:
        headers = {"host": "OPS.example:8081", "authorization": f"Bearer {KEY}"}
        assert (await client.get("/admin/breakers", headers=headers)).status_code == 200


@pytest.mark.parametrize("path", [*GETS, "/static/dashboard.js", "/nothing"])
async def test_with_a_key_everything_needs_it(path: str) -> None:
    async with surface(Memory(), Access(key=KEY)) as client:
        basic = base64.b64encode(f"ops:{KEY}".encode()).decode()
        answers = [
            await client.get(path, headers=headers)
            for headers in (
                {}, {"authorization": "Bearer wrong"}, {"authorization": f"Token {KEY}"}, {"authorization": "Basic %%%"},
                {"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}, {"authorization": f"Basic {basic}"},
            )
        ]  # fmt: skip
        assert [answer.status_code == 401 for answer in answers] == [True] * 5 + [False] * 2
        assert answers[0].headers["www-authenticate"].startswith("Basic ")
        assert KEY not in "".join(answer.text for answer in answers)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_needs_no_key_and_no_name(path: str) -> None:
    async with surface(Memory(), Access(key=KEY)) as client:
        assert (await client.get(path, headers={"host": "10.1.2.3:8081"})).status_code == 200


async def test_readiness_is_that_of_the_stage() -> None:
    async with surface(Memory(is_ready=False)) as client:
        assert (await client.get("/readyz")).status_code == 503


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "ops.example"])
def test_beyond_loopback_a_key_is_required(host: str) -> None:
    with pytest.raises(KeyRequired, match="MILLRACE_ADMIN_KEY"):
        Access(host)
    assert KEY not in repr(Access(host, key=KEY))


@pytest.mark.parametrize("path", [*GETS, "/admin/explain/r-1", "/nothing", "/static/none.js"])
async def test_every_answer_is_closed_to_scripts_frames_and_caches(path: str) -> None:
    async with surface(Memory()) as client:
        answer = await client.get(path)
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/", "/dash/live", "/requests/r-1", "/requests/none", "/experiments", "/experiments/x", "/dash/experiments/x"],
)
async def test_pages_have_no_script_and_no_style_inside_and_nothing_from_elsewhere(path: str) -> None:
    async with surface(Memory()) as client:
        page = (await client.get(path)).text
        assert re.findall(r"<script(?![^>]* src=)[^>]*>|\son\w+=|\sstyle=|<style", page) == []
        assert [url for url in re.findall(r'(?:src|href)="([^"]+)"', page) if not url.startswith(("/", "#"))] == []
        for url in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
            answer = await client.get(url.replace("&amp;", "&"))
            assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)


@pytest.mark.parametrize("path", ["../server.py", "%2e%2e/server.py", "vendor/../../server.py", "vendor", "SHA256SUMS"])
async def test_only_the_static_files_are_served(path: str) -> None:
    async with surface(Memory()) as client:
        assert (await client.get(f"/static/{path}")).status_code == 404


async def test_a_request_is_explained_as_json_and_as_a_page() -> None:
    async with surface(Memory()) as client:
        assert (await client.get("/admin/explain/r-1")).json()["costs"] == [
            {"cost_nano_usd": 1_200, "attempt": 1, "at": "2026-11-28T10:00:00.360Z"}
        ]
        page = (await client.get("/requests/r-1")).text
        told = (
            "best score",
            "eligible",
            "half_open",
            "overloaded",
            "340 ms",
            "$0.0000012",
            "all_providers_unavailable",
        )
        assert [fact for fact in told if fact not in page] == []
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize("request_id", ["r-2", "r-1?tenant=other", "a%20b", "x" * 129, "%27%20OR%201"])
@pytest.mark.parametrize("path", ["/admin/explain/", "/requests/"])
async def test_an_unknown_request_is_not_found(path: str, request_id: str) -> None:
    async with surface(Memory()) as client:
        assert (await client.get(path + request_id)).status_code == 404


@pytest.mark.parametrize("path", ["/admin/explain/r-1", "/requests/r-1", "/admin/dlq"])
async def test_an_absent_broker_is_said(path: str) -> None:
    async with surface(Memory(broker_answers=False)) as client:
        answer = await client.get(path)
        assert (answer.status_code, "broker does not answer" in answer.text) == (503, True)


@pytest.mark.parametrize(
    ("order", "given"),
    [
        ({"order": "stop"}, ("nano", "stop", None)),
        ({"order": "start"}, ("nano", "start", None)),
        ({"order": "start", "from": "1970-01-01T00:00:01.5Z"}, ("nano", "start", 1_500)),
    ],
)
async def test_an_experiment_is_ordered_and_answered_with_its_row(order: dict[str, str], given: Any) -> None:
    memory = Memory()
    async with surface(memory) as client:
        answer = await client.post("/admin/shadows", json={"experiment": "nano", **order})
        assert (answer.status_code, answer.json()["experiment"], memory.shadow_orders) == (200, "nano", [given])
        assert (await client.get("/admin/shadows")).json() == memory.shadow_rows


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400), (b"[]", 400), (b'{"experiment": "nano", "order": "pause"}', 400),
        (b'{"experiment": "nano", "order": "start", "from": "yesterday"}', 400),
        (b'{"experiment": "nano", "order": "start", "from": 5}', 400), (b'{"experiment": "x", "order": "stop"}', 404),
    ],
)  # fmt: skip
async def test_an_order_to_an_experiment_that_means_nothing_is_refused(body: bytes, status: int) -> None:
    memory = Memory()
    async with surface(memory) as client:
        answer = await client.post("/admin/shadows", content=body, headers=JSON)
        assert (answer.status_code, memory.shadow_orders) == (status, [])


async def test_an_order_to_an_experiment_that_no_stage_carries_out_says_so() -> None:
    async with surface(Memory(shadow_works=False)) as client:
        answer = await client.post("/admin/shadows", json={"experiment": "nano", "order": "stop"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "not_carried_out")


@pytest.mark.parametrize("name", ["budgets", "keys"])
async def test_what_is_not_there_yet_says_so(name: str) -> None:
    async with surface(Memory()) as client:
        answer = await client.get(f"/admin/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_implemented_yet")


async def test_metrics_are_those_of_all_processes_and_who_is_silent_is_counted() -> None:
    counters = (
        "# HELP millrace_accepted_total Requests\n# TYPE millrace_accepted_total counter\nmillrace_accepted_total %d\n"
    )
    own_stage = '# TYPE millrace_dead_letters_total counter\nmillrace_dead_letters_total{stage="enrich",reason="x"} 1\n'
    silent = ChildProcess("sink", 0, 1)
    async with child(counters % 3, "gateway") as one, child(counters % 4 + own_stage, "route+call", 1) as two:
        memory = Memory(children=[one, two, silent])
        async with surface(memory) as client:
            page = (await client.get("/metrics")).text
            targets = (await client.get("/admin/targets")).json()
    for series in (
        'millrace_accepted_total{instance="0",stage="gateway"} 3.0',
        'millrace_accepted_total{instance="1",stage="route+call"} 4.0',
        'millrace_dead_letters_total{instance="1",process_stage="route+call",reason="x",stage="enrich"} 1.0',
        'millrace_child_up{instance="0",stage="gateway"} 1.0',
        'millrace_child_up{instance="0",stage="sink"} 0.0',
    ):
        assert f"\n{series}\n" in page
    assert page.count("# TYPE millrace_accepted_total ") == 1
    assert targets[2] == {"targets": ["127.0.0.1:1"], "labels": {"stage": "sink", "instance": "0"}}


QUANTILES = [100.0, 1250.0, 2000.0]
ANSWERS: dict[str, list[dict[str, Any]]] = {
    "How many records": [{"responses": 3, "costs": 4}],
    "Requests that ended, those": [
        {"requests": 12345, "errors": 2, "first_token_ms": QUANTILES, "total_ms": QUANTILES, "added_ms": [None] * 3}
    ],
    "booked in all": [{"cost_nano_usd": 1_234_567_891, "lines": 4}],
    "booked, by tenant": [{"tenant": "<b>acme</b>", "cost_nano_usd": 1_234_567_891, "lines": 4}],
    "booked, by model": [],
    "Who answered": [{"model": "gpt-4.1-mini", "provider": "sim", "requests": 10, "failed_over": 1}],
    "callers were told": [{"code": "deadline_exceeded", "kind": "", "requests": 2}],
    "at the providers": [],
    "ended last": [
        {"finished_at": "2026-11-28T10:00:01.000Z", "request_id": "r-1", "tenant": "acme", "model": "", "provider": "",
         "outcome": "error", "code": "deadline_exceeded", "attempts": 0, "cost_nano_usd": 0, "total_ms": None}
    ],
    "The same over time": [],
}  # fmt: skip


async def test_totals_are_marked_and_exact() -> None:
    async with surface(Memory(answers=ANSWERS)) as client:
        page = (await client.get("/dash/figures")).text
        assert re.search(r'data-figure="requests" data-value="12345">12,345<', page)
        assert re.search(r'data-figure="spend" data-value="1234567891">\$1\.234567891<', page)
        assert "p95 1.25 s" in page


async def test_tables_escape_what_they_show_and_lead_to_the_request() -> None:
    async with surface(Memory(answers=ANSWERS)) as client:
        page = (await client.get("/dash/tables")).text
        assert "&lt;b&gt;acme&lt;/b&gt;" in page
        assert 'href="/requests/r-1?tenant=acme"' in page


async def test_a_range_and_a_tenant_go_into_parameters_only() -> None:
    memory = Memory(answers=ANSWERS)
    async with surface(memory) as client:
        assert (await client.get("/dash/figures?range=24h&tenant=acme")).status_code == 200
        assert {given["tenant"] for _, given in memory.asked} == {"acme"}
        assert [sql for sql, _ in memory.asked if "acme" in sql] == []


@pytest.mark.parametrize("query", ["range=1y", "range=", "tenant=%27", "tenant=nobody"])
@pytest.mark.parametrize("path", ["/", "/dash/figures", "/dash/series"])
async def test_other_ranges_and_strangers_are_refused(path: str, query: str) -> None:
    memory = Memory(answers=ANSWERS)
    async with surface(memory) as client:
        assert ((await client.get(f"{path}?{query}")).status_code, memory.asked) == (400, [])


async def test_an_absent_clickhouse_is_shown_and_the_rest_works() -> None:
    async with surface(Memory()) as client:
        figures, tables, live, series = [
            await client.get(f"/dash/{part}") for part in ("figures", "tables", "live", "series")
        ]
    assert "ClickHouse does not answer" in figures.text
    assert (figures.status_code, tables.status_code, series.status_code) == (200, 200, 503)
    assert ENDPOINT in live.text


async def test_a_method_that_is_none_is_refused() -> None:
    async with surface(Memory()) as client:
        answer: httpx.Response = await client.put("/admin/breakers", headers=JSON)
        assert (answer.status_code, "POST" in answer.headers["allow"]) == (405, True)


async def test_a_mistake_of_ours_is_an_answer_too(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(answers={})  # nobody knows the question
    async with surface(memory) as client:
        answer = await client.get("/dash/figures")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "admin surface" in caplog.text


async def test_replays_are_listed_and_found_by_their_id() -> None:
    async with surface(Memory()) as client:
        assert (await client.get("/admin/replays")).json() == [REPLAY]
        assert (await client.get("/admin/replays/send-0a1b")).json() == REPLAY
        unknown = await client.get("/admin/replays/send-ffff")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


async def test_the_page_of_replays_says_what_became_of_each_and_escapes_what_was_asked() -> None:
    async with surface(Memory()) as client:
        page = (await client.get("/replays")).text
    said = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "send-0a1b" in said
    assert "interrupted" in said
    assert "12,345 sent, 12,000 ok, 340 errors , 7 skipped (store_bodies)" in said.replace(" errors,", " errors ,")
    assert "$0.001234567" in said
    assert "<b>acme</b>" not in page
