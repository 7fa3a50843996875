"""Whatever a file holds, loading gives a catalogue or a CatalogError with lines that exist."""

import copy
from typing import Any

import yaml
from catalog_builder import ROOT, SMALL
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalog_file import CatalogError, LoadedCatalog, parse, read_document

DEFAULT = (ROOT / "infra" / "catalog.yaml").read_text(encoding="utf-8")
DOCUMENT = read_document(ROOT / "tests" / "unit" / "catalog" / "reports.yaml")
ENV = {"REP_MAIN_KEYS": "some-key-1", "P_KEY": "x y", "T_KEYS": ","}
PIECES = ["{", "}", "[", "]", ":", ": ", ", ", "- ", "#", "&a ", "*a", "<<: *a", "!!int ", "'", '"', "|\n", "\n", "\t", "\n  ", "~", "1e9", "\u2028", "\ud800", "\\x", "%", "---\n", "? ", "0", "true"]  # fmt: skip  # noqa: E501

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["m1", "*", "auto", "none", "shadow:s", "webhook:X"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def attempt(text: str) -> LoadedCatalog | None:
    try:
        return parse(text, ENV)
    except CatalogError as error:
        assert error.problems
        assert all(0 <= problem.line <= text.count("\n") + 2 + text.count("\u2028") for problem in error.problems)
        assert "x y" not in str(error)
        return None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_text_with_pieces_cut_out_and_put_in_never_breaks_the_loader(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([SMALL, DEFAULT]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(st.sampled_from(PIECES) | st.text(max_size=6)) + text[end:]
    attempt(text)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_value_in_any_place_never_breaks_the_loader(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENT)
    spot: Any = document
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(spot[key], dict | list) or not spot[key] or data.draw(st.booleans()):
            spot[key] = data.draw(values)
            break
        spot = spot[key]
    attempt(yaml.safe_dump(document))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_never_breaks_the_loader(text: str) -> None:
    assert attempt(text) is None
