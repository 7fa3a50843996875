"""Runs of `millrace replay`: a document each in the data directory, `replays/<run id>.json`, which the admin surface shows.

A lock beside it is held while the run is under way, so two never are under the same id, and a killed one is told apart.
"""

import fcntl
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from pipeline.operations.replaying.errors import UnderWay, Unusable

__all__ = ["RunStore"]

Document = dict[str, Any]

_ID: Final = re.compile(r"[a-z]{1,16}-[0-9a-f]{1,64}")
_TRIES: Final = 5
_PAUSE_S: Final = 0.1


class RunStore:
    """Of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "replays"

    def write(self, document: Document) -> None:
        """Whole or not at all."""
        path = self._path(document["run_id"])
        draft = path.with_suffix(".new")
        draft.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        draft.replace(path)

    def read(self, run_id: str) -> Document | None:
        """None for an unknown run. `status` is interrupted for one that was under way and is not any more."""
        if not _ID.fullmatch(run_id):
            return None
        try:
            document: Document = orjson.loads(self._path(run_id).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        if document.get("status") == "running" and not self._is_held(run_id):
            document["status"] = "interrupted"
        return document

    def all(self) -> list[Document]:
        """The newest first."""
        found = [self.read(path.stem) for path in self._folder.glob("*.json")]
        return sorted((d for d in found if d is not None), key=lambda d: str(d.get("started_at")), reverse=True)

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """The lock of a run, or of a mode of which one at a time may go. Raises UnderWay, Unusable."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._lock(name).open("a")
        except OSError as error:
            raise Unusable(f"{self._folder} cannot be written: {error.strerror}") from None
        with file:
            for _ in range(_TRIES):  # whoever only looks lets go at once
                if _locked(file, fcntl.LOCK_EX):
                    break
                time.sleep(_PAUSE_S)
            else:
                raise UnderWay(f"{name} is under way in another process")
            yield

    def _is_held(self, run_id: str) -> bool:
        try:
            with self._lock(run_id).open() as file:
                return not _locked(file, fcntl.LOCK_SH)
        except OSError:
            return False

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.json"

    def _lock(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _locked(file: TextIO, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
