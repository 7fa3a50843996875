"""A stream's frame stays one line for readers that split as `str.splitlines` does."""

import orjson

from connectors.gateway.wire import one_line

TEXT = "a\u2028b\u2029c\u0085d é 漢 😀"


def test_unusual_line_ends_are_escaped_and_read_back_as_sent() -> None:
    framed = one_line(orjson.dumps({"content": TEXT}))
    assert len(framed.decode().splitlines()) == 1
    assert orjson.loads(framed) == {"content": TEXT}
