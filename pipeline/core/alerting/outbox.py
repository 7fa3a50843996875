"""The outbox: alerts of `alerts.v1` that webhooks have not taken yet.

1. Each alert and target is a post. Posts of one episode to one target go out in their order: the end never comes before the
   beginning. Others do not wait for them.
2. A post that fails is tried again after `PAUSES_MS`; one that still fails `GIVE_UP_MS` after its alert is given up.
3. What is committed is the offset before which nothing is open, with the posts behind it that are done (`memo`). So a
   restart posts again what was under way at the time, and nothing else.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from schemas.events import Alert

__all__ = ["GIVE_UP_MS", "PAUSES_MS", "Outbox", "Post"]

PAUSES_MS: Final = (1_000, 5_000, 30_000, 120_000, 600_000)
"""The last one again and again."""
GIVE_UP_MS: Final = 3_600_000

MEMO_POSTS: Final = 300
"""Kafka takes 4096 bytes of metadata with a commit. What is left out would be posted twice after a restart."""


@dataclass(slots=True, eq=False)
class Post:
    """`number`: which target of the alert this is."""

    offset: int
    number: int
    alert: Alert
    due_ms: int
    tries: int = 0
    is_under_way: bool = False

    @property
    def target(self) -> str:
        return self.alert.to[self.number]


class Outbox:
    """From the group's commit on: `position`, and the `memo` that came with it."""

    def __init__(self, position: int = 0, memo: str = "") -> None:
        self._end = position
        self._done = set(_read(memo, position))
        self._lines: dict[tuple[str, str], deque[Post]] = {}

    def add(self, offset: int, alert: Alert) -> None:
        """A record of the topic, in order; one before the position is done."""
        if offset < self._end:
            return
        self._end = offset + 1
        for number, target in enumerate(alert.to):
            if (offset, number) not in self._done:
                self._lines.setdefault((target, alert.alert_id), deque()).append(Post(offset, number, alert, alert.at))

    def take(self, now_ms: int) -> list[Post]:
        """What is to be posted now; each is ours until `sent` or `failed`."""
        found = [line[0] for line in self._lines.values() if not line[0].is_under_way and line[0].due_ms <= now_ms]
        for post in found:
            post.is_under_way = True
        return found

    def sent(self, post: Post) -> None:
        self._close(post)

    def failed(self, post: Post, now_ms: int) -> bool:
        """True if it will be tried again."""
        if now_ms - post.alert.at >= GIVE_UP_MS:
            self._close(post)
            return False
        post.due_ms = now_ms + PAUSES_MS[min(post.tries, len(PAUSES_MS) - 1)]
        post.tries += 1
        post.is_under_way = False
        return True

    @property
    def position(self) -> int:
        """Everything before it is done."""
        return min((line[0].offset for line in self._lines.values()), default=self._end)

    @property
    def memo(self) -> str:
        position = self.position
        return _written(((offset, number) for offset, number in sorted(self._done) if offset >= position), position)

    def _close(self, post: Post) -> None:
        key = (post.target, post.alert.alert_id)
        self._lines[key].popleft()
        if not self._lines[key]:
            del self._lines[key]
        self._done.add((post.offset, post.number))
        position = self.position
        self._done = {done for done in self._done if done[0] >= position}


def _written(done: Iterator[tuple[int, int]], position: int) -> str:
    return " ".join(f"{offset - position}.{number}" for offset, number in islice(done, MEMO_POSTS))


def _read(memo: str, position: int) -> Iterator[tuple[int, int]]:
    """Anything that we did not write means nothing."""
    for word in memo.split():
        offset, _, number = word.partition(".")
        if offset.isdecimal() and number.isdecimal():
            yield position + int(offset), int(number)
