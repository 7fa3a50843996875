"""Which processes `up` starts, and with what environment: pure.

A slot is a place for one process: stages and instance. A process that dies is started again in its slot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pipeline.cli.errors import UsageError
from pipeline.topology import BACKGROUND

_FEW = ("gateway", "route+call", "health+retry+alerts", "admin+shadow", "bulk")
_ONE_PORT = frozenset({"gateway", "admin"})
_SPLIT = ("gateway", "route", "call", "health", "retry", "alerts", "shadow", "bulk", "admin")


@dataclass(frozen=True, slots=True)
class Slot:
    """`arguments` are those of `python -m pipeline`."""

    stage: str
    instance: int
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.stage}#{self.instance}"

    @property
    def stages(self) -> frozenset[str]:
        return frozenset(self.stage.split("+"))

    @property
    def is_background(self) -> bool:
        """On a machine that is busy it takes what requests leave."""
        return self.stages <= BACKGROUND


def slots(
    *,
    split: bool,
    scale: Mapping[str, int],
    port: int,
    admin_port: int = 8081,
    sql_port: int | None = None,
    has_clickhouse: bool = False,
) -> list[Slot]:
    """All processes of the platform, the gateway last: it is what people wait for.

    `sql_port` None: no ClickHouse of ours. With none at all there is no sink either.
    """
    has_clickhouse = has_clickhouse or sql_port is not None
    names = (*(_SPLIT if split else _FEW), *(("sink",) if has_clickhouse else ()))
    ports = {"gateway": port, "admin": admin_port}
    _check(scale, names)
    found = [
        _slot(name, instance, ports)
        for name in names
        for instance in range(max((scale.get(key, 1) for key in (name, *name.split("+"))), default=1))
    ]
    if sql_port is not None:
        found.insert(0, Slot("sql", 0, ("run", "sql", "--instance-id", "0", "--port", str(sql_port))))
    return sorted(found, key=lambda slot: slot.stage == "gateway")


def sql_dsn(host: str, port: int, key: str | None) -> str:
    """Of the embedded ClickHouse, for the platform's own processes. The user is named: who is not may only read."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    login = f"default:{quote(key, safe='')}" if key else "default"
    return f"clickhouse://{login}@{reached}:{port}/millrace"


def edge_slot(*, port: int, offered: bool, installed: bool, free: bool) -> Slot | str | None:
    """The place of the model at the edge, or why there is none; None if the catalogue offers no such provider."""
    if not offered:
        return None
    if not installed:
        return "it is not installed (make edge)"
    return Slot("edge", 0, ("edge", "--port", str(port))) if free else f"port {port} is in use"


def parse_scale(texts: Sequence[str]) -> dict[str, int]:
    """`route=2` ... -> {"route": 2}. Raises UsageError."""
    scale = {}
    for text in texts:
        stage, _, count = text.partition("=")
        if not stage or not count.isdigit() or not 1 <= int(count) <= 64:
            raise UsageError(f"--scale {text}: write STAGE=N with N from 1 to 64, such as --scale route=2")
        scale[stage] = int(count)
    return scale


def _check(scale: Mapping[str, int], names: Sequence[str]) -> None:
    known = {*names, *(stage for name in names for stage in name.split("+"))}
    if unknown := sorted(set(scale) - known):
        raise UsageError(f"--scale: no such stage: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    for name in names:
        stages = name.split("+")
        if _ONE_PORT.intersection(stages) and any(scale.get(key, 1) > 1 for key in (name, *stages)):
            raise UsageError(f"--scale: one port takes one {name}; start more with `millrace run {stages[0]} --port N`")


def _slot(stage: str, instance: int, ports: Mapping[str, int]) -> Slot:
    port = next((ports[each] for each in stage.split("+") if each in ports), None)
    more = () if port is None else ("--port", str(port))
    return Slot(stage, instance, ("run", stage, "--instance-id", str(instance), *more))


def child_environment(
    base: Mapping[str, str],
    *,
    bootstrap: str,
    catalog: Path,
    data_dir: Path,
    partitions: int,
    topic_prefix: str,
    pepper: str,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """What the children see: the caller's environment, where the platform is, and its secrets."""
    return {
        **base,
        "MILLRACE_KAFKA_BOOTSTRAP": bootstrap,
        "MILLRACE_CONFIG": str(catalog),
        "MILLRACE_DATA_DIR": str(data_dir),
        "MILLRACE_PARTITIONS": str(partitions),
        "MILLRACE_TOPIC_PREFIX": topic_prefix,
        "MILLRACE_PEPPER": pepper,
        "PYTHONUNBUFFERED": "1",
        **extra,
    }
