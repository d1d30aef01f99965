"""An answer for one person's eyes, through a response_url: where the bot is no member, and for shortcuts.

Five uses in thirty minutes (facts/slack.md 1.6): a placeholder, a sentence if the answer has to wait, three pages.

`replace_original` under a command's response_url is told two ways: it replaces what was said there before, or it says
one thing more (https://github.com/slackapi/bolt-python/issues/1268, https://github.com/slackapi/bolt-js/issues/2287,
read 2026-11-23). So only the answer as a whole takes the place of anything, and the placeholder may stay above it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp

from adapters.slack.render import MAX_PAGE_CHARS, blocks, fallback_text, page_length, plainer
from adapters.slack.web_api import WebApi
from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected
from core.ports.platform import Controls, Shown, SurfaceLimits
from core.wording import THINKING

logger = logging.getLogger(__name__)

_TIMEOUT_S = 15.0
_MAX_PAGES = 3
LIFETIME_S = 1_800.0


class EphemeralSurface:
    def __init__(self, api: WebApi, response_url: str, user: str, reply_id: str, *, placeholder: bool) -> None:
        """*placeholder*: whether to say at once that an answer is coming; its first page then takes that place."""
        self._api = api
        self._url = response_url
        self._user = user
        self._reply_id = reply_id
        self._placeholder = placeholder
        self._held = False
        """A placeholder stands there, or may."""
        self._turn = asyncio.Lock()
        """The placeholder goes out beside the pages' writer and must not overtake them."""
        self._posted: list[int] = []
        self._limits = SurfaceLimits(max_chars=MAX_PAGE_CHARS, measure=page_length, max_edits=0, max_pages=_MAX_PAGES)

    @property
    def limits(self) -> SurfaceLimits:
        return self._limits

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        async with self._turn:
            self._placeholder = False
            await self._send(shown, replace_original=page == 0 and self._held)
        self._posted.append(page)
        return _ref(page)

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        """Replace the page. Only the newest can be: the address knows no other. What is not final yet is left out, so
        that waiting for a model uses nothing up."""
        if self._posted and page != self._posted[-1]:
            raise SurfaceRejected("an earlier private page cannot be replaced")
        if shown.final:
            async with self._turn:
                self._placeholder = False
                await self._send(shown, replace_original=True)

    async def _send(self, shown: Shown, *, replace_original: bool) -> None:
        content: dict[str, Any] = {
            "response_type": "ephemeral",
            "replace_original": replace_original,
            "text": fallback_text(shown),
        }
        try:
            form = plainer if shown.plain else blocks
            await respond(self._api, self._url, content | {"blocks": form(shown)})
        except SurfaceRejected as error:
            if error.too_long or shown.plain:
                raise
            await respond(self._api, self._url, content | {"blocks": plainer(shown)})

    async def remove(self, ref: str, page: int) -> None:
        """Nothing: a page too many in an answer that only its asker sees, and that leaves with the next reload."""

    async def find(self, page: int, nonce: str) -> str | None:
        """Slack does not tell what was sent to a response_url. The first page is taken to stand there: replacing it
        shows it once, whether it does or not. A later page is posted again, for replacing might overwrite the one
        before it, and a page that stands twice is better than one that is lost."""
        return _ref(page) if page == 0 else None

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        """Files cannot be whispered; they go to the asker's direct messages."""
        return await send_directly(self._api, self._user, name, content, comment)

    async def busy(self, on: bool) -> None:
        """The placeholder, with its Stop, once: there is no status for one person alone."""
        async with self._turn:
            if not (on and self._placeholder):
                return
            self._placeholder, self._held = False, True
            try:
                stop = Controls(self._reply_id, stop=True)
                await self._send(Shown("", status=THINKING, controls=stop), replace_original=False)
            except SurfaceError as error:
                logger.info("no placeholder for a private answer: %s", error)

    async def close(self) -> None:
        """Holds nothing."""


def _ref(page: int) -> str:
    return f"whisper:{page}"


async def send_directly(api: WebApi, user: str, name: str, content: bytes, comment: str) -> str:
    """Upload a file to *user*'s direct messages with the bot; returns its id. Raises SurfaceError."""
    bucket = f"slack:{api.workspace}:conversations.open"
    opened = await api.write(bucket, lambda: api.writes.conversations_open(users=user))
    channel = str(opened["channel"]["id"])
    answer = await api.write(
        f"slack:{api.workspace}:files.completeUploadExternal",
        lambda: api.writes.files_upload_v2(
            filename=name, content=content, channel=channel, initial_comment=comment or None
        ),
    )
    return str(answer["files"][0]["id"])


async def respond(api: WebApi, response_url: str, content: dict[str, Any]) -> None:
    """Send *content* to a response_url. Raises SurfaceError; the address is a right of its own and stands in none."""
    if api.session is None or not api.connected:
        raise SurfaceBusy("Slack is not connected", retry_after_s=2.0)
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            api.session.post(response_url, json=content, proxy=api.proxy, allow_redirects=False) as answer,
        ):
            status, text = answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise SurfaceBusy(f"a response_url did not answer ({type(error).__name__})", unsure=True) from None
    if status == 200:
        return
    if status == 429 or status >= 500:
        raise SurfaceBusy(f"a response_url answered with status {status}", unsure=status >= 500)
    if "invalid_blocks" in text or "too_long" in text:
        raise SurfaceRejected("a response_url refused the layout", too_long="too_long" in text)
    raise SurfaceGone(f"a response_url is used up or too old (status {status})")
