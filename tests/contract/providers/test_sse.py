"""The SSE parser: the same events however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.providers.sse import EventTooLargeError, SSEParser, SSEvent


def parse(*chunks: bytes, limit: int = 8 * 1024 * 1024) -> list[SSEvent]:
    parser = SSEParser(limit)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def texts(*chunks: bytes) -> list[str]:
    return [event.data for event in parse(*chunks)]


PIECES = st.sampled_from(
    [
        "data: ",
        "data:",
        "event: x",
        ": hi",
        "é",
        "👩‍🚀",
        "\u2028",
        "\u0085",
        "\x0b",
        "{}",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "a",
        ":",
        " ",
    ]
)
STREAMS = st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=12))
def test_events_are_the_same_for_every_split(data: bytes, places: list[int]) -> None:
    assert parse(*cut(data, places)) == parse(data)


@given(
    st.lists(st.text(max_size=30).filter(lambda t: "\n" not in t and "\r" not in t), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_is_written_is_read(datas: list[str], end: str) -> None:
    stream = "".join(f"data: {data}{end}{end}" for data in datas)
    assert texts(*(bytes([byte]) for byte in stream.encode("utf-8"))) == datas


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=12), st.integers(1, 40))
def test_the_limit_strikes_after_the_same_events_for_every_split(data: bytes, places: list[int], limit: int) -> None:
    def run(chunks: list[bytes]) -> tuple[list[SSEvent], bool]:
        parser, events = SSEParser(limit), []
        try:
            for chunk in chunks:
                for event in parser.feed(chunk):
                    events.append(event)
        except EventTooLargeError:
            return events, True
        return events, False

    assert run(cut(data, places)) == run([data])


def test_several_data_lines_are_one_event() -> None:
    assert parse(b"event: e\ndata: a\ndata\ndata:b\n\n") == [SSEvent("e", "a\n\nb")]


def test_comments_ids_and_events_without_data_are_no_events() -> None:
    assert texts(b": ping\n\nid: 1\nretry: 5\n\nevent: ping\n\n:\n\n") == []


def test_the_name_of_an_event_does_not_stick_to_the_next() -> None:
    assert parse(b"event: ping\n\ndata: a\n\n") == [SSEvent("", "a")]


def test_line_separators_inside_json_stay_text() -> None:
    assert texts('data: "a\u2028b\u2029c\u0085d\x0be\x0c\x1c"\n\n'.encode()) == [
        '"a\u2028b\u2029c\u0085d\x0be\x0c\x1c"'
    ]


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    assert texts(b"\xef", b"\xbb\xbfdata: a\n\n", b"\xef\xbb\xbfdata: b\n\n") == ["a"]


def test_broken_utf8_becomes_replacement_characters() -> None:
    assert texts(b"data: a\xffb\n\n") == ["a\ufffdb"]


def test_an_unfinished_event_is_none() -> None:
    assert texts(b"data: whole\n\ndata: half\n") == ["whole"]


def test_an_event_of_eight_megabytes_is_read_and_a_longer_one_refused() -> None:
    whole = b"x" * 8_000_000
    assert texts(b"data: ", *(whole[at : at + 16_384] for at in range(0, len(whole), 16_384)), b"\n\n") == [
        whole.decode()
    ]
    with pytest.raises(EventTooLargeError):
        parse(b"data: ", *[whole] * 2)
