"""CPU and memory of processes, as the kernel counts them."""

import time
from collections.abc import Mapping

import psutil

NOT_OURS = frozenset({"broker", "simulator", "load"})


class Meter:
    """CPU seconds per process from `__init__` on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = self._now()
        self._unused_before = _unused_s()
        self._since = time.monotonic()

    def spent_s(self) -> dict[str, float]:
        return {name: spent - self._before[name] for name, spent in self._now().items()}

    def elapsed_s(self) -> float:
        return time.monotonic() - self._since

    def foreign_cores(self) -> float:
        """Cores that processes outside the benchmark kept busy meanwhile: without this no figure means anything."""
        elapsed_s = self.elapsed_s()
        unused_s = _unused_s() - self._unused_before
        foreign_s = (psutil.cpu_count() or 1) * elapsed_s - unused_s - sum(self.spent_s().values())
        return max(0.0, foreign_s / elapsed_s)

    def rss_mb(self) -> dict[str, float]:
        return {name: process.memory_info().rss / 2**20 for name, process in self._processes.items()}

    def _now(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}


def ours(figures: Mapping[str, float]) -> float:
    """The sum over the platform's own processes."""
    return sum(figure for name, figure in figures.items() if name not in NOT_OURS)


def _unused_s() -> float:
    """Of all cores. Idle time is counted exactly where busy time is sampled, and what a hypervisor took is not in it."""
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))
