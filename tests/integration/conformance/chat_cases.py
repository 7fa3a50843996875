"""What is asked of every vendor over Chat Completions, what must come back, and what the vendor must have been sent.

`sent` is by wire: `chat` is OpenAI's and the compatible servers' form; a vendor's own name goes before it. `but` says
which vendor is not asked and why. `refused`: the parameter that a 400 names, before any call.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.conformance.exchange import Body, Told, nonce_of
from tests.integration.conformance.vendors import VENDORS

Check = Callable[[Told, str], None]
Paths = Mapping[str, Any]

WIRES = {"openai": "chat", "compatible": "chat"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`body` is made of the case's nonce; `sent`: paths of the upstream's body -> value, or what must hold of it."""

    name: str
    body: Callable[[str], Body]
    check: Check = lambda told, nonce: None
    role: str = "plain"
    sent: Mapping[str, Paths] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    but: Mapping[str, str] = field(default_factory=dict)
    warm: bool = False

    def vendors(self) -> list[str]:
        return [vendor for vendor in VENDORS if vendor not in self.but]

    def asked(self, vendor: str) -> Body:
        """With a limit of its own: without one, long answers of some vendors are streamed whatever the caller asked for."""
        body = self.body(nonce_of(self.name, vendor))
        limit = {} if "max_tokens" in body else {"max_completion_tokens": 4_096}
        return {"model": f"{vendor}-{self.role}", **limit, **body}

    def paths(self, vendor: str) -> Paths:
        return self.sent.get(vendor) or self.sent.get(WIRES.get(vendor, ""), {})


def user(text: Any, **more: Any) -> Body:
    return {"messages": [{"role": "user", "content": text}], **more}


def talk(*turns: tuple[str, Any], **more: Any) -> Body:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def holds(*words: str) -> Callable[[Any], bool]:
    """Somewhere in what is there."""
    return lambda value: all(word in json.dumps(value, ensure_ascii=False) for word in words)


def lacks(*words: str) -> Callable[[Any], bool]:
    return lambda value: not any(word in json.dumps(value, ensure_ascii=False) for word in words)


def says(*words: str, finish: str = "stop") -> Check:
    """The answer echoes the nonce and these words."""

    def check(told: Told, nonce: str) -> None:
        assert told.finish == finish
        for word in (nonce, *words):
            assert word in told.text, word
        assert told.usage is not None and told.usage["prompt_tokens"] > 0 and told.usage["completion_tokens"] > 0
        assert told.usage["total_tokens"] == told.usage["prompt_tokens"] + told.usage["completion_tokens"]

    return check


TRICKY = 'Grüße 🎉 👩‍👩‍👧‍👦 日本 هذا \u2028one\u2029two\u0085three \\u2028 "q" <b>'

