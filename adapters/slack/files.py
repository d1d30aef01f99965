"""Fetches what somebody attached: by its id, from Slack's own hosts, with the bot token sent nowhere else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from yarl import URL

from adapters.slack.settings import SlackSettings
from adapters.slack.web_api import WebApi
from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, TooLarge, Unfetchable
from core.domain.incoming import Attachment
from core.net.guarded_fetch import FetchPolicy, GuardedFetcher

HOSTS = frozenset({"slack.com", ".slack.com", ".slack-edge.com", ".slack-files.com"})
"""Files redirect between these and need the token again on each (facts/slack.md 1.7)."""

_DEADLINE_S = 120.0
_HEAD_BYTES = 512
_HTML_HEAD_BYTES = 65_536
"""How much of a file is looked at before any of it is handed on; somebody's own HTML needs a closer look."""


class Files:
    def __init__(self, settings: SlackSettings, api: WebApi, fetcher: GuardedFetcher) -> None:
        """The fetcher is opened and closed by whoever hands it in."""
        self._api = api
        self._fetcher = fetcher
        configured = URL(settings.api_url)
        self._policy = FetchPolicy(
            max_bytes=settings.max_attachment_bytes,
            deadline_s=_DEADLINE_S,
            hosts=HOSTS,
            secret_hosts=HOSTS | {configured.host or ""},
            trusted_origins=frozenset({str(configured.origin())}),
        )

    async def fetch(self, attachment: Attachment) -> AsyncGenerator[bytes, None]:
        """Stream one file. Raises SurfaceError, TooLarge or Unfetchable."""
        file = await self._describe(attachment.ref)
        url = str(file.get("url_private_download") or file.get("url_private") or "")
        if not url:
            raise SurfaceGone("Slack gives no address for this file")
        if int(file.get("size") or 0) > self._policy.max_bytes:
            raise TooLarge("the file", limit=self._policy.max_bytes, unit="bytes")
        headers = {"Authorization": f"Bearer {self._api.token}"}
        try:
            async with self._fetcher.open(url, self._policy, headers=headers) as download:
                chunks = download.chunks()
                beginning = await _beginning(chunks, _HTML_HEAD_BYTES if _is_html(file) else _HEAD_BYTES)
                if _is_login_page(beginning, download.mime, file):
                    # Slack answers 200 with its login page when the scope or the token is wrong (facts/slack.md 1.7).
                    raise Unfetchable("Slack", "it showed its login page instead of the file; the app lacks files:read")
                yield beginning
                async for chunk in chunks:
                    yield chunk
        except Unfetchable as error:
            if error.passing:
                raise SurfaceBusy("Slack's file host does not answer") from error
            raise

    async def captions(self, attachment: Attachment) -> str:
        """What Slack itself wrote down of a voice clip: a preview, later than the clip, and only where the workspace
        wishes it (facts/slack.md 1.7). Never raises."""
        try:
            transcription = (await self._describe(attachment.ref)).get("transcription") or {}
        except SurfaceError:
            return ""
        if transcription.get("status") != "complete":
            return ""
        preview = transcription.get("preview") or {}
        words = str(preview.get("content") or "").strip()
        return f"{words} …" if words and preview.get("has_more") else words

    async def _describe(self, file_id: str) -> Mapping[str, Any]:
        """files.info, always: a Slack Connect file comes without address ("check_file_info", facts/slack.md 1.7)."""
        answer = await self._api.call(lambda: self._api.reads.files_info(file=file_id))
        described: Mapping[str, Any] = answer["file"]
        return described


async def _beginning(chunks: AsyncIterator[bytes], at_least: int) -> bytes:
    """The first *at_least* bytes or more, taken off *chunks*; all of a shorter file."""
    taken = bytearray()
    async for chunk in chunks:
        taken += chunk
        if len(taken) >= at_least:
            break
    return bytes(taken)


def _is_html(file: Mapping[str, Any]) -> bool:
    return "html" in str(file.get("mimetype") or "") or str(file.get("filetype") or "") == "html"


def _is_login_page(beginning: bytes, mime: str, file: Mapping[str, Any]) -> bool:
    if _is_html(file):
        text = beginning[:_HTML_HEAD_BYTES].lower()
        return mime.startswith("text/html") and b"slack" in text[:4096] and b"sign" in text
    start = beginning[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html"))
