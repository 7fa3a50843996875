"""Personal data is replaced, everything else stays; nothing that can be found survives."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.redaction import KINDS, Redactor, findings
from pipeline.core.redaction.kinds import PLACEHOLDER

PERSONAL = {
    "ann.miller+x@example.co.uk": "EMAIL", "jürgen@straße-example.de": "EMAIL",
    "4111 1111 1111 1111": "CARD", "5500-0000-0000-0004": "CARD", "378282246310005": "CARD",
    "DE89 3704 0044 0532 0130 00": "IBAN", "GB82WEST12345698765432": "IBAN",
    "192.168.17.4": "IP", "2001:db8:85a3::8a2e:370:7334": "IP", "fe80:0:0:0:204:61ff:fe9d:f156": "IP",
    "+49 171 2345678": "PHONE", "+1 (415) 555-0132": "PHONE", "(415) 555-0132": "PHONE", "415-555-0132": "PHONE",
    "0171/2345678": "PHONE", "030 1234567": "PHONE", "0044 20 7946 0958": "PHONE", "+4915112345678": "PHONE",
    "123-45-6789": "ID", "529.982.247-25": "ID", "12345678Z": "ID", "RSSMRA85T10A562S": "ID", "QQ 12 34 56 C": "",
    "AB 12 34 56 C": "ID", "2 55 08 14 168 025 38": "ID",
    "sk-proj-abcdefghijklmnop1234": "SECRET", "AKIAIOSFODNN7EXAMPLE": "SECRET", "mr_" + "aB3" * 14 + "x": "SECRET",
    "ghp_" + "a1B2" * 9: "SECRET", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl": "SECRET",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----": "SECRET",
}  # fmt: skip
PLAIN = (
    "On 2026-11-28 at 12:34:56 we sold 1,234,567 units for 12.50 USD.",
    "Version 3.11.7 of Python, RFC 7493, ISO 8601, 100 000 000 people.",
    "123e4567-e89b-12d3-a456-426614174000", "28.11.2026", "01.02.2026 and 2026/12/31", "order 4111 1111 1111 1112",
    "epoch 1767225600000", "a ratio of 16:9 at 12:30", "std::vector<int>", "The password must have ten characters.",
    "pi is 3.14159265358979", "section 1.2.3.4.5", "x = [1, 2, 3]",
)  # fmt: skip


@pytest.mark.parametrize(("value", "kind"), [(value, kind) for value, kind in PERSONAL.items() if kind])
@pytest.mark.parametrize("frame", ["{}", "My data: {}, thanks.", "({})\n", "„{}“"])
def test_personal_data_become_placeholders_of_their_kind(value: str, kind: str, frame: str) -> None:
    if frame == "({})\n" and value.startswith("("):
        pytest.skip("brackets within brackets")
    assert Redactor().text(frame.format(value)) == frame.format(f"[{kind}_1]")


@pytest.mark.parametrize("text", PLAIN)
def test_everything_else_stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("password: hunter2!x", "password: [SECRET_1]"),
        ('"api_key": "0123456789abcdef"', '"api_key": "[SECRET_1]"'),
        ("Authorization: Bearer abcdefghij0123456789", "Authorization: Bearer [SECRET_1]"),
        ("postgres://bob:s3cret@db.example.org/x", "postgres://bob:[SECRET_1]@db.example.org/x"),
    ],
)
def test_of_a_secret_that_is_named_only_the_value_goes(text: str, said: str) -> None:
    assert Redactor().text(text) == said


def test_within_a_record_the_same_value_has_the_same_placeholder() -> None:
    redactor = Redactor()
    assert redactor.text("a@x.org, b@x.org, A@X.org") == "[EMAIL_1], [EMAIL_2], [EMAIL_1]"
    assert redactor.value({"to": ["b@x.org", 1, None], "a@x.org": True}) == {
        "to": ["[EMAIL_2]", 1, None], "[EMAIL_1]": True,
    }  # fmt: skip
    assert redactor.counts == {"EMAIL": 2}


def test_arguments_of_tools_stay_json() -> None:
    said = Redactor().json('{"to":"a@x.org","card":4111111111111111,"n":3}')
    assert orjson.loads(said) == {"to": "[EMAIL_1]", "card": "[CARD_1]", "n": 3}
    assert Redactor().json('{"n": 3}') == '{"n": 3}'
    named = '{"password":"hunter2!","db":{"api_key":12345678},"max_tokens":500}'
    assert orjson.loads(Redactor().json(named)) == {
        "password": "[SECRET_1]", "db": {"api_key": "[SECRET_2]"}, "max_tokens": 500,
    }  # fmt: skip
    assert Redactor().json("{broken a@x.org") == "{broken [EMAIL_1]"


JUNK = st.text(alphabet=st.sampled_from(list("ab1 2.-@:/+([)]\n=_é0359Z")), max_size=30)
PIECES = st.lists(
    st.one_of(JUNK, st.sampled_from([*PERSONAL, *PLAIN, "[EMAIL_1]", "password: ", "Bearer "]), st.text(max_size=12)),
    max_size=8,
).map("".join)


@given(PIECES)
@settings(max_examples=250, derandomize=True, deadline=None)
def test_no_finding_survives_and_a_second_pass_changes_nothing(text: str) -> None:
    said = Redactor().text(text)
    assert findings(said) == []
    assert Redactor().text(said) == said


@given(
    st.recursive(
        PIECES | st.integers() | st.none(), lambda inner: st.dictionaries(PIECES, inner, max_size=3), max_leaves=6
    )
)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_json_stays_json_and_no_finding_survives_in_its_text(value: object) -> None:
    said = Redactor().json(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()) if fits(value) else "0"
    orjson.loads(said)
    assert all(findings(text) == [] for text in leaves(orjson.loads(said)))


def fits(value: object) -> bool:
    """Numbers of 64 bits, as orjson writes them."""
    if isinstance(value, dict):
        return all(map(fits, value.values()))
    return not isinstance(value, int) or abs(value) < 2**63


def leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in leaves(part)]
    return [value] if isinstance(value, str) else []


@given(PIECES)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_findings_are_in_order_apart_and_outside_of_placeholders(text: str) -> None:
    found = findings(text)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(one.start < one.end for one in found)
    borders = [match.span() for match in PLACEHOLDER.finditer(text)]
    assert all(one.end <= start or one.start >= end for one in found for start, end in borders)


@given(PIECES)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_what_is_not_found_stays_character_for_character(text: str) -> None:
    if not findings(text):
        assert Redactor().text(text) == text


EVIL = ["a" * 50_000, "1 " * 25_000, "a@" * 25_000, "+1" * 25_000, "1:" * 25_000, "a.b-" * 12_000, "DE89 " * 10_000,
        "-----BEGIN PRIVATE KEY-----" * 2_000, "eyJ" * 16_000, "://a:" * 10_000]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL, ids=lambda text: text[:12])
def test_long_texts_take_time_in_proportion(evil: str) -> None:
    """A pattern that looks back over everything would take minutes: the suite's own time limit would end it."""
    assert isinstance(findings(evil), list)


def test_kinds_are_words_that_placeholders_can_hold() -> None:
    assert {kind.name for kind in KINDS} == {"SECRET", "EMAIL", "IBAN", "CARD", "ID", "IP", "PHONE"}
