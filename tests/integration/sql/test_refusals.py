"""Who may do what; what nobody may. Every refusal is tried on the real engine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sql.house import READER, WRITER, House

KEY, READER_KEY = "a long key %&/", "another key"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that must never be read, in a folder that must never be written."""
    path = tmp_path_factory.mktemp("outside") / "secret.csv"
    path.write_text("TOPSECRET\n")
    return path


OUTSIDE = [
    "SELECT * FROM file('{path}', 'LineAsString')",
    "SELECT file('{path}')",
    "SELECT * FROM numbers(1) WHERE file('{path}') = ''",
    "SELECT `file`('{path}')",
    "SELECT * FROM system.one WHERE 'a' IN (SELECT * FROM file('{path}', 'LineAsString'))",
    "SELECT * FROM view(SELECT * FROM file('{path}', 'LineAsString'))",
    "WITH x AS (SELECT file('{path}') AS f) SELECT f FROM x",
    "SELECT * APPLY(x -> file('{path}')) FROM system.one",
    "SELECT COLUMNS('dummy') APPLY(file) FROM system.one",
    "SHOW TABLES WHERE file('{path}') != ''",
    "EXPLAIN SELECT * FROM file('{path}', 'LineAsString')",
    "DESCRIBE TABLE file('{path}', 'LineAsString')",
    "DESCRIBE (SELECT file('{path}'))",
    "DESCRIBE TABLE s3('http://127.0.0.1:9/b/k.csv', 'CSV', 'a String')",
    "SELECT b FROM values('a Int8, b String ALIAS file(\\'{path}\\')', 1)",
    "SELECT * FROM format(JSONEachRow, 'a Int8, b String DEFAULT file(\\'{path}\\')', '{{\"a\":1}}')",
    "SELECT b FROM generateRandom('a Int8, b String ALIAS file(\\'{path}\\')') LIMIT 1",
    "SELECT 1 AS a SETTINGS additional_result_filter = 'file(\\'{path}\\') = 1'",
    "SELECT 1 AS a FORMAT Template SETTINGS format_template_row = '{path}'",
    "SELECT * FROM default.`{path}`",
    "\\i {path}",
    "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1:9', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1:9', system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM s3('http://127.0.0.1:9/b/k.csv', 'CSV', 'a String')",
    "SELECT * FROM mysql('127.0.0.1:9', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('{path}', 't')",
    "SELECT * FROM executable('x', 'TSV', 'a String')",
    "SELECT * FROM python('os')",
    "SELECT * FROM filesystem('/')",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT hasColumnInTable('127.0.0.1:9', 'u', 'p', 'd', 't', 'c')",
    "SELECT aiGenerate('x')",
    "SELECT * FROM dictionary('x')",
    "SELECT * FROM system.users",
    "SELECT 1 SETTINGS dialect = 'prql'",
    "SET dialect = 'clickhouse_json'",
    "SELECT 1 INTO OUTFILE '{path}.out'",
    "SHOW TABLES INTO OUTFILE '{path}.out'",
    "SHOW CREATE TABLE system.one INTO OUTFILE '{path}.out'",
    "INSERT INTO kept FROM INFILE '{path}' FORMAT CSV",
    "INSERT INTO FUNCTION file('{path}.out', 'CSV', 'a Int64') SELECT 1",
    "INSERT INTO FUNCTION file('{path}.out', 'CSV', 'a Int64') FORMAT CSV\n1",
    "INSERT INTO FUNCTION url('http://127.0.0.1:9/', 'CSV', 'a Int64') VALUES (1)",
    "INSERT INTO kept SETTINGS format_avro_schema_registry_url = 'http://127.0.0.1:9' FORMAT AvroConfluent\nx",
    "INSERT INTO kept SELECT length(file('{path}'))",
    "CREATE TABLE bad (a String) ENGINE = File(CSV, '{path}')",
    "CREATE TABLE bad AS file('{path}', 'LineAsString')",
    "CREATE TABLE bad (a String DEFAULT file('{path}')) ENGINE = Memory",
    "CREATE TABLE bad (a String) ENGINE = URL('http://127.0.0.1:9/', CSV)",
    "CREATE TABLE bad (a String) ENGINE = EmbeddedRocksDB(0, '{path}.rocks') PRIMARY KEY a",
    "CREATE TABLE bad (a String) ENGINE = Executable('x', TSV)",
    "CREATE TABLE bad (a String) ENGINE = FileLog('{path}', 'LineAsString')",
    "CREATE TABLE bad (a String) ENGINE = Kafka('127.0.0.1:9', 't', 'g', 'CSV')",
    "CREATE TABLE bad (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '{path}.disk/')",
    "CREATE TABLE bad (a Int8) ENGINE = MergeTree ORDER BY a "
    "SETTINGS disk = disk(type = s3, endpoint = 'http://127.0.0.1:9/bkt/b/', access_key_id = 'a', secret_access_key = 'b')",
    "CREATE TABLE bad (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'x'",
    "CREATE VIEW bad AS SELECT * FROM file('{path}', 'LineAsString')",
    "CREATE DATABASE bad ENGINE = Filesystem('/')",
    "CREATE DATABASE bad ENGINE = SQLite('{path}')",
    "CREATE DATABASE bad ENGINE = DataLakeCatalog('http://127.0.0.1:9')",
    "CREATE DICTIONARY bad (a UInt64, b String) PRIMARY KEY a SOURCE(file(path '{path}' format TSV)) LAYOUT(flat()) LIFETIME(0)",
    "CREATE FUNCTION bad AS (x) -> x + 1",
    "CREATE NAMED COLLECTION bad AS a = 1",
    "CREATE USER bad",
    "GRANT ALL ON *.* TO default",
    "ATTACH TABLE bad FROM '{path}' (a Int8) ENGINE = Log",
    "ALTER TABLE kept MODIFY SETTING disk = 'x'",
    "ALTER TABLE kept ADD COLUMN c String DEFAULT file('{path}')",
    "BACKUP TABLE kept TO File('{path}.backup')",
    "SYSTEM SHUTDOWN",
    "SYSTEM STOP MERGES",
    "SET ROLE NONE",
    "SHOW CREATE TABLE system.one; SELECT file('{path}')",
    "SHOW CREATE TABLE system.one; SELECT file('{path}') "
    "/* Code: 36. DB::Exception: AST node of type 'ShowCreateTableQuery' does not support JSON serialization */",
    "CREATE VIEW bad SQL SECURITY NONE AS SELECT 1",
    "CREATE VIEW bad AS SELECT * FROM default.`{path}`",
    "UNDROP TABLE kept INTO OUTFILE '{path}.out'",
    "BEGIN TRANSACTION",
    "SELECT 1 PARALLEL WITH SELECT 2",
]


