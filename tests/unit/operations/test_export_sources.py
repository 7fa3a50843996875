"""The file of an export: whole or not at all, and which source it is made of."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.exporting import Answered, Asked, Place, Wanted
from pipeline.operations.exporting import ExportError, Order, export
from pipeline.operations.exporting import exporting as module
from pipeline.operations.exporting.gathering import Gathered, Spool
from pipeline.operations.running import Connection

WHERE = Connection("k:1", "llm.", 2, "c.yaml", None, {})
WANTED = Wanted("acme", "csv", 0, 10, True)
ANYTHING: Any = object()


def asked(place: Place, user: str = "u") -> Asked:
    return Asked("r-1", place, 5, "auto", "chat", "primary", user, "", "en", "chat", 0.1, "simple", "internal", {})


def answered(place: Place, model: str = "m") -> Answered:
    return Answered("r-1", place, "ok", 6, "p", model, "us", "stop", 1, 1, "none", 1, 1, 0, 1, 1, 1)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(path: Path) -> tuple[int, str, int]:
    """Mode, SHA-256, bytes."""
    content = path.read_bytes()
    return path.stat().st_mode & 0o777, hashlib.sha256(content).hexdigest(), len(content)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each source says, and whether Kafka still has everything."""
    said: dict[str, Any] = {"kafka": None, "clickhouse": None, "is_there": True, "asked": []}

    def reading(name: str) -> Any:
        async def read(_source: Any, _wanted: Wanted, gathered: Gathered) -> None:
            said["asked"].append(name)
            gathered.ask(asked(Place(0, 1)), b"{}")
            gathered.answer(answered(Place(0, 2)), b"{}")
            if said[name] is not None:
                raise said[name]

        return read

    async def are_there(*_: Any) -> bool:
        return bool(said["is_there"])

    monkeypatch.setattr(module, "gather_topics", reading("kafka"))
    monkeypatch.setattr(module, "gather_rows", reading("clickhouse"))
    monkeypatch.setattr(module, "are_there", are_there)
    return said


async def made(out: Path, where: Any = WHERE, reader: Any = ANYTHING, source: Any = None) -> dict[str, Any]:
    return await export(Order(WANTED, out, source), where, reader, lambda _: None)


async def test_file_and_manifest_appear_together(tmp_path: Path, sources: dict[str, Any]) -> None:
    out = tmp_path / "x.csv"
    manifest = await made(out)
    assert names(tmp_path) == ["x.csv", "x.csv.manifest.json"]
    assert written(out) == (0o600, manifest["sha256"], manifest["bytes"])
    assert manifest["rows"] == 1
    assert manifest["offsets"] == {
        "enriched.v1": {"0": {"first": 1, "last": 1}}, "responses.v1": {"0": {"first": 2, "last": 2}},
    }  # fmt: skip


@pytest.mark.parametrize("step", ["reading", "writing", "manifest"])
async def test_whatever_breaks_nothing_half_written_stays(
    tmp_path: Path, sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("broken")

    out = tmp_path / "x.csv"
    if step == "reading":
        sources["kafka"] = RuntimeError("broken")
    else:
        monkeypatch.setattr(module, {"writing": "lines_of", "manifest": "_manifest"}[step], fails)
    with pytest.raises(RuntimeError, match="broken"):
        await made(out)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("is_there", "where", "reader", "source", "used"),
    [
        (True, WHERE, ANYTHING, None, "kafka"),
        (False, WHERE, ANYTHING, None, "clickhouse"),
        (True, None, ANYTHING, None, "clickhouse"),
        (False, WHERE, None, "kafka", "kafka"),
        (True, WHERE, ANYTHING, "clickhouse", "clickhouse"),
    ],
)
async def test_kafka_is_read_while_it_has_everything(
    tmp_path: Path, sources: dict[str, Any], is_there: bool, where: Any, reader: Any, source: Any, used: str
) -> None:
    sources["is_there"] = is_there
    manifest = await made(tmp_path / "x.csv", where, reader, source)
    assert (sources["asked"], manifest["arguments"]["source"]) == ([used], used)


@pytest.mark.parametrize(
    ("where", "reader", "source", "words"),
    [
        (WHERE, None, None, "no longer has everything"),
        (None, ANYTHING, "kafka", "no Kafka"),
        (WHERE, None, "clickhouse", "no ClickHouse"),
    ],
)
async def test_without_a_source_nothing_is_exported(
    tmp_path: Path, sources: dict[str, Any], where: Any, reader: Any, source: Any, words: str
) -> None:
    sources["is_there"] = False
    with pytest.raises(ExportError, match=words):
        await made(tmp_path / "x.csv", where, reader, source)
    assert names(tmp_path) == []


async def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, sources: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match="no directory"):
        await made(tmp_path / "none" / "x.csv")
    (folder := tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match="cannot be written"):
        await made(folder)
    assert names(tmp_path) == ["folder"]


def test_the_record_at_the_lower_place_is_the_first(tmp_path: Path) -> None:
    gathered = Gathered(Spool(tmp_path))
    for offset in (5, 3, 9):
        gathered.ask(asked(Place(1, offset), f"u-{offset}"), b"%d" % offset)
        gathered.answer(answered(Place(1, offset), f"m-{offset}"), b"%d" % offset)
    choice = module.choose(WANTED, gathered.asked.values(), gathered.answered, [], [])
    [one] = choice.exchanges
    bodies = gathered.bodies(one)
    assert (one.asked.user, one.answered.model, bodies.asked, bodies.answered) == ("u-3", "m-3", b"3", b"3")
    gathered.spool.close()
