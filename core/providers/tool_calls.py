"""Pieces of tool calls -> calls, whichever of index, id and name a server repeats, leaves out or gets wrong. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from core.base.foreign import whole_text
from core.domain.events import ToolCallDelta
from core.domain.requests import ToolCall
from core.providers.chunks import CallPiece

MAX_CALLS: Final = 128
"""OpenAI's own bound on tools in a request; nobody calls more of them in one answer."""


class _Open:
    """A call as far as it has come. Its name may come later than its id."""

    __slots__ = ("arguments", "id", "index", "name", "position")

    def __init__(self, position: int, piece: CallPiece, name: str, unique: str) -> None:
        self.position = position
        self.index = piece.index
        self.id = unique
        self.name = name
        self.arguments: list[str] = []

    @property
    def whole(self) -> bool:
        """Whether its arguments are JSON already."""
        # Looked at first, so that a long call whose every piece repeats the name is not read anew with each.
        ends = not self.arguments or self.arguments[-1].rstrip().endswith("}")
        return ends and is_json("".join(self.arguments))


class CallBook:
    """Which call a piece belongs to: the one with its id, whatever the index; without an id the one at its index;
    without both the last one. A name begins a call of its own where the one it would go on with is another's, or whole.
    """

    __slots__ = ("_calls", "_last", "chars", "full")

    def __init__(self) -> None:
        self._calls: list[_Open] = []
        self._last: _Open | None = None
        self.chars = 0
        """Of all arguments together."""
        self.full = False
        """A call too many came, and was left out."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """In the order they began; what never got a name is no call."""
        return tuple(ToolCall(one.id, one.name, "".join(one.arguments)) for one in self._calls if one.name)

    @property
    def whole(self) -> bool:
        """Whether there are calls, and all of them can be run as they stand."""
        return bool(self._calls) and all(one.name and one.whole for one in self._calls)

    def add(self, piece: CallPiece) -> ToolCallDelta | None:
        """Take a piece; returns what is new, None where nothing can be told yet."""
        name = (piece.function.name if piece.function else None) or ""
        arguments = whole_text((piece.function.arguments if piece.function else None) or "")
        call = self._continued(piece, name, arguments)
        begun = call is None
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                self.full = True
                return None
            call = _Open(len(self._calls), piece, name, self._unique(piece.id or f"call_{len(self._calls)}"))
            self._calls.append(call)
        self._last = call
        if arguments:
            call.arguments.append(arguments)
            self.chars += len(arguments)
        if not call.name and not name:
            return None
        if begun or not call.name:
            call.name = whole_text(name)
            return ToolCallDelta(call.position, call.id, call.name, "".join(call.arguments))
        return ToolCallDelta(call.position, "", "", arguments)

    def _continued(self, piece: CallPiece, name: str, arguments: str) -> _Open | None:
        if piece.id:
            found = next((one for one in reversed(self._calls) if one.id == piece.id), None)
            if found is None and not name:
                # A fresh id for every piece, but no name: nothing begins without one.
                found = self._at(piece.index)
        else:
            found = self._at(piece.index)
        if found is None or not name or not found.name:
            return found
        if name != found.name or (arguments and found.whole):
            return None
        return found

    def _at(self, index: int | None) -> _Open | None:
        if index is None:
            return self._last
        return next((one for one in reversed(self._calls) if one.index == index), None)

    def _unique(self, name: str) -> str:
        taken = {one.id for one in self._calls}
        if name not in taken:
            return name
        return next(new for new in (f"{name}_{n}" for n in range(1, MAX_CALLS + 1)) if new not in taken)


def is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text or "{}", type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True
