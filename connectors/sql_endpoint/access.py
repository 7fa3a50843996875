"""The first wall: what the engine's own access control grants to its only user.

chDB reads users from the file that `users_config` in its configuration names; without one, its user may everything. What
is not granted here (FILE, URL, REMOTE, S3 and all other sources; SYSTEM, BACKUP, functions, dictionaries, users) is
refused by the engine wherever it hides, also in the overlay of the `default` database that takes file names for tables.
"""

from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

__all__ = ["PROBE", "write_configuration"]

GRANTS: Final = (
    "SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE, DROP, "
    "TRUNCATE, OPTIMIZE, CHECK, SHOW DATABASES, SHOW TABLES, SHOW COLUMNS, KILL QUERY ON *.*"
)

PROBE: Final = "SELECT count() FROM file('/dev/null', 'LineAsString', 'a String')"
"""Refused (497) if the grants are in force, which they are not if the engine did not find its configuration."""

_USERS: Final = f"""<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT {GRANTS}</query></grants>
    </default>
  </users>
</clickhouse>
"""


def write_configuration(folder: Path) -> Path:
    """Write what the engine is to be started with; derived, so written again at each start."""
    folder.mkdir(parents=True, exist_ok=True)
    users, main = folder / "users.xml", folder / "config.xml"
    users.write_text(_USERS)
    main.write_text(f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>\n")
    return main
