"""Facts and bodies of exports, with everything filled in that a test does not care for."""

from typing import Any

import orjson

from pipeline.core.exporting import Answered, Asked, Bodies, Exchange, Place, Rating, Versus, Wanted
from schemas.events import Feedback, ShadowComparison

NOW = 1_800_000_000_000


def wanted(format: str = "openai-chat", **changes: Any) -> Wanted:
    fixed = {"tenant": "acme", "from_ms": 0, "to_ms": NOW * 2, "has_consent": True}
    return Wanted(format=format, **{**fixed, **changes})


def asked(request_id: str = "r-1", **changes: Any) -> Asked:
    fixed = {
        "place": Place(0, 7), "accepted_at": NOW, "target": "auto", "operation": "chat", "role": "primary", "user": "u-1",
        "conversation_id": "", "language": "en", "task": "chat", "complexity": 0.25, "band": "simple",
        "sensitivity": "internal", "tags": {},
    }  # fmt: skip
    return Asked(request_id=request_id, **{**fixed, **changes})  # type: ignore[arg-type]


def answered(request_id: str = "r-1", **changes: Any) -> Answered:
    fixed = {
        "place": Place(0, 9), "outcome": "ok", "finished_at": NOW + 900, "provider": "openai", "model": "small",
        "region": "us", "finish_reason": "stop", "cost_nano_usd": 1_500, "attempts": 1, "cached": "none",
        "input_tokens": 12, "output_tokens": 5, "cache_read_tokens": 0, "queue_ms": 3, "first_token_ms": 200,
        "total_ms": 900,
    }  # fmt: skip
    return Answered(request_id=request_id, **{**fixed, **changes})  # type: ignore[arg-type]


def rating(request_id: str = "r-1", user: str = "ann", *, offset: int = 3, **said: Any) -> Rating:
    conversation = said.pop("conversation_id", "")
    return Rating(Place(0, offset), Feedback(request_id, conversation, "acme", user, NOW, **said))


def versus(winner: str = "shadow", experiment: str = "nano") -> Versus:
    said = ShadowComparison(
        experiment, "r-1", "acme", "compared", NOW, NOW, shadow_request_id="s-1", judge="rules", winner=winner
    )
    return Versus(Place(0, 4), said)


def exchange(**more: Any) -> Exchange:
    return Exchange(more.pop("asked", asked()), more.pop("answered", answered()), **more)


def answer(content: Any = "hello", **message: Any) -> bytes:
    said = {"role": "assistant", "content": content, "refusal": None, **message}
    return orjson.dumps({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]})


def bodies(*messages: Any, answered: bytes | None = None, shadow: bytes | None = None, **body: Any) -> Bodies:
    said = list(messages) or [{"role": "user", "content": "hi"}]
    shadows = {"s-1": shadow} if shadow is not None else {}
    return Bodies(orjson.dumps({"model": "auto", "messages": said, **body}), answered or answer(), shadows)
