"""Which requests of a tenant go into an export, and the reason for each that does not. The first reason counts.

store_bodies   the tenant has not agreed to keep content
role           a replay, or whatever else no caller asked for
route          another model or route was asked for
no_outcome     it is still open, or its outcome is not there
error          it has no answer
model          another model answered
score          nobody rated it, or too low
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.exporting.records import Answered, Asked, Exchange, Rating, Versus

__all__ = ["Choice", "Wanted", "choose"]


@dataclass(slots=True, frozen=True)
class Wanted:
    """What an export is asked for; times in epoch ms, `to_ms` exclusive. `has_consent`: the tenant's `store_bodies`."""

    tenant: str
    format: str
    from_ms: int
    to_ms: int
    has_consent: bool
    route: str | None = None
    model: str | None = None
    min_score: float | None = None

    def is_in_range(self, accepted_at: int) -> bool:
        return self.from_ms <= accepted_at < self.to_ms


@dataclass(slots=True)
class Choice:
    """`exchanges` by time of acceptance, then by id; `skipped` by reason."""

    exchanges: list[Exchange] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def choose(
    wanted: Wanted,
    asked: Iterable[Asked],
    answered: Mapping[str, Answered],
    ratings: Sequence[Rating],
    versus: Sequence[Versus],
) -> Choice:
    """`asked` and `answered` are the first records of each request."""
    of_requests, of_conversations = _by_target(ratings)
    compared: dict[str, list[Versus]] = {}
    for one in versus:
        compared.setdefault(one.said.request_id, []).append(one)
    choice = Choice()
    for request in sorted(asked, key=lambda each: (each.accepted_at, each.request_id)):
        answer = answered.get(request.request_id)
        said = of_requests.get(request.request_id) or of_conversations.get(request.conversation_id) or []
        reason = _refusal(wanted, request) or _unfit(wanted, answer)
        if reason is None and answer is not None:
            exchange = Exchange(request, answer, said, compared.get(request.request_id, []))
            if (reason := _unrated(wanted, exchange)) is None:
                choice.exchanges.append(exchange)
        if reason is not None:
            choice.skipped[reason] += 1
    return choice


def _by_target(ratings: Sequence[Rating]) -> tuple[dict[str, list[Rating]], dict[str, list[Rating]]]:
    """Last words by request and by conversation, each by user."""
    last = {(one.said.request_id, one.said.conversation_id, one.said.user): one for one in sorted(ratings, key=_place)}
    requests: dict[str, list[Rating]] = {}
    conversations: dict[str, list[Rating]] = {}
    for key in sorted(last):
        one = last[key]
        if one.said.request_id:
            requests.setdefault(one.said.request_id, []).append(one)
        else:
            conversations.setdefault(one.said.conversation_id, []).append(one)
    return requests, conversations


def _place(rating: Rating) -> tuple[int, int]:
    return rating.place


def _refusal(wanted: Wanted, asked: Asked) -> str | None:
    if not wanted.has_consent:
        return "store_bodies"
    if asked.role != "primary":
        return "role"
    return "route" if wanted.route not in (None, asked.target) else None


def _unfit(wanted: Wanted, answered: Answered | None) -> str | None:
    if answered is None:
        return "no_outcome"
    if answered.outcome != "ok":
        return "error"
    return "model" if wanted.model not in (None, answered.model) else None


def _unrated(wanted: Wanted, exchange: Exchange) -> str | None:
    if wanted.min_score is None:
        return None
    return "score" if exchange.score is None or exchange.score < wanted.min_score else None
