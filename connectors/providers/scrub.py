"""Vendors' error messages made fit to be shown: one short line without keys, addresses and tracebacks.

Vendors repeat the key they refused ("Incorrect API key provided: sk-...") and link to their consoles; Python servers
put a traceback into `detail`. What is shown here reaches callers, topics and dashboards.
"""

import re

__all__ = ["scrubbed"]

_MAX_CHARS = 300
_TRACEBACK = re.compile(r"Traceback \(most recent call last\).*", re.DOTALL)
_ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]*://|\bwww\.)\S+|\b(?:[a-z0-9-]{1,63}\.)+(?:com|ai|net|org|io|dev|cloud)\b\S*", re.IGNORECASE
)
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")
# A key stands after "Bearer", has a known prefix, is shown with stars, or is a long word of letters and digits;
# dashes do not count for the last, names of models have them.
_KEY = re.compile(
    r"\bBearer\s+\S+"
    r"|\b(?:sk|pk|rk|gsk|xai|mr|hf|nvapi)[-_][\w*.-]{6,}|\b(?:AIza|ya29)[\w.-]{8,}"
    r"|[\w-]{0,64}\*{3,}[\w*-]{0,64}"
    r"|\b(?=[a-z_]*\d)(?=[\d_]*[a-z])\w{24,}",
    re.IGNORECASE,
)


def scrubbed(text: str, *secrets: str) -> str:
    """The message without `secrets` and whatever looks like one, at most 300 characters."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = _TRACEBACK.sub("", text[:1500])
    for pattern, word in ((_ADDRESS, "[address]"), (_IP, "[address]"), (_KEY, "[secret]")):
        text = pattern.sub(word, text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
