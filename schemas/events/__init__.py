"""Events: what travels on the topics, one module per event.

Events are slotted dataclasses: trusted Avro is read into them without validation (5 us against 35 and more for validating
models). What crosses the edge of the platform is validated first: see `request` and `feedback`. Times are epoch
milliseconds UTC (`TimestampMs`), money is integer nano-dollars, `body` is JSON bytes.
"""

from schemas.events.alert import Alert
from schemas.events.attempt import Attempt, AttemptError
from schemas.events.breaker import Breaker
from schemas.events.call import Call, Prefix, Price, Tier
from schemas.events.cancel import Cancel
from schemas.events.catalog_in_force import CatalogInForce
from schemas.events.cost import Cost
from schemas.events.decision import Decision, Excluded, Proof, Ranked, View
from schemas.events.delta import Delta
from schemas.events.enriched import Enriched, Features
from schemas.events.feedback import Feedback, parse_feedback
from schemas.events.idempotency import Idempotency
from schemas.events.parked import Parked
from schemas.events.ref import Ref
from schemas.events.request import InvalidRequest, Request, parse_request
from schemas.events.response import Outcome, Response, RouteInfo, Timings
from schemas.events.shadow_comparison import ShadowComparison, Side
from schemas.events.shadow_order import ShadowOrder
from schemas.events.shadow_progress import ShadowProgress
from schemas.events.signal import ProbeResult, Signal

EVENTS: dict[str, type] = {
    "request": Request,
    "enriched": Enriched,
    "decision": Decision,
    "call": Call,
    "attempt": Attempt,
    "delta": Delta,
    "response": Response,
    "cost": Cost,
    "cancel": Cancel,
    "parked": Parked,
    "idempotency": Idempotency,
    "signal": Signal,
    "breaker": Breaker,
    "alert": Alert,
    "shadow-comparison": ShadowComparison,
    "shadow-order": ShadowOrder,
    "shadow-progress": ShadowProgress,
    "feedback": Feedback,
    "catalog": CatalogInForce,
}
"""Event name (as in `<event>.v<N>.avsc` and the `schema` header) -> today's model."""

__all__ = [
    "EVENTS",
    "Alert",
    "Attempt",
    "AttemptError",
    "Breaker",
    "Call",
    "Cancel",
    "CatalogInForce",
    "Cost",
    "Decision",
    "Delta",
    "Enriched",
    "Excluded",
    "Features",
    "Feedback",
    "Idempotency",
    "InvalidRequest",
    "Outcome",
    "Parked",
    "Prefix",
    "Price",
    "ProbeResult",
    "Proof",
    "Ranked",
    "Ref",
    "Request",
    "Response",
    "RouteInfo",
    "ShadowComparison",
    "ShadowOrder",
    "ShadowProgress",
    "Side",
    "Signal",
    "Tier",
    "Timings",
    "View",
    "parse_feedback",
    "parse_request",
]
