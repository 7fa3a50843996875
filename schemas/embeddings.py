"""Whether a body is an Embeddings request in form. Source: platform.openai.com/docs/api-reference/embeddings/create."""

from typing import Any

from schemas.events.request import InvalidRequest

__all__ = ["MAX_INPUTS", "check_embeddings"]

MAX_INPUTS = 2_048
_FORMATS = ("float", "base64")


def check_embeddings(body: dict[str, Any]) -> InvalidRequest | None:
    """The first fault in the form of `body`; None: none. Null means absent."""
    if what := _input(body.get("input")):
        return _fault("input", what)
    if body.get("encoding_format") not in (None, *_FORMATS):
        return _fault("encoding_format", f"must be one of {', '.join(_FORMATS)}")
    dimensions = body.get("dimensions")
    if dimensions is not None and not (_is_whole(dimensions) and 1 <= dimensions <= 65_536):
        return _fault("dimensions", "must be a whole number from 1 to 65536")
    return None


def _input(value: Any) -> str | None:
    """A text, or a list: of texts, of token ids, or of lists of token ids."""
    if isinstance(value, str):
        return None if value else "must not be empty"
    if not isinstance(value, list) or not value:
        return "must be a string or a non-empty list"
    if all(_is_whole(item) for item in value):
        return None
    if len(value) > MAX_INPUTS:
        return f"must hold at most {MAX_INPUTS} entries"
    if all(isinstance(item, str) and item for item in value):
        return None
    if all(isinstance(item, list) and item and all(_is_whole(token) for token in item) for item in value):
        return None
    return "must hold non-empty strings, or token ids, or lists of token ids"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _fault(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{path}` {what}", param=path)
