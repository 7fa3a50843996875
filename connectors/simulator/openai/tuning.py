"""The fine-tuning API: jobs that are made, validated, queued, run and end; their events; models that answer afterwards.

A job validates its files for 2 s, is queued for 3 s and runs for 20 s, at speed 1. Its model is `ft:<base>:org-sim:<suffix>:<id>`
and answers like its base, from the first look at the finished job on.
"""

from dataclasses import replace
from typing import Any

from connectors.simulator.draws import Draw
from connectors.simulator.models import Model
from connectors.simulator.openai import training_data
from connectors.simulator.openai.checks import parse
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import OBJECT, STRING, Body, Kind, integer, invalid_value, missing
from connectors.simulator.tuning import Job
from connectors.simulator.world import Exchange, World

__all__ = ["cancel", "create", "events", "listed", "show"]

_FIELDS: dict[str, Kind] = {
    "model": STRING, "training_file": STRING, "validation_file": STRING, "suffix": STRING, "seed": integer(0, 2**31 - 1),
    "hyperparameters": OBJECT, "method": OBJECT, "metadata": OBJECT,
}  # fmt: skip
_METHODS = ("supervised", "dpo")
_VALIDATING_S, _QUEUED_S, _RUNNING_S = 2.0, 3.0, 20.0
_EPOCHS = 3
_STEPS = 10
_ENDED = frozenset({"succeeded", "failed", "cancelled"})


def create(exchange: Exchange) -> dict[str, Any]:
    world, body = exchange.world, parse(exchange.entry.body, _FIELDS)
    if "training_file" not in body:
        raise missing("training_file")
    base, method = _base(world, body["model"]), _method(body)
    job = _job(world, body, base, method)
    world.tuning.jobs[job.id] = job
    return _described(job, world)


def show(exchange: Exchange) -> dict[str, Any]:
    return _described(_find(exchange), exchange.world)


def listed(exchange: Exchange) -> dict[str, Any]:
    jobs = list(exchange.world.tuning.jobs.values())[::-1]
    return _page(exchange, [_described(job, exchange.world) for job in jobs])


def cancel(exchange: Exchange) -> dict[str, Any]:
    job, now = _find(exchange), exchange.world.clock.now()
    if (status := job.status(now)) in _ENDED:
        raise Refused(f"Job has already completed: {job.id} is {status}.", code="invalid_job_state")
    job.cancelled_at = now
    return _described(job, exchange.world)


def events(exchange: Exchange) -> dict[str, Any]:
    """The newest first."""
    job = _find(exchange)
    _publish(job, exchange.world)
    return _page(exchange, _events(job, exchange.world.clock.now())[::-1])


def _base(world: World, name: str) -> Model:
    model = world.models.get(name)
    if model is None or model.dimensions or model.reasons or model.responses_only:
        message = f"Model {name} is not available for fine-tuning or does not exist."
        raise Refused(message, param="model", code="model_not_available")
    return model


def _method(body: Body) -> str:
    method = body.get("method", {}).get("type", "supervised")
    if method not in _METHODS:
        raise invalid_value("method.type", method, _METHODS)
    return str(method)


def _job(world: World, body: Body, base: Model, method: str) -> Job:
    training = _file(world, body, "training_file")
    if "validation_file" in body:
        _file(world, body, "validation_file")
    suffix = body.get("suffix", "")
    if len(suffix) > 64:
        message = f"Invalid 'suffix': string too long. Expected a string with maximum length 64, but got {len(suffix)} instead."
        raise Refused(message, param="suffix", code="string_above_max_length")
    made = Draw(world.config.seed, base.name, training, world.tuning.ordinal())
    now, scale = world.clock.now(), world.latency.scale(base.name)
    snapshot = base.snapshot or base.name
    return Job(
        id=f"ftjob-{made.hex('job', 24)}", model=snapshot, base=base.name, training_file=body["training_file"],
        created_at=now, queued_at=now + _VALIDATING_S * scale, running_at=now + (_VALIDATING_S + _QUEUED_S) * scale,
        done_at=now + (_VALIDATING_S + _QUEUED_S + _RUNNING_S) * scale, method=method, epochs=_EPOCHS,
        tokens=training_data.tokens_of(training) * _EPOCHS, validation_file=body.get("validation_file"),
        seed=body.get("seed", int(made.hex("seed", 7), 16)), result=f"ft:{snapshot}:org-sim:{suffix}:{made.hex('model', 8)}",
        failure=training_data.check(training, method),
    )  # fmt: skip


