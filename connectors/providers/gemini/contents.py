"""A conversation as Gemini's `contents`: roles `user` and `model`, each with a list of parts.

1. All results of a turn are `functionResponse` parts of one user content, before whatever else the user said.
2. From Gemini 3 on the media of a result stand inside it (`functionResponse.parts`), inline only; before, the API knew no
   such field and they follow the results.
3. Calls carry the signature that the model gave them. Gemini 3 refuses a turn whose first call has none; where it was lost,
   or belongs to another model, Google's sentinel stands in: worse answers, so a last resort.

Sources: ai.google.dev/api/caching#Content, .../docs/function-calling, .../docs/thought-signatures, .../docs/image-understanding;
googleapis/python-genai types.FunctionResponsePart ("URI based data ... not supported in Gemini API").
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, assert_never
from urllib.parse import urlsplit

from connectors.providers.conversation import (
    Assistant,
    Audio,
    Conversation,
    Document,
    Image,
    Inline,
    Linked,
    Part,
    System,
    Text,
    ToolResult,
    ToolUse,
    Turn,
    UnmappableError,
    User,
)
from connectors.providers.notes import system_note
from connectors.providers.wire_json import loads

__all__ = ["is_third_generation", "write_contents"]

Media = Image | Document | Audio

_SENTINEL = "skip_thought_signature_validator"
_IMAGES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"} | {
    name: f"image/{name}" for name in ("webp", "heic", "heif")
}
_AUDIO = frozenset(f"audio/{name}" for name in ("wav", "mp3", "aiff", "aac", "ogg", "flac"))


def is_third_generation(flags: Mapping[str, Any]) -> bool:
    """Whether it is Gemini 3 or later: its signatures came together with media in results and JSON beside tools."""
    return flags.get("signatures") is True


def write_contents(conversation: Conversation, flags: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Raises UnmappableError naming a part that Gemini does not take."""
    contents: list[dict[str, Any]] = []
    for turn in conversation.turns:
        role = "model" if isinstance(turn, Assistant) else "user"
        parts = list(_parts(turn, flags))
        if contents and contents[-1]["role"] == role:  # what stood between them was empty
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": role, "parts": parts})
    return contents


def _parts(turn: Turn, flags: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    match turn:
        case User(results, parts):
            yield from _results(results, flags)
            yield from map(_part, parts)
        case Assistant():
            yield from map(_part, turn.parts)
            yield from _calls(turn.calls, flags)
        case System(parts):
            yield from ({"text": system_note(part.text)} for part in parts)
        case _:
            assert_never(turn)


def _calls(calls: list[ToolUse], flags: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for at, call in enumerate(calls):
        part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
        signature = call.signature or (_SENTINEL if at == 0 and is_third_generation(flags) else None)
        yield part if signature is None else {**part, "thoughtSignature": signature}


def _results(results: list[ToolResult], flags: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    beside: list[dict[str, Any]] = []
    for result in results:
        said: dict[str, Any] = {"id": result.id, "name": result.name, "response": _response(result)}
        media = [part for part in result.parts if not isinstance(part, Text)]
        if media and is_third_generation(flags):
            said["parts"] = [_inside(part) for part in media]
        else:
            beside += map(_part, media)
        yield {"functionResponse": said}
    yield from beside


def _response(result: ToolResult) -> dict[str, Any]:
    """An object as it is; whatever else under the name that Google gives it."""
    if result.is_error:
        return {"error": result.text}
    value: Any = None
    if result.text.lstrip()[:1] == "{":
        try:
            value = loads(result.text)
        except ValueError:
            value = None
    return value if isinstance(value, dict) else {"output": result.text}


def _inside(part: Media) -> dict[str, Any]:
    if isinstance(part.source, Linked):
        raise UnmappableError(part.path, "in the result of a tool this model takes images inline only, as a data URL")
    return _part(part)


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"text": part.text}
        case Image(source=source):
            if isinstance(source, Linked):
                return {"fileData": {"mimeType": _told_by_suffix(source.url, part.path), "fileUri": source.url}}
            return _inline(part, source, _IMAGES.get(source.media_type.removeprefix("image/")))
        case Document(source=source):
            is_taken = source.media_type == "application/pdf" or source.media_type.startswith("text/")
            return _inline(part, source, source.media_type if is_taken else None)
        case Audio(source=source):
            return _inline(part, source, source.media_type if source.media_type in _AUDIO else None)
        case _:
            assert_never(part)


def _inline(part: Media, source: Inline, media_type: str | None) -> dict[str, Any]:
    if media_type is None:
        raise UnmappableError(part.path, f"content of type `{source.media_type}` is not taken by this model")
    if not source.data:
        raise UnmappableError(part.path, "is empty")
    return {"inlineData": {"mimeType": media_type, "data": source.data}}


def _told_by_suffix(url: str, path: str) -> str:
    """Google wants the type said, and only the address can say it: we fetch nothing ourselves."""
    try:
        suffix = PurePosixPath(urlsplit(url).path).suffix.lower().removeprefix(".")
    except ValueError:
        suffix = ""
    if suffix not in _IMAGES:
        raise UnmappableError(path, "the URL of an image must end in .png, .jpg, .jpeg, .webp, .heic or .heif")
    return _IMAGES[suffix]
