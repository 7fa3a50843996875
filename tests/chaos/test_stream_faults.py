"""Every way in which a stream can break, before and after its first word, many at once, and callers who leave.

No half answer is said to be whole, and what is booked is what was delivered.
"""

import asyncio
import contextlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from openai import AsyncOpenAI, OpenAIError

from connectors.simulator import Simulator, tokens
from tests.chaos.books import Books, books_of, complete
from tests.chaos.platform import CATALOG, KEY, platform

pytestmark = pytest.mark.alone

STREAMS = int(os.environ.get("MILLRACE_STREAMS", "1000"))
AT_A_TIME = 40
LEAVES_EVERY = 5
FAULTS = (
    "reset_mid_stream", "close_mid_stream", "error_mid_stream", "early_end", "malformed", "hang_mid_stream",
    "wrong_shape", "empty_body", "html_502", "error_200", "no_done+split_bytes", "no_usage+join_events",
)  # fmt: skip
NO_FAULTS = ("no_done+split_bytes", "no_usage+join_events")
"""The answer is whole in these: only the vendor's last words are missing."""
FIRST = "gpt-4.1-mini"
TIMEOUTS = "timeouts: {connect_s: 2, first_event_s: 2, gap_s: 1, total_s: 30}"


def catalog(simulator: Simulator) -> str:
    """Most calls fail here, and each is to be made good: more than a budget of one in five allows."""
    text = CATALOG.format(url=simulator.base_url).replace("max_in_flight: 400}", f"max_in_flight: 400, {TIMEOUTS}}}")
    return text + "retry: {budget_ratio: 1.0}\n"


@dataclass(slots=True)
class Seen:
    """What a caller has of one stream."""

    fault: str
    leaves: bool
    text: str = ""
    finish: list[str] = field(default_factory=list)
    error: str = ""
    request_id: str = ""


def wish(number: int) -> Seen:
    """Each fault before and after the first word, under both policies, for callers who stay and who leave."""
    return Seen(FAULTS[number % len(FAULTS)], leaves=number % LEAVES_EVERY == 0)


async def ask(client: AsyncOpenAI, number: int) -> Seen:
    seen = wish(number)
    after, route = (0, 8)[number // len(FAULTS) % 2], ("steady", "strict")[number // (2 * len(FAULTS)) % 2]
    text = f"stream {number} [[sim: fault={seen.fault} after={after} tokens=40 cadence_ms=10 model={FIRST}]]"
    with contextlib.suppress(OpenAIError):
        try:
            stream = await client.chat.completions.create(
                model=route, messages=[{"role": "user", "content": text}], stream=True
            )
            seen.request_id = stream.response.headers["x-request-id"]
            async for chunk in stream:
                for choice in chunk.choices:
                    seen.text += choice.delta.content or ""
                    seen.finish += [choice.finish_reason] if choice.finish_reason else []
                if seen.leaves and len(seen.text) > 10:
                    await stream.close()
                    break
        except OpenAIError as error:
            seen.error = type(error).__name__
            response = getattr(error, "response", None)
            seen.request_id = seen.request_id or (response.headers.get("x-request-id", "") if response else "")
            raise
    return seen


async def asked(client: AsyncOpenAI) -> list[Seen]:
    slots = asyncio.Semaphore(AT_A_TIME)

    async def one(number: int) -> Seen:
        async with slots:
            return await ask(client, number)

    return list(await asyncio.gather(*(one(number) for number in range(STREAMS))))


def truncated(seen: Seen, books: Books) -> str:
    """Why this was a success that is none, or an answer that is not the one on record; empty: all is well."""
    assert books.response is not None
    if seen.error or seen.leaves:
        return "it has an end after all" if seen.error and seen.finish else ""
    if books.response.outcome != "ok" or not seen.finish:
        return f"it ends well, and its outcome is {books.response.outcome}, {seen.finish}"
    whole = orjson.loads(books.response.body or b"")["choices"][0]
    if (seen.text, seen.finish) != (whole["message"]["content"], [whole["finish_reason"]]):
        return "it is not the answer on record"
    last = max(books.attempts.values(), key=lambda attempt: attempt.attempt)
    return "" if last.result == "ok" and whole["message"]["content"] else f"its last call ended {last.result}"


def misbooked(books: Books) -> list[str]:
    """Attempts whose tokens in the ledger are not those that were delivered, or that the vendor said."""
    wrong = []
    for attempt_id, attempt in books.attempts.items():
        usage = books.costs[attempt_id].usage
        if usage != (attempt.usage or usage):
            wrong.append(f"booked {usage}, finished with {attempt.usage}")
        delivered = tokens.count(books.said(attempt.attempt))
        is_cut = attempt.result != "ok" and attempt.role == "primary"
        if is_cut and usage.output_tokens != delivered:
            wrong.append(f"{attempt.model}: {usage.output_tokens} tokens booked, {delivered} delivered")
    return wrong


@pytest.mark.timeout(300)
async def test_no_broken_stream_is_called_whole_and_what_is_booked_was_delivered(tmp_path: Path) -> None:
    async with (
        platform(tmp_path, catalog=catalog) as running,
        books_of(running.kafka) as (found, changed),
        AsyncOpenAI(base_url=f"{running.gateway}/v1", api_key=KEY, max_retries=0, timeout=60) as client,
    ):
        streams = await asked(client)
        wanted = {seen.request_id for seen in streams if seen.request_id}
        await complete(found, changed, wanted)
        bad = {seen.request_id: why for seen in streams if (why := truncated(seen, found[seen.request_id]))}
        wrong = {request_id: why for request_id in wanted if (why := misbooked(found[request_id]))}
        report = {
            "streams": len(streams),
            "left": sum(seen.leaves and not seen.finish for seen in streams),
            "ends": Counter(f"{seen.fault}: {seen.error or ''.join(seen.finish) or 'left'}" for seen in streams),
            "attempts": Counter(len(found[request_id].attempts) for request_id in wanted),
            "bad": bad,
            "wrong": wrong,
        }
        (tmp_path / "report.json").write_bytes(
            orjson.dumps(report, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2)
        )
        assert bad == {}
        assert wrong == {}
        assert len(wanted) == STREAMS
        assert report["left"] >= STREAMS // LEAVES_EVERY * 0.5, report
        whole = [seen for seen in streams if seen.fault in NO_FAULTS and not seen.leaves]
        assert all(seen.finish and not seen.error for seen in whole), report
