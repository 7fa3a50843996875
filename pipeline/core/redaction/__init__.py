"""Personal data in text: found by form and check digit, replaced by typed placeholders. Pure.

    kinds      the table: what is looked for, in which order, and how a candidate is checked
    checks     check digits: Luhn, ISO 7064, national ones
    redactor   text -> text with placeholders, alike within one record; JSON values too

Names, addresses and whatever has no form are not found: no rule can, and none is pretended.
"""

from pipeline.core.redaction.kinds import KINDS, Finding, findings
from pipeline.core.redaction.redactor import Redactor

__all__ = ["KINDS", "REDACTION_VERSION", "Finding", "Redactor", "findings"]

REDACTION_VERSION = "1"
"""Goes up with whatever changes what is replaced: exports of two versions may differ."""
