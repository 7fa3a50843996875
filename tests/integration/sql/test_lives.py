"""Large results, callers who go away, too many at once, and the ends of the process itself."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.sql.house import READER, WRITER, House

MIB = 1 << 20
RUNNING = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'hang'"
ENDLESS = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"


def until(holds: Callable[[], bool], within_s: float = 20) -> None:
    """The engine says nothing by itself: it is asked."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_result_of_five_million_rows_is_never_held_whole(house: House) -> None:
    sql = "SELECT number, toString(number), cityHash64(number) FROM numbers(5000000) FORMAT Native"
    house.ask(f"SELECT * FROM ({sql.removesuffix(' FORMAT Native')}) LIMIT 200000 FORMAT Native")
    before, most, size = house.rss_bytes(), 0, 0
    headers = {**WRITER, "Accept-Encoding": "identity"}
    with house.http.stream("POST", house.url, content=sql, headers=headers) as answer:
        for piece in answer.iter_raw():
            size += len(piece)
            most = max(most, house.rss_bytes())
    assert size > 110 * MIB
    assert most - before < 60 * MIB


def test_an_insert_of_many_rows_streams_through(house: House) -> None:
    house.rows("CREATE TABLE many (a Int64, b String) ENGINE = Null")
    block = b"".join(b"%d,%s\n" % (number, b"x" * 90) for number in range(10_000))
    most = 0

    def pieces() -> Iterator[bytes]:
        nonlocal most
        for _ in range(400):
            yield block
            most = max(most, house.rss_bytes())

    before = house.rss_bytes()
    params = {"query": "INSERT INTO many FORMAT CSV"}
    answer = house.http.post(house.url, params=params, content=pieces(), headers=WRITER)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "4000000"
    assert most - before < 250 * MIB


def test_a_large_result_in_a_whole_format_is_refused_not_swallowed(house: House) -> None:
    answer = house.ask("SELECT number, toString(number) FROM numbers(20000000) FORMAT JSON")
    assert answer.headers["x-clickhouse-exception-code"] == "396"


@pytest.mark.parametrize("sql", [ENDLESS, "SELECT number FROM numbers(1000000000000)"], ids=["silent", "streaming"])
def test_a_statement_ends_when_its_caller_hangs_up(house: House, sql: str) -> None:
    async def hang_up() -> None:
        async with httpx.AsyncClient() as client:
            asking = asyncio.create_task(
                client.post(house.url, content=sql, params={"query_id": "hang"}, headers=WRITER)
            )
            await asyncio.to_thread(until, lambda: house.rows(RUNNING) != "0\n")
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(hang_up())
    until(lambda: house.rows(RUNNING) == "0\n")


def test_half_an_insert_leaves_no_rows(house: House) -> None:
    house.rows("CREATE TABLE half (a Int64) ENGINE = MergeTree ORDER BY a")

    def pieces() -> Iterator[bytes]:
        yield b"1\n2\n" * 100_000
        until(lambda: house.rows(RUNNING) == "1\n")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        params = {"query": "INSERT INTO half FORMAT CSV", "query_id": "hang"}
        house.http.post(house.url, params=params, content=pieces(), headers=WRITER)
    until(lambda: house.rows(RUNNING) == "0\n")
    assert house.rows("SELECT count() FROM half") == "0\n"


def test_two_statements_of_one_id_do_not_run_at_once(house: House) -> None:
    async def both() -> list[str | None]:
        async with httpx.AsyncClient(headers=WRITER, timeout=30) as client:
            params = {"query_id": "twin", "max_execution_time": "3"}
            first = asyncio.create_task(client.post(house.url, content=ENDLESS, params=params))
            await asyncio.to_thread(until, lambda: house.rows(RUNNING.replace("hang", "twin")) == "1\n")
            second = await client.post(house.url, content="SELECT 1", params=params)
            return [answer.headers.get("x-clickhouse-exception-code") for answer in (second, await first)]

    assert asyncio.run(both()) == ["216", "159"]


def test_too_many_at_once_are_told_to_come_back(house: House) -> None:
    async def storm() -> list[int]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(headers=WRITER, timeout=60, limits=limits) as client:
            asked = [client.post(house.url, content="SELECT sleep(0.3)") for _ in range(90)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    statuses = asyncio.run(storm())
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 72


def test_people_leave_room_for_the_platform(house: House) -> None:
    async def crowd() -> int:
        async with httpx.AsyncClient(timeout=60) as client:
            params = {"max_execution_time": "20"}
            asking = [
                asyncio.create_task(client.post(house.url, content=ENDLESS, params=params, headers=READER))
                for _ in range(12)
            ]
            busy = "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64%' AND query NOT LIKE '%LIKE%'"
            await asyncio.to_thread(until, lambda: house.rows(busy) == "4\n")
            answer = await client.post(house.url, content="SELECT 1", headers=WRITER)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await asyncio.to_thread(until, lambda: house.rows(busy) == "0\n")
            return answer.status_code

    assert asyncio.run(crowd()) == 200


def test_acked_inserts_survive_sigkill(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    house.rows("CREATE TABLE acked (a Int64) ENGINE = MergeTree ORDER BY a")
    acked: list[int] = []
    is_enough = threading.Event()

    def write() -> None:
        try:
            for number in range(100_000):
                house.rows("INSERT INTO acked FORMAT CSV\n" + f"{number}\n" * 100)
                acked.append(number)
                if number == 10:
                    is_enough.set()
        except httpx.HTTPError:
            return

    writer = threading.Thread(target=write)
    writer.start()
    assert is_enough.wait(30)
    house.end(signal.SIGKILL)
    writer.join()
    again = House(tmp_path / "data")
    kept = again.rows("SELECT a FROM acked GROUP BY a HAVING count() = 100 ORDER BY a").split()
    assert {int(number) for number in kept} >= set(acked)
    assert again.end() == 0


def test_a_second_owner_is_refused_at_once(house: House) -> None:
    second = House(house.data_dir)
    assert second.ended() == 1
    assert second.said["event"] == "exit"
    assert "in use" in second.said["detail"] or "runs already" in second.said["detail"]
    assert house.rows("SELECT 1") == "1\n"


def test_sigterm_ends_it_in_order_while_a_statement_runs(tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    asking = threading.Thread(target=_ignore_ends, args=(lambda: house.ask(ENDLESS, params={"query_id": "hang"}),))
    asking.start()
    until(lambda: house.rows(RUNNING) == "1\n")
    assert house.end() == 0
    asking.join()


def _ignore_ends(ask: Callable[[], object]) -> None:
    try:
        ask()
    except httpx.HTTPError:
        return
