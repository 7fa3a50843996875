"""Producers, the hardened transport in `StageApp`, and the group-less readers, on a real broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from connectors.kafka.admin import TopicError, describe_topics, ensure_topics, is_reachable
from connectors.kafka.partition import partition_of
from connectors.kafka.producers import Delivered, Producers
from connectors.kafka.scan import Scanner, scan
from connectors.kafka.tail import Tail
from pipeline.stage import Assigned, Batch, StageApp
from schemas.topics import REQUESTS, NamedTopic

WAIT_S = 30

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


class Changes:
    """Lets a test wait for a state without polling."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Stage(Changes):
    """A `StageApp` that remembers what it saw; acks what `acks` says."""

    def __init__(self, broker: str, group: str, topics: list[str], slot: str = "slot-0") -> None:
        super().__init__()
        self.app = StageApp("test", bootstrap=broker, slot=slot, group_prefix=group)
        self.seen: list[ConsumerRecord] = []
        self.told: list[str] = []
        self.assigned: dict[tuple[str, int], Assigned] = {}
        self.acks: Callable[[ConsumerRecord], bool] = lambda _record: True
        self.app.agent("all", topics, self.handle)
        self.app.on_assigned = self.on_assigned
        self.app.on_revoked = self.on_revoked

    async def handle(self, batch: Batch) -> None:
        for record in batch.records:
            self.told.append("record")
            self.seen.append(record)
            if self.acks(record):
                self.app.ack(record.topic, record.partition, record.offset)
        self.note()

    async def on_assigned(self, assigned: dict[tuple[str, int], Assigned]) -> None:
        self.assigned = assigned
        self.told.append("assigned")
        self.note()

    async def on_revoked(self, revoked: set[tuple[str, int]]) -> None:
        assert revoked == set(self.assigned)
        self.told.append("revoked")

    def offsets(self) -> list[int]:
        return [record.offset for record in self.seen]

    async def start(self) -> "Stage":
        await asyncio.wait_for(self.app.start(), WAIT_S)
        return self


@pytest.fixture
def group() -> str:
    return f"g{uuid.uuid4().hex[:8]}-"


async def new_topic(broker: str, partitions: int = 1) -> str:
    name = f"t{uuid.uuid4().hex[:8]}"
    await ensure_topics(broker, [NamedTopic(replace(REQUESTS, append_time=False), name, partitions)])
    return name


@pytest_asyncio.fixture(loop_scope="session")
async def producers(broker: str) -> AsyncIterator[Producers]:
    producers = Producers(broker)
    await producers.start()
    yield producers
    await producers.stop()


async def fill(producers: Producers, topic: str, count: int, partition: int = 0) -> list[Delivered]:
    return [await producers.deliver(topic, b"%d" % n, key=b"k", partition=partition) for n in range(count)]


