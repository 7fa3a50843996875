"""What counts as personal or secret, in the order in which it is looked for: what has a check digit goes before what has none.

Placeholders are borders: nothing is found across one, or in one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.core.redaction import checks

__all__ = ["KINDS", "PLACEHOLDER", "Finding", "Kind", "findings", "names_secret"]


@dataclass(slots=True, frozen=True)
class Finding:
    """Where something stands in a text."""

    kind: str
    start: int
    end: int


@dataclass(slots=True, frozen=True)
class Kind:
    """`pattern`: its group `it` is replaced, else all of it.

    `needs`: without one of these characters there is none; "0" stands for six digits near each other.
    """

    name: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = lambda _: True
    needs: str = ""


def _kind(name: str, pattern: str, check: Callable[[str], bool] = lambda _: True, needs: str = "") -> Kind:
    return Kind(name, re.compile(pattern), check, needs)


_KEY_WORDS = r"pass(?:word|wd|phrase|wort)?|pwd|secret|token|api[ _-]?key|access[ _-]?key|client[ _-]?secret"
_TOKENS = "|".join(
    (
        r"sk-[A-Za-z0-9_-]{16,200}",  # OpenAI, Anthropic, others
        r"mr_[A-Za-z0-9]{43}",  # ours
        r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS
        r"(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,255}",
        r"glpat-[A-Za-z0-9_-]{20,64}",
        r"xox[abeprs]-[A-Za-z0-9-]{10,200}",  # Slack
        r"AIza[A-Za-z0-9_-]{35}",  # Google
        r"hf_[A-Za-z0-9]{30,64}",
        r"(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,128}",  # Stripe
        r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,2000}",  # JWT
    )
)

KINDS: Final = (
    _kind("SECRET", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?s:.{0,10000}?)(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
          needs="-"),
    _kind("SECRET", rf"(?<![A-Za-z0-9])(?:{_TOKENS})", needs="_-Ay"),
    _kind("SECRET", r"(?i:\b(?:bearer|basic) )(?P<it>[A-Za-z0-9._~+/=-]{16,4000})", needs=" "),
    _kind("SECRET", r"(?i)[a-z][a-z0-9+.-]{1,20}://[^\s/:@\[\]]{0,128}:(?P<it>[^\s/@\[\]]{1,128})@", needs="@"),
    _kind("SECRET", rf"(?i)\b(?:{_KEY_WORDS})[\"']?\s{{0,3}}(?:[:=]|\bis\b)\s{{0,3}}[\"']?(?P<it>[^\s\"',;\[\]]{{6,200}})"),
    _kind("EMAIL", r"[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}", needs="@"),
    _kind("IBAN", r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{1,4}){3,9}(?![A-Za-z0-9])", checks.is_iban, needs="0"),
    _kind("ID", r"(?<!\d)[12] ?\d\d ?(?:0[1-9]|[1-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d(?!\d)", checks.is_nir, needs="0"),
    _kind("CARD", r"(?<![\d+])\d(?:[ .-]?\d){12,18}(?!\d)", checks.is_card, needs="0"),
    _kind("ID", r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])", checks.is_ssn, needs="0"),
    _kind("ID", r"(?<!\d)\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?!\d)", checks.is_cpf, needs="0"),
    _kind("ID", r"(?<![A-Za-z0-9])(?:\d{8}|[XYZxyz]-?\d{7})-?[A-HJ-NP-TV-Za-hj-np-tv-z](?![A-Za-z0-9])", checks.is_dni, needs="0"),
    _kind("ID", r"(?<![A-Za-z0-9])[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?![A-Za-z0-9])", needs="0"),  # codice fiscale
    _kind("ID", r"(?<![A-Za-z0-9])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?![A-Za-z0-9])", needs="0"),  # NINO
    _kind("IP", r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)", checks.is_ipv4, needs="."),
    _kind("IP", r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", checks.is_ipv6, needs=":"),
    _kind("PHONE", r"(?<![\w+])(?:\+|00)[1-9](?:[ ./()-]{0,3}\d){6,14}(?!\d)", checks.is_phone, needs="0"),
    _kind("PHONE", r"(?<![\w.+-])\(\d{2,5}\)(?:[ ./-]{0,2}\d){5,10}(?![\w-])", checks.is_phone, needs="0"),
    _kind("PHONE", r"(?<![\w.+-])0[1-9]\d{1,4}[ ./-]{1,3}\d(?:[ ./-]?\d){4,9}(?![\w-])", checks.is_phone, needs="0"),
    _kind("PHONE", r"(?<![\w.+-])(?:1[ .-])?[2-9]\d{2}[ .-]\d{3}[ .-]\d{4}(?![\w-])", checks.is_phone, needs="0"),
)  # fmt: skip
"""Formats: E.164, ISO 13616, ISO/IEC 7812, RFC 5322 (the usual part), RFC 4291, and the issuers' own pages."""

_NUMBER = re.compile(r"\d(?:[^\d\n]{0,4}\d){5}")

PLACEHOLDER: Final = re.compile(rf"\[(?:{'|'.join(dict.fromkeys(kind.name for kind in KINDS))})_\d{{1,6}}\]")


_SECRET_NAME = re.compile(rf"(?i)(?:.*[^a-z])?(?:{_KEY_WORDS})")


def names_secret(name: str) -> bool:
    """Whether a field of this name holds a secret: `password`, `client_secret`, `db.token`; not `max_tokens`."""
    return _SECRET_NAME.fullmatch(name) is not None


def findings(text: str) -> list[Finding]:
    """What stands in a text, in its order, without overlaps."""
    found: list[Finding] = []
    begin = 0
    for border in (*PLACEHOLDER.finditer(text), None):
        end = border.start() if border else len(text)
        found += _between(text[begin:end], begin)
        begin = border.end() if border else end
    return found


def _between(text: str, offset: int) -> list[Finding]:
    """Of a piece without placeholders; an earlier kind takes its place from later ones."""
    taken: list[Finding] = []
    for kind in KINDS:
        if not _may_have(kind, text):
            continue
        for start, end in _matches(kind, text):
            if all(end <= other.start or start >= other.end for other in taken):
                taken.append(Finding(kind.name, start, end))
    return [Finding(each.kind, each.start + offset, each.end + offset) for each in sorted(taken, key=_place)]


def _may_have(kind: Kind, text: str) -> bool:
    """Cheap: most text holds no long number and no address."""
    if kind.needs == "0":
        return _NUMBER.search(text) is not None
    return not kind.needs or any(char in text for char in kind.needs)


def _matches(kind: Kind, text: str) -> Iterator[tuple[int, int]]:
    group = "it" if "it" in kind.pattern.groupindex else 0
    for match in kind.pattern.finditer(text):
        if kind.check(match[group]):
            yield match.span(group)


def _place(finding: Finding) -> int:
    return finding.start
