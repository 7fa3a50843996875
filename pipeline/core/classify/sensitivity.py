"""How far a request may travel: the highest of the default and what the caller asks for. Nothing ever lowers it."""

from schemas.catalog import Sensitivity

__all__ = ["DEFAULT_SENSITIVITY", "raises", "sensitivity_of"]

DEFAULT_SENSITIVITY = Sensitivity.INTERNAL


def sensitivity_of(sample: str, *, asked: str | None) -> tuple[Sensitivity, list[str]]:
    """The level, and the kinds of what was found in the text (none yet: nothing looks for it)."""
    return raises(DEFAULT_SENSITIVITY, asked), []


def raises(floor: Sensitivity, asked: str | None) -> Sensitivity:
    """The stronger of the two; a level that we do not know is the highest one."""
    if asked is None:
        return floor
    try:
        return max(floor, Sensitivity(asked))
    except ValueError:
        return Sensitivity.RESTRICTED
