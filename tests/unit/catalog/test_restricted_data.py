"""Where sensitive data goes with the default catalogue."""

from collections.abc import Iterable

import pytest
from catalog_builder import ROOT

from connectors.edge import MODEL, PARALLEL, SLOT_TOKENS
from pipeline.catalog_file import EDGE_ADDRESS, load
from pipeline.core.decide import Situation, decide
from schemas.events import Decision, Enriched, Features

CATALOG = load(ROOT / "infra" / "catalog.yaml", {}).catalog


def _decided(sensitivity: str, model: str = "auto", off: Iterable[str] = ()) -> Decision:
    features = Features(
        input_tokens=100, language="en", task="chat", complexity=0.2, band="low", sensitivity=sensitivity,
        needs=[], classifier_version="plain-1",
    )  # fmt: skip
    request = Enriched(
        request_id="r1", tenant="demo", partition_key="demo", operation="chat", stream=False, priority="interactive",
        accepted_at=0, deadline_at=1, max_tokens=None, model=model, features=features,
    )  # fmt: skip
    situation = Situation(in_flight={}, off_providers=frozenset(off), now_ms=0)
    return decide(request, CATALOG, situation, attempt=1, tried=())


def _providers(decision: Decision) -> set[str]:
    return {CATALOG.models[ranked.model].provider for ranked in decision.ranked}


@pytest.mark.parametrize(
    ("sensitivity", "allowed"), [("restricted", {"edge"}), ("confidential", {"edge", "vllm", "gemini"})]
)
def test_sensitive_data_goes_only_where_it_may(sensitivity: str, allowed: set[str]) -> None:
    assert _providers(_decided(sensitivity)) == allowed


@pytest.mark.parametrize("target", ["auto", "steady", "gpt-4.1", "qwen3-edge-8b"])
def test_restricted_data_is_refused_rather_than_sent_elsewhere(target: str) -> None:
    decision = _decided("restricted", target, off={"edge"})
    assert (decision.chosen, decision.ranked) == ("", [])


def test_the_catalogue_says_of_the_model_what_its_server_does() -> None:
    model = CATALOG.models[MODEL]
    provider = CATALOG.providers[model.provider]
    assert (model.context_tokens, provider.max_in_flight) == (SLOT_TOKENS, PARALLEL)
    assert provider.base_url == EDGE_ADDRESS
