"""The guard refuses what is on no list. The real parser's trees are judged in tests/integration/sql."""

from typing import Any

import pytest

from connectors.sql_endpoint.errors import SqlError
from connectors.sql_endpoint.guard import check_setting, judge

TYPES = {"max_threads": "UInt64", "disk": "String", "log_comment": "String", "url_base": "String", "new_text": "String"}
SELECT = {"type": "SelectWithUnionQuery"}


def _judge(tree: dict[str, Any], *, may_write: bool = True) -> Any:
    return judge(tree, TYPES, may_write=may_write)


@pytest.mark.parametrize("kind", ["SystemQuery", "BackupQuery", "SomethingNew", "", "ShowCreateTableQuery"])
def test_a_kind_that_nobody_listed_is_refused(kind: str) -> None:
    with pytest.raises(SqlError, match="497"):
        _judge({"type": kind})


def test_a_kind_without_tree_counts_only_if_the_parser_vouches_for_it() -> None:
    assert _judge({"type": "ShowCreateTableQuery", "allowed": True}, may_write=False).kind == "show"


@pytest.mark.parametrize(
    "node",
    [
        {"table_function": {"type": "Function", "name": "somethingNew"}},
        {"as_table_function": {"type": "Function", "name": "FILE"}},
        {"type": "Function", "name": "File", "kind": "TABLE_ENGINE"},
        {"type": "Function", "name": "NewEngine", "kind": "TABLE_ENGINE"},
        {"type": "Function", "name": "Lazy", "kind": "DATABASE_ENGINE"},
        {"type": "Function", "name": "FiLe"},
        {"type": "ColumnsApplyTransformer", "func_name": "file"},
        {"out_file": {"type": "Literal"}},
        {"infile": {"type": "Literal"}},
        {"type": "CreateQuery", "attach": True},
    ],
)
def test_a_node_is_found_however_deep(node: dict[str, Any]) -> None:
    with pytest.raises(SqlError, match="497"):
        _judge({**SELECT, "children": [{"x": [{"y": node}]}]})


@pytest.mark.parametrize(("name", "allowed"), [("max_threads", True), ("log_comment", True), ("unknown", True),
                                               ("disk", False), ("url_base", False), ("new_text", False)])  # fmt: skip
def test_a_setting_that_holds_text_must_be_listed(name: str, allowed: bool) -> None:
    tree = {**SELECT, "settings": {"type": "SetQuery", "changes": [{"name": name}]}}
    if allowed:
        _judge(tree)
        check_setting(name, TYPES)
        return
    with pytest.raises(SqlError, match="452"):
        _judge(tree)


def test_a_reader_gets_only_reads() -> None:
    assert _judge(SELECT, may_write=False).is_read
    with pytest.raises(SqlError, match="164"):
        _judge({"type": "InsertQuery"}, may_write=False)
