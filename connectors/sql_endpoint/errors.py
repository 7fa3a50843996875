"""What can go wrong, in ClickHouse's words on the wire and in plain ones at the start.

```
SqlError              a statement fails: code, name and text as a ClickHouse server says them
EngineStartError      the endpoint cannot start; the text is meant for the person at the terminal
├── EngineMissing     chdb-core is not installed
├── DirectoryInUse    another process owns the data
├── KeyRequired       not on loopback, and no password
└── EngineFailed      the engine refused to open the directory
```

Codes: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp; statuses:
https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTP/exceptionCodeToHTTPStatus.cpp
"""

import re
from pathlib import Path
from typing import Final

__all__ = [
    "CODE_NAMES",
    "DirectoryInUse",
    "EngineFailed",
    "EngineMissing",
    "EngineStartError",
    "KeyRequired",
    "SqlError",
]

CODE_NAMES: Final = {
    36: "BAD_ARGUMENTS",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    117: "INCORRECT_DATA",
    159: "TIMEOUT_EXCEEDED",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    394: "QUERY_WAS_CANCELLED",
    452: "SETTING_CONSTRAINT_VIOLATION",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
    561: "CANNOT_PARSE_BOOL",
    1002: "UNKNOWN_EXCEPTION",
}
"""Of the errors that this room raises itself; the engine brings its own names."""

_STATUS: Final = {
    400: (6, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 69, 70, 72, 108, 117, 131, 457),
    403: (164, 192, 452, 497, 516),
    404: (16, 46, 47, 50, 56, 60, 73, 81, 115, 372),
    408: (159,),
    501: (48,),
    503: (202, 209, 439),
}
_STATUS_OF: Final = {code: status for status, codes in _STATUS.items() for code in codes}
# Of a library within the engine, such as Avro's; its code is 1001 on a server, too.
_FOREIGN_TEXT = re.compile(
    r"(?:std|Poco)::[Ee]xception\. Code: (\d+), (.*?)(?: \(version [^)]*\))?(?: \(\w+\))?\s*\Z", re.S
)
_ENGINE_TEXT = re.compile(r"Code: (\d+)\. DB::Exception: (.*?)(?: \(([A-Z0-9_]+)\))?(?: \(version [^)]*\))?\s*\Z", re.S)


class SqlError(Exception):
    """`str()` is the line that goes over the wire, without the version."""

    def __init__(self, code: int, message: str, name: str | None = None) -> None:
        self.code = code
        self.name = name or CODE_NAMES.get(code, "UNKNOWN_EXCEPTION")
        super().__init__(f"Code: {code}. DB::Exception: {message} ({self.name})")

    @property
    def status(self) -> int:
        return _STATUS_OF.get(self.code, 500)

    @classmethod
    def of_engine(cls, text: str) -> "SqlError":
        """From the engine's text; the outermost code counts, as it does on a server."""
        if (foreign := _FOREIGN_TEXT.search(text)) is not None:
            return cls(int(foreign[1]), foreign[2].strip(), "STD_EXCEPTION")
        found = _ENGINE_TEXT.search(text)
        if found is None:
            return cls(1002, text.strip())
        return cls(int(found[1]), found[2].strip(), found[3])


class EngineStartError(Exception):
    """The endpoint cannot start."""


class EngineMissing(EngineStartError):
    def __init__(self) -> None:
        super().__init__("the embedded ClickHouse is not installed: pip install 'millrace[local]'")


class DirectoryInUse(EngineStartError):
    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} is in use by another process: stop that one, or choose another --data-dir")


class KeyRequired(EngineStartError):
    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is not a loopback address: set MILLRACE_SQL_KEY, which is then the password")


class EngineFailed(EngineStartError):
    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"the embedded ClickHouse cannot open {directory}: {reason}")
