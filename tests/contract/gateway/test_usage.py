from collections.abc import Sequence
from typing import Any

import pytest
from gateway_house import KEY, NOW, House

from schemas.usage import FOREVER_MS, UsageQuestion, UsageRow

ROWS = [UsageRow("small", 2, 30, 4, 2**53 + 1), UsageRow(None, 1, 0, 0, 0)]
NOON_MS = 1_764_072_000_000  # 2025-11-25T12:00:00Z


class Books:
    """The port: what was asked, and one answer to everything."""

    def __init__(self, rows: Any = ROWS) -> None:
        self.rows = rows
        self.asked: list[UsageQuestion] = []

    async def __call__(self, question: UsageQuestion) -> Sequence[UsageRow] | str:
        self.asked.append(question)
        return self.rows


async def test_usage_is_that_of_the_keys_own_tenant() -> None:
    books = Books()
    house = House(usage=books)
    async with house.client() as client:
        mine = await client.get("/v1/usage")
        theirs = await client.get("/v1/usage", headers={"authorization": "Bearer sk-rich"})
    assert mine.status_code == theirs.status_code == 200
    assert mine.json() == {
        "rows": [
            {"by": "small", "requests": 2, "input_tokens": 30, "output_tokens": 4, "cost_nano_usd": 2**53 + 1},
            {"by": None, "requests": 1, "input_tokens": 0, "output_tokens": 0, "cost_nano_usd": 0},
        ],
        "budgets": [],
        "as_of": "2027-01-15T08:00:00.000Z",
    }
    assert mine.headers["x-request-id"]
    assert NOW == 1_800_000_000_000
    assert books.asked == [
        UsageQuestion("model", "acme", 0, FOREVER_MS),
        UsageQuestion("model", "rich", 0, FOREVER_MS),
    ]


async def test_range_and_group_are_asked_as_they_are_said() -> None:
    books = Books()
    async with House(usage=books).client() as client:
        said = {"from": "2025-11-25T12:00:00Z", "to": "2025-11-26", "by": "tag:team"}
        assert (await client.get("/v1/usage", params=said)).status_code == 200
    assert books.asked == [UsageQuestion("tag:team", "acme", NOON_MS, NOON_MS + 12 * 3_600_000)]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=tenant", "by"), ("by=nonsense", "by"), ("by=tag:", "by"), ("by=day&by=model", "by"), ("from=yesterday", "from"),
        ("to=2025-11-31", "to"), ("from=2025-11-26&to=2025-11-25", "from"), ("tenant=rich", "tenant"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused_by_name_and_nothing_is_looked_up(query: str, param: str) -> None:
    books = Books()
    async with House(usage=books).client() as client:
        refused = await client.get(f"/v1/usage?{query}")
    assert refused.status_code == 400
    assert (refused.json()["error"]["code"], refused.json()["error"]["param"]) == ("invalid_request", param)
    assert books.asked == []


@pytest.mark.parametrize("port", [Books("unavailable"), None], ids=["away", "none"])
async def test_without_an_answer_the_caller_may_ask_again(port: Any) -> None:
    async with House(usage=port).client() as client:
        away = await client.get("/v1/usage")
    assert (away.status_code, away.json()["error"]["code"]) == (503, "analytics_unavailable")
    assert (away.headers["x-should-retry"], away.headers["retry-after"]) == ("true", "5")


async def test_no_key_no_usage() -> None:
    books = Books()
    async with House(usage=books).client() as client:
        assert (await client.get("/v1/usage", headers={"authorization": f"Bearer {KEY}x"})).status_code == 401
    assert books.asked == []
