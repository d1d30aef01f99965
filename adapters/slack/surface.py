"""An answer in a channel, thread or direct message: one message per page, edited as it grows."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from adapters.slack.failures import CLOSED, code_behind
from adapters.slack.ids import METADATA_EVENT
from adapters.slack.render import MAX_PAGE_CHARS, blocks, fallback_text, page_length, plainer
from adapters.slack.target import Target
from adapters.slack.web_api import WebApi
from core.domain.errors import SurfaceBusy, SurfaceGone, SurfaceRejected
from core.ports.platform import Rate, Shown, SurfaceLimits

Send = Callable[[Mapping[str, Any]], Awaitable[str]]
"""Sends one form of a page and returns its ts."""

logger = logging.getLogger(__name__)

_FIND_PAGES = 5
_FIND_PAGE_SIZE = 100


def post_rate(workspace: str, channel: str) -> Rate:
    """About one message a second in a channel (facts/slack.md 1.3)."""
    return Rate(f"slack:{workspace}:chat.postMessage:{channel}", 1, 1.0)


def update_rate(workspace: str) -> Rate:
    """Tier 3, 50 a minute for the whole workspace: one edit a second for one reply uses it up (facts/slack.md 1.3)."""
    return Rate(f"slack:{workspace}:chat.update", 50, 60.0)


class EditedSurface:
    """Posts with chat.postMessage, grows with chat.update. Everybody in the channel sees it grow, which a native stream
    would not give them (facts/slack.md 1.2)."""

    def __init__(
        self, api: WebApi, target: Target, *, heading: str = "", on_closed: Callable[[str], None] | None = None
    ) -> None:
        """
        Args:
            heading: Stands above the first page, as mrkdwn.
            on_closed: Told Slack's word for it where the place takes no message of ours.
        """
        self._api = api
        self._on_closed = on_closed
        self._target = target
        self._heading = heading
        self._plain: set[int] = set()
        """Pages whose layout Slack refused; they stay in their plainer form."""
        self._busy = False
        post, update = post_rate(target.workspace, target.channel), update_rate(target.workspace)
        self._post_rate = post
        self._limits = SurfaceLimits(max_chars=MAX_PAGE_CHARS, measure=page_length, post=(post,), edit=(update,))

    @property
    def limits(self) -> SurfaceLimits:
        return self._limits

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        rate = self._post_rate
        metadata = {"event_type": METADATA_EVENT, "event_payload": {"nonce": nonce, "page": page}}

        async def send(content: Mapping[str, Any]) -> str:
            answer = await self._api.write(
                rate.key,
                lambda: self._api.writes.chat_postMessage(
                    channel=self._target.channel,
                    thread_ts=self._target.thread or None,
                    metadata=metadata,
                    unfurl_links=False,
                    unfurl_media=False,
                    **content,
                ),
            )
            return str(answer["ts"])

        try:
            return await self._in_a_form_it_takes(page, shown, send)
        except SurfaceGone as error:
            if self._on_closed and code_behind(error) in CLOSED:
                self._on_closed(code_behind(error))
            raise

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        rate = update_rate(self._target.workspace)

        async def send(content: Mapping[str, Any]) -> str:
            await self._api.write(
                rate.key, lambda: self._api.writes.chat_update(channel=self._target.channel, ts=ref, **content)
            )
            return ref

        await self._in_a_form_it_takes(page, shown, send)

    async def _in_a_form_it_takes(self, page: int, shown: Shown, send: Send) -> str:
        """Blocks first; where Slack refuses the layout, plain sections from the page's next turn on. Slack counted the
        refused call, so the next one needs a slot of its own. A refused message was not posted: nothing is posted
        twice."""
        heading = self._heading if page == 0 else ""
        text = fallback_text(shown)
        if page in self._plain or shown.plain:
            return await send({"text": text, "blocks": plainer(shown, heading=heading)})
        try:
            return await send({"text": text, "blocks": blocks(shown, heading=heading)})
        except SurfaceRejected as error:
            if error.too_long:
                raise
            logger.warning("Slack refused a page's layout (%s); it goes out in plain sections", error)
            self._plain.add(page)
            raise SurfaceBusy("the page's layout was refused", retry_after_s=0.0) from error

    async def remove(self, ref: str, page: int) -> None:
        try:
            await self._api.write(
                f"slack:{self._target.workspace}:chat.delete",
                lambda: self._api.writes.chat_delete(channel=self._target.channel, ts=ref),
            )
        except SurfaceGone as error:
            if str(error) != "message_not_found":
                raise

    async def find(self, page: int, nonce: str) -> str | None:
        """Look for the nonce in the metadata of our messages since the question; at most 500 messages."""
        async for message in self._since_question():
            metadata = message.get("metadata") or {}
            marked = (metadata.get("event_payload") or {}).get("nonce")
            if metadata.get("event_type") == METADATA_EVENT and marked == nonce:
                return str(message["ts"])
        return None

    async def _since_question(self) -> AsyncIterator[Mapping[str, Any]]:
        """Messages of the thread (or channel) since the question, as Slack sends them. Raises SurfaceError."""
        where: dict[str, Any] = {
            "channel": self._target.channel,
            "limit": _FIND_PAGE_SIZE,
            "include_all_metadata": True,
        }
        if self._target.since:
            where["oldest"] = self._target.since
        reads, thread = self._api.reads, self._target.thread
        for _ in range(_FIND_PAGES):
            async with self._api.history():
                if thread:
                    answer = await self._api.call(lambda: reads.conversations_replies(ts=thread, **where))
                else:
                    answer = await self._api.call(lambda: reads.conversations_history(**where))
            for message in answer.get("messages") or ():
                yield message
            where["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
            if not where["cursor"]:
                return

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        answer = await self._api.write(
            f"slack:{self._target.workspace}:files.completeUploadExternal",
            lambda: self._api.writes.files_upload_v2(
                filename=name,
                content=content,
                channel=self._target.channel,
                thread_ts=self._target.thread or None,
                initial_comment=comment or None,
            ),
        )
        return str(answer["files"][0]["id"])

    async def busy(self, on: bool) -> None:
        """ "is thinking..." under the thread; Slack clears it with the next message or after two minutes
        (facts/slack.md 1.1)."""
        if on == self._busy or not self._target.thread:
            return
        self._busy = on
        await self._set_status("is thinking..." if on else "")

    async def _set_status(self, status: str) -> None:
        if self._api.abilities.lacks("assistant.threads.setStatus"):
            return
        await self._api.quietly(
            "setting the status",
            lambda: self._api.writes.assistant_threads_setStatus(
                channel_id=self._target.channel, thread_ts=self._target.thread, status=status
            ),
        )

    async def close(self) -> None:
        if self._busy:
            await self.busy(False)
