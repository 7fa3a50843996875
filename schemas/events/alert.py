"""Alert: a rule of the catalogue began to hold for something, or ceased to. alerts -> `alerts.v1` -> webhooks, ClickHouse.

The topic is also the memory: whoever takes the stage over reads from it what is firing.
"""

from dataclasses import dataclass, field

from schemas.events.ref import TimestampMs


@dataclass(slots=True, frozen=True)
class Alert:
    """One transition; webhooks get it as JSON.

    Attributes:
        alert_id: names the episode: its `firing` and its `resolved` have the same one, and so has every repetition.
        name: the rule's.
        state: firing or resolved.
        operator: with term and threshold the condition: `breaker_open_s > 60`.
        value: of the term when this was written; the last one known if there is none any more.
        labels: what it is about, such as {endpoint, provider}; empty: the whole platform.
        since: when the condition began to hold; `at` when this was written.
        catalog: hash of the catalogue in force.
        to: who is told, as the rule says it: `webhook:` and the name of a variable.
    """

    alert_id: str
    name: str
    state: str
    term: str
    operator: str
    threshold: float
    value: float
    labels: dict[str, str]
    since: TimestampMs
    at: TimestampMs
    catalog: str
    to: list[str] = field(default_factory=list)
