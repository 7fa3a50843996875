"""Shadow comparison: what became of one sampled request of an experiment. shadow -> `shadow-comparisons.v1`.

One per (experiment, request id), skips included: pairs + skipped = sampled. Whatever is None was not to be compared.
"""

from dataclasses import dataclass

from schemas.events.ref import TimestampMs


@dataclass(slots=True, frozen=True)
class Side:
    """One of the two answers. `outcome`: ok, or the error's code; `cost_nano_usd`: of all attempts that it took."""

    model: str
    outcome: str
    cost_nano_usd: int
    first_token_ms: int | None = None
    total_ms: int | None = None
    output_tokens: int | None = None
    is_refusal: bool = False


@dataclass(slots=True)
class ShadowComparison:
    """`status`: compared or skipped; a skip says its `reason` and has no sides that were not asked.

    `exact`: equal text and tool calls; `normalised`: equal text but for case, white space and punctuation; `token_f1`: of the
    bags of words; `json_equal` where both are JSON; `tool_calls_equal` where either calls a tool; `length_ratio`: characters
    of the shadow by those of the primary. `winner`: primary, shadow or tie, by `judge` (none, rules, or a model).
    `shadow_request_id`: whose attempts, costs and answer are those of the shadow; the judge's calls have it too.
    `route`, `domain` and `band` are the request's, to look at segments.
    """

    experiment: str
    request_id: str
    tenant: str
    status: str
    at: TimestampMs
    accepted_at: TimestampMs
    route: str = ""
    domain: str = ""
    band: str = ""
    reason: str | None = None
    shadow_request_id: str | None = None
    primary: Side | None = None
    shadow: Side | None = None
    exact: bool | None = None
    normalised: bool | None = None
    token_f1: float | None = None
    json_equal: bool | None = None
    tool_calls_equal: bool | None = None
    length_ratio: float | None = None
    judge: str = "none"
    winner: str | None = None
    judge_cost_nano_usd: int = 0