def _file(world: World, body: Body, field: str) -> bytes:
    one = world.tuning.files.get(body[field])
    if one is None or one.purpose != "fine-tune":
        raise Refused(f"invalid {field}: {body[field]}", param=field)
    return one.content


def _find(exchange: Exchange) -> Job:
    name = exchange.request.match_info["name"]
    if (job := exchange.world.tuning.jobs.get(name)) is None:
        message = f"Could not find fine tune: {name}"
        raise Refused(message, param="fine_tune_id", code="fine_tune_not_found", status=404)
    return job


def _publish(job: Job, world: World) -> None:
    """A model that is done can be called."""
    if job.status(world.clock.now()) == "succeeded" and job.result not in world.models.rows:
        world.models.rows[job.result] = replace(world.models.rows[job.base], name=job.result, snapshot="")


def _described(job: Job, world: World) -> dict[str, Any]:
    _publish(job, world)
    now = world.clock.now()
    status, finished_at = job.status(now), job.finished_at(now)
    done = status == "succeeded"
    knobs = {"n_epochs": job.epochs, "batch_size": 1, "learning_rate_multiplier": 2.0}
    failure = job.failure if status == "failed" else None
    error = {"code": failure.code, "message": failure.message, "param": failure.param} if failure else {}
    return {
        "object": "fine_tuning.job", "id": job.id, "model": job.model, "created_at": int(job.created_at), "status": status,
        "finished_at": None if finished_at is None else int(finished_at), "error": error or None,
        "fine_tuned_model": job.result if done else None, "organization_id": "org-sim", "result_files": [],
        "trained_tokens": job.tokens if done else None, "training_file": job.training_file,
        "validation_file": job.validation_file, "hyperparameters": knobs, "seed": job.seed, "integrations": [],
        "estimated_finish": int(job.done_at) if status == "running" else None, "metadata": None,
        "method": {"type": job.method, job.method: {"hyperparameters": knobs}},
    }  # fmt: skip


def _events(job: Job, now: float) -> list[dict[str, Any]]:
    """Those that have happened, the oldest first."""
    told: list[tuple[float, str, str, dict[str, Any] | None]] = [
        (job.created_at, "info", f"Created fine-tuning job: {job.id}", None),
        (job.created_at, "info", f"Validating training file: {job.training_file}", None),
    ]
    if job.failure is not None:
        told.append((job.queued_at, "error", job.failure.message, None))
    else:
        told += _run(job)
    if (end := job.cancelled_at) is not None:
        told = [*(one for one in told if one[0] <= end), (end, "info", "The job was cancelled", None)]
    happened = [one for one in told if one[0] <= now]
    return [_event(job, number, *one) for number, one in enumerate(happened)]


def _run(job: Job) -> list[tuple[float, str, str, dict[str, Any] | None]]:
    took = job.done_at - job.running_at
    steps: list[tuple[float, str, str, dict[str, Any] | None]] = []
    for step in range(1, _STEPS + 1):
        loss = round(2.0 / (step + 1), 4)
        metrics = {
            "step": step,
            "train_loss": loss,
            "total_steps": _STEPS,
            "train_mean_token_accuracy": round(1 - loss / 2, 4),
        }
        at = job.running_at + took * step / _STEPS
        steps.append((at, "info", f"Step {step}/{_STEPS}: training loss={loss:.2f}", metrics))
    return [
        (job.queued_at, "info", "Files validated, moving job to queued state", None),
        (job.running_at, "info", "Fine-tuning job started", None),
        *steps,
        (job.done_at, "info", f"New fine-tuned model created: {job.result}", None),
        (job.done_at, "info", "The job has successfully completed", None),
    ]


def _event(
    job: Job, number: int, at: float, level: str, message: str, metrics: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event", "id": f"ftevent-{job.id[-12:]}{number:04d}", "created_at": int(at),
        "level": level, "message": message, "data": metrics or {}, "type": "metrics" if metrics else "message",
    }  # fmt: skip


def _page(exchange: Exchange, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`after`: an id; `limit`: 1 to 100."""
    query = exchange.request.query
    after, limit = query.get("after"), query.get("limit", "20")
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise Refused("Invalid 'limit': expected an integer from 1 to 100.", param="limit")
    start = next((place for place, row in enumerate(rows, 1) if row["id"] == after), 0)
    page = rows[start : start + int(limit)]
    return {"object": "list", "data": page, "has_more": start + len(page) < len(rows)}
