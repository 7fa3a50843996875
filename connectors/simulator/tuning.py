"""Files that were uploaded and fine-tuning jobs that were made of them: what outlives a request. Times in epoch seconds.

A job's life is a timetable fixed when it is made; what it is now follows from the clock, so nothing runs in the background.
"""

from dataclasses import dataclass, field

__all__ = ["Failure", "Job", "Tuning", "Upload"]


@dataclass(slots=True, frozen=True)
class Upload:
    id: str
    name: str
    purpose: str
    created_at: int
    content: bytes = field(repr=False)


@dataclass(slots=True, frozen=True)
class Failure:
    """Why a job fails; `param` is the field at fault."""

    code: str
    message: str
    param: str | None = None


@dataclass(slots=True)
class Job:
    """`queued_at`, `running_at`, `done_at`: when it gets there. `failure`: found while the files are validated."""

    id: str
    model: str
    base: str
    training_file: str
    created_at: float
    queued_at: float
    running_at: float
    done_at: float
    method: str
    epochs: int
    tokens: int
    validation_file: str | None = None
    seed: int = 0
    result: str = ""
    failure: Failure | None = None
    cancelled_at: float | None = None

    def status(self, now: float) -> str:
        """OpenAI's word for it."""
        if self.cancelled_at is not None:
            return "cancelled"
        if now < self.queued_at:
            return "validating_files"
        if self.failure is not None:
            return "failed"
        if now < self.running_at:
            return "queued"
        return "running" if now < self.done_at else "succeeded"

    def finished_at(self, now: float) -> float | None:
        ends = {"cancelled": self.cancelled_at, "failed": self.queued_at, "succeeded": self.done_at}
        return ends.get(self.status(now))


class Tuning:
    """By id, the oldest first."""

    def __init__(self) -> None:
        self.files: dict[str, Upload] = {}
        self.jobs: dict[str, Job] = {}
        self.made = 0

    def ordinal(self) -> int:
        """One more thing was made: ids come from it."""
        self.made += 1
        return self.made
