"""The `send` that one attempt gets: keeps what the reader has, and joins a continuation to it."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Sequence

from core.base.clock import Clock
from core.domain.events import Event, Notice, Restarted, Send, Started, TextDelta, ToolCallDelta
from core.domain.model_spec import ModelSpec
from core.gateway.continuation.seam import Join, Seam

SEAM_PATIENCE_S = 0.5
"""Longest time a second model's words are held back, from its first one, while the seam is unclear. Looked at when
words come; silence is the provider's to notice."""


class Visible:
    """What the reader has of one answer, over all the models that wrote it."""

    __slots__ = ("calls", "pieces", "send")

    def __init__(self, send: Send) -> None:
        self.send = send
        self.pieces: list[str] = []
        self.calls = False
        """Whether pieces of a tool call went out."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def __bool__(self) -> bool:
        return self.calls or bool(self.pieces)


class AttemptStream:
    """Passes one model's events on to the reader; per text piece that is one append and the next stage's own `send`.

    Before the first word it says what the reader should know (*opening*). With a *seam* the words are held back until
    it is clear how they join on; with *anew* what stands is taken back first. Raises NoSafeSeam out of `send`, which
    ends the model's stream.
    """

    __slots__ = ("_anew", "_clock", "_handed", "_held_since", "_model", "_opening", "_seam", "_visible",
                 "first_text_at", "joined", "opened", "own_from", "sent_calls", "started")  # fmt: skip

    def __init__(
        self,
        visible: Visible,
        model: ModelSpec,
        clock: Clock,
        *,
        opening: Sequence[Event] = (),
        seam: Seam | None = None,
        anew: bool = False,
    ) -> None:
        self._visible = visible
        self._model = model
        self._clock = clock
        self._opening = opening
        self._seam = seam
        self._anew = anew
        self.started = False
        """The model began: from here on it costs."""
        self.opened = False
        """The reader has seen something of it."""
        self.joined = False
        """What stands is more than this model's own text."""
        self.sent_calls = False
        self.first_text_at: float | None = None
        """On the monotonic clock."""
        self.own_from = len(visible.pieces)
        self._handed: Awaitable[None] | None = None

    def __call__(self, event: Event) -> Awaitable[None]:
        if self.opened and type(event) is TextDelta:
            self._visible.pieces.append(event.text)
            self._handed = self._visible.send(event)
            return self._handed
        return self._special(event)

    def let_through(self, error: Exception) -> bool:
        """Whether *error* comes from the reader, and not from the model's side: it then came by way of this stream."""
        ways = {type(self).__call__.__code__, type(self)._special.__code__, getattr(self._handed, "cr_code", None)}
        return any(frame.f_code in ways for frame, _ in traceback.walk_tb(error.__traceback__))

    def said(self) -> str:
        """This model's own words, held ones included."""
        held = self._seam.held if self._seam is not None and not self.opened else ""
        return held + "".join(self._visible.pieces[self.own_from :])

    async def finish(self) -> None:
        """The model has answered; what is still held back goes out."""
        if self._seam is not None and not self.opened:
            await self._join(self._seam.end())

    async def _special(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                await self._first_words(text)
            case ToolCallDelta():
                if self._seam is not None and not self.opened:
                    await self._join(self._seam.end())
                await self._open()
                self.sent_calls = self._visible.calls = True
                await self._visible.send(event)
            case Started():
                self.started = True
                await self._visible.send(event)
            case _:
                await self._visible.send(event)

    async def _first_words(self, text: str) -> None:
        now = self._clock.monotonic()
        if self.first_text_at is None:
            self.first_text_at = now
        if self._seam is None:
            await self._open()
            self._visible.pieces.append(text)
            await self._visible.send(TextDelta(text))
        elif (join := self._seam.feed(text, patient=now - self.first_text_at < SEAM_PATIENCE_S)) is not None:
            await self._join(join)

    async def _open(self) -> None:
        if self.opened:
            return
        self.opened = True
        if self._anew:
            self._visible.pieces.clear()
            self._visible.calls = False
            self.own_from = 0
            await self._visible.send(Restarted(self._model.id, 0))
        for event in self._opening:
            await self._visible.send(event)

    async def _join(self, join: Join) -> None:
        self.opened = self.joined = True
        kept = self._visible.text[: join.keep_chars]
        self._visible.pieces[:] = [kept]
        self.own_from = 1
        await self._visible.send(Restarted(self._model.id, join.keep_chars))
        await self._visible.send(Notice("continued", {"model": self._model.id}))
        if join.text:
            self._visible.pieces.append(join.text)
            await self._visible.send(TextDelta(join.text))