POSITIONS = """
SELECT a FROM t ORDER BY a WITH FILL FROM length(X)
SELECT a FROM t ORDER BY a WITH FILL STEP length(X)
SELECT a, b FROM t ORDER BY a WITH FILL INTERPOLATE (b AS X)
SELECT a FROM t ORDER BY a WITH FILL STALENESS length(X)
SELECT 1 FROM t GROUP BY GROUPING SETS ((X), (a))
SELECT 1 LIMIT 1 OFFSET length(X)
SELECT 1 LIMIT (SELECT length(X))
SELECT sum(a) OVER (ORDER BY a ROWS BETWEEN length(X) PRECEDING AND CURRENT ROW) FROM t
SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY X)
SELECT 1 FROM t PREWHERE X = ''
SELECT 1 FROM t JOIN u ON t.a = X
SELECT 1 FROM t ARRAY JOIN [X] AS y
SELECT quantile(length(X))(a) FROM t
SELECT DISTINCT ON (X) a FROM t
SELECT a FROM t LIMIT 1 OFFSET length(X) BY a
SELECT * EXCEPT (a) REPLACE (X AS b) FROM t
SELECT * APPLY(quantile(length(X))) FROM t
SELECT INTERVAL length(X) DAY
SELECT EXTRACT(DAY FROM X), TRIM(BOTH 'x' FROM X), SUBSTRING(X FROM 1 FOR 2), POSITION('a' IN X)
SELECT CASE WHEN X = '' THEN 1 END
SELECT sum(a) FILTER (WHERE X = '') FROM t
SELECT a FROM t QUALIFY X = ''
SELECT 1 EXCEPT SELECT X
WITH RECURSIVE r AS (SELECT X UNION ALL SELECT X FROM r) SELECT * FROM r
CREATE TABLE n (a Int8 TTL toDate(X)) ENGINE = MergeTree ORDER BY tuple()
CREATE TABLE n (a Int8 CODEC(Delta(X))) ENGINE = Memory
CREATE TABLE n (a Int8) ENGINE = MergeTree PARTITION BY X ORDER BY a
CREATE TABLE n (a Int8) ENGINE = MergeTree ORDER BY a SAMPLE BY X
CREATE TABLE n (a Int8, d Date) ENGINE = MergeTree ORDER BY a TTL d DELETE WHERE X = ''
CREATE TABLE n (a Int8, d Date) ENGINE = MergeTree ORDER BY a TTL d GROUP BY a SET d = X
CREATE TABLE n (a Int8, CONSTRAINT c CHECK X = '') ENGINE = Memory
CREATE TABLE n (a Int8, INDEX i X TYPE minmax) ENGINE = MergeTree ORDER BY a
CREATE TABLE n (a Int8, PROJECTION p (SELECT X ORDER BY a)) ENGINE = MergeTree ORDER BY a
CREATE TABLE n ENGINE = Buffer(millrace, X, 1, 1, 1, 1, 1, 1, 1)
CREATE TABLE n ENGINE = Memory AS SELECT X
CREATE MATERIALIZED VIEW n ENGINE = Memory AS SELECT X AS a
CREATE MATERIALIZED VIEW n REFRESH EVERY 1 DAY TO kept AS SELECT X AS a
ALTER TABLE kept UPDATE a = length(X) WHERE 1
ALTER TABLE kept MODIFY TTL toDate(X)
ALTER TABLE kept ADD INDEX i X TYPE minmax
ALTER TABLE kept ADD PROJECTION p (SELECT X)
ALTER TABLE kept MODIFY COLUMN a DEFAULT length(X)
UPDATE kept SET a = length(X) WHERE 1
DELETE FROM kept WHERE X = ''
KILL MUTATION WHERE X = ''
SHOW TABLES LIMIT length(X)
SHOW COLUMNS FROM kept WHERE X = ''
WITH y AS (SELECT length(X) AS a) INSERT INTO kept SELECT * FROM y
EXPLAIN PIPELINE INSERT INTO kept SELECT length(X)
CREATE DATABASE n ENGINE = Atomic TABLE OVERRIDE t (COLUMNS (a Int8 DEFAULT X))
""".strip().splitlines()
"""Where an expression can stand: the parser's tree must show every one of them."""


