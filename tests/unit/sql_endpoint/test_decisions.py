"""The pure parts of the SQL endpoint: what is asked, limits, errors, formats, encodings."""

import gzip
import zlib

import lz4.frame
import pytest
from backports import zstd

from connectors.sql_endpoint.asking import read_ask
from connectors.sql_endpoint.encodings import choose, decoder, encoder
from connectors.sql_endpoint.errors import SqlError
from connectors.sql_endpoint.formats import Joiner, can_stream
from connectors.sql_endpoint.limits import limited


def test_what_is_no_word_of_the_transport_is_a_setting() -> None:
    ask = read_ask({"query": "SELECT 1", "param_a": "1", "max_threads": "2", "wait_end_of_query": "1"}, {})
    assert (ask.query, ask.params, ask.settings) == ("SELECT 1", {"a": "1"}, {"max_threads": "2"})


@pytest.mark.parametrize(
    "query", [{"a b": "1"}, {"a=1, readonly": "0"}, {"param_a-b": "1"}, {"query_id": "a'b"}, {"session_timeout": "x"}]
)
def test_names_and_numbers_that_are_none_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(SqlError):
        read_ask(query, {})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, "60"), ({"t": "0"}, "60"), ({"t": "7"}, "7"), ({"t": "61"}, "60"), ({"t": "1e9"}, "60"), ({"t": "-1"}, "60")],
)
def test_a_limit_holds_whatever_is_asked(asked: dict[str, str], expected: str) -> None:
    assert limited({**asked, "other": "x"}, {"t": 60}) == {"t": expected, "other": "x"}


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("Code: 60. DB::Exception: Table x. (UNKNOWN_TABLE)", 60, "Code: 60. DB::Exception: Table x. (UNKNOWN_TABLE)"),
        (
            "Streaming query failed: Code: 47. DB::Exception: a (b) c (UNKNOWN_IDENTIFIER) (version 26.9.2.1)",
            47,
            "Code: 47. DB::Exception: a (b) c (UNKNOWN_IDENTIFIER)",
        ),
        (
            "Streaming insert finish failed: std::exception. Code: 1001, type: avro::Exception, e.what() = Magic "
            "(version 26.9.2.1) (UNKNOWN_EXCEPTION)",
            1001,
            "Code: 1001. DB::Exception: type: avro::Exception, e.what() = Magic (STD_EXCEPTION)",
        ),
        ("boom", 1002, "Code: 1002. DB::Exception: boom (UNKNOWN_EXCEPTION)"),
    ],
)
def test_the_engines_text_becomes_a_code_and_a_line(text: str, code: int, said: str) -> None:
    error = SqlError.of_engine(text)
    assert (error.code, str(error)) == (code, said)


@pytest.mark.parametrize(
    ("form", "pieces", "document"),
    [
        ("CSV", [b"1\n", b"2\n"], b"1\n2\n"),
        ("CSVWithNames", [b'"a\n""b"\n1\n', b'"a\n""b"\n2\n'], b'"a\n""b"\n1\n2\n'),
        ("TSVWithNamesAndTypes", [b"a\nInt8\n1\n", b"a\nInt8\n2\n"], b"a\nInt8\n1\n2\n"),
        ("RowBinaryWithNames", [b"\x01\x01a\x05", b"\x01\x01a\x06"], b"\x01\x01a\x05\x06"),
    ],
)
def test_pieces_are_joined_without_their_repeated_header(form: str, pieces: list[bytes], document: bytes) -> None:
    joiner = Joiner(form)
    assert (can_stream(form), b"".join(map(joiner.join, pieces))) == (True, document)


@pytest.mark.parametrize("form", ["JSON", "Parquet", "Arrow", "PrettyWithNames", "JSONEachRowWithNames", "XML", "Nope"])
def test_other_formats_are_answered_whole(form: str) -> None:
    assert not can_stream(form)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate", "gzip"),
        ("br", None),
        ("", None),
        ("gzip;q=0, lz4", "lz4"),
        ("GZIP;q=0.5", "gzip"),
        ("zstd;q=x", None),
    ],
)
def test_the_best_accepted_encoding_is_taken(accepted: str, expected: str | None) -> None:
    assert choose(accepted) == expected


WHOLE = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("name", WHOLE)
def test_an_encoding_is_undone_piece_by_piece(name: str) -> None:
    plain = b"some text " * 300_000
    packed = WHOLE[name](plain)
    undo = decoder(name)
    assert undo is not None
    pieces = [piece for at in range(0, len(packed), 100) for piece in undo.feed(packed[at : at + 100])]
    undo.finish()
    assert (b"".join(pieces), max(map(len, pieces)) <= 1 << 20) == (plain, True)


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
def test_frames_behind_each_other_are_one_body(name: str) -> None:
    undo = decoder(name)
    assert undo is not None
    assert b"".join(undo.feed(WHOLE[name](b"a") + WHOLE[name](b"b"))) == b"ab"


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_or_broken_body_is_an_error(name: str) -> None:
    cut, broken = decoder(name), decoder(name)
    assert cut is not None
    assert broken is not None
    list(cut.feed(WHOLE[name](b"x" * 1000)[:-5]))
    with pytest.raises(SqlError, match="117"):
        cut.finish()
    with pytest.raises(SqlError, match="117"):
        list(broken.feed(b"nothing of the kind"))


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_encoded_can_be_decoded(name: str) -> None:
    pack, undo = encoder(name), decoder(name)
    assert undo is not None
    packed = pack.compress(b"a" * 1000) + pack.compress(b"b") + pack.flush()
    assert b"".join(undo.feed(packed)) == b"a" * 1000 + b"b"
