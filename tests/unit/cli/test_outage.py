from collections import Counter

from pipeline.cli.outage import Second, _line, _summary


def test_the_summary_says_when_it_opened_and_when_it_was_closed_again() -> None:
    states = ["closed"] * 7 + ["open"] * 14 + ["ramp"] * 3 + ["closed"] * 5
    timeline = [Second(sent=2, answered=Counter(m=2), breaker=state) for state in states]
    said = _summary(timeline, "p/m/us", 12, lost=1)
    assert (said["answered"], said["failed"], said["open"]) == (58, 0, 1)
    assert (said["opened_at_s"], said["closed_after_s"]) == (7, 6)


def test_without_a_trip_there_is_nothing_to_close() -> None:
    said = _summary([Second(sent=1, failed=Counter(timeout=1))], "p/m/us", 3, lost=0)
    assert (said["failed"], said["opened_at_s"], said["closed_after_s"]) == (1, None, None)


def test_a_line_names_who_answered_and_what_failed() -> None:
    line = _line(8, Second(3, Counter(b=1, a=1), Counter(timeout=1), "open"), away=True)
    assert "a 1, b 1, timeout 1" in line
    assert line.split()[-2:] == ["open", "away"]
