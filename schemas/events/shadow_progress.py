"""Shadow progress: how far an experiment is. shadow -> `shadow-progress.v1` -> shadow (its next owner), people.

It confirms orders, and spares a new owner to read every comparison since the budget's window began.
"""

from dataclasses import dataclass, field

from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class ShadowProgress:
    """At most one a second and experiment.

    Attributes:
        experiment: its name.
        run: of the last order that was carried out; 0 before the first.
        state: running, stopped, or finished.
        at: comparisons that were written before then are in these figures.
        pairs: comparisons so far.
        skipped: by reason.
        spent_nano_usd: in the budget's window that began at `window_at`.
        window_at: 0 for a budget that is for ever.
        folded: place of the next comparison that is not in these figures yet, by partition.
        accepted_at: of the last request that it looked at.
        judged: pairs by their winner (shadow, primary, tie); None where nobody counted them yet (version 1).
        ended_by: why it is finished: pairs (it has all that it wanted) or verdict.
    """

    experiment: str
    run: int
    state: str
    at: TimestampMs
    pairs: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    spent_nano_usd: int = 0
    window_at: TimestampMs = 0
    folded: dict[str, int] = field(default_factory=dict)
    accepted_at: TimestampMs = 0
    judged: dict[str, int] | None = None
    ended_by: str | None = None
