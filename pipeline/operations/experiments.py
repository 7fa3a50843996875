"""What the catalogue says of experiments: shadows, and live splits of a route. Pure."""

from dataclasses import dataclass
from typing import Literal

from schemas.catalog import Catalog, Experiment, Per, Shadow

__all__ = ["Facts", "experiments_of", "facts_of"]


@dataclass(slots=True, frozen=True)
class Facts:
    """`primary` and `shadow` name the sides; of a split they are its first two arms, and `arms` has all.

    `limit_nano_usd` is for each (UTC) window `per`; splits have none. `status` by the catalogue: running, stopped,
    or unknown for what it does not have (any more).
    """

    name: str
    kind: Literal["shadow", "split"] = "shadow"
    status: str = "unknown"
    primary: str = "primary"
    shadow: str = "shadow"
    judge: str = "none"
    limit_nano_usd: int | None = None
    per: Per | None = None
    arms: tuple[str, ...] = ()

    @property
    def rivals(self) -> tuple[str, ...]:
        """The arms that are compared with the first."""
        return self.arms[1:] or (self.shadow,)


def experiments_of(catalog: Catalog) -> list[Facts]:
    """In the file's order, shadows first."""
    return [*map(_of_shadow, catalog.shadows), *map(_of_split, catalog.experiments)]


def facts_of(catalog: Catalog, name: str) -> Facts | None:
    """None for a name that the catalogue does not have: what was written under it may still be there."""
    return next((facts for facts in experiments_of(catalog) if facts.name == name), None)


def _of_shadow(row: Shadow) -> Facts:
    return Facts(
        row.name, "shadow", "running" if row.enabled else "stopped", "primary", row.model, row.judge,
        row.budget.limit_nano_usd, row.budget.per,
    )  # fmt: skip


def _of_split(row: Experiment) -> Facts:
    arms = tuple(row.arms)
    return Facts(row.name, "split", "running", arms[0], arms[1], "feedback", arms=arms)
