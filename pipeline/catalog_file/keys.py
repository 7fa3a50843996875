"""Keys: the file names variables, the environment holds the values, no message ever shows one.

A provider whose variable is unset is off, a tenant whose variable is unset has no keys, a webhook without address or
secret tells nobody: warnings. A key that is there but cannot be right is a problem: it would fail on every call, with a
message that may show it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.catalog_file.document import Document
from pipeline.catalog_file.problems import Finding, KeyPath

MIN_KEY_LENGTH = 8
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIT_FOR_A_HEADER = re.compile(r"[\x21-\x7e]+")
_UNFIT = "has a space, a line end or a character outside ASCII inside; the value is not shown"


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """Of the variable NAME: its value, that of NAME_SECRET, and whether NAME_ALLOW_PRIVATE is true."""

    url: SecretStr
    secret: SecretStr
    allow_private: bool


class Secrets:
    """The keys that the environment holds for a document; what is missing or unfit is told to the document."""

    def __init__(self, document: Document, env: Mapping[str, str]) -> None:
        self.off: set[str] = set()
        self.provider_keys: dict[str, SecretStr] = {}
        self.tenant_keys: dict[str, str] = {}
        self.webhooks: dict[str, WebhookKeys] = {}
        for name, variable, path in _variables(document.data, "providers", "api_key_env"):
            self._provider(document, name, variable=variable, path=path, value=env.get(variable, "").strip())
        for name, variable, path in _variables(document.data, "tenants", "keys_env"):
            self._tenant(document, name, variable=variable, path=path, value=env.get(variable, "").strip())
        for variable, path in _webhooks(document.data):
            self._webhook(document, variable, path, env)

    def _provider(self, document: Document, name: str, *, variable: str, path: KeyPath, value: str) -> None:
        if not value:
            self.off.add(name)
            document.warn([(path, f"{variable} is not set: the provider {name} is off")])
        elif _FIT_FOR_A_HEADER.fullmatch(value):
            self.provider_keys[name] = SecretStr(value)
        else:
            document.report([(path, f"{variable}: {_UNFIT}")])

    def _tenant(self, document: Document, name: str, *, variable: str, path: KeyPath, value: str) -> None:
        if not value:
            document.warn([(path, f"{variable} is not set: {name} has no keys for HTTP from it")])
            return
        for number, key in enumerate((piece.strip() for piece in value.split(",")), start=1):
            digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
            owner = self.tenant_keys.get(digest, name)
            if wrong := _wrong_with(key) or (owner != name and f"is a key of {owner} too: a key belongs to one tenant"):
                document.report([(path, f"{variable}: key {number} {wrong}")])
            self.tenant_keys.setdefault(digest, name)

    def _webhook(self, document: Document, variable: str, path: KeyPath, env: Mapping[str, str]) -> None:
        """Without a secret it is not used: nobody could tell our alerts from anybody's."""
        url, secret, private = (env.get(variable + more, "").strip() for more in ("", "_SECRET", "_ALLOW_PRIVATE"))
        if not url or not secret:
            document.warn([(path, f"{variable if not url else variable + '_SECRET'} is not set: nobody is told")])
        elif not _is_address(url):
            document.report([(path, f"{variable}: is no http:// or https:// address; the value is not shown")])
        elif wrong := _wrong_with(secret):
            document.report([(path, f"{variable}_SECRET {wrong}")])
        else:
            self.webhooks[variable] = WebhookKeys(SecretStr(url), SecretStr(secret), private.lower() in {"1", "true"})


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and bool(_FIT_FOR_A_HEADER.fullmatch(url))


def _wrong_with(key: str) -> str:
    if not key:
        return "is empty"
    if len(key) < MIN_KEY_LENGTH:
        return f"is shorter than {MIN_KEY_LENGTH} characters"
    return "" if _FIT_FOR_A_HEADER.fullmatch(key) else _UNFIT


def _variables(data: Mapping[str, Any], section: str, key: str) -> Iterator[tuple[str, str, KeyPath]]:
    """Names of variables that a section gives; those of the wrong form are reported with the shape."""
    for name, entry in _members_of(data, section):
        variable = entry.get(key)
        if isinstance(variable, str) and _ENV_NAME.fullmatch(variable):
            yield name, variable, (section, name, key)


def _members_of(data: Mapping[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    members = data.get(section)
    if isinstance(members, dict):
        yield from ((name, entry) for name, entry in members.items() if isinstance(entry, dict))


def worth_saying(data: Mapping[str, Any]) -> Iterator[Finding]:
    for name, tenant in _members_of(data, "tenants"):
        shards = tenant.get("shards")
        if isinstance(shards, int) and shards > 1:
            yield ("tenants", name, "shards"), f"hard limits of {name} are divided evenly over {shards} shards"


def _webhooks(data: Mapping[str, Any]) -> Iterator[tuple[str, KeyPath]]:
    """Each target of each rule; those of the wrong form are reported with the shape."""
    alerts = data.get("alerts")
    for index, alert in enumerate(alerts if isinstance(alerts, list) else []):
        for number, target in enumerate(_strings(alert, "to")):
            scheme, _, variable = target.partition(":")
            if scheme == "webhook" and _ENV_NAME.fullmatch(variable):
                yield variable, ("alerts", index, "to", number)


def _strings(holder: object, key: str) -> list[str]:
    values = holder.get(key) if isinstance(holder, dict) else None
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