TEXTS = [
    Case(name="text", body=lambda n: user(f"Say something about {n}"), check=says(),
         sent={"chat": {"messages.0.content": holds("Say something about")},
               "responses": {"input.0.role": "user"},
               "anthropic": {"messages.0.role": "user", "max_tokens": 4096},
               "gemini": {"contents.0.role": "user"}}),
    Case(name="unicode", body=lambda n: user(f"{TRICKY} {n}"), check=says("🎉 👩‍👩‍👧‍👦 日本 هذا", "<b>"),
         sent={"chat": {"messages.0.content": lambda v: v.startswith(TRICKY)},
               "responses": {"input": lambda v: TRICKY in _texts(v)},
               "anthropic": {"messages": lambda v: TRICKY in _texts(v)},
               "gemini": {"contents": lambda v: TRICKY in _texts(v)}}),
    Case(name="empty-strings", check=says("1 message"), body=lambda n: talk(("system", ""), ("user", [
        {"type": "text", "text": ""}, {"type": "text", "text": f"Only this {n}"}])),
         sent={"anthropic": {"system": lambda v: not v, "messages.0.content": lambda v: len(v) == 1 or isinstance(v, str)},
               "gemini": {"systemInstruction": None, "contents.0.parts": lambda v: len(v) == 1}},
         but=dict.fromkeys(("openai", "compatible", "responses"), "takes empty strings, and counts them as messages")),
    Case(name="empty-system", body=lambda n: talk(("system", ""), ("user", f"Only this {n}")), check=says()),
    Case(name="empty-turns", check=says(), body=lambda n: talk(
        ("user", "Hello"), ("assistant", ""), ("user", ""), ("assistant", "Yes?"), ("user", f"Go on {n}")),
         sent={"anthropic": {"messages": lambda v: '""' not in json.dumps(v)},
               "gemini": {"contents": lambda v: '""' not in json.dumps(v)}}),
    Case(name="system", body=lambda n: talk(("system", "You are terse."), ("user", f"Hello {n}")),
         check=says(),
         sent={"chat": {"messages.0": {"role": "system", "content": "You are terse."}},
               "responses": {"": holds("You are terse.")},
               "anthropic": {"system": holds("You are terse."), "messages": lambda v: len(v) == 1},
               "gemini": {"systemInstruction.parts.0.text": "You are terse."}}),
    Case(name="developer", body=lambda n: talk(("developer", "You are terse."), ("user", f"Hello {n}")),
         check=says(),
         sent={"openai": {"messages.0.role": "developer"}, "compatible": {"messages.0.role": "system"},
               "anthropic": {"system": holds("You are terse.")},
               "gemini": {"systemInstruction.parts.0.text": "You are terse."}}),
    Case(name="system-twice", check=says(),
         body=lambda n: talk(("system", "Rule one."), ("developer", "Rule two."), ("user", f"Hello {n}")),
         sent={"anthropic": {"system": holds("Rule one.", "Rule two.")},
               "gemini": {"systemInstruction": holds("Rule one.", "Rule two.")},
               "compatible": {"messages": holds("Rule one.", "Rule two.")}}),
    Case(name="system-later", check=says(),
         body=lambda n: talk(("user", "Hi"), ("assistant", "Yes?"), ("system", "Now be brief."), ("user", f"Go on {n}")),
         sent={"chat": {"messages.2.content": "Now be brief."},
               "responses": {"input": holds("Now be brief.")},
               "anthropic": {"messages": holds("Now be brief."), "system": None},
               "gemini": {"contents": holds("Now be brief."), "systemInstruction": None}}),
    Case(name="system-later-where-taken", check=says(), role="strict",
         body=lambda n: talk(("user", "Hi"), ("assistant", "Yes?"), ("system", "Now be brief."), ("user", f"Go on {n}")),
         sent={"anthropic": {"messages": lambda v: any(m["role"] == "system" for m in v)}}),
    Case(name="several-turns", check=says(), body=lambda n: talk(
        ("user", "One"), ("assistant", "Two"), ("user", "Three"), ("assistant", "Four"), ("user", f"Five {n}")),
         sent={"anthropic": {"messages": lambda v: [m["role"] for m in v] == ["user", "assistant"] * 2 + ["user"]},
               "gemini": {"contents": lambda v: [m["role"] for m in v] == ["user", "model"] * 2 + ["user"]}}),
    Case(name="neighbours-of-one-role", check=says(),
         body=lambda n: talk(("user", "One"), ("user", f"Two {n}")),
         sent={"anthropic": {"messages": lambda v: len(v) == 1}, "gemini": {"contents": lambda v: len(v) == 1}}),
    Case(name="prefill", check=says(), body=lambda n: talk(("user", f"Count {n}"), ("assistant", "The answer is")),
         sent={"anthropic": {"messages.-1.role": "assistant"}, "gemini": {"contents.-1.role": "model"}}),
    Case(name="long", check=says(), body=lambda n: user("word " * 4_000 + n), warm=True),
    Case(name="cached", role="plain", warm=True,
         body=lambda n: {"messages": [
             {"role": "system", "content": [{"type": "text", "text": f"{n} " + "Rules of the house. " * 800,
                                             "cache_control": {"type": "ephemeral"}}]},
             {"role": "user", "content": f"Hello {n}"}]},
         check=lambda told, n: _cached(told),
         sent={"anthropic": {"system": holds("ephemeral")}, "chat": {"messages": lacks("cache_control")},
               "responses": {"input": lacks("cache_control")}, "gemini": {"systemInstruction": lacks("cache_control")}},
         but={"compatible": "its server tells of no cached tokens"}),
]  # fmt: skip


