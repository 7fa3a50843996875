"""List prices, so that a catalogue need not repeat them: what the vendor charges for a model of exactly this name.

From the data inside the library genai-prices (https://github.com/pydantic/genai-prices), whose self-update is never
started: what is charged changes with `requirements.lock` and never by itself. The library is imported when a price is
first needed, since that takes a quarter of a second.

- The vendor is the adapter's own. For openai-compatible there is no list price: the same open model costs something
  else on each server, and nothing a token on one's own.
- The name must be the library's own for the model, one of its exact aliases, or a dated snapshot of it. The library
  also takes names that only begin like a known one; a relative's price is a guess, so those have none here.
- Rates that rise with the length of the prompt are the base rates: long prompts cost more than is reckoned.
- Audio, images and video in a prompt count as text. A model that answers in them at rates of their own has none here.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, ModelPrice

_VENDORS: Mapping[str, str] = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}
_RATES: Mapping[str, str] = {
    "input_per_mtok_usd": "input_mtok",
    "cached_input_per_mtok_usd": "cache_read_mtok",
    "cache_write_per_mtok_usd": "cache_write_mtok",
    "cache_write_1h_per_mtok_usd": "cache_write_1h_mtok",
    "output_per_mtok_usd": "output_mtok",
}
_SNAPSHOT = re.compile(r"(-latest|-\d{3}|[-@]\d{4}-?\d{2}-?\d{2})$")


def list_price(upstream: str, adapter: str, *, on: date | None = None) -> dict[str, Any] | None:
    """The price of a model in the keys of the catalogue, in exact decimals; None where none is listed.

    Args:
        upstream: The provider's name for it; its last path segment counts.
        adapter: As a provider of the catalogue names its wire format.
        on: The day whose price it is. Left out: the newest listed, also one that is announced for later.
    """
    if adapter not in _VENDORS:
        return None
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    name = upstream.rsplit("/", 1)[-1].lower()
    model = get_snapshot().find_provider(None, _VENDORS[adapter], None).find_model(name)
    if model is None or not _is_called(model, name):
        return None
    moment = datetime.combine(on or date.max, time(), UTC)
    standard = model.get_prices(moment)
    if standard.input_mtok is None or _answers_in_more_than_text(standard):
        return None
    rates = _rates(standard)
    tiers = {tier: priced for tier in _tiers(model) if (priced := _tier(model, moment, tier)) != rates}
    return {**rates, **({"tiers": tiers} if tiers else {}), "source": f"genai-prices {__version__}"}


def _is_called(model: "ModelInfo", name: str) -> bool:
    return _SNAPSHOT.sub("", name) == _SNAPSHOT.sub("", model.id) or _is_alias(model.match, name)


def _is_alias(match: "MatchLogic", name: str) -> bool:
    from genai_prices.types import ClauseEquals, ClauseOr

    if isinstance(match, ClauseOr):
        return any(_is_alias(part, name) for part in match.or_)
    return isinstance(match, ClauseEquals) and match.equals == name


def _answers_in_more_than_text(price: "ModelPrice") -> bool:
    return any(key.startswith("output_") and key != "output_mtok" for key, rate in vars(price).items() if rate)


def _tiers(model: "ModelInfo") -> list[str]:
    """The service tiers with rates of their own (not batches: those are another way to ask)."""
    whens = [variant.when for variant in model.price_variants or ()]
    return [when["service_tier"] for when in whens if set(when) == {"service_tier"}]


def _tier(model: "ModelInfo", moment: datetime, tier: str) -> dict[str, Decimal]:
    return _rates(model.get_prices(moment, {"service_tier": tier}))


def _rates(price: "ModelPrice") -> dict[str, Decimal]:
    """Without those that are not listed; output of an embedding model, which has none, at 0."""
    found = {ours: getattr(price, theirs) for ours, theirs in _RATES.items()}
    listed = {ours: getattr(rate, "base", rate) for ours, rate in found.items() if rate is not None}
    return {**listed, "output_per_mtok_usd": listed.get("output_per_mtok_usd", Decimal(0))}
