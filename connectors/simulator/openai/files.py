"""The Files API: upload, list, show, content, delete."""

from typing import Any

from connectors.simulator.draws import Draw
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import invalid_value, missing
from connectors.simulator.openai.multipart import read_form
from connectors.simulator.tuning import Upload
from connectors.simulator.world import Exchange, World

__all__ = ["content", "delete", "find", "listed", "show", "upload"]

_PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")


def upload(exchange: Exchange) -> dict[str, Any]:
    world, form = exchange.world, read_form(exchange.request.headers.get("content-type", ""), exchange.entry.body)
    for name in ("file", "purpose"):
        if name not in form:
            raise missing(name)
    purpose, file = form["purpose"].content.decode("utf-8", "replace"), form["file"]
    if purpose not in _PURPOSES:
        raise invalid_value("purpose", purpose, _PURPOSES)
    if not file.content:
        raise Refused("File is empty.", param="file")
    if purpose == "fine-tune" and not (file.filename or "").endswith(".jsonl"):
        raise Refused("Invalid file format for Fine-Tuning API. Must be .jsonl", param="file")
    made = Draw(world.config.seed, "", file.content, world.tuning.ordinal())
    one = Upload(f"file-{made.hex('file', 22)}", file.filename or "", purpose, int(world.clock.now()), file.content)
    world.tuning.files[one.id] = one
    return described(one)


def listed(exchange: Exchange) -> dict[str, Any]:
    wanted = exchange.request.query.get("purpose")
    rows = [described(one) for one in exchange.world.tuning.files.values() if wanted in (None, one.purpose)]
    return {"object": "list", "data": rows[::-1], "has_more": False}


def show(exchange: Exchange) -> dict[str, Any]:
    return described(find(exchange.world, exchange.request.match_info["name"]))


def content(exchange: Exchange) -> bytes:
    return find(exchange.world, exchange.request.match_info["name"]).content


def delete(exchange: Exchange) -> dict[str, Any]:
    one = find(exchange.world, exchange.request.match_info["name"])
    del exchange.world.tuning.files[one.id]
    return {"id": one.id, "object": "file", "deleted": True}


def find(world: World, name: str) -> Upload:
    """Raises Refused: 404."""
    if (one := world.tuning.files.get(name)) is None:
        raise Refused(f"No such File object: {name}", param="id", status=404)
    return one


def described(one: Upload) -> dict[str, Any]:
    return {
        "id": one.id, "object": "file", "bytes": len(one.content), "created_at": one.created_at, "filename": one.name,
        "purpose": one.purpose, "status": "processed", "expires_at": None, "status_details": None,
    }  # fmt: skip
