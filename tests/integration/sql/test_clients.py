"""ClickHouse's own clients, and requests as JDBC, Grafana and curl make them, against the endpoint."""

import asyncio
import datetime
import gzip
import socket
import uuid
import zlib
from collections import defaultdict
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import clickhouse_connect
import lz4.frame
import pytest
from backports import zstd
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.streams.native import BlockInputStream

from tests.integration.sql.house import WRITER, House

AT = datetime.datetime(2026, 11, 28, 12, 0, 0, 123000, tzinfo=datetime.UTC)
VALUES: list[tuple[str, Any]] = [
    ("Int64", -(2**63)),
    ("UInt256", 2**255),
    ("Float64", 0.1),
    ("String", "ä\n\t'\\"),
    ("LowCardinality(String)", "low"),
    ("Nullable(String)", None),
    ("DateTime64(3, 'UTC')", AT),
    ("Decimal(18, 9)", Decimal("0.000000001")),
    ("UUID", uuid.UUID(int=7)),
    ("Array(String)", ["a", "b"]),
    ("Map(String, Float64)", {"a": 1.5}),
    ("Tuple(Int8, String)", (1, "x")),
    ("Enum8('a' = 1, 'b' = 2)", "b"),
    ("Bool", True),
]


@pytest.fixture(scope="module")
def client(house: House) -> Any:
    with house.client(tz_mode="aware") as connected:
        yield connected


def test_the_default_client_connects_and_reads(house: House) -> None:
    with clickhouse_connect.get_client(host="127.0.0.1", port=house.said["port"]) as anonymous:
        assert anonymous.query("SELECT 1 + 1, currentDatabase()").result_rows == [(2, "millrace")]


@pytest.mark.parametrize(("type_", "value"), VALUES, ids=[row[0] for row in VALUES])
def test_a_value_comes_back_as_it_went(client: Any, type_: str, value: Any) -> None:
    client.command(f"CREATE OR REPLACE TABLE kinds (v {type_}) ENGINE = MergeTree ORDER BY tuple()")
    client.insert("kinds", [[value]], column_names=["v"])
    assert client.query("SELECT v FROM kinds").result_rows == [(value,)]


def test_an_insert_says_how_many_rows_it_wrote(client: Any) -> None:
    client.command("CREATE OR REPLACE TABLE written (a Int64) ENGINE = MergeTree ORDER BY a")
    assert client.insert("written", [[1], [2], [3]], column_names=["a"]).written_rows == 3


def test_parameters_are_values_not_text(client: Any) -> None:
    nasty = "'; DROP TABLE x --\n\t\\"
    assert client.query("SELECT {p:String}", parameters={"p": nasty}).result_rows == [(nasty,)]


def test_a_stream_of_rows_is_read_block_by_block(client: Any) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as blocks:
        sizes = [len(block) for block in blocks]
    assert (sum(sizes), len(sizes) > 1) == (300_000, True)


def test_a_session_keeps_its_temporary_table(client: Any) -> None:
    client.command("CREATE TEMPORARY TABLE mine (a Int8)")
    client.command("INSERT INTO mine VALUES (1), (2)")
    assert client.command("SELECT sum(a) FROM mine") == 3


def test_settings_of_one_request_do_not_stay_in_the_session(client: Any) -> None:
    sql = "SELECT getSetting('max_block_size')"
    before = client.command(sql)
    assert client.command(sql, settings={"max_block_size": 1234}) == 1234
    assert client.command(sql) == before


def test_an_error_keeps_its_code_and_name(client: Any) -> None:
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match=r"Code: 60\..*UNKNOWN_TABLE"):
        client.query("SELECT * FROM nowhere")


def test_an_error_in_the_middle_of_a_stream_is_an_error(client: Any) -> None:
    with pytest.raises(clickhouse_connect.driver.exceptions.StreamFailureError, match="395"):
        client.query("SELECT throwIf(number = 400000) FROM numbers(500000)").result_rows  # noqa: B018  # read as it is asked for


async def test_async_clients_run_side_by_side(house: House) -> None:
    async with await clickhouse_connect.get_async_client(
        host="127.0.0.1", port=house.said["port"], username="default", autogenerate_session_id=False
    ) as client:
        await client.command("CREATE OR REPLACE TABLE beside (a Int64) ENGINE = MergeTree ORDER BY a")
        await asyncio.gather(*(client.insert("beside", [[n]], column_names=["a"]) for n in range(8)))
        answers = await asyncio.gather(*(client.query("SELECT count() FROM beside") for _ in range(8)))
    assert [answer.result_rows for answer in answers] == [[(8,)]] * 8


FORMATS = [
    ("TabSeparated", b"1\tx\n"),
    ("TabSeparatedWithNamesAndTypes", b"a\tb\nUInt8\tString\n1\tx\n"),
    ("CSVWithNames", b'"a","b"\n1,"x"\n'),
    ("JSONEachRow", b'{"a":1,"b":"x"}\n'),
    ("JSONCompactEachRow", b'[1, "x"]\n'),
    ("RowBinaryWithNamesAndTypes", b"\x02\x01a\x01b\x05UInt8\x06String\x01\x01x"),
]


