"""The model at the edge without the extra: what is found, what is said."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.edge import ExtraMissing, RuntimeUnusable, installed, model, serve, server
from pipeline.cli.main import app


def _carrier(folder: Path) -> Path:
    """A package like the one that carries the model: importing it would fail."""
    package = folder / "carrier_of_a_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    file = package / model._FILE
    file.write_bytes(b"GGUF")
    return file


def test_the_models_file_is_found_without_importing_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _carrier(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(model, "_CARRIER", "carrier_of_a_model")
    assert model.model_file() == file


def test_a_package_without_the_file_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _carrier(tmp_path).unlink()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(model, "_CARRIER", "carrier_of_a_model")
    assert model.model_file() is None


def test_without_the_extra_nothing_is_installed_and_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_CARRIER", "no_such_package_here")
    assert not installed()
    with pytest.raises(ExtraMissing, match="make edge"):
        serve(1)


def test_a_runtime_that_does_not_load_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    monkeypatch.setattr(server, "installed", lambda: True)
    with pytest.raises(RuntimeUnusable, match="libgomp"):
        serve(1)


def test_the_command_ends_with_one_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "installed", lambda: False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    done = CliRunner().invoke(app, ["edge"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["event"], said["stage"], said["reason"]) == ("exit", "edge", "ExtraMissing")
    assert "make edge" in said["detail"]


@pytest.mark.parametrize(("cores", "used"), [(1, 1), (2, 1), (4, 2), (64, 4)])
def test_half_of_the_cores_are_left_to_the_platform(cores: int, used: int) -> None:
    assert server.threads(cores) == used
