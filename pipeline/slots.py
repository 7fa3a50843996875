"""A slot is an exclusive lock: two live processes under one static name would execute everything many times over."""

import fcntl
from pathlib import Path


class SlotBusy(Exception):
    """Another live process has this stage and instance; give it another `--instance-id`."""


class Slot:
    """Held until the process ends, by whatever end: the kernel releases it, also on kill -9."""

    def __init__(self, data_dir: Path, name: str) -> None:
        folder = data_dir / "slots"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{name}.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SlotBusy(f"{name} runs already (data dir {data_dir}); use another --instance-id") from None
