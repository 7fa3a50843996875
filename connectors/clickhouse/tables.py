"""Tables: which topic fills which table, and what is derived from it. One row per table of CONTRACT 6.

Whatever is not said here follows from the event: its columns (`columns`), the statement that inserts it, its container.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from connectors.clickhouse.columns import AvroSchema, columns, flattened
from connectors.clickhouse.dead_letters import DEAD_LETTER
from connectors.clickhouse.splice import Container
from schemas import topics as t
from schemas.avro_schema import released
from schemas.codec import Undecodable
from schemas.events import Feedback, InvalidRequest
from schemas.incoming import decode_feedback
from schemas.topics import Topic

__all__ = ["ROLLUPS", "TABLES", "Rollup", "Table", "table_of"]

Form = Callable[[bytes | None, int], Feedback | InvalidRequest | Undecodable]

_FRONT: Final = ({"name": "kafka_partition", "type": "int"}, {"name": "kafka_offset", "type": "long"})
_RETENTION: Final = {"name": "retention_days", "type": "int"}


@dataclass(frozen=True)
class Table:
    """`bodies`: columns that only tenants with `store_bodies` fill. `keeps_by_tenant`: rows go after its retention_days.

    `form`: for a topic that anybody may write: value and timestamp (ms) -> the event, or why it is none.
    """

    name: str
    topic: Topic
    purpose: str
    bodies: tuple[str, ...] = ()
    keeps_by_tenant: bool = True
    form: Form | None = None

    @cached_property
    def schema(self) -> AvroSchema:
        """What a record's bytes say, before the fields in front."""
        if self.topic.event is None:
            return DEAD_LETTER
        return list(released(self.topic.event).values())[-1]

    @cached_property
    def container(self) -> Container:
        flat = flattened(self.schema)
        return Container({**flat, "fields": [*self._front, *flat["fields"]]})

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that an insert names, as the input calls them."""
        return (*(field["name"] for field in self._front), *(column.source for column in columns(self.schema)))

    @property
    def _front(self) -> tuple[AvroSchema, ...]:
        return (*_FRONT, _RETENTION) if self.keeps_by_tenant else _FRONT


TABLES: Final = (
    Table("requests", t.ENRICHED, "what was asked, with its features", bodies=("body",)),
    Table("decisions", t.DECISIONS, "every choice of a model, with its reasons"),
    Table("attempts", t.ATTEMPTS, "every phase of every call to a provider"),
    Table("responses", t.RESPONSES, "every record that claims to be an outcome; `outcomes` has the first",
          bodies=("body",)),
    Table("costs", t.COSTS, "the ledger", keeps_by_tenant=False),
    Table("shadow_comparisons", t.SHADOW_COMPARISONS, "what experiments found, a row per sampled request"),
    Table("feedback", t.FEEDBACK, "what people say of answers; read with FINAL", bodies=("comment", "edit"),
          form=decode_feedback),
    Table("breaker_transitions", t.BREAKERS, "when endpoints went out and came back", keeps_by_tenant=False),
    Table("alerts", t.ALERTS, "when rules of the catalogue began and ceased to hold", keeps_by_tenant=False),
    Table("dead_letters", t.DEAD_LETTERS, "what could not be processed", bodies=("value",)),
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Rollup:
    """Filled by `<name>_view` out of `source`; `bucket` is the column that holds `bucket_of` a row's time."""

    name: str
    source: str
    bucket: str
    bucket_of: str


ROLLUPS: Final = (
    Rollup("spend_by_hour", "costs", "hour", "toStartOfHour(at)"),
    Rollup("latency_by_hour", "attempts", "hour", "toStartOfHour(started_at)"),
    Rollup("quality_by_day", "responses", "day", "toDate(finished_at)"),
    Rollup("traffic_by_10_minutes", "responses", "bucket", "toStartOfTenMinutes(finished_at)"),
    Rollup("traffic_by_hour", "responses", "bucket", "toStartOfHour(finished_at)"),
    Rollup("answers_by_hour", "responses", "bucket", "toStartOfHour(finished_at)"),
)

_BY_TOPIC: Final = {table.topic.name: table for table in TABLES}


def table_of(topic: str) -> Table:
    """By the topic's name without prefix."""
    return _BY_TOPIC[topic]


if __name__ == "__main__":
    import sys

    from connectors.clickhouse.page import main

    sys.exit(main(sys.argv[1:]))
