"""`explain` for people: a few lines per step."""

from collections.abc import Iterator
from typing import Any


def print_explained(request_id: str, document: dict[str, Any]) -> None:
    for line in lines(request_id, document):
        print(line)


def lines(request_id: str, document: dict[str, Any]) -> Iterator[str]:
    """Pure: the journey in the order it was made."""
    request = document["request"] or {}
    yield f"request   {request_id}  tenant {request.get('tenant', '?')}  asked for {request.get('model', 'auto')}"
    for decision in document["decisions"]:
        yield _decision(decision)
        for gone in decision.get("excluded") or []:
            yield f"            without {gone['model']}: {gone['step']}, {gone['reason']}"
    for breaker in document["breakers"]:
        yield f"breaker   {breaker.get('endpoint')}  {breaker.get('state')} since {breaker.get('since')}, {breaker.get('cause')}"
    for attempt in document["attempts"]:
        yield _attempt(attempt)
    for cost in document["costs"]:
        yield f"cost      attempt {cost.get('attempt')}  {cost.get('model')}  {usd(cost.get('cost_nano_usd'))}  {cost.get('role')}"
    yield _outcome(document["response"])
    for said in document["feedback"]:
        yield _feedback(said)
    for comparison in document["shadow"]:
        yield _comparison(comparison)


def _decision(decision: dict[str, Any]) -> str:
    chosen = decision.get("chosen") or f"nobody ({decision.get('error_code')})"
    return f"decision  attempt {decision.get('attempt')}  {decision.get('cause')}: {chosen}, because {decision.get('reason')}"


def _attempt(attempt: dict[str, Any]) -> str:
    head = f"attempt   {attempt.get('attempt')}  {attempt.get('model')} at {attempt.get('provider')}  {attempt.get('phase')}"
    if attempt.get("phase") != "finished":
        return head
    error = attempt.get("error") or {}
    how = f"{attempt.get('result')}{' ' + str(error.get('kind')) if error else ''}"
    return f"{head}  {how}  {attempt.get('duration_ms')} ms"


def _outcome(response: dict[str, Any] | None) -> str:
    if response is None:
        return "outcome   none yet"
    if error := response.get("error"):
        return f"outcome   error {error.get('code')}: {error.get('message')}  attempts {response.get('attempts')}"
    timings = response.get("timings_ms") or {}
    return (
        f"outcome   ok by {response.get('model')}  attempts {response.get('attempts')}  "
        f"{timings.get('total')} ms  {usd(response.get('cost_nano_usd'))}"
    )


def _feedback(said: dict[str, Any]) -> str:
    of = "" if said.get("request_id") else "  of the whole conversation"
    words = [str(said[name]) for name in ("label", "score") if said.get(name) is not None]
    return f"feedback  {said.get('user') or 'somebody'}: {' '.join(words)}{of}"


def _comparison(comparison: dict[str, Any]) -> str:
    head = f"shadow    {comparison.get('experiment')}  {comparison.get('status')}"
    if comparison.get("status") != "compared":
        return f"{head}: {comparison.get('reason')}"
    shadow, winner = comparison.get("shadow") or {}, comparison.get("winner")
    said = f"{head}  {shadow.get('model')} {shadow.get('outcome')}  token F1 {comparison.get('token_f1')}"
    return f"{said}  {usd(shadow.get('cost_nano_usd'))}" + (f"  better: {winner}" if winner else "")


def usd(nano: int | None) -> str:
    return f"${(nano or 0) / 1e9:.6f}"