@pytest.mark.parametrize(("form", "expected"), FORMATS, ids=[row[0] for row in FORMATS])
def test_a_format_clause_and_a_default_format_say_the_same(house: House, form: str, expected: bytes) -> None:
    sql = "SELECT 1 AS a, 'x' AS b"
    by_clause, by_default = house.ask(f"{sql} FORMAT {form}"), house.ask(sql, params={"default_format": form})
    assert by_clause.content == by_default.content == expected
    assert by_clause.headers["x-clickhouse-format"] == form


@pytest.mark.parametrize(
    "form", ["TSVWithNames", "CSVWithNamesAndTypes", "RowBinaryWithNames", "JSONEachRow", "Native"]
)
def test_pieces_of_a_stream_make_one_document(house: House, form: str) -> None:
    sql = 'SELECT number AS a, toString(number) AS `b"` FROM numbers(200000)'
    house.rows(f"CREATE OR REPLACE TABLE long_{form} ENGINE = Memory AS SELECT * FROM ({sql}) WHERE 0")
    data = house.ask(f"{sql} FORMAT {form}").content
    answer = house.ask(data, params={"query": f"INSERT INTO long_{form} FORMAT {form}"})
    assert answer.status_code == 200, answer.text
    assert house.rows(f"SELECT count(), sum(a) FROM long_{form}") == "200000\t19999900000\n"


@pytest.mark.parametrize("form", ["CSVWithNames", "TSVWithNamesAndTypes"])
def test_an_empty_result_keeps_its_header(house: House, form: str) -> None:
    assert house.ask(f"SELECT 1 AS a WHERE 0 FORMAT {form}").text.splitlines()[0].strip('"') == "a"


def test_newer_clients_get_native_blocks_of_their_revision(house: House) -> None:
    """Read by another client's reader of the binary protocol, at the revision that Grafana's plugin asks for."""
    columns = [
        "toUInt8(number) AS a",
        "toString(number) AS b",
        "CAST(b AS LowCardinality(String)) AS c",
        "CAST(if(number = 1, NULL, b) AS Nullable(String)) AS d",
        "range(number) AS e",
        "map(b, number) AS f",
        "CAST((1, ['x']) AS Tuple(p Int8, `q r` Array(String))) AS g",
        "toDecimal64('1.5', 9) AS h",
        "[(b, number)] AS i",
        "CAST('k,(' AS Enum8('k,(' = 1, 'l' = 2)) AS j",
    ]
    sql = f"SELECT {', '.join(columns)} FROM numbers(3) FORMAT Native"
    answer = house.ask(sql, params={"client_protocol_version": "54454"})
    assert answer.status_code == 200, answer.text
    assert _read_native(answer.content) == [
        (0, "0", "0", "0", [], {"0": 0}, (1, ["x"]), Decimal("1.5"), [("0", 0)], "k,("),
        (1, "1", "1", None, [0], {"1": 1}, (1, ["x"]), Decimal("1.5"), [("1", 1)], "k,("),
        (2, "2", "2", "2", [0, 1], {"2": 2}, (1, ["x"]), Decimal("1.5"), [("2", 2)], "k,("),
    ]


def _read_native(data: bytes) -> list[Any]:
    """The rows of one block."""
    settings = {"strings_encoding": "utf-8", "namedtuple_as_json": False}
    server = SimpleNamespace(used_revision=54454, get_timezone=lambda: "UTC")
    near, far = socket.socketpair()
    with near, far:
        near.sendall(data)
        context = SimpleNamespace(client_settings=defaultdict(bool, settings), server_info=server, settings={})
        return list(BlockInputStream(BufferedSocketReader(far, 1 << 20), context).read().get_rows())


def test_totals_come_after_the_rows(house: House) -> None:
    sql = "SELECT number % 2 AS a, count() FROM numbers(4) GROUP BY a WITH TOTALS ORDER BY a"
    assert house.rows(sql) == "0\t2\n1\t2\n\n0\t4\n"


def test_a_fault_in_binary_data_has_the_code_of_a_server(house: House) -> None:
    house.rows("CREATE OR REPLACE TABLE avro (a Int64) ENGINE = MergeTree ORDER BY a")
    answer = house.ask(b"no avro", params={"query": "INSERT INTO avro FORMAT Avro"})
    assert (answer.headers["x-clickhouse-exception-code"], "avro" in answer.text) == ("1001", True)


def test_json_is_one_document_with_its_statistics(house: House) -> None:
    document = house.ask("SELECT 1 AS a FORMAT JSON").json()
    assert (document["data"], document["rows"]) == ([{"a": 1}], 1)


def test_statement_and_parameters_may_come_as_a_form(house: House) -> None:
    fields = {"query": (None, "SELECT {a:Int8} + 1"), "param_a": (None, "41")}
    assert house.http.post(house.url, files=fields, headers=WRITER).text == "42\n"


