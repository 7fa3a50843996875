"""What calls cost: whole nano-dollars, exact, rounded once at the end of a call.

    cost = (uncached input x rate + cached input x its rate + written to the cache x its rate + output x rate) / 1,000,000, half up

Usage already holds cached tokens in its input and reasoning tokens in its output (`schemas.completion.Usage`). The tier
that answered sets the rates; one that the price book does not know costs the standard rates and is an estimate.
"""

from schemas import catalog as offers
from schemas.completion import Usage
from schemas.events import Price, Tier

__all__ = ["cost_nano_usd", "expected_nano_usd", "is_estimate", "price_of"]

_TOKENS_PER_RATE = 1_000_000
_KEPT_PRICES = 4_096
_STANDARD = frozenset({"default", "standard", "auto", "on_demand"})

_prices: dict[tuple[str, str], Price] = {}


def price_of(catalog: offers.Catalog, model: str) -> Price:
    """What a call of the model costs under this catalogue. KeyError for an unknown model."""
    key = (catalog.hash, model)
    price = _prices.get(key)
    if price is None:
        if len(_prices) >= _KEPT_PRICES:
            _prices.clear()
        price = _prices[key] = _read(catalog.models[model].price)
    return price


def _read(price: offers.Price) -> Price:
    standard = _rates(price)
    return Price(
        price.version,
        standard.input_nano_usd_per_mtok,
        standard.cached_input_nano_usd_per_mtok,
        standard.output_nano_usd_per_mtok,
        standard.cache_write_nano_usd_per_mtok,
        standard.cache_write_1h_nano_usd_per_mtok,
        {name: _rates(tier) for name, tier in price.tiers.items()},
    )


def _rates(rates: offers.Rates) -> Tier:
    return Tier(
        rates.input_nano_usd_per_mtok,
        rates.cached_input_nano_usd_per_mtok,
        rates.output_nano_usd_per_mtok,
        rates.cache_write_nano_usd_per_mtok,
        rates.cache_write_1h_nano_usd_per_mtok,
    )


def cost_nano_usd(usage: Usage, price: Price) -> int:
    """Nano-dollars of one call. A vendor that reports more cached tokens than input tokens is not believed."""
    rates: Price | Tier = price.tiers.get(usage.service_tier or "", price)
    read = min(usage.cache_read_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - read)
    for_an_hour = min(usage.cache_write_1h_tokens, written)
    total = (
        (usage.input_tokens - read - written) * rates.input_nano_usd_per_mtok
        + read * rates.cached_input_nano_usd_per_mtok
        + _written(rates, written - for_an_hour, for_an_hour)
        + usage.output_tokens * rates.output_nano_usd_per_mtok
    )
    return (total + _TOKENS_PER_RATE // 2) // _TOKENS_PER_RATE


def expected_nano_usd(input_tokens: int, output_tokens: int, price: Price) -> int:
    """What a call without cached tokens costs at the standard rates; as `cost_nano_usd` says, in a third of the time."""
    total = input_tokens * price.input_nano_usd_per_mtok + output_tokens * price.output_nano_usd_per_mtok
    return (total + _TOKENS_PER_RATE // 2) // _TOKENS_PER_RATE


def _written(rates: Price | Tier, for_minutes: int, for_an_hour: int) -> int:
    minutes_rate, hour_rate = rates.cache_write_nano_usd_per_mtok, rates.cache_write_1h_nano_usd_per_mtok
    if minutes_rate is None:
        minutes_rate = rates.input_nano_usd_per_mtok
    return for_minutes * minutes_rate + for_an_hour * (minutes_rate if hour_rate is None else hour_rate)


def is_estimate(usage: Usage, price: Price) -> bool:
    """Whether the cost may differ from the invoice: we counted the tokens, or do not know the rates of the tier."""
    tier = usage.service_tier
    return usage.estimated or not (tier is None or tier in _STANDARD or tier in price.tiers)
