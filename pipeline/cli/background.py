"""Working in the background: with CPU time that nobody else wants, and never in the way of who wakes up."""

import contextlib
import os

__all__ = ["go_to_background"]


def go_to_background() -> None:
    """For this process and its children. On Linux SCHED_IDLE too: who is only nice may end his turn before others get theirs."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
