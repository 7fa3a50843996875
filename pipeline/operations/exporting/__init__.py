"""`millrace export`: records of one tenant, from Kafka or ClickHouse, as a file with a manifest.

gathering    what was read: facts in memory, bodies in a spool
from_topics  out of Kafka;     from_rows  out of ClickHouse
exporting    which source, the file, its manifest
"""

from pipeline.operations.exporting.exporting import ExportError, Order, export

__all__ = ["ExportError", "Order", "export"]