def test_a_get_reads(house: House) -> None:
    assert house.http.get(house.url, params={"query": "SELECT {a:String}", "param_a": "x"}).text == "x\n"


def test_data_may_follow_their_statement_in_the_body(house: House) -> None:
    house.rows("CREATE OR REPLACE TABLE inline (a Int64, b String) ENGINE = MergeTree ORDER BY a")
    house.rows("INSERT INTO inline /* FORMAT */ (a, b) SETTINGS max_insert_threads = 1 FORMAT CSV\n1,FORMAT\n2,b\n")
    house.rows("INSERT INTO inline VALUES (1 + 2, 'c;--')")
    assert house.rows("SELECT * FROM inline ORDER BY a") == "1\tFORMAT\n2\tb\n3\tc;--\n"


def test_an_insert_select_is_no_data(house: House) -> None:
    house.rows("CREATE OR REPLACE TABLE copied (a Int64) ENGINE = MergeTree ORDER BY a")
    house.rows("INSERT INTO copied SELECT number FROM numbers(5)")
    assert house.rows("SELECT count() FROM copied") == "5\n"


def test_an_insert_without_data_writes_nothing(house: House) -> None:
    house.rows("CREATE OR REPLACE TABLE nothing (a Int64) ENGINE = MergeTree ORDER BY a")
    assert house.ask(b"", params={"query": "INSERT INTO nothing FORMAT CSV"}).status_code == 200


COMPRESS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
}
DECOMPRESS = {"gzip": gzip.decompress, "deflate": zlib.decompress, "lz4": lz4.frame.decompress, "zstd": zstd.decompress}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_bodies_are_compressed_both_ways(house: House, encoding: str) -> None:
    house.rows("CREATE OR REPLACE TABLE packed (a Int64) ENGINE = MergeTree ORDER BY a")
    plain = b"".join(b"%d\n" % number for number in range(300_000))
    sent = house.ask(
        COMPRESS[encoding](plain),
        params={"query": "INSERT INTO packed FORMAT TSV"},
        headers={**WRITER, "Content-Encoding": encoding},
    )
    assert sent.status_code == 200, sent.text
    raw = b""
    headers = {**WRITER, "Accept-Encoding": f"{encoding}, br;q=0.5"}
    with house.http.stream("POST", house.url, content="SELECT a FROM packed ORDER BY a", headers=headers) as answer:
        assert answer.headers["content-encoding"] == encoding
        raw = b"".join(answer.iter_raw())
    assert (len(raw) < len(plain), DECOMPRESS[encoding](raw)) == (True, plain)


def test_a_body_cut_off_is_an_error(house: House) -> None:
    house.rows("CREATE OR REPLACE TABLE cut (a Int64) ENGINE = MergeTree ORDER BY a")
    body = gzip.compress(b"1\n2\n")[:-6]
    answer = house.ask(
        body, params={"query": "INSERT INTO cut FORMAT TSV"}, headers={**WRITER, "Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "117")
    assert house.rows("SELECT count() FROM cut") == "0\n"


ERRORS = [
    ("SELECT 1 FROM nowhere", {}, 404, 60),
    ("SELEC 1", {}, 400, 62),
    ("SELECT 1; SELECT 2", {}, 400, 62),
    ("SELECT 1", {"no_such_setting": "1"}, 404, 115),
    ("SELECT 1", {"database": "nowhere"}, 404, 81),
    ("SELECT sleep(2)", {"max_execution_time": "0.1"}, 408, 159),
    ("SELECT 1", {"compress": "1"}, 501, 48),
    ("SELECT 1", {"session_id": "unknown", "session_check": "1"}, 404, 372),
    ("SELECT " + "1," * 600_000 + "1", {}, 400, 62),
]


@pytest.mark.parametrize(("sql", "params", "status", "code"), ERRORS, ids=[str(row[3]) + row[0][:12] for row in ERRORS])
def test_errors_are_worded_as_by_a_server(
    house: House, sql: str, params: dict[str, str], status: int, code: int
) -> None:
    answer = house.ask(sql, params=params)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_a_session_serves_one_statement_at_a_time(house: House) -> None:
    params = {"session_id": "one-at-a-time"}
    with house.http.stream(
        "POST", house.url, content="SELECT number FROM numbers(100000000)", params=params, headers=WRITER
    ) as first:
        pieces = first.iter_raw()  # kept: its end would be the end of the connection
        next(pieces)
        second = house.ask("SELECT 1", params=params)
    assert second.headers.get("x-clickhouse-exception-code") == "373", second.text


def test_small_paths_answer(house: House) -> None:
    assert house.http.get(house.url + "ping").text == "Ok.\n"
    assert house.http.get(house.url).text == "Ok.\n"


def test_metrics_and_readiness_stand_on_the_admin_port(house: House) -> None:
    house.rows("SELECT 1")
    text = house.http.get(house.admin + "/metrics").text
    assert 'millrace_sql_statements_total{kind="select",result="ok"}' in text
    assert house.http.get(house.admin + "/readyz").status_code == 200
