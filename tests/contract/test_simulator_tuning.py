"""The simulated files and fine-tuning jobs, as OpenAI's own SDK sees them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from connectors.simulator import Simulator, serve

BASE, SNAPSHOT = "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 1_795_000_000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def simulator(watch: Watch) -> AsyncIterator[Simulator]:
    running = await serve(seed=7, clock=watch)
    yield running
    await running.close()


@pytest.fixture
async def sdk(simulator: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="sk-sim-test", base_url=simulator.base_url, max_retries=0) as client:
        yield client


def example(number: int = 0, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": "answer"}]
    return {"messages": said, **more}


def pair(**changes: Any) -> dict[str, Any]:
    sides = [[{"role": "assistant", "content": text}] for text in ("good", "bad")]
    asked = {"messages": [{"role": "user", "content": "hi"}]}
    return {"input": asked, "preferred_output": sides[0], "non_preferred_output": sides[1], **changes}


def jsonl(examples: list[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in examples)


async def upload(sdk: AsyncOpenAI, content: bytes, name: str = "train.jsonl") -> str:
    return (await sdk.files.create(file=(name, content), purpose="fine-tune")).id


async def test_a_file_is_kept_as_it_was_sent(sdk: AsyncOpenAI) -> None:
    content = jsonl([example(n) for n in range(3)]) + b'{"x":"\r\n--no boundary\r\n"}\n'
    made = await sdk.files.create(file=("train.jsonl", content), purpose="fine-tune")
    assert (made.filename, made.bytes, made.purpose, made.status) == (
        "train.jsonl",
        len(content),
        "fine-tune",
        "processed",
    )
    assert (await sdk.files.content(made.id)).content == content
    assert [one.id async for one in sdk.files.list()] == [made.id]
    assert (await sdk.files.delete(made.id)).deleted
    with pytest.raises(NotFoundError):
        await sdk.files.retrieve(made.id)


async def test_a_job_passes_through_its_states_and_its_model_answers(sdk: AsyncOpenAI, watch: Watch) -> None:
    file = await upload(sdk, jsonl([example(n) for n in range(10)]))
    job = await sdk.fine_tuning.jobs.create(model=BASE, training_file=file, suffix="mine", seed=5)
    assert (job.model, job.status, job.training_file, job.seed) == (SNAPSHOT, "validating_files", file, 5)
    assert (job.fine_tuned_model, job.finished_at, job.trained_tokens) == (None, None, None)
    seen = []
    for seconds in (0, 2, 3, 10):
        watch.at += seconds
        seen.append((await sdk.fine_tuning.jobs.retrieve(job.id)).status)
    assert seen == ["validating_files", "queued", "running", "running"]
    watch.at += 10
    done = await sdk.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.error, done.finished_at) == ("succeeded", None, int(watch.at))
    assert done.fine_tuned_model is not None and done.fine_tuned_model.startswith(f"ft:{SNAPSHOT}:org-sim:mine:")
    assert done.trained_tokens
    said = [event.message async for event in sdk.fine_tuning.jobs.list_events(job.id, limit=4)]
    assert said[0] == "The job has successfully completed"
    assert said[-1] == f"Created fine-tuning job: {job.id}"
    assert "Step 5/10: training loss=0.33" in said
    assert len(said) == len(set(said)) == 16
    answer = await sdk.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "hello"}]
    )
    assert answer.choices[0].message.content
    assert answer.model == done.fine_tuned_model
    assert done.fine_tuned_model in [model.id async for model in sdk.models.list()]


@pytest.mark.parametrize(
    ("method", "content", "code", "words"),
    [
        ("supervised", jsonl([example(n) for n in range(9)]), "invalid_n_examples", "has 9 example(s), but must have at least 10"),
        ("supervised", jsonl([example()] * 10) + b"{broken", "invalid_training_file", "line 11 is not valid JSON"),
        ("supervised", jsonl([{"prompt": "x"}] * 10), "invalid_training_file", "missing the key 'messages'"),
        ("supervised", jsonl([example(extra=1)] * 10), "invalid_training_file", "unexpected key 'extra'"),
        ("supervised", jsonl([{"messages": [{"role": "user", "content": "x"}]}] * 10), "invalid_training_file", "assistant"),
        ("dpo", jsonl([example()] * 10), "invalid_training_file", "missing the key 'input'"),
        ("dpo", jsonl([pair(preferred_output=[])] * 10), "invalid_training_file", "'preferred_output'"),
    ],
)  # fmt: skip
async def test_a_bad_file_fails_its_job(
    sdk: AsyncOpenAI, watch: Watch, method: Any, content: bytes, code: str, words: str
) -> None:
    job = await sdk.fine_tuning.jobs.create(
        model=BASE, training_file=await upload(sdk, content), method={"type": method}
    )
    assert job.status == "validating_files"
    watch.at += 2
    failed = await sdk.fine_tuning.jobs.retrieve(job.id)
    assert (failed.status, failed.fine_tuned_model) == ("failed", None)
    assert failed.error is not None and (failed.error.code, failed.error.param) == (code, "training_file")
    assert words in failed.error.message
    [last, *_] = (await sdk.fine_tuning.jobs.list_events(job.id)).data
    assert (last.level, last.message) == ("error", failed.error.message)


async def test_preferences_are_trained_by_dpo(sdk: AsyncOpenAI, watch: Watch) -> None:
    file = await upload(sdk, jsonl([pair()] * 10))
    job = await sdk.fine_tuning.jobs.create(model=BASE, training_file=file, method={"type": "dpo"})
    watch.at += 60
    done = await sdk.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded" and done.method is not None and done.method.type == "dpo"


async def test_a_job_can_be_cancelled_once(sdk: AsyncOpenAI, watch: Watch) -> None:
    file = await upload(sdk, jsonl([example()] * 10))
    job = await sdk.fine_tuning.jobs.create(model=BASE, training_file=file)
    watch.at += 6
    assert (await sdk.fine_tuning.jobs.cancel(job.id)).status == "cancelled"
    watch.at += 100
    assert (await sdk.fine_tuning.jobs.retrieve(job.id)).status == "cancelled"
    [last, *_] = (await sdk.fine_tuning.jobs.list_events(job.id)).data
    assert last.message == "The job was cancelled"
    with pytest.raises(BadRequestError, match="already completed"):
        await sdk.fine_tuning.jobs.cancel(job.id)
    assert [one.id async for one in sdk.fine_tuning.jobs.list()] == [job.id]


async def test_what_openai_refuses_at_once(sdk: AsyncOpenAI) -> None:
    file = await upload(sdk, jsonl([example()] * 10))
    jobs = sdk.fine_tuning.jobs
    refused: list[tuple[Any, str | None]] = [
        (sdk.files.create(file=("train.csv", b"x"), purpose="fine-tune"), "file"),
        (sdk.files.create(file=("train.jsonl", b"{}"), purpose="nothing"), "purpose"),  # type: ignore[arg-type]
        (jobs.create(model="gpt-6", training_file=file), "model"),
        (jobs.create(model="no-such-model", training_file=file), "model"),
        (jobs.create(model=BASE, training_file="file-none"), "training_file"),
        (jobs.create(model=BASE, training_file=file, suffix="x" * 65), "suffix"),
        (jobs.create(model=BASE, training_file=file, method={"type": "magic"}), "method.type"),  # type: ignore[typeddict-item]
    ]
    for asked, param in refused:
        with pytest.raises(BadRequestError) as said:
            await asked
        assert said.value.param == param
    with pytest.raises(NotFoundError):
        await jobs.retrieve("ftjob-none")


async def test_a_reset_forgets_files_jobs_and_models(sdk: AsyncOpenAI, simulator: Simulator, watch: Watch) -> None:
    file = await upload(sdk, jsonl([example()] * 10))
    job = await sdk.fine_tuning.jobs.create(model=BASE, training_file=file)
    watch.at += 60
    model = (await sdk.fine_tuning.jobs.retrieve(job.id)).fine_tuned_model
    assert model is not None
    simulator.world.reset()
    for asked in (sdk.files.retrieve(file), sdk.fine_tuning.jobs.retrieve(job.id), sdk.models.retrieve(model)):
        with pytest.raises(NotFoundError):
            await asked
