"""Where the data of an insert begin."""

import pytest

from connectors.sql_endpoint.lexing import after_words, first_word, insert_head

HEADS = [
    (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t ", "CSV", b"1,2\n"),
    (b"insert into t format CSV\r\n1,2", b"insert into t ", "CSV", b"1,2"),
    (
        b"INSERT INTO t (a, `format b`) FORMAT RowBinary\n\n\x00",
        b"INSERT INTO t (a, `format b`) ",
        "RowBinary",
        b"\n\x00",
    ),
    (b"INSERT INTO t FORMAT Native", b"INSERT INTO t ", "Native", b""),
    (b"INSERT INTO t VALUES (1)", b"INSERT INTO t ", "Values", b" (1)"),
    (
        b"-- FORMAT x\n/* VALUES */ INSERT INTO `VALUES` VALUES(1)",
        b"-- FORMAT x\n/* VALUES */ INSERT INTO `VALUES` ",
        "Values",
        b"(1)",
    ),
    (
        b"INSERT INTO f('FORMAT CSV ''', $q$ FORMAT $q$) FORMAT TSV\nx",
        b"INSERT INTO f('FORMAT CSV ''', $q$ FORMAT $q$) ",
        "TSV",
        b"x",
    ),
    (b"INSERT INTO t SETTINGS a = 'FORMAT' FORMAT CSV\n1", b"INSERT INTO t SETTINGS a = 'FORMAT' ", "CSV", b"1"),
]


@pytest.mark.parametrize(("text", "target", "form", "data"), HEADS)
def test_an_insert_is_cut_before_its_data(text: bytes, target: bytes, form: str, data: bytes) -> None:
    head = insert_head(text)
    assert head is not None
    assert (head.target, head.format, text[head.data_at :]) == (target, form, data)


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t FORMAT",
        b"INSERT INTO t 'unclosed FORMAT CSV",
        b"",
    ],
)
def test_other_statements_have_no_data(text: bytes) -> None:
    head = insert_head(text)
    assert head is None or head.target != b"INSERT INTO t "


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b" select 1", "SELECT"),
        (b"/* SHOW */ -- x\n ((SELECT 1))", "SELECT"),
        (b"#! x\nDESC t", "DESC"),
        (b"'INSERT'", ""),
        (b"", ""),
    ],
)
def test_the_first_word_is_found_past_comments(text: bytes, word: str) -> None:
    assert first_word(text) == word


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (b"DESC t", b" t"),
        (b"describe /* x */ table t", b" t"),
        (b"DESCRIBE file('x')", b" file('x')"),
        (b"DESC (SELECT 1)", b" (SELECT 1)"),
    ],
)
def test_leading_words_are_taken_off_in_order(text: bytes, rest: bytes) -> None:
    assert after_words(text, b"DESC", b"DESCRIBE", b"TABLE") == rest
