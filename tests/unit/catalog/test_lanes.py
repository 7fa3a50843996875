"""Places at a provider: what is set aside for experiments is nobody else's, and both lanes together keep to the limit."""

import pytest

from schemas.catalog import Catalog


def _catalog(max_in_flight: int, bulk_share: float, **said: object) -> Catalog:
    provider = {
        "adapter": "openai", "base_url": "https://x.example/v1", "region": "us", "max_in_flight": max_in_flight,
        "bulk_share": bulk_share,
    }  # fmt: skip
    price = {"input_per_mtok_usd": 1.0, "output_per_mtok_usd": 1.0}
    return Catalog.model_validate(
        {
            "version": 1,
            "providers": dict.fromkeys(("a", "b", "c"), provider),
            "models": {f"of-{name}": {"provider": name, "price": price} for name in ("a", "b", "c")},
            "routes": {"either": {"candidates": ["of-a", "of-b"]}},
            "tenants": {"t": {}},
            **said,
        }
    )


def _places(catalog: Catalog) -> dict[str, tuple[int, int]]:
    return {name: (catalog.places(name, "interactive"), catalog.places(name, "bulk")) for name in catalog.providers}


def _shadow(**said: object) -> list[dict[str, object]]:
    return [{"name": "s", "budget": {"usd": 1}, **said}]


def test_without_experiments_all_places_are_for_callers() -> None:
    assert _places(_catalog(10, 0.2)) == dict.fromkeys("abc", (10, 0))


def test_where_an_experiment_may_call_its_share_is_set_aside() -> None:
    by_model = _catalog(10, 0.25, shadows=_shadow(model="of-a", judge="of-c"))
    assert _places(by_model) == {"a": (8, 2), "b": (10, 0), "c": (8, 2)}
    by_route = _catalog(10, 0.25, shadows=_shadow(model="either", judge="rules", enabled=False))
    assert _places(by_route) == {"a": (8, 2), "b": (8, 2), "c": (10, 0)}


@pytest.mark.parametrize(
    ("max_in_flight", "bulk_share", "places"),
    [(1, 0.2, (1, 0)), (2, 0.0, (1, 1)), (2, 1.0, (1, 1)), (100, 1.0, (1, 99))],
)
def test_an_experiment_has_a_place_and_so_have_callers_if_there_are_two(
    max_in_flight: int, bulk_share: float, places: tuple[int, int]
) -> None:
    assert _places(_catalog(max_in_flight, bulk_share, shadows=_shadow(model="of-a")))["a"] == places
