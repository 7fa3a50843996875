"""Ports of the broker: the one that is asked for must be free, the controller's is chosen once and remembered."""

import random
import socket
from pathlib import Path

import psutil

from connectors.local_broker.config import HOST
from connectors.local_broker.errors import PortBusy

# Below the ranges from which Linux and macOS give ports to outgoing connections: one of those could take it meanwhile.
_PRIVATE_PORTS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Neither answers (a listener on all addresses would, though binding beside it succeeds on macOS) nor is bound."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
        return False
    except OSError:
        pass
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the JVM does: closing connections do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def check_free(port: int) -> None:
    """Refuse at once rather than let the JVM fail seconds later.

    Raises:
        PortBusy: names the program that listens there, where the system lets us see it.
    """
    if not is_free(port):
        raise PortBusy(port, _owner(port))


def controller_port(memory: Path, broker_port: int) -> int:
    """The port remembered in the file `memory`, else (or if somebody took it meanwhile) a new one, then remembered."""
    remembered = _remembered(memory)
    if remembered is not None and remembered != broker_port and is_free(remembered):
        return remembered
    port = random_free_port(besides=broker_port)
    memory.write_text(f"{port}\n")
    return port


def random_free_port(besides: int | None = None) -> int:
    return next(port for port in random.sample(_PRIVATE_PORTS, 1000) if port != besides and is_free(port))


def _remembered(memory: Path) -> int | None:
    try:
        return int(memory.read_text())
    except (OSError, ValueError):
        return None


def _owner(port: int) -> str:
    """Name and pid of the listener, as far as this user may see it."""
    try:
        listeners = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        pid = next(c.pid for c in listeners if c.laddr and c.laddr.port == port)
        return f"{psutil.Process(pid).name()} (process {pid})" if pid else ""
    except (psutil.Error, StopIteration):
        return ""
