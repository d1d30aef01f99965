"""Values to bytes and back: msgspec JSON, with lone surrogates replaced on the way in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import msgspec

from core.base.text import well_formed
from core.domain.errors import StorageTooNew, StorageUnreadable
from core.domain.incoming import FORMAT, Incoming
from core.domain.requests import Image, Part, Reasoning, Role, Text, ToolCall, ToolResult, Turn

_PARTS: dict[str, type[Part]] = {
    "text": Text,
    "image": Image,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
    "reasoning": Reasoning,
}
_PART_NAMES = {kind: name for name, kind in _PARTS.items()}

_encoder = msgspec.json.Encoder()
_incoming = msgspec.json.Decoder(Incoming)
_facts = msgspec.json.Decoder(dict[str, Any])
_parts = msgspec.json.Decoder(list[tuple[str, dict[str, Any]]])


def _well_formed(value: Any) -> Any:
    match value:
        case str():
            return well_formed(value)
        case Mapping():
            return {_well_formed(key): _well_formed(item) for key, item in value.items()}
        case list() | tuple():
            return [_well_formed(item) for item in value]
        case _:
            return value


def encode(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_well_formed(msgspec.to_builtins(value)))


def storable(incoming: Incoming) -> tuple[Incoming, bytes]:
    """A message as it is stored: itself, unless it holds lone surrogates anywhere, and its bytes."""
    try:
        return incoming, _encoder.encode(incoming)
    except UnicodeEncodeError:
        body = encode(incoming)
        return decode_incoming(body), body


def decode_incoming(body: bytes) -> Incoming:
    """Raises StorageUnreadable; StorageTooNew for a form that a later version of the program wrote."""
    with readable("message"):
        incoming = _incoming.decode(body)
    if incoming.version > FORMAT:
        raise StorageTooNew(f"a stored message has form {incoming.version}, this program knows {FORMAT}")
    return incoming


def decode_facts(body: bytes) -> dict[str, Any]:
    """Raises StorageUnreadable."""
    with readable("reply"):
        return _facts.decode(body)


def turn_columns(turn: Turn) -> dict[str, Any]:
    """A turn's words, and its parts unless they are just one text. Pictures are stored by reference only."""
    words = well_formed(turn.text).replace("\0", "")  # which PostgreSQL takes in no text; `parts` keeps it
    if len(turn.parts) == 1 and isinstance(turn.parts[0], Text) and words == turn.text:
        return {"role": turn.role, "words": words, "parts": None}
    stored = [
        (_PART_NAMES[type(part)], replace(part, data=b"") if isinstance(part, Image) else part) for part in turn.parts
    ]
    return {"role": turn.role, "words": words, "parts": encode(stored)}


def turn_from(role: str, words: str, parts: bytes | None) -> Turn:
    """Raises StorageUnreadable."""
    if parts is None:
        return Turn(cast(Role, role), (Text(words),))
    with readable("turn"):
        stored = tuple(msgspec.convert(fields, _PARTS[name]) for name, fields in _parts.decode(parts))
    return Turn(cast(Role, role), stored)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """One bad row that the database finds sound is that row's trouble. The error holds none of its content."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError):
        raise StorageUnreadable(f"a stored {what} cannot be read") from None
