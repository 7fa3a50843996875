"""Settings: where we run - addresses, secrets, paths, sizes. The environment is read here and nowhere else.

The catalogue (`infra/catalog.yaml`) says what is offered; the two are never merged. `environment()` is for its keys, whose
names the catalogue gives.
"""

import os
import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["KafkaSecurity", "Settings", "environment", "read_dotenv"]

PREFIX = "MILLRACE_"
_CATALOG = Path("infra/catalog.yaml")
_CHECKOUT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, str]:
    """All of it, as a copy: for the keys that the catalogue names, and for child processes."""
    return dict(os.environ)


def read_dotenv(path: Path = Path(".env")) -> None:
    """Add what `.env` says to the environment; what is set already wins."""
    if path.is_file():
        from dotenv import load_dotenv

        load_dotenv(path, override=False)


class KafkaSecurity(BaseModel):
    """`MILLRACE_KAFKA_SECURITY__*`: how to log in at a cluster; nothing of it for a local broker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client; empty where there is nothing to say."""
        if self.protocol == "PLAINTEXT":
            return {}
        return {"security_protocol": self.protocol, **self._login(), **self._tls()}

    def _login(self) -> dict[str, Any]:
        if not self.protocol.startswith("SASL"):
            return {}
        password = self.password.get_secret_value() if self.password else None
        return {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": password,
        }

    def _tls(self) -> dict[str, Any]:
        if not self.protocol.endswith("SSL"):
            return {}
        context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        if self.cert_file:
            context.load_cert_chain(str(self.cert_file), str(self.key_file) if self.key_file else None)
        return {"ssl_context": context}


def _default_catalog() -> Path:
    return _CATALOG if _CATALOG.is_file() else _CHECKOUT / _CATALOG


class Settings(BaseSettings):
    """Read once per process. `pepper` is made by `millrace up`, and required by every stage that runs without it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    config: Path = Field(default_factory=_default_catalog)
    kafka_bootstrap: str | None = None
    kafka_security: KafkaSecurity = Field(default_factory=KafkaSecurity)
    clickhouse_dsn: str | None = None
    topic_prefix: str = "llm."
    partitions: int | None = Field(default=None, ge=1)
    data_dir: Path = Path(".millrace")
    cache_dir: Path | None = None
    pepper: SecretStr | None = None
    admin_key: SecretStr | None = None
    admin_host: str = "127.0.0.1"
    admin_names: str = ""
    sql_host: str = "127.0.0.1"
    sql_key: SecretStr | None = None
    sql_reader_key: SecretStr | None = None
    log: Literal["text", "json"] = "text"
    seed: int = 1

    @property
    def tenant_partitions(self) -> int:
        """Of the tenant-keyed topics, where they are made; a cluster that has them already is asked instead."""
        return self.partitions if self.partitions is not None else max(2, os.cpu_count() or 1)

    def client_options(self) -> dict[str, Any]:
        """Of every aiokafka client, besides its bootstrap servers."""
        return self.kafka_security.client_options()
