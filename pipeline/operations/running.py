"""What runs, and where: `up.json` in the data directory of a running `up`, and the way to its broker."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the platform is that a command talks to; `gateway` and `catalog` are known beside a running `up`."""

    bootstrap: str
    topic_prefix: str
    partitions: int
    catalog: str
    gateway: str | None
    client_options: dict[str, Any]

    def topic(self, name: str) -> str:
        return self.topic_prefix + name


@dataclass(frozen=True, slots=True)
class Running:
    """The content of `up.json`; `pids` and `admin_ports` by slot name, `admin` the address of the admin surface.

    `clickhouse`: DSN of its own ClickHouse, without a password; None where the environment names one, or none runs.
    """

    pid: int
    bootstrap: str
    gateway: str
    catalog: str
    topic_prefix: str
    partitions: int
    pids: dict[str, int]
    admin: str | None = None
    clickhouse: str | None = None
    admin_ports: dict[str, int] = field(default_factory=dict)

    def write(self, data_dir: Path) -> None:
        draft = data_dir / "up.json.new"
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(data_dir / "up.json")


def running_in(data_dir: Path) -> Running | None:
    """What `up` says of itself, if it lives."""
    try:
        running = Running(**json.loads((data_dir / "up.json").read_text()))
        os.kill(running.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return running
