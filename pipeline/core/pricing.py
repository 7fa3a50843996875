"""What calls cost: whole nano-dollars, exact, rounded once at the end of a call.

    cost = (uncached input x rate + cached input x cached rate + output x rate) / 1,000,000, half up

Usage already holds cached tokens in its input and reasoning tokens in its output (`schemas.completion.Usage`).
"""

from schemas.catalog import Catalog
from schemas.completion import Usage
from schemas.events import Price

__all__ = ["cost_nano_usd", "estimated_usage", "price_of"]

_TOKENS_PER_RATE = 1_000_000
_KEPT_PRICES = 4_096

_prices: dict[tuple[str, str], Price] = {}


def price_of(catalog: Catalog, model: str) -> Price:
    """What a call of the model costs under this catalogue. KeyError for an unknown model."""
    key = (catalog.hash, model)
    price = _prices.get(key)
    if price is None:
        if len(_prices) >= _KEPT_PRICES:
            _prices.clear()
        price = _prices[key] = _read(catalog, model)
    return price


def _read(catalog: Catalog, model: str) -> Price:
    rates = catalog.models[model].price
    return Price(
        version=rates.version,
        input_nano_usd_per_mtok=rates.input_nano_usd_per_mtok,
        cached_input_nano_usd_per_mtok=rates.cached_input_nano_usd_per_mtok,
        output_nano_usd_per_mtok=rates.output_nano_usd_per_mtok,
    )


def cost_nano_usd(usage: Usage, price: Price) -> int:
    """Nano-dollars of one call. A vendor that reports more cached tokens than input tokens is not believed."""
    cached = min(usage.cache_read_tokens, usage.input_tokens)
    total = (
        (usage.input_tokens - cached) * price.input_nano_usd_per_mtok
        + cached * price.cached_input_nano_usd_per_mtok
        + usage.output_tokens * price.output_nano_usd_per_mtok
    )
    return (total + _TOKENS_PER_RATE // 2) // _TOKENS_PER_RATE


def estimated_usage(input_tokens: int, output_text_tokens: int) -> Usage:
    """Usage that we counted ourselves, since the vendor said nothing."""
    return Usage(input_tokens=input_tokens, output_tokens=output_text_tokens, estimated=True)
