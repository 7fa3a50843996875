"""Catalog: what was in force under a hash, so that a decision can be made again under it. route -> `catalogs.v1`."""

from dataclasses import dataclass

from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class CatalogInForce:
    """`document`: the catalogue as JSON, with defaults and list prices; names of variables, no secret. Equal ones, equal hash.

    `loaded_at`: when a process last took it up.
    """

    hash: str
    document: bytes
    loaded_at: TimestampMs
