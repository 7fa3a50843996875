"""ClickHouse's own engine (chDB) in this process, behind the HTTP protocol of a ClickHouse server.

A statement's way: `server.py` (HTTP) -> `callers.py` (who asks) -> `gate.py` (a place to run) -> `engine.py` (a handle) ->
`parsing.py` and `guard.py` (what it is, may it run) -> `running.py` (rows, data or a command). Two walls, neither trusted
alone: the engine's grants (`access.py`), and the tree of the statement as the engine's own parser reads it (`guard.py`).
"""

from connectors.sql_endpoint.callers import Passwords
from connectors.sql_endpoint.engine import installed
from connectors.sql_endpoint.errors import DirectoryInUse, EngineFailed, EngineMissing, EngineStartError, KeyRequired
from connectors.sql_endpoint.server import EndpointConfig, SqlServer, serve

__all__ = [
    "DirectoryInUse",
    "EndpointConfig",
    "EngineFailed",
    "EngineMissing",
    "EngineStartError",
    "KeyRequired",
    "Passwords",
    "SqlServer",
    "installed",
    "serve",
]
