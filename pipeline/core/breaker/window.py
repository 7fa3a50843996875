"""What was seen of one endpoint lately, over all workers: counts in a sliding window, failures in a row, silence.

Signals may come late, twice or in any order: `(worker, at)` names one. What is older than the window, further ahead than
it, or not after the present state's beginning says nothing.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.core.breaker.machine import counts
from schemas.events.signal import Signal

__all__ = ["Sums", "Window"]

_BUCKET_MS = 250
_SPOKEN_MS = 500
"""A success is as old as its signal, or up to two signals older."""
_QUIET_MS, _QUIET_FACTOR = 2_000, 3
"""An endpoint with silent calls is quiet if nobody had an answer for so long, or so many times what is usual."""
_SEVERAL = 4
_HESITATION_MS, _HESITATION_FACTOR = 1_000, 2
_FRESH_MS = 2_000
"""A worker with calls under way speaks every 250 ms; one that was not heard for so long says nothing about now."""


@dataclass(slots=True)
class Sums:
    """`errors` are those that count for the breaker."""

    ok: int = 0
    errors: int = 0
    slow: int = 0

    @property
    def samples(self) -> int:
        return self.ok + self.errors

    @property
    def error_share(self) -> float:
        return self.errors / self.samples if self.samples else 0.0

    @property
    def slow_share(self) -> float:
        return self.slow / self.samples if self.samples else 0.0


@dataclass(slots=True)
class _Bucket:
    sums: Sums = field(default_factory=Sums)
    seen: set[tuple[str, int]] = field(default_factory=set)


class Window:
    """Public attributes: `last_kind`, the failure that counted last; `length_ms`."""

    def __init__(self, length_ms: int, floor_ms: int) -> None:
        self.length_ms = length_ms
        self.last_kind: str | None = None
        self._floor_ms = floor_ms
        self._buckets: dict[int, _Bucket] = {}
        self._row: deque[tuple[int, int]] = deque()
        self._ok_at = 0
        self._workers: dict[str, Signal] = {}

    def add(self, signal: Signal, now_ms: int) -> bool:
        """False if it says nothing new."""
        self._forget(now_ms)
        if abs(signal.at - now_ms) >= self.length_ms or signal.at <= self._floor_ms:
            return False
        bucket = self._buckets.setdefault(signal.at // _BUCKET_MS, _Bucket())
        if (signal.worker, signal.at) in bucket.seen:
            return False
        bucket.seen.add((signal.worker, signal.at))
        self._count(signal, bucket.sums)
        self._note_worker(signal)
        return True

    def clear(self, floor_ms: int) -> None:
        """A state begins: what happened before says nothing about it. Who was heard stays known."""
        self._floor_ms, self.last_kind = floor_ms, None
        for bucket in self._buckets.values():
            bucket.sums = Sums()
        self._row.clear()
        self._workers.clear()

    @property
    def sums(self) -> Sums:
        """As of the last signal."""
        seen = [bucket.sums for bucket in self._buckets.values()]
        return Sums(sum(s.ok for s in seen), sum(s.errors for s in seen), sum(s.slow for s in seen))

    @property
    def in_a_row(self) -> int:
        """Failures since the last success of any worker."""
        return sum(failures for _, failures in self._row)

    def is_hesitant(self, now_ms: int) -> bool:
        """Several calls wait, most of those under way, for longer than is usual, and nobody had an answer since they began."""
        workers = [worker for worker in self._workers.values() if worker.at > now_ms - _FRESH_MS and worker.waiting]
        waiting, in_flight = sum(worker.waiting for worker in workers), sum(worker.in_flight for worker in workers)
        if waiting < _SEVERAL or 2 * waiting < in_flight:
            return False
        oldest = min(worker.at - worker.oldest_silent_ms for worker in workers)
        usual_ms = max(worker.first_event_ewma_ms or 0 for worker in workers)
        is_late = now_ms - oldest >= max(_HESITATION_MS, _HESITATION_FACTOR * usual_ms)
        return is_late and oldest >= max(self._ok_at - _SPOKEN_MS, self._floor_ms)

    def is_silent(self, now_ms: int) -> bool:
        """Nobody had an answer since a silent call began; or several are silent, and half of all or nobody is answered.

        One stuck call among healthy ones is no silence. A call that began before the present state is not its fault.
        """
        workers = [worker for worker in self._workers.values() if worker.at > now_ms - _FRESH_MS]
        begun = [worker.at - worker.oldest_silent_ms for worker in workers if worker.silent]
        begun = [at for at in begun if at > self._floor_ms]
        if not begun:
            return False
        if min(begun) >= self._ok_at - _SPOKEN_MS:
            return True
        silent, in_flight = sum(worker.silent for worker in workers), sum(worker.in_flight for worker in workers)
        return silent > 1 and (2 * silent >= in_flight or self._is_quiet(workers, now_ms))

    def _is_quiet(self, workers: Sequence[Signal], now_ms: int) -> bool:
        usual_ms = max(worker.first_event_ewma_ms or 0 for worker in workers)
        return now_ms - self._ok_at >= max(_QUIET_MS, _QUIET_FACTOR * usual_ms)

    def _count(self, signal: Signal, sums: Sums) -> None:
        failures = {kind: number for kind, number in signal.errors.items() if number and counts(kind)}
        failed = sum(failures.values())
        sums.ok += signal.ok
        sums.errors += failed
        sums.slow += signal.slow
        if failures:
            self.last_kind = list(failures)[-1]
        self._lengthen_row(signal, failed)

    def _lengthen_row(self, signal: Signal, failed: int) -> None:
        if signal.ok:
            self._ok_at = max(self._ok_at, signal.at)
            self._row = deque(entry for entry in self._row if entry[0] >= self._ok_at)
            failed = min(failed, signal.consecutive)
        if failed and signal.at >= self._ok_at:
            self._row.append((signal.at, failed))

    def _note_worker(self, signal: Signal) -> None:
        known = self._workers.get(signal.worker)
        if known is None or known.at < signal.at:
            self._workers[signal.worker] = signal

    def _forget(self, now_ms: int) -> None:
        gone_at = now_ms - self.length_ms
        for key in [key for key in self._buckets if (key + 1) * _BUCKET_MS <= gone_at]:
            del self._buckets[key]
        for worker in [name for name, last in self._workers.items() if last.at <= gone_at]:
            del self._workers[worker]
