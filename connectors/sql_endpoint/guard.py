"""The second wall: what a statement's tree may hold. Pure; everything that is not on a list is refused.

Rules, in order; a refusal is an `ACCESS_DENIED`:
1. the kind of statement is one of `_READS` and `_WRITES`; a caller who may only read gets `_READS`
2. no `INTO OUTFILE`, `FROM INFILE`, `ATTACH`, `SQL SECURITY`, dictionary
3. table functions, table engines and database engines are those listed
4. settings: any that is a number, a flag or a choice; of those that hold text (names, places, expressions) the listed ones
5. scalar functions: all but those that reach out of the database, which the engine's grants do not cover (chDB 26.9)

Table functions that take a structure as text (`values`, `format`, `generateRandom`, `null`, `input`) are not listed: a
`DEFAULT` or `ALIAS` in it is an expression that no tree shows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors.sql_endpoint.errors import SqlError
from connectors.sql_endpoint.parsing import Tree

__all__ = ["Statement", "check_setting", "judge"]

_STREAMED: Final = "SelectWithUnionQuery"
_READS: Final = {
    _STREAMED: "select",
    "SelectQuery": "select",
    "SelectIntersectExceptQuery": "select",
    "ShowTablesQuery": "show",
    "ShowColumnsQuery": "show",
    "ShowIndexesQuery": "show",
    "ExplainQuery": "explain",
    "UseQuery": "set",
    "SetQuery": "set",
}
_WRITES: Final = {
    "InsertQuery": "insert",
    "CreateQuery": "create",
    "DropQuery": "drop",
    "AlterQuery": "alter",
    "RenameQuery": "alter",
    "OptimizeQuery": "optimize",
    "CheckTableQuery": "check",
    "DeleteQuery": "delete",
    "UpdateQuery": "update",
    "KillQueryQuery": "kill",
}
_WITHOUT_ROWS: Final = frozenset({"insert", "create", "drop", "alter", "optimize", "delete", "update", "set"})

_TABLE_FUNCTIONS: Final = frozenset(
    [
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "generateseries",
        "generate_series",
        "primes",
        "merge",
        "view",
        "mergetreeindex",
    ]
)
_TABLE_ENGINES: Final = frozenset(
    f"{kind}MergeTree"
    for kind in ("", "Replacing", "Summing", "Aggregating", "Collapsing", "VersionedCollapsing", "Coalescing")
) | {"Memory", "Log", "TinyLog", "StripeLog", "Null", "Set", "Join", "Merge", "Buffer", "View", "MaterializedView"}
_DATABASE_ENGINES: Final = frozenset({"Atomic", "Memory"})

_FUNCTIONS_OUT: Final = frozenset(
    [
        "file",
        "hascolumnintable",
        "getclienthttpheader",
        "logtrace",
        "showcertificate",
        "addresstoline",
        "addresstolinewithinlines",
        "addresstosymbol",
        "catboostevaluate",
        "evalmlmethod",
        "reversednsquery",
        "executable",
        "url",
        "remote",
    ]
)
_FUNCTIONS_OUT_PREFIXES: Final = ("ai", "dictget")

_TEXT_TYPES: Final = frozenset({"String", "Map", "URI", "Dialect", "LogsLevel", "SQLSecurityType"})
_TEXT_SETTINGS: Final = frozenset(
    [
        "auto_statistics_types",
        "bool_false_representation",
        "bool_true_representation",
        "column_names_for_schema_inference",
        "compatibility",
        "count_distinct_implementation",
        "default_compression_codec",
        "default_format",
        "errors_output_format",
        "force_data_skipping_indices",
        "force_optimize_projection_name",
        "format_csv_null_representation",
        "format_custom_field_delimiter",
        "format_custom_result_after_delimiter",
        "format_custom_result_before_delimiter",
        "format_custom_row_after_delimiter",
        "format_custom_row_before_delimiter",
        "format_custom_row_between_delimiter",
        "format_regexp",
        "format_tsv_null_representation",
        "ignore_data_skipping_indices",
        "input_format_orc_reader_time_zone_name",
        "insert_deduplication_token",
        "log_comment",
        "marks_compression_codec",
        "output_format_avro_codec",
        "output_format_avro_string_column_pattern",
        "output_format_orc_writer_time_zone_name",
        "output_format_pretty_grid_charset",
        "preferred_optimize_projection_name",
        "primary_key_compression_codec",
        "query_cache_tag",
        "schema_inference_hints",
    ]
)


@dataclass(frozen=True, slots=True)
class Statement:
    """`kind` for metrics; `format` as the statement names it; `streams`: the engine can give its rows piece by piece."""

    kind: str
    format: str | None
    is_read: bool
    has_rows: bool
    streams: bool


def judge(tree: Tree, setting_types: Mapping[str, str], *, may_write: bool) -> Statement:
    """What the statement is.

    Raises:
        SqlError: It may not run.
    """
    name = str(tree.get("type"))
    kind = "show" if tree.get("allowed") else _READS.get(name) or _WRITES.get(name)
    if kind is None:
        raise _refused(f"statements of the kind {name} are not served here")
    is_read = name in _READS or kind == "show"
    if not is_read and not may_write:
        raise SqlError(164, "Cannot execute query in readonly mode: only reading is allowed to this caller")
    for node in _nodes(tree):
        _check(node, setting_types)
    form = tree.get("format_ast") or {}
    return Statement(kind, form.get("name"), is_read, kind not in _WITHOUT_ROWS, name == _STREAMED)


def check_setting(name: str, setting_types: Mapping[str, str]) -> None:
    """A setting of a statement or of a request. Unknown ones are the engine's to refuse.

    Raises:
        SqlError: It could name a place or hide an expression.
    """
    if setting_types.get(name) in _TEXT_TYPES and name not in _TEXT_SETTINGS:
        raise SqlError(452, f"Setting {name} should not be changed here")


def _nodes(tree: Any) -> Iterator[Tree]:
    if isinstance(tree, dict):
        yield tree
        tree = tree.values()
    elif not isinstance(tree, list):
        return
    for part in tree:
        yield from _nodes(part)


def _check(node: Tree, setting_types: Mapping[str, str]) -> None:
    for forbidden in ("out_file", "infile", "attach_from_path", "sql_security", "definer"):
        if node.get(forbidden):
            raise _refused(f"{forbidden.upper().replace('_', ' ')} is not served here")
    if node.get("type") == "CreateQuery" and (node.get("is_dictionary") or node.get("attach")):
        raise _refused("dictionaries and ATTACH are not served here")
    for place in ("table_function", "as_table_function"):
        if isinstance(function := node.get(place), dict):
            _check_table_function(str(function.get("name")))
    if node.get("type") == "Function":
        _check_function(node)
    if "func_name" in node:
        _check_scalar(str(node["func_name"]))
    if node.get("type") == "SetQuery":
        for name in _settings(node):
            check_setting(name, setting_types)


def _settings(node: Tree) -> Iterator[str]:
    for change in node.get("changes") or ():
        yield str(change.get("name"))
    for name in node.get("default_settings") or ():
        yield str(name)


def _check_table_function(name: str) -> None:
    if name.lower() not in _TABLE_FUNCTIONS:
        raise _refused(f"the table function {name} is not served here")


def _check_function(node: Tree) -> None:
    name, kind = str(node.get("name")), node.get("kind")
    allowed = {"TABLE_ENGINE": _TABLE_ENGINES, "DATABASE_ENGINE": _DATABASE_ENGINES}.get(str(kind))
    if allowed is None:
        _check_scalar(name)
    elif name not in allowed:
        raise _refused(f"the engine {name} is not served here")


def _check_scalar(name: str) -> None:
    low = name.lower()
    if low in _FUNCTIONS_OUT or low.startswith(_FUNCTIONS_OUT_PREFIXES):
        raise _refused(f"the function {name} is not served here")


def _refused(message: str) -> SqlError:
    return SqlError(497, message)
