"""Which transitions of breakers belong to a request."""

from typing import Any

from pipeline.operations.breakers_then import breakers_then

NEAR, FAR, OTHER = "sim/m-1/us", "far/m-2/eu", "other/m-3/us"
DOCUMENT: dict[str, Any] = {
    "enriched": {"accepted_at": "2025-11-25T12:00:10.000Z"},
    "decisions": [{"view": {NEAR: {}}}],
    "attempts": [{"provider": "far", "model": "m-2", "region": "eu"}],
    "response": {"finished_at": "2025-11-25T12:00:20.000Z"},
}


def at(second: int, endpoint: str = NEAR, epoch: int = 1) -> dict[str, Any]:
    return {"endpoint": endpoint, "epoch": epoch, "at": f"2025-11-25T12:00:{second:02d}.000Z"}


def test_the_last_one_before_and_all_until_the_outcome() -> None:
    said = [at(1), at(9, epoch=2), at(12, epoch=3), at(20, epoch=4), at(21, epoch=5), at(11, OTHER), at(5, FAR)]
    assert breakers_then(DOCUMENT, said) == [at(5, FAR), at(9, epoch=2), at(12, epoch=3), at(20, epoch=4)]


def test_the_order_in_which_they_come_does_not_matter() -> None:
    said = [at(1), at(9, epoch=2), at(12, epoch=3), at(12, epoch=4), at(5, FAR)]
    assert breakers_then(DOCUMENT, said[::-1]) == breakers_then(DOCUMENT, said)


def test_an_open_request_has_those_until_now() -> None:
    assert breakers_then(DOCUMENT | {"response": None}, [at(59)]) == [at(59)]


def test_a_request_that_nobody_decided_has_none() -> None:
    nothing = {"enriched": None, "decisions": [], "attempts": [], "response": None}
    assert breakers_then(nothing, [at(1)]) == []
