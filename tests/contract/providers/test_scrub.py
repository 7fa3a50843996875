"""What may be shown of a vendor's message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.providers.scrub import scrubbed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-proj-abc123DEF456.", "Incorrect API key provided: [secret]"),
        ("Incorrect API key provided: abcd****wxyz.", "Incorrect API key provided: [secret]."),
        ("bad Bearer abc.def", "bad [secret]"),
        ("key 0123456789abcdef0123456789abcdef", "key [secret]"),
        ("see https://vendor.example/keys?k=1 now", "see [address] now"),
        ("cannot reach api.vendor.com:443/v1", "cannot reach [address]"),
        ("upstream 10.1.2.3:8000 failed", "upstream [address] failed"),
        ('boom\nTraceback (most recent call last):\n  File "/srv/x.py"', "boom"),
        ("a\x00b\r\n\u2028c", "a b c"),
        ("The model `gpt-4o-mini-search-preview-2025-03-11` does not exist", None),
        ("This model's maximum context length is 8192 tokens, 9000 given.", None),
        ("Unsupported parameter: 'max_completion_tokens' (param=max_completion_tokens)", None),
    ],
)
def test_secrets_addresses_and_tracebacks_go(text: str, shown: str | None) -> None:
    assert scrubbed(text) == (text if shown is None else shown)


def test_known_secrets_go_whatever_they_look_like() -> None:
    assert scrubbed("the key hunter2 at vllm.internal is wrong", "hunter2", "vllm.internal", "") == (
        "the key [secret] at [secret] is wrong"
    )


@given(st.text(max_size=3000), st.text("abcXYZ019", min_size=8, max_size=40))
def test_it_is_one_short_printable_line_without_the_secret(text: str, secret: str) -> None:
    shown = scrubbed(text + secret + text, secret)
    assert len(shown) <= 300
    assert shown.isprintable()
    assert secret not in shown
