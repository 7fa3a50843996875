"""Which records become the next batch."""

from dataclasses import dataclass

import pytest

from pipeline.core.intake import LINGER_S, MAX_BYTES, MAX_RECORDS, Intake


@dataclass
class Record:
    offset: int
    value: bytes | None = b"x"


def _intake(offsets: list[int], *, until: int | None = None, value: bytes | None = b"x") -> Intake[Record]:
    intake: Intake[Record] = Intake(until=until)
    intake.add([Record(offset, value) for offset in offsets], (offsets or [-1])[-1] + 1, 0.0)
    return intake


def _taken(intake: Intake[Record], now_s: float = 0.0) -> list[int]:
    return [record.offset for record in intake.take(now_s)]


def test_quiet_times_wait_for_company_but_not_long() -> None:
    intake = _intake([1, 2])
    assert intake.due_in(0.0) == LINGER_S
    assert intake.due_in(LINGER_S) == 0
    assert _taken(intake, LINGER_S) == [1, 2]
    assert intake.due_in(LINGER_S) is None


def test_enough_records_are_due_at_once_and_no_more_are_taken() -> None:
    intake = _intake(list(range(MAX_RECORDS + 5)))
    assert intake.is_full
    assert intake.due_in(0.0) == 0
    assert len(_taken(intake)) == MAX_RECORDS
    assert (len(intake), intake.bytes, intake.is_full) == (5, 5, False)


def test_enough_bytes_are_due_at_once() -> None:
    intake = _intake([1, 2, 3], value=bytes(MAX_BYTES // 2 + 1))
    assert intake.due_in(0.0) == 0
    assert _taken(intake) == [1, 2]


def test_a_record_above_the_limit_is_a_batch() -> None:
    assert _taken(_intake([1, 2], value=bytes(MAX_BYTES + 1))) == [1]


def test_what_is_in_doubt_comes_in_the_range_that_it_had() -> None:
    intake = _intake([5, 6], until=7)
    assert intake.is_in_doubt
    assert intake.due_in(99.0) is None
    intake.add([Record(7), Record(8)], 9, 1.0)
    assert intake.due_in(1.0) == 0
    assert _taken(intake) == [5, 6, 7]


def test_a_hole_at_the_end_of_what_is_in_doubt_is_passed_by_position() -> None:
    intake = _intake([5, 6], until=7)
    intake.position = 8
    assert intake.due_in(0.0) == 0
    assert _taken(intake) == [5, 6]


def test_a_long_doubt_is_cleared_batch_by_batch() -> None:
    intake = _intake(list(range(MAX_RECORDS)), until=10 * MAX_RECORDS)
    assert intake.due_in(0.0) == 0
    assert len(_taken(intake)) == MAX_RECORDS


def test_nothing_is_read_twice() -> None:
    with pytest.raises(ValueError, match="comes again"):
        _intake([5, 6]).add([Record(6)], 7, 0.0)


def test_tombstones_have_no_bytes() -> None:
    assert _intake([1], value=None).bytes == 0
