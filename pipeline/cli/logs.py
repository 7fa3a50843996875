"""Logs of every process: on stderr, readable or as JSON lines; the noise of libraries is left out.

The root logger never goes to DEBUG: some libraries format every record before they look at their level.
"""

import json
import logging
import sys
from datetime import UTC, datetime

_NOISY = ("aiokafka", "faust", "mode", "httpx", "httpcore", "asyncio", "aiohttp", "uvicorn", "kafka")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Readable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        line = f"{_when(record)[11:23]} {record.levelname:<7} {record.name}: {record.getMessage()}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def setup(log: str) -> None:
    """Once per process. `log` is `text` or `json`."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if log == "json" else _Readable())
    handler.addFilter(_worth_saying)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _worth_saying(record: logging.LogRecord) -> bool:
    """Services of `mode` (Faust) tell of every start and stop, under the name of the module that made their class."""
    return record.levelno > logging.INFO or not str(record.msg).startswith("[^")


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
