"""Decisions of a past on real topics are made again, by processes of their own."""

import time
import uuid
from collections import Counter

import pytest

from connectors.kafka.admin import ensure_topics
from pipeline.cli.benching.past import Past, catalog_of, write_past
from pipeline.operations.redeciding.deciding import History, ReplayFailed, replay_decide
from pipeline.operations.redeciding.segments import segments_of
from pipeline.operations.running import Connection
from schemas.events import Decision
from schemas.topics import named_topics

pytestmark = pytest.mark.asyncio(loop_scope="session")

DECISIONS, PARTITIONS, LAMBDA = 1_500, 2, 0.6
OLD_LAMBDA = {catalog_of().hash: 0.1, catalog_of(lambda_cost=0.3).hash: 0.3}


async def a_past(broker: str) -> tuple[Connection, Past]:
    prefix = f"past-{uuid.uuid4().hex[:8]}."
    await ensure_topics(broker, named_topics(prefix, PARTITIONS, [], []))
    where = Connection(broker, prefix, PARTITIONS, "", None, {})
    return where, await write_past(broker, prefix, DECISIONS, partitions=PARTITIONS, now_ms=time.time_ns() // 1_000_000)


def by_hand(decision: Decision, targets: dict[str, str]) -> str:
    """What another weight of money would have chosen, out of the logged scores alone."""
    if targets[decision.request_id] != "auto" or not decision.chosen:
        return decision.chosen
    old = OLD_LAMBDA[decision.policy_version]
    hesitant = {endpoint.split("/")[1]: view.hesitant for endpoint, view in decision.view.items()}
    rows = [(hesitant[row.model], -(row.score + (old - LAMBDA) * row.cents), row.model) for row in decision.ranked]
    return min(rows)[2]


async def test_the_same_policies_decide_the_same_and_another_one_what_a_sum_by_hand_says(broker: str) -> None:
    where, past = await a_past(broker)
    told: list[tuple[int, int]] = []
    span = {"from_ms": past.from_ms, "to_ms": past.to_ms}
    same = await replay_decide(History(where), **span, policy=None, tell=lambda *said: told.append(said))
    assert (same["decisions"], same["identical"], same["left_out"]) == (DECISIONS, DECISIONS, {}), same["examples"]
    assert same["policy_logged"] == same["policy_replayed"] == sorted(OLD_LAMBDA)
    assert same["expected_quality"]["outcomes"] > DECISIONS / 2
    assert told[-1][0] >= DECISIONS

    other = await replay_decide(History(where), **span, policy=catalog_of(lambda_cost=LAMBDA), tell=lambda *_: None)
    choices = [(decision, by_hand(decision, past.targets)) for decision in past.decisions]
    assert 0 < other["changed"] == sum(decision.chosen != now for decision, now in choices)
    found = {row["model"]: (row["logged"], row["replayed"]) for row in other["by_model"]}
    then, now = Counter(each.chosen for each in past.decisions), Counter(model for _, model in choices)
    assert found == {model: (then[model], now[model]) for model in {*then, *now} if model}
    cents = {(d.request_id, d.attempt, row.model): row.cents for d in past.decisions for row in d.ranked}
    expected = sum(round(cents[d.request_id, d.attempt, model] * 10**7) for d, model in choices if model)
    assert other["cost_nano_usd"]["replayed"] == expected

    # Parts of the range are the range: `from` inclusive, `to` exclusive.
    middle = past.from_ms + (past.to_ms - past.from_ms) // 2 // 20 * 20
    cuts = [(past.from_ms, middle), (middle, past.to_ms)]
    parts = [
        await replay_decide(History(where), from_ms=a, to_ms=b, policy=None, tell=lambda *_: None, tenant="tenant-3")
        for a, b in cuts
    ]
    mine = [decision for decision in past.decisions if decision.tenant == "tenant-3"]
    assert sum(part["identical"] for part in parts) == len(mine)
    assert sum(part["cost_nano_usd"]["logged"] for part in parts) == sum(
        round(decision.ranked[0].cents * 10**7) for decision in mine if decision.chosen
    )


async def test_a_range_without_records_is_an_empty_report(broker: str) -> None:
    where = Connection(broker, f"none-{uuid.uuid4().hex[:8]}.", PARTITIONS, "", None, {})
    await ensure_topics(broker, named_topics(where.topic_prefix, PARTITIONS, [], []))
    assert await segments_of(where, 1, 2, at_least=2) == []
    document = await replay_decide(History(where), from_ms=1, to_ms=2, policy=None, tell=lambda *_: None)
    assert (document["decisions"], document["changed"], document["policy_logged"]) == (0, 0, None)


async def test_what_kafka_has_no_more_is_not_passed_over_in_silence(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Connection(broker, f"none-{uuid.uuid4().hex[:8]}.", PARTITIONS, "", None, {})

    async def later(_where: Connection) -> int:
        return 1_000

    monkeypatch.setattr("pipeline.operations.redeciding.deciding.kept_since", later)
    with pytest.raises(ReplayFailed, match="Kafka has not the whole range"):
        await replay_decide(History(where), from_ms=1, to_ms=2_000, policy=None, tell=lambda *_: None)