async def committed(broker: str, group: str, topic: str) -> dict[int, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(f"{group}millrace-test")
    finally:
        await admin.close()
    return {tp.partition: at.offset for tp, at in offsets.items() if tp.topic == topic}


async def test_topics_are_made_once_and_errors_name_them(broker: str) -> None:
    topic = await new_topic(broker, 3)
    await ensure_topics(broker, [NamedTopic(REQUESTS, topic, 3)])
    [described] = await describe_topics(broker, [topic])
    assert len(described["partitions"]) == 3
    with pytest.raises(TopicError, match="not/legal"):
        await ensure_topics(broker, [NamedTopic(REQUESTS, "not/legal", 1)])
    assert await is_reachable(broker, 5)
    assert not await is_reachable("127.0.0.1:1", 1)


async def test_keys_find_their_partition_and_headers_arrive(broker: str, producers: Producers) -> None:
    topic = await new_topic(broker, 4)
    done = await producers.deliver(topic, b"v", key=b"tenant", headers=[("h", b"1")])
    later = await producers.deliver(topic, None, key=b"tenant", soon=True)
    assert done.partition == later.partition == partition_of(b"tenant", 4)
    assert (later.offset, done.topic) == (1, topic)
    records = [record async for record in scan(broker, topic, done.partition)]
    assert [(r.value, list(r.headers)) for r in records] == [(b"v", [("h", b"1")]), (None, [])]
    assert records[0].timestamp == done.timestamp


async def test_an_open_head_is_redelivered_after_a_restart(broker: str, producers: Producers, group: str) -> None:
    topic = await new_topic(broker)
    await fill(producers, topic, 10)
    first = Stage(broker, group, [topic])
    first.acks = lambda record: record.offset != 3
    await first.start()
    await first.until(lambda: len(first.seen) == 10)
    assert first.app.oldest_unacked_s()[topic] > 0
    assert first.app.lag() == {(topic, 0): 7}
    await first.app.stop()
    assert await committed(broker, group, topic) == {0: 3}

    second = await Stage(broker, group, [topic]).start()
    await second.until(lambda: len(second.seen) == 7)
    assert second.assigned == {(topic, 0): Assigned(end=10, committed=3)}
    assert second.offsets() == list(range(3, 10))
    assert second.app.oldest_unacked_s() == {topic: 0.0}
    await second.app.stop()
    assert await committed(broker, group, topic) == {0: 10}


async def test_nothing_is_committed_before_the_first_ack(broker: str, producers: Producers, group: str) -> None:
    topic = await new_topic(broker)
    await fill(producers, topic, 2)
    stage = Stage(broker, group, [topic])
    stage.acks = lambda record: record.offset == 1
    await stage.start()
    await stage.until(lambda: len(stage.seen) == 2)
    await stage.app.stop()
    assert await committed(broker, group, topic) == {}


async def test_null_values_pass_and_hooks_frame_the_records(broker: str, producers: Producers, group: str) -> None:
    topic = await new_topic(broker)
    await producers.deliver(topic, None, key=b"k")
    stage = await Stage(broker, group, [topic]).start()
    await stage.until(lambda: len(stage.seen) == 1)
    await stage.app.stop()
    assert stage.seen[0].value is None
    assert stage.told == ["assigned", "record", "revoked"]


async def test_two_apps_in_one_process(broker: str, producers: Producers, group: str) -> None:
    topic = await new_topic(broker, 2)
    one, two = Stage(broker, group + "a", [topic]), Stage(broker, group + "b", [topic])
    await asyncio.gather(one.start(), two.start())
    await fill(producers, topic, 5, partition=1)
    await one.until(lambda: len(one.seen) == 5)
    await two.until(lambda: len(two.seen) == 5)
    await asyncio.gather(one.app.stop(), two.app.stop())


async def test_a_second_member_joins_and_late_acks_are_harmless(broker: str, producers: Producers, group: str) -> None:
    topic = await new_topic(broker, 2)
    await fill(producers, topic, 3, partition=0)
    await fill(producers, topic, 3, partition=1)
    one = Stage(broker, group, [topic], "slot-0")
    one.acks = lambda record: record.offset == 0
    await one.start()
    await one.until(lambda: len(one.seen) == 6)
    two = Stage(broker, group, [topic], "slot-1")
    two.acks = lambda _record: False
    await two.start()
    await one.until(lambda: one.told.count("assigned") == 2)
    [kept], [lost] = ([p for _, p in stage.assigned] for stage in (one, two))
    assert one.assigned == {(topic, kept): Assigned(end=3, committed=1)}
    await one.until(lambda: len(one.seen) == 8)
    await two.until(lambda: len(two.seen) == 2)
    assert [(r.partition, r.offset) for r in one.seen[6:]] == [(kept, 1), (kept, 2)]

    # The old tasks end now: of the lost partition nothing may happen, of the kept one only what is open.
    for partition in (kept, lost):
        one.app.ack(topic, partition, 2)
    one.app.ack(topic, kept, 1)
    await asyncio.gather(one.app.stop(), two.app.stop())
    assert await committed(broker, group, topic) == {kept: 3, lost: 1}


async def test_an_exception_of_a_handler_fails_the_app_and_acks_nothing(
    broker: str, producers: Producers, group: str
) -> None:
    topic = await new_topic(broker)
    await fill(producers, topic, 2)
    stage = Stage(broker, group, [topic])

    def refuse(_record: ConsumerRecord) -> bool:
        raise ValueError("broken")

    stage.acks = refuse
    await stage.start()
    assert repr(await asyncio.wait_for(stage.app.failed, WAIT_S)) == "ValueError('broken')"
    await stage.app.stop()
    assert await committed(broker, group, topic) == {}


async def test_a_failing_takeover_fails_the_start_before_any_record(
    broker: str, producers: Producers, group: str
) -> None:
    topic = await new_topic(broker)
    await fill(producers, topic, 1)
    stage = Stage(broker, group, [topic])

    async def broken(_assigned: dict[tuple[str, int], Assigned]) -> None:
        raise ValueError("takeover")

    stage.app.on_assigned = broken
    with pytest.raises(ValueError, match="takeover"):
        await stage.start()
    await stage.app.stop()
    assert stage.seen == []


async def test_scans_and_single_records(broker: str, producers: Producers) -> None:
    topic = await new_topic(broker)
    done = await fill(producers, topic, 5)
    scanner = Scanner(broker)
    await scanner.start()
    try:
        assert [r.offset async for r in scanner.read(topic, 0)] == [0, 1, 2, 3, 4]
        assert [r.offset async for r in scanner.read(topic, 0, from_offset=3)] == [3, 4]
        assert [r.offset async for r in scanner.read(topic, 0, since_ms=done[4].timestamp)][-1] == 4
        assert [r.offset async for r in scanner.read(topic, 0, since_ms=done[4].timestamp + 60_000)] == []
        found = await scanner.fetch(topic, 0, 2)
        assert found is not None
        assert found.value == b"2"
        assert await scanner.fetch(topic, 0, 99) is None
    finally:
        await scanner.stop()


async def test_a_tail_sees_what_follows_its_start(broker: str, producers: Producers) -> None:
    topic = await new_topic(broker, 2)
    before = await fill(producers, topic, 3)
    new: list[int] = []
    whole: list[int] = []
    changes = Changes()

    def into(offsets: list[int]) -> Callable[[ConsumerRecord], None]:
        def handle(record: ConsumerRecord) -> None:
            offsets.append(record.offset)
            changes.note()

        return handle

    tails = [
        Tail(broker, [topic], into(new)),
        Tail(broker, [topic], into(whole), since_ms=before[0].timestamp),
    ]
    for tail in tails:
        await tail.start()
    await fill(producers, topic, 2)
    for tail in tails:
        await asyncio.wait_for(tail.caught_up.wait(), WAIT_S)
    await changes.until(lambda: new == [3, 4] and whole == [0, 1, 2, 3, 4])
    for tail in tails:
        await tail.stop()
    assert TopicPartition(topic, 0) in tails[0]._ends


async def test_a_static_restart_leaves_the_other_member_alone(broker: str, producers: Producers, group: str) -> None:
    topic = await new_topic(broker, 2)
    one = await Stage(broker, group, [topic], "slot-0").start()
    two = await Stage(broker, group, [topic], "slot-1").start()
    await one.until(lambda: one.told.count("assigned") == 2)
    mine = dict(one.assigned)
    await two.app.stop()
    again = await Stage(broker, group, [topic], "slot-1").start()
    assert again.assigned.keys() == two.assigned.keys()
    await fill(producers, topic, 3, partition=0)
    await fill(producers, topic, 3, partition=1)
    await one.until(lambda: len(one.seen) == 3)
    await again.until(lambda: len(again.seen) == 3)
    assert one.assigned == mine
    assert one.told.count("assigned") == 2
    await asyncio.gather(one.app.stop(), again.app.stop())


async def test_a_crash_of_faust_fails_the_app(broker: str, group: str) -> None:
    stage = await Stage(broker, group, [await new_topic(broker)]).start()
    reason = RuntimeError("inside Faust")
    await stage.app._app.consumer.crash(reason)
    assert await asyncio.wait_for(stage.app.failed, WAIT_S) is reason
    await stage.app.stop()


async def test_a_spare_member_is_ready_without_partitions(broker: str, group: str) -> None:
    topic = await new_topic(broker)
    one = await Stage(broker, group, [topic], "slot-0").start()
    two = await Stage(broker, group, [topic], "slot-1").start()
    await one.until(lambda: one.told.count("assigned") == 2)
    assert sorted([one.app.is_assigned(), two.app.is_assigned()]) == [False, True]
    await asyncio.gather(one.app.stop(), two.app.stop())


async def test_no_record_is_lost_while_members_come_and_go(broker: str, producers: Producers, group: str) -> None:
    topic = await new_topic(broker, 4)
    finished: set[tuple[int, int]] = set()
    changes = Changes()
    tasks: set[asyncio.Task[None]] = set()

    def member(slot: str) -> Stage:
        stage = Stage(broker, group, [topic], slot)

        async def work(record: ConsumerRecord) -> None:
            # Finishes out of order, and after the partition may have moved.
            await asyncio.sleep(0.3 if record.offset % 7 == 0 else 0.005)
            finished.add((record.partition, record.offset))
            stage.app.ack(record.topic, record.partition, record.offset)
            changes.note()

        def begin(record: ConsumerRecord) -> bool:
            task = asyncio.get_running_loop().create_task(work(record))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            return False

        stage.acks = begin
        return stage

    async def produce() -> set[tuple[int, int]]:
        done = [await producers.deliver(topic, b"v", key=b"%d" % n) for n in range(2000)]
        return {(d.partition, d.offset) for d in done}

    one = await member("slot-0").start()
    producing = asyncio.create_task(produce())
    two = await member("slot-1").start()
    three = await member("slot-2").start()
    await two.app.stop()
    again = await member("slot-1").start()
    written = await producing
    await changes.until(lambda: finished >= written)
    await asyncio.gather(*tasks)
    await asyncio.gather(*(stage.app.stop() for stage in (one, three, again)))
    assert sum((await committed(broker, group, topic)).values()) == len(written)
