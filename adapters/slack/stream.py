"""An answer in a direct message, by Slack's native streaming; by editing from the first sign of trouble on.

A stream can only be appended to. So what was sent is remembered, only the difference goes out, and a page whose text
is no continuation of it, or whose stream broke, is finished by chat.update, which takes the whole text (facts/slack.md
1.2).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from adapters.slack.failures import code_behind
from adapters.slack.ids import METADATA_EVENT
from adapters.slack.mention_guard import disarm, held_back
from adapters.slack.render import MAX_STREAM_BYTES, around, stream_length
from adapters.slack.surface import EditedSurface, update_rate
from adapters.slack.target import Target
from adapters.slack.web_api import WebApi
from core.base.clock import Clock
from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected
from core.ports.platform import Rate, Shown, SurfaceLimits

logger = logging.getLogger(__name__)

STARTS_PER_MINUTE = 20
"""Tier 2, per workspace; chat.stopStream likewise (facts/slack.md 1.2)."""
_KEPT_FOR_PAGES = 4
"""Starts left for the further pages of answers that stream already."""


class Streaming:
    """What all streams of a workspace share: whether the methods exist, and how many streams a minute still has."""

    def __init__(self, api: WebApi, clock: Clock, *, enabled: bool) -> None:
        self._api = api
        self._clock = clock
        self._taken: deque[float] = deque()
        self._wished = enabled

    @property
    def enabled(self) -> bool:
        return self._wished and not self._api.abilities.lacks("chat.startStream")

    @property
    def sessions(self) -> bool:
        """Whether agents.sessions.* work; where they do not, the older status line does."""
        return self._wished and not self._api.abilities.lacks("agents.sessions.setStatus")

    def take(self) -> bool:
        """Whether another answer may stream; if so, its start is counted from now on.

        Without room it is edited: waiting up to a minute would cost its reader more than streaming gives.
        """
        now = self._clock.monotonic()
        while self._taken and self._taken[0] <= now - 60.0:
            self._taken.popleft()
        if not self.enabled or len(self._taken) >= STARTS_PER_MINUTE - _KEPT_FOR_PAGES:
            return False
        self._taken.append(now)
        return True


@dataclass(slots=True)
class _Open:
    """A stream under way."""

    page: int
    nonce: str
    sent: str
    whole: str
    """The page's text as last shown, what closes it included."""


