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

_UNFORMED = re.compile(r"AST node of type '([A-Za-z]+)[^']*' does not support JSON serialization")
_FIRST_WORDS: Final = {
    "ShowCreate": ("SHOW",),
    "ShowProcesslist": ("SHOW",),
    "ShowFunctions": ("SHOW",),
    "ShowSetting": ("SHOW",),
    "ShowEngine": ("SHOW",),
    "Exists": ("EXISTS",),
    "Describe": ("DESC", "DESCRIBE"),
    "Undrop": ("UNDROP",),
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
    found = _UNFORMED.search(str(error))
    word = first_word(text.encode())
    words = next((words for kind, words in _FIRST_WORDS.items() if found and found[1].startswith(kind)), ())
    if found is None:
        raise error
    if word not in words:
        return {"type": found[1]}
    if re.search(r"\boutfile\b", text, re.I):
        return {"type": found[1], "out_file": True}
    described = word in ("DESC", "DESCRIBE")
    return {"type": found[1], "allowed": True, **({"query": _described(text, ask)} if described else {})}


def _described(text: str, ask: Ask) -> Tree:
    rest = after_words(text.encode(), b"DESC", b"DESCRIBE", b"TABLE").decode()
    return parse(f"SELECT * FROM {rest}", ask)
