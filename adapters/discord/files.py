"""Fetches what came with a message: from Discord's own hosts only, never with a token, streamed under a limit.

Addresses are signed and live about a day (facts/discord.md 1.10), so none is stored: the message is read again, and
what cannot be read that way (a command's files, other people's without the content intent) is asked for by its path.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import aiohttp
import discord
from discord.http import Route

from adapters.discord.client import Client
from adapters.discord.message import DiscordFile, read
from adapters.discord.parse import all_files
from adapters.discord.settings import DiscordSettings
from core.clock import Clock
from core.errors import SurfaceBusy, SurfaceError, SurfaceGone, TooLarge
from core.incoming import Attachment
from core.net.guarded_fetch import guarded_connector

CDN_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
"""docs.discord.com/developers/reference#signed-attachment-cdn-urls, read 2026-11-22."""

CHUNK_BYTES = 64 * 1024
DEADLINE_S = 120.0
SILENCE_S = 20.0
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
        return url if url is not None and _expires_at(url) > self.clock.now() + SILENCE_S else None

    def drop(self, path: str) -> None:
        self._urls.pop(path, None)


def _expires_at(url: str) -> float:
    """When a signed address ends; 0 where it does not say."""
    try:
        return float(int(parse_qs(urlsplit(url).query)["ex"][0], 16))
    except (KeyError, ValueError):
        return 0.0


def configured(url: str, settings: DiscordSettings) -> bool:
    """Whether *url* lies on the host that the operator configured instead of Discord's."""
    parts, api = urlsplit(url), urlsplit(settings.api_url)
    return bool(settings.api_url) and (parts.scheme, parts.netloc) == (api.scheme, api.netloc)


def may_fetch(url: str, settings: DiscordSettings) -> bool:
    """Whether *url* is one of Discord's own: HTTPS on its CDN, or the configured API's host."""
    parts = urlsplit(url)
    if configured(url, settings):
        return True
    return parts.scheme == "https" and parts.netloc in CDN_HOSTS


async def fetch(
    client: Client, settings: DiscordSettings, links: Links, clock: Clock, attachment: Attachment
) -> AsyncIterator[bytes]:
    """Yield the file's bytes.

    Raises:
        TooLarge: Before the first byte where the size is known, at the limit where it was understated.
        SurfaceGone: The file, or the right to read it, is gone.
        SurfaceBusy: The connection failed, or the deadline of two minutes passed.
    """
    limit = settings.max_attachment_bytes
    if attachment.size_bytes > limit:
        raise TooLarge(attachment.name, limit=limit, unit="bytes")
    where, _, path = attachment.ref.partition(":")
    url = links.fresh(path)
    if url is not None:
        async for chunk in _download(url, settings, clock, attachment):
            if chunk is None:
                break  # refused: it expired early, ask anew below
            yield chunk
        else:
            return
        links.drop(path)
    async for chunk in _download(await _renew(client, where, path, links), settings, clock, attachment):
        if chunk is None:
            raise SurfaceGone(f"{attachment.name} is not to be had any more")
        yield chunk


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


async def _download(
    url: str, settings: DiscordSettings, clock: Clock, attachment: Attachment
) -> AsyncIterator[bytes | None]:
    """The bytes; a single None where the address is refused."""
    if not may_fetch(url, settings):
        raise SurfaceGone(f"{attachment.name} does not lie on Discord's own hosts")
    limit, read_bytes = settings.max_attachment_bytes, 0
    give_up_at = clock.monotonic() + DEADLINE_S
    # A session of its own: the library's would send its headers along, and never gives up (facts/discord.md 1.10).
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=SILENCE_S)
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                # A name of Discord's that answers with a private address is not followed there (DNS rebinding).
                # Behind a proxy only the proxy's own name is looked up here, and that may be a private one.
                connector=guarded_connector(trusted=bool(settings.proxy) or configured(url, settings)),
            ) as session,
            # A redirect would lead somewhere we did not check.
            session.get(url, proxy=settings.proxy or None, allow_redirects=False) as response,
        ):
            if response.status in (401, 403, 404, 410):
                yield None
                return
            if response.status != 200:
                raise _refused(response.status)
            if (response.content_length or 0) > limit:
                raise TooLarge(attachment.name, limit=limit, unit="bytes")
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                read_bytes += len(chunk)
                if read_bytes > limit:
                    raise TooLarge(attachment.name, limit=limit, unit="bytes")
                if clock.monotonic() > give_up_at:
                    raise SurfaceBusy("the download took too long")
                yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SurfaceBusy("the file could not be fetched") from error


def _refused(status: int) -> SurfaceError:
    if status == 429 or status >= 500:
        return SurfaceBusy(f"Discord's file host answered {status}", retry_after_s=2.0)
    return SurfaceGone(f"Discord's file host answered {status}")
