from pipeline.cli.demo import Show
from pipeline.cli.demo_rows import Row


def test_an_outcome_that_is_heard_of_before_its_row_counts_when_the_row_comes() -> None:
    show = Show()
    show.sent = True
    show.hear({"request_id": "r1", "model": "m", "attempts": 1})
    show.add(Row("r1", "a prompt", "HTTP, stream"))
    assert (show.rows["r1"].done, show.rows["r1"].model) == (True, "m")
    assert show.all_done.is_set()
