"""What an experiment has spent, reserved and found. A fold of its own comparisons, so whoever takes over knows the same.

Reserved before a call is its worst case, as for tenants (DESIGN.md section 9); once its comparison stands in the log, what it
really cost is spent. A new window of time begins with nothing spent and everything that is still reserved: no window
gets more than its limit, whether one counts by reservation or by payment.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.core.pricing import cost_nano_usd, price_of
from schemas.catalog import Catalog
from schemas.catalog.policies import Per
from schemas.completion import Usage
from schemas.events import ShadowComparison, ShadowProgress

__all__ = ["Budget", "window_start", "worst_case"]

_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_SPARE_TOKENS = 64


def worst_case(catalog: Catalog, model: str, *, input_tokens: int, output_tokens: int) -> int:
    """Nano-dollars that one call may cost: a tenth more input than estimated, at the dearest rate that input can have."""
    price = price_of(catalog, model)
    rates = (
        price.input_nano_usd_per_mtok, price.cache_write_nano_usd_per_mtok or 0, price.cache_write_1h_nano_usd_per_mtok or 0,
    )  # fmt: skip
    sent = (input_tokens * 11 + 9) // 10 + _SPARE_TOKENS
    written = cost_nano_usd(Usage(output_tokens=output_tokens), price)
    return -(-sent * max(rates) // 1_000_000) + written + 1


def window_start(per: Per, now_ms: int) -> int:
    """The beginning (UTC) of the window that a time lies in; 0 for `total`."""
    if per == "total":
        return 0
    if per == "month":
        first = datetime.fromtimestamp(now_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return int(first.timestamp()) * 1000
    return now_ms - now_ms % _MS[per]


@dataclass(slots=True)
class Budget:
    """`reserved` by shadow request id; `judged`: pairs by their winner (shadow, primary, tie).

    `folded`: place of the next comparison that is not in the figures, by partition.
    """

    limit_nano_usd: int
    per: Per
    spent_nano_usd: int = 0
    window_at: int = 0
    pairs: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)
    reserved: dict[str, int] = field(default_factory=dict)

    @classmethod
    def resumed(cls, limit_nano_usd: int, per: Per, progress: ShadowProgress) -> "Budget":
        """Another length of the window than before begins with what was spent in the old one: never with too little."""
        return cls(
            limit_nano_usd, per, progress.spent_nano_usd, progress.window_at, progress.pairs,
            dict(progress.skipped), dict(progress.judged or {}), dict(progress.folded),
        )  # fmt: skip

    def fits(self, amount: int, now_ms: int) -> bool:
        self._roll(now_ms)
        return self.spent_nano_usd + sum(self.reserved.values()) + amount <= self.limit_nano_usd

    def may_fit(self, amount: int, now_ms: int) -> bool:
        """Once what is reserved has turned out to cost less, or nothing is reserved any more."""
        self._roll(now_ms)
        return bool(self.reserved) and self.spent_nano_usd + amount <= self.limit_nano_usd

    def reserve(self, shadow_request_id: str, amount: int) -> None:
        self.reserved[shadow_request_id] = amount

    def fold(self, comparison: ShadowComparison, partition: int, offset: int) -> bool:
        """A record of the log, in the order of its partition; False if it was known."""
        if offset < self.folded.get(str(partition), 0):
            return False
        self.folded[str(partition)] = offset + 1
        if comparison.shadow_request_id is not None:
            self.reserved.pop(comparison.shadow_request_id, None)
        if comparison.status == "compared":
            self.pairs += 1
            if comparison.winner is not None:
                self.judged[comparison.winner] = self.judged.get(comparison.winner, 0) + 1
        else:
            reason = comparison.reason or ""
            self.skipped[reason] = self.skipped.get(reason, 0) + 1
        self._roll(comparison.at)
        if window_start(self.per, comparison.at) == self.window_at:
            self.spent_nano_usd += _cost(comparison)
        return True

    def _roll(self, now_ms: int) -> None:
        start = window_start(self.per, now_ms)
        if start > self.window_at:
            self.window_at, self.spent_nano_usd = start, 0


def _cost(comparison: ShadowComparison) -> int:
    shadow = comparison.shadow.cost_nano_usd if comparison.shadow is not None else 0
    return shadow + comparison.judge_cost_nano_usd