@pytest.mark.parametrize("sql", POSITIONS)
def test_the_tree_shows_an_expression_wherever_it_stands(house: House, secret: Path, sql: str) -> None:
    answer = house.ask(re.sub(r"\bX\b", f"file('{secret}')", sql))
    assert "the function file is not served here" in answer.text


@pytest.fixture(scope="module", autouse=True)
def kept(house: House) -> None:
    house.rows("CREATE TABLE kept (a Int64) ENGINE = MergeTree ORDER BY a")


@pytest.mark.parametrize("sql", OUTSIDE)
def test_nothing_reaches_out_of_the_database(house: House, secret: Path, sql: str) -> None:
    before = sorted(secret.parent.iterdir())
    answer = house.ask(sql.format(path=secret))
    assert answer.status_code in (400, 403, 404), answer.text
    assert answer.headers["x-clickhouse-exception-code"] in ("36", "46", "62", "164", "452", "497")
    assert "TOPSECRET" not in answer.text
    assert sorted(secret.parent.iterdir()) == before


def test_a_setting_of_the_request_is_checked_like_one_of_the_statement(house: House) -> None:
    for name in ("additional_result_filter", "format_template_row", "dialect", "format_avro_schema_registry_url"):
        assert house.ask("SELECT 1", params={name: "x"}).headers["x-clickhouse-exception-code"] == "452"


def test_what_the_platform_and_its_people_need_is_served(house: House) -> None:
    for sql in (
        "CREATE TABLE fine (t DateTime64(3, 'UTC'), k String, n UInt64, INDEX i k TYPE bloom_filter(0.01)) "
        "ENGINE = MergeTree PARTITION BY toMonday(t) ORDER BY (k, t) TTL toDateTime(t) + toIntervalDay(30) "
        "SETTINGS non_replicated_deduplication_window = 100, ttl_only_drop_parts = 1",
        "CREATE TABLE by_hour (h DateTime, k String, n AggregateFunction(sum, UInt64)) "
        "ENGINE = AggregatingMergeTree ORDER BY (k, h)",
        "CREATE MATERIALIZED VIEW by_hour_view TO by_hour AS "
        "SELECT toStartOfHour(t) AS h, k, sumState(f.n) AS n FROM fine AS f GROUP BY h, k",
        "INSERT INTO fine VALUES ('2026-11-28 12:00:00', 'a', 1)",
        "ALTER TABLE fine ADD COLUMN m Nullable(String)",
        "ALTER TABLE fine DELETE WHERE k = 'b' SETTINGS mutations_sync = 1",
        "OPTIMIZE TABLE fine FINAL",
        "CREATE VIEW latest AS SELECT * FROM fine WHERE k != ''",
        "CHECK TABLE fine",
        "RENAME TABLE fine TO finer",
        "DELETE FROM finer WHERE k = 'zz'",
        "TRUNCATE TABLE finer",
        "DROP VIEW latest",
        "KILL QUERY WHERE query_id = 'nobody'",
        "SHOW CREATE TABLE finer",
        "EXPLAIN indexes = 1 SELECT * FROM finer WHERE k = 'a'",
        "DESCRIBE TABLE finer SETTINGS describe_include_subcolumns = 1",
        "EXISTS TABLE finer",
        "SHOW PROCESSLIST",
    ):
        house.rows(sql)
    assert house.rows("SELECT sumMerge(n) FROM by_hour") == "1\n"


