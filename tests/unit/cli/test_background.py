"""Background processes take what others leave, and so do their children."""

import os
import subprocess
import sys

import pytest

from pipeline.cli.background import go_to_background
from pipeline.cli.layout import slots

_SAYS = "import os; print(os.nice(0), os.sched_getscheduler(0) if hasattr(os, 'SCHED_IDLE') else '-')"


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has it")
def test_a_background_process_has_the_lowest_priority() -> None:
    said = subprocess.run(
        [sys.executable, "-c", _SAYS], preexec_fn=go_to_background, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["19", str(os.SCHED_IDLE)]


def test_what_nobody_waits_for_is_in_the_background_and_nothing_else() -> None:
    names = {slot.stage: slot.is_background for slot in slots(split=False, scale={}, port=1, sql_port=2)}
    assert {name for name, is_background in names.items() if is_background} == {"sql", "sink", "admin+shadow", "bulk"}
