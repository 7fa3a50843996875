"""Events as people read them, and back."""

from pathlib import Path

import pytest
from schema_examples import IDS, PATHS, event_of

from schemas.events import Decision, Proof
from schemas.jsonable import of_json, to_json


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_an_event_comes_back_from_its_json(path: Path) -> None:
    event = event_of(path)
    assert of_json(type(event), to_json(event)) == event


def test_what_was_left_out_is_the_default() -> None:
    said = {"request_id": "r", "tenant": "t", "attempt": 1, "cause": "first", "policy_version": "p", "seed": 1}
    more = {"profile_version": "", "classifier_version": "", "reason": "", "decided_at": "2026-01-01T00:00:00.123Z"}
    event = of_json(Decision, {**said, **more, "proof": {"sensitivity": "public"}, "of_a_later_release": 1})
    assert (event.decided_at, event.proof, event.tried) == (1_767_225_600_123, Proof("public"), [])
