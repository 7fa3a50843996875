"""Documents of runs, and who may carry one out."""

from pathlib import Path

import pytest

from pipeline.operations.replaying.errors import UnderWay, Unusable
from pipeline.operations.replaying.runs import RunStore


def document(run_id: str, started_at: str, status: str = "done") -> dict[str, str]:
    return {"run_id": run_id, "started_at": started_at, "status": status}


def test_the_newest_run_comes_first_and_others_files_are_none(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert store.all() == []
    with store.held("send-01"):
        store.write(document("send-01", "2026-11-27"))
        store.write(document("reprice-02", "2026-11-28"))
    (tmp_path / "replays" / "send-03.json").write_text("{")
    assert [each["run_id"] for each in store.all()] == ["reprice-02", "send-01"]
    assert store.read("send-01") == document("send-01", "2026-11-27")


@pytest.mark.parametrize("name", ["../up", "send-01/../../up", "send-zz", "", "send-01.lock"])
def test_a_name_that_is_no_run_finds_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "up.json").write_text("{}")
    assert RunStore(tmp_path).read(name) is None


def test_a_run_that_nobody_carries_out_any_more_is_interrupted(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with store.held("send-01"):
        store.write(document("send-01", "2026-11-27", "running"))
        assert store.all()[0]["status"] == "running"
        with pytest.raises(UnderWay, match="send-01"), store.held("send-01"):
            pass
    assert store.all()[0]["status"] == "interrupted"


def test_a_data_directory_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match="cannot be written"), RunStore(tmp_path / "file").held("send-01"):
        pass
