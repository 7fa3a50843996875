"""Delta: pieces of an answer as they come. call -> `deltas.v1` -> gateways (no group). May be lost or late; the response is whole.

`kind` chunk: `data` is a JSON array of OpenAI `delta` objects, in order. `kind` note: `data` is a JSON object that answers a
duplicate: {"ticket", "ref": {...}} the stored outcome, or {"ticket", "code", "message"} a refusal.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Delta:
    """`seq` counts from 0 per attempt: a reader sees gaps. `dropped`, on the first piece: as `Response.dropped`.

    `continues_attempt`, on the first piece: the attempt goes on from exactly so many pieces of that one.
    """

    request_id: str
    tenant: str
    attempt: int
    seq: int
    kind: str
    data: bytes
    provider: str | None = None
    model: str | None = None
    dropped: list[str] = field(default_factory=list)
    continues_attempt: int | None = None
    continues_pieces: int = 0
