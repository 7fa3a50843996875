"""What the README tells people to type exists.

`make run` and `make test` themselves are not run here: `make test` runs this very suite and would start itself again, and
`make run` needs the default ports and the checkout's own environment, which the suite may be running in. So their targets
are looked up in the Makefile, and each `millrace` command is asked for its `--help`.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
GROUPS = {"topics", "config", "dlq"}
"""Verbs that have verbs of their own."""


def _verbs(line: str) -> tuple[str, ...]:
    words = line.split()[1:]
    return tuple(words[:2] if words[0] in GROUPS else words[:1])


COMMANDS = sorted({_verbs(line) for line in LINES if re.match(r"millrace [a-z]", line)})
TARGETS = sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", "\n".join([*LINES, README]), re.M)))
FILES = sorted(set(re.findall(r"`((?:schemas|pipeline|connectors|infra|tests|docs)/[\w./-]*)`", README)))


def test_the_readme_names_commands_and_targets() -> None:
    assert len(COMMANDS) >= 5
    assert {"run", "test"} <= set(TARGETS)


@pytest.mark.parametrize("verbs", COMMANDS, ids=" ".join)
def test_command_of_the_readme_exists(verbs: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *verbs, "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("path", FILES)
def test_file_of_the_readme_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_other_shell_lines_are_known() -> None:
    known = re.compile(r"millrace |make |curl -s http://127\.0\.0\.1:8080/|MILLRACE_DEMO_KEY=")
    assert [line for line in LINES if not known.match(line)] == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    section = README.partition("\n## Test\n")[2].partition("\n## ")[0]
    assert re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S) == ["make test\n"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert '"## Test"' in ci
    assert "make check" in ci
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