def _texts(value: Any) -> str:
    """All strings inside."""
    if isinstance(value, str):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return "\0".join(map(_texts, inner))


def _cached(told: Told) -> None:
    assert told.usage is not None
    cached = told.usage["prompt_tokens_details"]["cached_tokens"]
    assert 1_024 <= cached <= told.usage["prompt_tokens"]


# --- what comes beside text ---------------------------------------------------------------------------------------

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
LARGE = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * (3 << 12)).decode()  # 3 MiB
PDF = b64encode(b"%PDF-1.4 canary").decode()
WAV = b64encode(b"RIFF\x24\0\0\0WAVEfmt ").decode()


def image(url: str) -> Body:
    return {"type": "image_url", "image_url": {"url": url}}


def with_part(part: Body) -> Callable[[str], Body]:
    return lambda n: user([{"type": "text", "text": f"Look at this {n}"}, part])


def _image_sent(data: str) -> dict[str, Paths]:
    url = f"data:image/png;base64,{data}"
    return {
        "chat": {"messages.0.content.1.image_url.url": url},
        "responses": {"input.0.content.1": lambda v: (v["type"], v["image_url"]) == ("input_image", url)},
        "anthropic": {
            "messages.0.content.1.source": {"type": "base64", "media_type": "image/png", "data": data}
        },
        "gemini": {"contents.0.parts.1.inlineData": {"mimeType": "image/png", "data": data}},
    }  # fmt: skip


MEDIA = [
    Case(name="image", body=with_part(image(f"data:image/png;base64,{PNG}")), check=says("media image"),
         sent=_image_sent(PNG)),
    Case(name="image-of-3-MB", body=with_part(image(f"data:image/png;base64,{LARGE}")),
         check=says("media image", "3145736 bytes"), sent=_image_sent(LARGE)),
    Case(name="image-url", body=with_part(image("https://example.com/cat.png")), check=says("https://example.com/cat.png"),
         sent={"chat": {"messages.0.content.1.image_url.url": "https://example.com/cat.png"},
               "responses": {"input.0.content.1.image_url": "https://example.com/cat.png"},
               "anthropic": {"messages.0.content.1.source": {"type": "url", "url": "https://example.com/cat.png"}},
               "gemini": {"contents.0.parts.1.fileData.fileUri": "https://example.com/cat.png"}}),
    Case(name="pdf", check=says("15 bytes"), body=with_part(
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}),
         sent={"openai": {"messages.0.content.1.file.file_data": f"data:application/pdf;base64,{PDF}"},
               "responses": {"input.0.content.1.file_data": f"data:application/pdf;base64,{PDF}"},
               "anthropic": {"messages.0.content.1.source": {
                   "type": "base64", "media_type": "application/pdf", "data": PDF}},
               "gemini": {"contents.0.parts.1.inlineData": {"mimeType": "application/pdf", "data": PDF}}},
         refused={"compatible": "file"}),
    Case(name="audio", check=says("media audio"),
         body=with_part({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}),
         sent={"openai": {"messages.0.content.1.input_audio": {"data": WAV, "format": "wav"}},
               "gemini": {"contents.0.parts.1.inlineData": {"mimeType": "audio/wav", "data": WAV}}},
         refused={"compatible": "audio", "anthropic": "audio", "responses": "audio"}),
    Case(name="an-unknown-part", body=with_part({"type": "hologram", "hologram": {}}),
         refused=dict.fromkeys(VENDORS, "hologram"),
         but=dict.fromkeys(("openai", "compatible"), "passes on what it does not know: the vendor may")),
]  # fmt: skip
