"""The house in order: the map and the topics agree, and the papers say what the code says.

Who may import whom is checked by import-linter (`make lint`), not here.
"""

import re
import tomllib
from pathlib import Path

import pytest

from pipeline.topology import FLOW, markdown
from schemas.errors import ERROR_CODES, ERROR_KINDS, KindRow
from schemas.topics import TOPICS, Topic

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = {topic for stage in FLOW for topic in (*stage.emits, *stage.logs)}
READ = {topic for stage in FLOW for topic in (*stage.reads, *stage.looks_at)}


def _name(topic: Topic) -> str:
    return topic.name


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _dependencies() -> list[str]:
    project = tomllib.loads(_text("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *(row for rows in project["optional-dependencies"].values() for row in rows)]
    names = [re.match(r"[A-Za-z0-9._-]+", row) for row in wanted]
    return [name.group() for name in names if name]


def _next_candidate(row: KindRow) -> str:
    return "larger context only" if row.larger_context_only else _yes(row.fails_over)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def test_every_topic_of_the_flow_is_declared() -> None:
    assert sorted(map(_name, (WRITTEN | READ) - set(TOPICS))) == []


@pytest.mark.parametrize("topic", TOPICS, ids=_name)
def test_every_topic_is_written_by_a_stage(topic: Topic) -> None:
    assert topic in WRITTEN


@pytest.mark.parametrize("topic", TOPICS, ids=_name)
def test_every_topic_has_a_reader_or_is_terminal(topic: Topic) -> None:
    assert topic in READ or topic.terminal


def test_topic_names_are_unique_and_versioned() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z-]+(\.[a-z{}-]+)*\.v[1-9][0-9]*", name)] == []


@pytest.mark.parametrize("stage", FLOW, ids=lambda stage: stage.name)
def test_every_row_of_the_map_names_a_module_and_a_stage_that_exist(stage) -> None:  # type: ignore[no-untyped-def]
    assert (ROOT / stage.module).is_file()
    assert not stage.hands_to or stage.hands_to in {other.name for other in FLOW}


def test_the_drawn_topology_is_fresh() -> None:
    assert _text("docs/topology.md") == markdown(), "run `make topology`"


@pytest.mark.parametrize("name", _dependencies())
def test_every_dependency_has_its_reason(name: str) -> None:
    assert f"`{name}`" in _text("docs/decisions/0002-dependencies.md")


def test_the_lock_holds_no_address() -> None:
    suspicious = re.compile(r"://|\bgit\+|--(extra-)?index-url|--find-links|--trusted-host|\s@\s")
    assert [line for line in _text("requirements.lock").splitlines() if suspicious.search(line)] == []


def test_every_error_code_is_documented_with_its_status() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| (true|false) \| \S.* \|$", _text("docs/errors.md"), re.M)
    said = {code: (int(status), retry == "true") for code, status, retry in rows}
    assert len(said) == len(rows)
    assert said == {str(code): (row.status, row.should_retry) for code, row in ERROR_CODES.items()}


def test_every_kind_of_failure_is_documented_with_its_row() -> None:
    expected = [
        f"| `{kind}` | `{row.code}` | {_next_candidate(row)} | {row.retries_same} | {_yes(row.waits)} "
        f"| {_yes(row.alarms)} |"
        for kind, row in ERROR_KINDS.items()
    ]
    kinds = _text("docs/errors.md").partition("## Kinds of provider failure")[2]
    assert [line for line in kinds.splitlines() if line.startswith("| `")] == expected


@pytest.mark.parametrize(
    "path", sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_links_between_papers_lead_somewhere(path: str) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", _text(path))
    assert [link for link in links if not ((ROOT / path).parent / link).exists()] == []
