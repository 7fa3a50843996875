"""The little that must be known of a statement before the engine's parser sees it: first word, where inline data begins.

Lexical rules: https://clickhouse.com/docs/sql-reference/syntax. Nothing here decides what may run: `INSERT ... FORMAT X`
cannot be parsed together with megabytes of data, so it is cut, and the guard judges the head that is executed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["InsertHead", "after_words", "first_word", "insert_head"]

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*(?:\n|\Z)|\#[!\s][^\n]*(?:\n|\Z)|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
    |(?P<heredoc>\$(\w*)\$.*?\$\4\$)
    |(?P<word>\w+)
    |(?P<other>.)""",
    re.S | re.X,
)


@dataclass(frozen=True, slots=True)
class InsertHead:
    """`target`: the statement up to its format; `format`: as written; `data_at`: offset of the first byte of data."""

    target: bytes
    format: str
    data_at: int


def _tokens(text: bytes) -> Iterator[tuple[str, bytes, int, int]]:
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "other"
        if kind != "space":
            yield kind, found.group(), found.start(), found.end()


def first_word(text: bytes) -> str:
    """In upper case, past comments and opening brackets; empty if there is none."""
    for kind, token, _, _ in _tokens(text):
        if kind == "word":
            return token.decode("ascii", "replace").upper()
        if token != b"(":
            return ""
    return ""


def after_words(text: bytes, *words: bytes) -> bytes:
    """The rest of a statement past as many of these leading words (upper case) as are there, in order."""
    wanted, rest = list(words), 0
    for kind, token, _, end in _tokens(text):
        while wanted and token.upper() != wanted[0]:
            wanted.pop(0)
        if kind != "word" or not wanted:
            break
        wanted.pop(0)
        rest = end
    return text[rest:]


def insert_head(text: bytes) -> InsertHead | None:
    """The head of `INSERT ... FORMAT X` or `INSERT ... VALUES`; None for other statements, and for INSERT SELECT."""
    if first_word(text) != "INSERT":
        return None
    depth, format_at = 0, None
    for kind, token, start, end in _tokens(text):
        depth += (token == b"(") - (token == b")")
        if kind != "word" or depth:
            continue
        if format_at is not None:
            return InsertHead(text[:format_at], token.decode("ascii", "replace"), _data_start(text, end))
        match token.upper():
            case b"VALUES":
                return InsertHead(text[:start], "Values", end)
            case b"SELECT" | b"WITH" | b"INFILE":
                return None
            case b"FORMAT":
                format_at = start
    return None


def _data_start(text: bytes, at: int) -> int:
    """Past the blanks of the head's line and one line break: binary data may begin with any byte."""
    found = re.compile(rb"[ \t\f]*;?\r?\n?").match(text, at)
    return found.end() if found else at
