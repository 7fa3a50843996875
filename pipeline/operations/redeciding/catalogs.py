"""The catalogues that were in force, by hash: `catalogs.v1`, whole."""

import logging

from pipeline.operations import records
from pipeline.operations.running import Connection
from schemas import topics as t
from schemas.catalog import Catalog
from schemas.codec import Undecodable, decode
from schemas.events import CatalogInForce

__all__ = ["catalogs_of"]

log = logging.getLogger(__name__)


async def catalogs_of(where: Connection) -> dict[str, Catalog]:
    """What this release cannot read is left out, and said."""
    found: dict[str, Catalog] = {}
    async for record in records.scan(where, [where.topic(t.CATALOGS.name)]):
        event = decode(CatalogInForce, record.value)
        if isinstance(event, Undecodable) or event.hash in found:
            continue
        try:
            found[event.hash] = Catalog.of_document(event.document, event.hash)
        except ValueError as error:
            log.warning("a catalogue of the log cannot be read", extra={"hash": event.hash, "error": str(error)[:300]})
    return found
