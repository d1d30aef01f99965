"""Fetches what came with a message: from Discord's own hosts only, never with a token, streamed under a limit.

Addresses are signed and live about a day (facts/discord.md 1.10), so none is stored: the message is read again, and
what cannot be read that way (a command's files, other people's without the content intent) is asked for by its path.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import aiohttp
import discord
from discord.http import Route
from yarl import URL

from adapters.discord.client import Client
from adapters.discord.message import DiscordFile, read
from adapters.discord.parse import all_files
from adapters.discord.settings import DiscordSettings
from core.base.clock import Clock
from core.domain.errors import SurfaceBusy, SurfaceGone, TooLarge, Unfetchable
from core.domain.incoming import Attachment
from core.net.guarded_fetch import FetchPolicy, GuardedFetcher

CDN_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
"""docs.discord.com/developers/reference#signed-attachment-cdn-urls, read 2026-11-22."""

DEADLINE_S = 120.0
SPARE_S = 20.0
"""An address that ends within so long is not begun with."""
REMEMBERED = 500


@dataclass(slots=True)
class Links:
    """Addresses that came in lately, so that a file asked for at once costs no second request. Not stored."""

    clock: Clock
    _urls: OrderedDict[str, str] = field(default_factory=OrderedDict, repr=False)

    def remember(self, files: tuple[DiscordFile, ...]) -> None:
        for file in files:
            self._urls[file.path] = file.url
            self._urls.move_to_end(file.path)
        while len(self._urls) > REMEMBERED:
            self._urls.popitem(last=False)

    def fresh(self, path: str) -> str | None:
        url = self._urls.get(path)
        return url if url is not None and _expires_at(url) > self.clock.now() + SPARE_S else None

    def drop(self, path: str) -> None:
        self._urls.pop(path, None)


def _expires_at(url: str) -> float:
    """When a signed address ends; 0 where it does not say."""
    try:
        return float(int(parse_qs(urlsplit(url).query)["ex"][0], 16))
    except (KeyError, ValueError):
        return 0.0


def policy_of(settings: DiscordSettings) -> FetchPolicy:
    """Discord's CDN over HTTPS, and the host that an operator configured instead; nothing secret is sent to either."""
    return FetchPolicy(
        max_bytes=settings.max_attachment_bytes,
        deadline_s=DEADLINE_S,
        hosts=CDN_HOSTS,
        trusted_origins=frozenset({str(URL(settings.api_url).origin())} if settings.api_url else ()),
    )


async def fetch(
    fetcher: GuardedFetcher, client: Client, settings: DiscordSettings, links: Links, attachment: Attachment
) -> AsyncGenerator[bytes, None]:
    """Yield the file's bytes.

    Raises:
        TooLarge: Before the first byte where the size is known, at the limit where it was understated.
        SurfaceGone: The file, or the right to read it, is gone.
        SurfaceBusy: The connection failed, or the deadline of two minutes passed.
    """
    policy = policy_of(settings)
    if attachment.size_bytes > policy.max_bytes:
        raise TooLarge(attachment.name, limit=policy.max_bytes, unit="bytes")
    where, _, path = attachment.ref.partition(":")
    url = links.fresh(path)
    if url is not None:
        try:
            async for chunk in _download(fetcher, policy, url, attachment):
                yield chunk
            return
        except SurfaceGone:
            links.drop(path)  # it expired early: ask anew below
    async for chunk in _download(fetcher, policy, await _renew(client, where, path, links), attachment):
        yield chunk


async def _download(
    fetcher: GuardedFetcher, policy: FetchPolicy, url: str, attachment: Attachment
) -> AsyncGenerator[bytes, None]:
    # Not over the library's session, which would send its headers along and never gives up (facts/discord.md 1.10).
    try:
        async with fetcher.open(url, policy) as download:
            async for chunk in download.chunks():
                yield chunk
    except Unfetchable as error:
        if error.passing:
            raise SurfaceBusy(f"Discord's file host does not answer: {error.why}", retry_after_s=2.0) from error
        raise SurfaceGone(f"{attachment.name} is not to be had: {error.why}") from error


async def _renew(client: Client, where: str, path: str, links: Links) -> str:
    """A valid address for *path*: from its message, else through the refresh endpoint."""
    channel, _, message = where.partition("/")
    if channel and message:
        try:
            found = read(await client.get_partial_messageable(int(channel)).fetch_message(int(message)))
        except discord.NotFound:
            raise SurfaceGone("the message with the file was deleted") from None
        except discord.Forbidden:
            found = None
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            raise SurfaceBusy("the message with the file could not be read") from error
        if found is not None:
            files = all_files(found)
            links.remember(files)
            for file in files:
                if file.path == path:
                    return file.url
    return await _refresh(client, path)


async def _refresh(client: Client, path: str) -> str:
    """Not documented, but it works for bots (facts/discord.md 1.10): an unsigned address in, a signed one out."""
    unsigned = f"https://cdn.discordapp.com{path}"
    try:
        answer = await client.http.request(
            Route("POST", "/attachments/refresh-urls"), json={"attachment_urls": [unsigned]}
        )
        url = answer["refreshed_urls"][0]["refreshed"]
    except discord.HTTPException as error:
        if error.status >= 500 or error.status == 429:
            raise SurfaceBusy("the file's address could not be renewed") from error
        raise SurfaceGone("the file's address cannot be renewed") from error
    except (LookupError, TypeError):
        url = None
    if not url:
        raise SurfaceGone("the file is not to be had any more")
    return str(url)