class StreamedSurface(EditedSurface):
    def __init__(
        self,
        api: WebApi,
        target: Target,
        streaming: Streaming,
        *,
        may_start: bool,
        on_user_stop: Callable[[], Awaitable[Any]],
        is_ours: Callable[[str], Awaitable[bool]],
        on_closed: Callable[[str], None] | None = None,
    ) -> None:
        """
        Args:
            may_start: Whether it starts streams; otherwise it finds, stops and edits those that others left.
            on_user_stop: Called when Slack says that the person pressed its own Stop.
            is_ours: Whether a ts is already known as a page of some reply; see `find`.
        """
        super().__init__(api, target, on_closed=on_closed)
        self._streaming = streaming
        self._on_user_stop = on_user_stop
        self._is_ours = is_ours
        self._open: dict[str, _Open] = {}
        self._known: dict[str, str] = {}
        """ts -> nonce of the pages that this surface wrote to, "" where it did not post them."""
        self._status = ""
        self._edited = not may_start
        self._session = may_start
        """Whether it shows as an agent session. Two calls each for at most twenty streams fit their fifty a minute; for
        every answer they would not (facts/slack.md 1.1)."""
        """This reply no longer starts streams."""
        self._appends = may_start
        """Whether its newest page grows by a stream, or will; otherwise by chat.update."""
        key = f"slack:{target.workspace}:chat."
        self._start = Rate(f"{key}startStream", STARTS_PER_MINUTE, 60.0)
        self._append = Rate(f"{key}appendStream", 100, 60.0)  # Tier 4
        self._stop = Rate(f"{key}stopStream", 20, 60.0)  # Tier 2
        streamed = SurfaceLimits(
            max_chars=MAX_STREAM_BYTES,
            measure=stream_length,
            post=(self._start,),
            edit=(self._append,),
            finish=(self._stop,),
        )
        broken = replace(streamed, edit=(update_rate(target.workspace),), finish=None)
        self._streamed, self._broken, self._fallen_back = (
            streamed,
            broken,
            replace(broken, post=(self._post_rate,)),
        )

    @property
    def limits(self) -> SurfaceLimits:
        """Pages keep the size that a stream takes, whatever becomes of it; the buckets are those of the next write."""
        if self._appends:
            return self._streamed
        return self._fallen_back if self._edited else self._broken

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        await self._finish_others()
        if self._edited or shown.final or shown.footer or shown.plain:
            has_slot = self._edited
            self._appends = False
            return await self._post_message(page, shown, nonce, has_slot=has_slot)
        try:
            return await self._start_stream(page, shown, nonce)
        except SurfaceBusy as error:
            if error.unsure:
                raise
            return await self._edit_from_now_on(page, shown, nonce, error)
        except (SurfaceGone, SurfaceRejected) as error:
            return await self._edit_from_now_on(page, shown, nonce, error)

    async def _edit_from_now_on(self, page: int, shown: Shown, nonce: str, error: SurfaceError) -> str:
        logger.info("no stream for this answer (%s), it is edited", error)
        self._edited, self._appends = True, False
        return await self._post_message(page, shown, nonce, has_slot=False)

    async def _post_message(self, page: int, shown: Shown, nonce: str, *, has_slot: bool) -> str:
        async with nullcontext() if has_slot else self._api.take(self._post_rate):
            ref = await super().post(page, shown, nonce)
        self._known[ref] = nonce
        return ref

    async def _start_stream(self, page: int, shown: Shown, nonce: str) -> str:
        whole = disarm(shown.text)
        sent = _sendable(shown)
        answer = await self._api.write(
            self._start.key,
            lambda: self._api.writes.chat_startStream(
                channel=self._target.channel,
                thread_ts=self._target.thread,
                markdown_text=sent or None,
                recipient_team_id=self._target.team or None,
                recipient_user_id=self._target.user,
            ),
        )
        ref = str(answer["ts"])
        self._open[ref] = _Open(page, nonce, sent, whole)
        self._known[ref] = nonce
        self._appends = True
        await self._show_status(shown.status)
        return ref

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        self._known.setdefault(ref, "")
        stream = self._open.get(ref)
        if stream is None:
            return await self._overwrite(ref, page, shown)
        whole = disarm(shown.text)
        ends = shown.final or bool(shown.footer)
        target = whole if ends else _sendable(shown)
        if shown.plain or not target.startswith(stream.sent):
            # Something already streamed is to be unsaid, or stands on the next page now: only an edit can do that.
            return await self._overwrite(ref, page, shown)
        suffix = target[len(stream.sent) :]
        stream.whole = whole
        try:
            if ends:
                await self._stop_stream(ref, suffix, shown)
            elif suffix:
                await self._append_to(ref, suffix)
                stream.sent = target
        except SurfaceBusy as error:
            if error.unsure:
                # It may stand there already; sent again it would stand there twice. Absolute text is safe.
                del self._open[ref]
            raise
        except (SurfaceGone, SurfaceRejected) as error:
            await self._rescue(ref, page, shown, error)
        else:
            await self._show_status(shown.status)

    async def _rescue(self, ref: str, page: int, shown: Shown, error: SurfaceError) -> None:
        """The stream is over (its five minutes, its size, the person's Stop): the message stands and can be edited."""
        code = code_behind(error)
        logger.info("a stream ended early (%s), its message is edited", code or error)
        if code == "stopped_by_user":
            await self._on_user_stop()
        self._edited = self._edited or code not in {"message_not_in_streaming_state", "msg_too_long"}
        await self._overwrite(ref, page, shown)

    async def _overwrite(self, ref: str, page: int, shown: Shown) -> None:
        """Replace the whole text. A message that still streams, ours or a dead process's, is stopped first."""
        if self._open.pop(ref, None):
            await self._stop_quietly(ref)
        has_slot = not self._appends
        self._appends = self._appends and bool(self._open)
        rate = update_rate(self._target.workspace)
        try:
            async with nullcontext() if has_slot else self._api.take(rate):
                await super().edit(ref, page, shown)
        except SurfaceGone as error:
            if code_behind(error) != "streaming_state_conflict":
                raise
            await self._stop_surely(ref)
            try:
                async with self._api.take(rate):
                    await super().edit(ref, page, shown)
            except SurfaceGone as again:
                if code_behind(again) != "streaming_state_conflict":
                    raise
                raise SurfaceBusy("Slack still streams this message", retry_after_s=2.0) from again

    async def _append_to(self, ref: str, suffix: str) -> None:
        await self._api.write(
            self._append.key,
            lambda: self._api.writes.chat_appendStream(channel=self._target.channel, ts=ref, markdown_text=suffix),
        )

    async def _stop_stream(self, ref: str, suffix: str, shown: Shown) -> None:
        below, stream = around(shown), self._open[ref]
        metadata = {"event_type": METADATA_EVENT, "event_payload": {"nonce": stream.nonce, "page": stream.page}}
        # A full page in mid-answer comes with a slot for an append; only the answer's own end has one for stopping.
        has_slot = shown.controls is not None or bool(shown.footer)
        async with nullcontext() if has_slot else self._api.take(self._stop):
            await self._api.write(
                self._stop.key,
                lambda: self._api.writes.chat_stopStream(
                    channel=self._target.channel,
                    ts=ref,
                    markdown_text=suffix or None,
                    blocks=below or None,
                    metadata=metadata,
                ),
            )
        del self._open[ref]

    async def _stop_surely(self, ref: str) -> None:
        """Stop what the message still streams. Raises SurfaceBusy where that has to be tried again."""
        try:
            with self._api.count(self._stop):
                await self._api.write(
                    self._stop.key, lambda: self._api.writes.chat_stopStream(channel=self._target.channel, ts=ref)
                )
        except (SurfaceGone, SurfaceRejected) as error:
            logger.info("nothing to stop: %s", error)

    async def _stop_quietly(self, ref: str, suffix: str = "") -> bool:
        try:
            with self._api.count(self._stop):
                await self._api.call(
                    lambda: self._api.writes.chat_stopStream(
                        channel=self._target.channel, ts=ref, markdown_text=suffix or None
                    )
                )
        except SurfaceError as error:
            logger.info("stopping a stream failed: %s", error)
            return False
        return True

    async def _finish_others(self) -> None:
        """A page that is followed by another is complete: send what closes it and stop its stream."""
        for ref, stream in list(self._open.items()):
            tail = stream.whole[len(stream.sent) :] if stream.whole.startswith(stream.sent) else ""
            if await self._stop_quietly(ref, tail):
                del self._open[ref]

    async def remove(self, ref: str, page: int) -> None:
        if self._open.pop(ref, None):
            await self._stop_quietly(ref)
        await super().remove(ref, page)

    async def find(self, page: int, nonce: str) -> str | None:
        """A stream carries no metadata until it is stopped. One of our messages since the question that no ledger
        knows is therefore the lost page: started, and never learned of."""
        if mine := next((ref for ref, mark in self._known.items() if mark == nonce), None):
            return mine
        async for message in self._since_question():
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == METADATA_EVENT:
                if (metadata.get("event_payload") or {}).get("nonce") == nonce:
                    return str(message["ts"])
            elif message.get("bot_id") and not await self._is_known(str(message["ts"])):
                return str(message["ts"])
        return None

    async def _is_known(self, ts: str) -> bool:
        return ts in self._known or await self._is_ours(ts)

    async def busy(self, on: bool) -> None:
        """An agent session that is `processing` shows Slack's own Stop button (facts/slack.md 1.1)."""
        if on == self._busy:
            return
        if not on and self._open:
            self._busy = False
            return  # what streams is at work; stopping the stream ends the session's `processing`
        if not (self._session and self._streaming.sessions):
            await super().busy(on)
            return
        self._busy = on
        try:
            await self._api.call(
                lambda: self._api.writes.agents_sessions_setStatus(
                    channel_id=self._target.channel,
                    thread_ts=self._target.thread,
                    status="processing" if on else "active",
                )
            )
        except SurfaceError as error:
            logger.info("no agent session is shown: %s", error)
            await self._set_status("is thinking..." if on else "")

    async def _show_status(self, status: str) -> None:
        """A stream has no place for a status line; the one under the thread has."""
        if status != self._status:
            self._status = status
            await self._set_status(status)

    async def close(self) -> None:
        """No stream stays open: Slack would show it as growing for minutes."""
        await self._finish_others()
        self._open.clear()
        await super().close()


def _sendable(shown: Shown) -> str:
    """What of a growing page may be streamed: without what only closes it and what may still turn into an order."""
    return disarm(held_back(shown.text[: len(shown.text) - shown.closing_chars]))
