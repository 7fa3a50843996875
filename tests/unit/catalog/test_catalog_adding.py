"""A model put into a catalogue file: one line more, and not a character less."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog_file import CatalogError, add_model, load, parse
from pipeline.catalog_file.adding import with_model

HEAD = """# ours
version: 1
providers:
  p: {adapter: openai, base_url: "https://api.example.org/v1"}   # who
"""
TAIL = """
# who may ask
routes:
  auto: {candidates: ["*"]}
tenants: {t: {}}
"""
PRICE = "price: {input_per_mtok_usd: 1, output_per_mtok_usd: 2}"
ROW: dict[str, Any] = {
    "provider": "p", "upstream": "ft:m:org::abc", "flags": {"json_schema": True},
    "price": {"input_per_mtok_usd": 0.4, "output_per_mtok_usd": 1.6},
}  # fmt: skip
MODELS = {
    "flow rows": f"models:\n  m: {{provider: p, {PRICE}}}   # the first\n  # a remark\n",
    "block rows": "models:\n    m:\n        provider: p\n        price:\n            input_per_mtok_usd: 1\n"
    "            output_per_mtok_usd: 2   # dear\n    # a remark\n",
    "flow": f"models: {{m: {{provider: p, {PRICE}}}}}   # all in one\n",
    "flow over lines": f"models: {{\n  m: {{provider: p, {PRICE}}}\n}}\n",
    "long text": f"models:\n  m:\n    provider: p\n    {PRICE}\n    upstream: >-\n      long-name\n",
}


@pytest.mark.parametrize("models", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("tail", [TAIL, ""], ids=["between", "last"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_everything_but_the_row_stays_as_it_was(tmp_path: Path, models: str, tail: str, line_end: str) -> None:
    rest = "" if tail else TAIL
    text = (HEAD + rest + models + tail).replace("\n", line_end)
    path = tmp_path / "catalog.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    path.chmod(0o640)
    before = parse(text, {}).catalog
    add_model(path, "tuned", ROW, {})
    after = path.read_bytes().decode()
    catalog = load(path, {}).catalog
    assert set(catalog.models) == {"m", "tuned"}
    assert catalog.models["tuned"].upstream == "ft:m:org::abc"
    assert catalog.model_copy(update={"models": before.models}) == before
    start = next((at for at, (a, b) in enumerate(zip(text, after, strict=False)) if a != b), len(text))
    end = len(text) - start
    assert after[:start] + after[len(after) - end :] == text
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_without_a_last_line_end_gets_one_row_more() -> None:
    text = HEAD + TAIL + MODELS["flow rows"].rstrip("\n ")
    text = text[: text.rindex("\n")]
    assert parse(with_model(text, "tuned", ROW), {}).catalog.models["tuned"].provider == "p"


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("m", ROW, "is there already"),
        ("tuned", {**ROW, "provider": "q"}, "q"),
        ("tuned", {**ROW, "colour": "red"}, "colour"),
        ("tuned", {"provider": "p"}, "price"),
    ],
)
def test_what_would_be_no_catalogue_leaves_the_file_alone(
    tmp_path: Path, name: str, row: dict[str, Any], words: str
) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(HEAD + MODELS["flow rows"] + TAIL)
    with pytest.raises(CatalogError, match=words):
        add_model(path, name, row, {})
    assert path.read_text() == HEAD + MODELS["flow rows"] + TAIL
    assert list(tmp_path.iterdir()) == [path]


def test_the_shipped_catalogue_takes_a_model(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "infra" / "catalog.yaml"
    path = tmp_path / "catalog.yaml"
    path.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    add_model(path, "tuned", {**ROW, "provider": "openai"}, {})
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line not in shipped.read_text(encoding="utf-8").splitlines()] == [
        "  tuned: {provider: openai, upstream: 'ft:m:org::abc', flags: {json_schema: true}, "
        "price: {input_per_mtok_usd: 0.4, output_per_mtok_usd: 1.6}}"
    ]
