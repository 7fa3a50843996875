"""Webhooks get every alert, in order, and again until they take it."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.alerting import Outbox
from pipeline.core.alerting.outbox import GIVE_UP_MS, MEMO_POSTS, PAUSES_MS
from schemas.events import Alert

NOW = 1_767_225_600_000


def make_alert(alert_id: str = "a", state: str = "firing", to: tuple[str, ...] = ("webhook:OPS",)) -> Alert:
    return Alert(alert_id, "down", state, "error_rate", ">", 0.5, 0.9, {}, NOW, NOW, "c", list(to))


def offsets(posts: list) -> list[tuple[int, str]]:  # type: ignore[type-arg]
    return [(post.offset, post.target) for post in posts]


def test_each_target_gets_its_own_post() -> None:
    outbox = Outbox()
    outbox.add(0, make_alert(to=("webhook:A", "webhook:B")))
    outbox.add(1, make_alert("b", to=()))
    assert offsets(outbox.take(NOW)) == [(0, "webhook:A"), (0, "webhook:B")]
    assert outbox.take(NOW) == []


def test_the_end_never_comes_before_the_beginning_and_nobody_else_waits() -> None:
    outbox = Outbox()
    for offset, (alert_id, state) in enumerate([("a", "firing"), ("a", "resolved"), ("b", "firing")]):
        outbox.add(offset, make_alert(alert_id, state))
    first, other = outbox.take(NOW)
    assert (first.offset, other.offset) == (0, 2)
    outbox.failed(first, NOW)
    outbox.sent(other)
    assert offsets(outbox.take(NOW + PAUSES_MS[0])) == [(0, "webhook:OPS")]
    outbox.sent(first)
    assert offsets(outbox.take(NOW + PAUSES_MS[0])) == [(1, "webhook:OPS")]


def test_pauses_grow_until_it_is_given_up_an_hour_after_the_alert() -> None:
    outbox, now, waited = Outbox(), NOW, []
    outbox.add(0, make_alert())
    (post,) = outbox.take(now)
    while outbox.failed(post, now):
        assert outbox.take(post.due_ms - 1) == []
        waited.append(post.due_ms - now)
        now = post.due_ms
        assert outbox.take(now) == [post]
    assert tuple(waited[: len(PAUSES_MS)]) == PAUSES_MS
    assert set(waited[len(PAUSES_MS) :]) == {PAUSES_MS[-1]}
    assert GIVE_UP_MS <= now - NOW < GIVE_UP_MS + PAUSES_MS[-1]
    assert outbox.position == 1


def test_one_that_is_old_already_is_tried_once() -> None:
    outbox = Outbox()
    outbox.add(0, make_alert())
    (post,) = outbox.take(NOW + 2 * GIVE_UP_MS)
    assert not outbox.failed(post, NOW + 2 * GIVE_UP_MS)


def test_records_before_the_position_are_done() -> None:
    outbox = Outbox(5)
    outbox.add(4, make_alert())
    assert (outbox.take(NOW), outbox.position) == ([], 5)


def test_a_memo_that_is_not_ours_means_nothing() -> None:
    outbox = Outbox(0, "intent=7 0 .0 0. -1.0 x.y")
    outbox.add(0, make_alert())
    assert offsets(outbox.take(NOW)) == [(0, "webhook:OPS")]


def test_the_memo_fits_into_a_commit() -> None:
    outbox = Outbox(10**9)
    for number in range(2_000):
        outbox.add(10**9 + number, make_alert(str(number)))
    held, *others = outbox.take(NOW)
    for post in others:
        outbox.sent(post)
    assert outbox.position == held.offset
    assert len(outbox.memo.split()) == MEMO_POSTS
    assert len(outbox.memo) < 4096


@given(
    alerts=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([(), ("A",), ("A", "B")])), max_size=12),
    takes=st.lists(st.lists(st.booleans(), max_size=12), max_size=4),
)
def test_a_successor_posts_exactly_what_was_not_taken(
    alerts: list[tuple[str, tuple[str, ...]]], takes: list[list[bool]]
) -> None:
    made = [make_alert(alert_id, to=to) for alert_id, to in alerts]
    wanted = {(offset, number) for offset, alert in enumerate(made) for number in range(len(alert.to))}
    taken: list[tuple[int, int]] = []
    outbox = Outbox()
    for offset, alert in enumerate(made):
        outbox.add(offset, alert)
    now = NOW
    for answers in [*takes, None]:
        while posts := outbox.take(now):
            for post in posts:
                if answers is None or (answers and answers.pop()):
                    taken.append((post.offset, post.number))
                    outbox.sent(post)
                else:
                    outbox.failed(post, now)
        now += PAUSES_MS[-1]
        position, memo = outbox.position, outbox.memo
        outbox = Outbox(position, memo)
        for offset, alert in enumerate(made):
            outbox.add(offset, alert)
    assert sorted(taken) == sorted(wanted)