READS = ["SELECT 1", "SHOW TABLES", "DESCRIBE TABLE kept", "EXPLAIN SELECT 1"]
WRITES = [
    "INSERT INTO kept VALUES (1)",
    "INSERT INTO kept SELECT 1",
    "CREATE TABLE other (a Int8) ENGINE = Memory",
    "DROP TABLE kept",
    "ALTER TABLE kept DELETE WHERE 1",
    "TRUNCATE TABLE kept",
    "OPTIMIZE TABLE kept",
    "KILL QUERY WHERE 1",
    "CREATE TEMPORARY TABLE t (a Int8)",
]


@pytest.mark.parametrize("sql", READS)
def test_everybody_here_may_read(house: House, sql: str) -> None:
    for headers in (WRITER, READER, {}):
        assert house.ask(sql, headers=headers).status_code == 200
    assert house.http.get(house.url, params={"query": sql}).status_code == 200


@pytest.mark.parametrize("sql", WRITES)
@pytest.mark.parametrize("who", ["reader", "nobody", "get", "in the address"])
def test_only_a_named_writer_may_write(house: House, who: str, sql: str) -> None:
    answer = {
        "reader": lambda: house.ask(sql, headers=READER),
        "nobody": lambda: house.ask(sql, headers={}),
        "get": lambda: house.http.get(house.url, params={"query": sql}, headers=WRITER),
        "in the address": lambda: house.ask(sql, headers={}, params={"user": "default"}),
    }[who]()
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "164")


def test_a_reader_cannot_lift_the_limits(house: House) -> None:
    limits = "SELECT getSetting('readonly'), getSetting('max_execution_time'), getSetting('max_memory_usage') > 0"
    assert house.rows(limits, headers=READER, params={"max_execution_time": "0", "readonly": "0"}) == "1\t60\t1\n"
    assert house.rows(limits, headers=READER, params={"max_execution_time": "7"}) == "1\t7\t1\n"
    for sql in ("SELECT 1 SETTINGS max_execution_time = 0", "SELECT 1 SETTINGS readonly = 0", "SET readonly = 0"):
        assert house.ask(sql, headers=READER).headers["x-clickhouse-exception-code"] == "164"


def test_an_unknown_user_is_refused(house: House) -> None:
    answer = house.ask("SELECT 1", headers={"X-ClickHouse-User": "root"})
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "516")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example:8123"},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_is_refused(house: House, headers: dict[str, str]) -> None:
    assert house.ask("SELECT 1", headers={**WRITER, **headers}).status_code == 403
    assert house.http.get(house.url, params={"query": "SELECT 1"}, headers=headers).status_code == 403


def test_a_preflight_is_not_granted(house: House) -> None:
    answer = house.http.options(
        house.url, headers={"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(
        tmp_path_factory.mktemp("locked") / "data", MILLRACE_SQL_KEY=KEY, MILLRACE_SQL_READER_KEY=READER_KEY,
        MILLRACE_SQL_HOST="0.0.0.0",
    )  # fmt: skip
    yield house
    assert house.end() == 0


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("default", KEY, 200),
        ("millrace", KEY, 200),
        ("reader", READER_KEY, 200),
        ("reader", KEY, 200),
        ("default", READER_KEY, 403),
        ("default", "", 403),
        ("reader", "", 403),
        ("root", KEY, 403),
    ],
)
def test_with_a_key_the_password_decides(locked: House, user: str, password: str, status: int) -> None:
    named = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
    assert locked.ask("SELECT 1", headers=named).status_code == status
    assert locked.http.post(locked.url, content="SELECT 1", auth=(user, password)).status_code == status
    in_address = {"user": user, "password": password}
    assert locked.ask("SELECT 1", headers={}, params=in_address).status_code == status


def test_with_a_key_nobody_is_anonymous(locked: House) -> None:
    assert locked.ask("SELECT 1", headers={}).status_code == 403


def test_no_secret_is_logged_or_answered(locked: House) -> None:
    wrong = locked.ask("SELECT 1", headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": "a wrong guess"})
    said = locked.log.name and Path(str(locked.log.name)).read_text() + wrong.text
    assert not [word for word in (KEY, READER_KEY, "a wrong guess") if word in said]


def test_off_loopback_without_a_key_it_does_not_start(tmp_path: Path) -> None:
    house = House(tmp_path / "data", MILLRACE_SQL_HOST="0.0.0.0")
    assert house.ended() == 1
    assert house.said["reason"] == "KeyRequired"
    assert "MILLRACE_SQL_KEY" in house.said["detail"]
