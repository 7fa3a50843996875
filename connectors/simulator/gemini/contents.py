"""What Gemini refuses in `contents` one by one: roles, parts, media. `turns` looks at how they follow each other."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from connectors.simulator import media
from connectors.simulator.gemini.errors import Refused
from connectors.simulator.gemini.fields import decoded
from connectors.simulator.gemini.messages import DATA_FIELDS

Content = Mapping[str, Any]
Part = Mapping[str, Any]

MEDIA_TOKENS = 258  # ai.google.dev/gemini-api/docs/tokens: an image, or a page of a document
_ROLES = ("user", "model", "function")
# ai.google.dev/gemini-api/docs: image, document, audio and video understanding.
_IMAGES = frozenset(f"image/{name}" for name in ("png", "jpeg", "webp", "heic", "heif"))
_AUDIO = frozenset(
    f"audio/{name}" for name in ("wav", "x-wav", "mp3", "mpeg", "aiff", "aac", "ogg", "flac", "m4a", "mp4", "webm")
)
_VIDEO = frozenset(
    f"video/{name}" for name in ("mp4", "mpeg", "mov", "quicktime", "avi", "x-flv", "mpg", "webm", "wmv", "3gpp")
)
_TEXT = frozenset(
    f"text/{name}" for name in ("plain", "html", "css", "csv", "xml", "rtf", "md", "markdown", "javascript")
)
_MEDIA_TYPES = _IMAGES | _AUDIO | _VIDEO | _TEXT | {"application/pdf"}


def check(body: Mapping[str, Any]) -> None:
    """All contents and the system instruction, each by itself.

    Raises:
        Refused: The first mistake.
    """
    if not body.get("contents"):
        raise Refused("* GenerateContentRequest.contents: contents is not specified\n")
    for position, content in enumerate(body["contents"]):
        if content.get("role", "user") not in _ROLES:
            raise Refused("Please use a valid role: user, model.")
        _check_parts(content, f"contents[{position}]")
    if system := body.get("systemInstruction"):
        _check_parts(system, "system_instruction")
        if any("text" not in part for part in system["parts"]):
            raise Refused("System instruction only supports text parts.")


def _check_parts(content: Content, path: str) -> None:
    if not content.get("parts"):
        raise Refused(f"* GenerateContentRequest.{path}.parts: contents.parts must not be empty.\n")
    for position, part in enumerate(content["parts"]):
        _check_part(part, content.get("role", "user"), f"{path}.parts[{position}]")


def _check_part(part: Part, role: str, path: str) -> None:
    # The model itself sends empty text that carries a signature; nobody else has a reason to.
    if not DATA_FIELDS & part.keys() or (part.get("text") == "" and "thoughtSignature" not in part):
        message = f"* GenerateContentRequest.{path}.data: required oneof field 'data' must have one initialized field\n"
        raise Refused(message)
    for holder in (part, *part.get("functionResponse", {}).get("parts", ())):
        _check_media(holder, path)
    for name, owner in (("functionCall", "model"), ("functionResponse", "user")):
        if name in part:
            _check_function(part[name], name, f"{path}.{name}")
            if role != owner and not (name == "functionResponse" and role == "function"):
                raise Refused(f"Please ensure that {name} parts have the role {owner}.")


def _check_media(holder: Part, path: str) -> None:
    blob, file = holder.get("inlineData"), holder.get("fileData")
    if blob is not None and not blob.get("data"):
        raise Refused(f"* GenerateContentRequest.{path}.inline_data.data: must not be empty.\n")
    if blob is not None or (file is not None and "mimeType" in file):
        kind = (blob or file or {}).get("mimeType", "")
        if kind not in _MEDIA_TYPES:
            raise Refused(f"Unsupported MIME type: {kind}")
    if file is not None and not file.get("fileUri", "").startswith("https://"):
        raise Refused(f"Invalid or unsupported file uri: {file.get('fileUri', '')}")


def _check_function(function: Mapping[str, Any], name: str, path: str) -> None:
    if not function.get("name"):
        raise Refused(f"* GenerateContentRequest.{path}.name: Name cannot be empty.\n")
    if name == "functionResponse" and "response" not in function:
        raise Refused(f"* GenerateContentRequest.{path}.response: required field is not set.\n")


# -- what the model reads


def text_of(content: Content) -> str:
    """All text of a content: its text parts, calls and results."""
    return " ".join(filter(None, map(_text, content["parts"])))


def _text(part: Part) -> str:
    match part:
        case {"text": str(text)}:
            return text
        case {"functionCall": call}:
            return f"{call['name']}({orjson.dumps(call.get('args', {})).decode()})"
        case {"functionResponse": result}:
            return _result(result)
        case {"executableCode": code} | {"codeExecutionResult": code}:
            return orjson.dumps(code).decode()
        case _:
            return ""


def _result(result: Mapping[str, Any]) -> str:
    return f"{result['name']} {orjson.dumps(result['response']).decode()}"


def media_of(contents: list[Content]) -> tuple[str, ...]:
    """Images, files and sound of all contents, those inside results included, described."""
    return tuple(_described(holder) for holder in _holders(contents) if {"inlineData", "fileData"} & holder.keys())


def _holders(contents: list[Content]) -> Iterator[Part]:
    for part in (part for content in contents for part in content["parts"]):
        yield part
        yield from part.get("functionResponse", {}).get("parts", ())


def _described(holder: Part) -> str:
    if "fileData" in holder:
        kind = holder["fileData"].get("mimeType", "")
        return f"{_family(kind)} {kind} at {holder['fileData']['fileUri']}".replace("  ", " ")
    blob = holder["inlineData"]
    return media.described(_family(blob["mimeType"]), blob["mimeType"], decoded(blob["data"]) or b"")


def _family(media_type: str) -> str:
    family = media_type.partition("/")[0]
    return family if family in {"image", "audio", "video"} else "file"


def last_user(contents: list[Content]) -> tuple[str, tuple[str, ...]]:
    """The text of the last content that a user wrote, and the results of functions since then."""
    results: list[str] = []
    for content in reversed(contents):
        given = [_result(part["functionResponse"]) for part in content["parts"] if "functionResponse" in part]
        results.extend(reversed(given))
        said = " ".join(part["text"] for part in content["parts"] if "text" in part)
        if content.get("role", "user") == "user" and (said or not given):
            return said, tuple(reversed(results))
    return "", tuple(reversed(results))
