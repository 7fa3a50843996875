"""A statement's tree, from the engine's own parser: `parseQueryToJSON`, the text passed as a parameter, never spliced.

Some statements have no JSON form: `DESCRIBE`, `EXISTS`, `SHOW CREATE` and a few `SHOW`. Of these the engine names the kind;
they carry no expressions but `DESCRIBE`, whose table expression is parsed as that of a `SELECT`.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from connectors.sql_endpoint.errors import SqlError
from connectors.sql_endpoint.lexing import after_words, first_word

__all__ = ["Tree", "parse"]

Tree = dict[str, Any]
Ask = Callable[[str], bytes]

# At the front only: further on, the engine quotes the statement, which may say anything.
_UNFORMED = re.compile(r"Code: 36\. DB::Exception: AST node of type '([A-Za-z]+)")
_FIRST_WORDS: Final = {
    "ShowCreate": ("SHOW",),
    "ShowProcesslist": ("SHOW",),
    "ShowFunctions": ("SHOW",),
    "ShowSetting": ("SHOW",),
    "ShowEngine": ("SHOW",),
    "Exists": ("EXISTS",),
    "Describe": ("DESC", "DESCRIBE"),
}


def parse(text: str, ask: Ask) -> Tree:
    """The tree of one statement; `ask` gives the engine's JSON for a text.

    Raises:
        SqlError: It is none, or several.
    """
    try:
        tree = json.loads(ask(text))
    except SqlError as error:
        return _unformed(text, error, ask)
    return tree if isinstance(tree, dict) else {"type": "Unknown"}


def _unformed(text: str, error: SqlError, ask: Ask) -> Tree:
    """A kind without JSON form, if the statement's first word says that it is the whole statement's kind."""
    found = _UNFORMED.match(str(error))
    if found is None:
        raise error
    kind, word = found[1], first_word(text.encode())
    if not any(kind.startswith(stem) and word in words for stem, words in _FIRST_WORDS.items()):
        return {"type": kind}
    if re.search(r"\boutfile\b", text, re.I):
        return {"type": kind, "out_file": True}
    return {"type": kind, "allowed": True, "query": _described(text, ask) if kind == "DescribeQuery" else None}


def _described(text: str, ask: Ask) -> Tree:
    rest = after_words(text.encode(), b"DESC", b"DESCRIBE", b"TABLE").decode()
    return parse(f"SELECT * FROM {rest}", ask)
