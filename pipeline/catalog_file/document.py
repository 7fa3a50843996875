"""YAML text -> plain data that knows the line of each of its paths.

1. read     a regular file, UTF-8, at most 4 MiB
2. compose  YAML nodes; scalars by the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema), so `no`,
            `on`, 012 and 1:30 stay text
3. build    dicts and lists; equal keys, odd tags and bombs of aliases are refused, with their lines
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pipeline.catalog_file.problems import Finding, KeyPath, Problem, dotted, unusable

MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 200_000  # after aliases are followed: a few lines of YAML can stand for billions of values
MAX_DEPTH = 32
_TAG = "tag:yaml.org,2002:"
_CONSTANTS = {"true": True, "false": False}


def read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise unusable("is not a regular file" if path.exists() else "does not exist")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unusable(f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise unusable(f"is larger than {MAX_BYTES // 1024**2} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable("is not UTF-8", line=content.count(b"\n", 0, error.start) + 1) from None


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name and kind that PyYAML looks for


class Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, _pattern, _first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("null", r"(?:~|null|Null|NULL|)\Z", "~nN"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)\Z", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789"),
    ("merge", r"<<\Z", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(_pattern), [*_first, *([""] if _kind == "null" else [])])


def _compose(text: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise unusable(f"a character that YAML does not allow: U+{ord(text[error.position]):04X}", line=line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise unusable(f"not valid YAML: {said}", line=mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise unusable(f"is not valid YAML ({type(error).__name__})") from None
    if not isinstance(node, yaml.MappingNode):
        raise unusable("is empty" if node is None else "must be a mapping (key: value) at the top")
    return node


class Document:
    """A file as plain data that knows the line of each of its paths, and gathers what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.unreadable: set[KeyPath] = set()
        self._lines: dict[KeyPath, int] = {(): 1}
        self._values = 0
        self.data: dict[str, Any] = self._mapping(_compose(text), ())

    def report(self, findings: Iterable[Finding]) -> None:
        self.problems.extend(Problem(self.line_of(path), dotted(path), message) for path, message in findings)

    def warn(self, findings: Iterable[Finding]) -> None:
        self.warnings.extend(Problem(self.line_of(path), dotted(path), message) for path, message in findings)

    def __contains__(self, path: KeyPath) -> bool:
        return path in self._lines

    def line_of(self, path: KeyPath) -> int:
        """Of the path, or of the nearest part around it that stands in the file."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _problem(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, dotted(path), message))
        self.unreadable.add(path)

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise unusable("too much, or too deeply nested; aliases count in full", line=node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in {_TAG + "map", _TAG + "seq"}:
            return self._problem(node, path, f"the tag {node.tag} is not allowed")
        return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        for index, item in enumerate(node.value):
            self._lines[*path, index] = item.start_mark.line + 1
        return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        members = self._members(node, path, depth=0)
        self._lines |= {(*path, name): key.start_mark.line + 1 for name, (key, _) in members.items()}
        return {name: self._value(value, (*path, name)) for name, (_, value) in members.items()}

    def _members(self, node: yaml.Node, path: KeyPath, *, depth: int) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Keys with their nodes; what is merged in (`<<: *base`) gives way to what the mapping says itself."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                merged = {**self._merged(value, path, depth=depth), **merged}
            elif (name := self._key(key, path)) is None:
                continue
            elif name in own:
                first = own[name][0].start_mark.line + 1
                self._problem(key, (*path, name), f'the key "{name}" stands twice (first in line {first})')
            else:
                own[name] = (key, value)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: KeyPath, *, depth: int) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if depth > MAX_DEPTH or not all(isinstance(source, yaml.MappingNode) for source in sources):
            self._problem(node, path, "only mappings can be merged, and no mapping into itself")
            return {}
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for source in sources:
            found = {**self._members(source, path, depth=depth + 1), **found}
        return found

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + "str":
            shown = f"; put {node.value} in quotes" if isinstance(node, yaml.ScalarNode) else ""
            self._problem(node, path, f"a key must be text{shown}")
            return None
        name = self._scalar(node, path)
        return name if isinstance(name, str) else None

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        try:
            return _read_scalar(node.tag.removeprefix(_TAG), node.value)
        except (ValueError, KeyError):
            return self._problem(node, path, f"cannot be read as {node.tag.removeprefix(_TAG)}")


def _read_scalar(kind: str, text: str) -> str | int | float | bool | None:
    """Raises ValueError or KeyError for text that is none of its kind, and for kinds that are not allowed."""
    match kind:
        case "str":
            text.encode()  # an escape such as "\ud800" is no text, and would break whatever writes it later
            return text
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "bool":
            return _CONSTANTS[text.lower()]
        case "null":
            return None
    raise ValueError(kind)
