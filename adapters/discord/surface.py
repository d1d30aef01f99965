"""Shows one reply in a channel, thread or direct message: absolute text, one call at a time."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import discord

from adapters.discord import buckets
from adapters.discord.buckets import Kind
from adapters.discord.connection import Connection
from adapters.discord.controls import Buttons, buttons
from adapters.discord.failures import Forbidden, NotSeen, ReplyRefused, ThreadArchived, ThreadExists, surface_error
from adapters.discord.message import DiscordMessage, read
from adapters.discord.render import PAGE_UNITS, clip, measure, message_text, render
from adapters.discord.rest_calls import RestCall
from adapters.discord.settings import DiscordSettings
from core.domain.errors import SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected
from core.domain.incoming import Incoming
from core.ports.platform import Controls, Shown, SurfaceLimits

MAX_FILE_BYTES = 10 * 2**20
"""Per file since 2025-01-16, docs.discord.com/developers/reference#uploading-files, read 2026-11-22."""

TYPING_EVERY_S = 8.0
"""The indicator lasts 10 s (facts/discord.md 1.7)."""

TYPING_AFTER_S = 0.6
"""A fast answer stands before that, and an indicator for it would only use up requests."""

TYPING_ROUNDS = 40

NO_PINGS = discord.AllowedMentions.none()
"""Given with every write: the client's own default is left out of some edits, and Discord then parses the mentions
anew, with everybody allowed (facts/discord.md 1.3)."""


class Writer:
    """One write at a time: the next waits for the answer to the last, so that no older text lands on a newer one."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self._place = place
        self._last: RestCall | None = None

    async def write(self, kind: Kind, make: Callable[[], Awaitable[object]]) -> dict[str, Any]:
        _, calls = self._connection.use()
        if self._last is not None and not self._last.answer.done():
            try:
                await calls.wait(self._last)
            except SurfaceError:
                if not self._last.answer.done():
                    raise
        self._last = calls.start(kind, self._place, make)
        return await calls.wait(self._last)

    async def settle(self) -> None:
        """Wait for what is under way."""
        if self._last is not None and not self._last.answer.done() and self._connection.calls is not None:
            try:
                await self._connection.calls.wait(self._last)
            except SurfaceError:
                return


class ChannelSurface:
    """A reply made of ordinary messages of the bot.

    Where the question gets a thread of its own, the first post opens it; where that is refused the answer is a reply.
    Every page is a reply to the question: readers of a busy channel see what each belongs to, and `find` recognises
    pages by it (REST does not reliably return a nonce, and only the last page carries buttons).
    """

    def __init__(
        self,
        connection: Connection,
        settings: DiscordSettings,
        incoming: Incoming,
        reply_id: str,
        *,
        forbidden: Callable[[Incoming, str], None],
    ) -> None:
        """*forbidden* is told which right the bot lacks to write here, so that somebody can be told."""
        self._connection = connection
        self._channel = int(incoming.conversation.channel)
        self._incoming = incoming
        self._reply_id = reply_id
        self._forbidden = forbidden
        self._opens = incoming.address.get("opens", "")
        """Title of the thread that is not opened yet, as far as is known."""
        self._writer = Writer(connection, str(self._channel))
        self._controls: dict[int, Controls | None] = {}
        self._typing = False
        place = str(self._channel)
        self.limits = SurfaceLimits(
            max_chars=PAGE_UNITS,
            post=buckets.rates("post", place, settings),
            edit=buckets.rates("edit", place, settings),
            measure=measure,
            max_pages=settings.most_messages,
        )

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        view = view_of(shown, self._incoming)
        body = await self._send(nonce, content=text_of(shown), **({"view": view} if view else {}))
        self._controls[page] = shown.controls
        return str(body["id"])

    async def _send(self, nonce: str, **content: Any) -> dict[str, Any]:
        """Send as a reply to the question, or plainly where that cannot be replied to."""
        if self._opens:
            await self._open_own_thread()
        client, _ = self._connection.use()
        channel = client.get_partial_messageable(self._channel)

        def send(**more: Any) -> Callable[[], Awaitable[object]]:
            return lambda: channel.send(
                # Equal nonces post once, for a few minutes (facts/discord.md 1.3).
                nonce=nonce,
                allowed_mentions=NO_PINGS,
                suppress_embeds=True,
                **content,
                **more,
            )

        reference = self._reference()
        try:
            if reference is None:
                return await self._writer.write("post", send())
            try:
                return await self._writer.write("post", send(reference=reference))
            except ReplyRefused:
                return await self._writer.write("post", send())
        except Forbidden as error:
            if "file" in content:
                raise SurfaceRejected("the bot may not attach files here") from error  # its pages stand already
            self._forbidden(self._incoming, self._missing(error))
            raise

    def _missing(self, error: Forbidden) -> str:
        """The right that writing here needs, as Discord's settings call it (facts/discord-2.md 2.2)."""
        if isinstance(error, NotSeen):
            return "View Channel"
        return "Send Messages in Threads" if self._incoming.address.get("parent") else "Send Messages"

    async def _open_own_thread(self) -> None:
        """Under the question, in its channel; archived as the channel says. One that is there already is used."""
        client, calls = self._connection.use()
        parent = int(self._incoming.address["parent"])
        known = client.get_channel(parent)
        archived_after = known.default_auto_archive_duration if isinstance(known, discord.TextChannel) else 1440
        call = calls.start(
            "other",
            str(parent),
            lambda: client.http.start_thread_with_message(
                parent, self._channel, name=self._opens, auto_archive_duration=archived_after
            ),
        )
        try:
            await calls.wait(call)
        except SurfaceBusy:
            raise
        except SurfaceError as error:
            if not isinstance(error, ThreadExists):
                self._channel = parent
        self._opens = ""

    @property
    def _in_own_thread(self) -> bool:
        return "opens" in self._incoming.address and str(self._channel) == self._incoming.conversation.channel

    def _reference(self) -> discord.MessageReference | None:
        question = self._incoming.address.get("question", "")
        if not question or self._in_own_thread:
            return None
        # A deleted question must not keep its answer from appearing (facts/discord.md 1.3).
        return discord.MessageReference(message_id=int(question), channel_id=self._channel, fail_if_not_exists=False)

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        changes: dict[str, Any] = {"content": text_of(shown)}
        if page not in self._controls or self._controls[page] != shown.controls:
            changes["view"] = view_of(shown, self._incoming)
        try:
            await self._edit(ref, changes)
        except ThreadArchived:
            await self._open_thread()
            await self._edit(ref, changes)
        except SurfaceGone:
            if not self._in_own_thread or not self._opens:
                raise
            # An earlier process may have replied in the channel because it was not allowed to open the thread.
            self._channel, self._opens = int(self._incoming.address["parent"]), ""
            await self._edit(ref, changes)
        self._controls[page] = shown.controls

    async def _edit(self, ref: str, changes: dict[str, Any]) -> None:
        client, _ = self._connection.use()
        # Message.edit would send flags and bring the link previews back (facts/discord.md 1.11); this sends none.
        message = client.get_partial_messageable(self._channel).get_partial_message(int(ref))
        await self._writer.write("edit", lambda: message.edit(allowed_mentions=NO_PINGS, **changes))

    async def _open_thread(self) -> None:
        """An answer may come after its thread went to sleep; anybody who may write in it may wake it."""
        client, calls = self._connection.use()

        async def unarchive() -> None:
            thread = await client.fetch_channel(self._channel)
            if isinstance(thread, discord.Thread):
                await thread.edit(archived=False)

        call = calls.start("other", str(self._channel), unarchive)
        await calls.wait(call)
        await calls.finished(call)

    async def remove(self, ref: str, page: int) -> None:
        client, _ = self._connection.use()
        message = client.get_partial_messageable(self._channel).get_partial_message(int(ref))
        try:
            await self._writer.write("other", message.delete)
        except SurfaceGone:
            return  # it is gone, which is what was wanted
        finally:
            self._controls.pop(page, None)

    async def find(self, page: int, nonce: str) -> str | None:
        """Look for a page among the messages after the question.

        The gateway's echo of our own post names its nonce; in the history a page is known by its nonce where that is
        returned, else by its place among our replies to the question.
        """
        if echo := self._connection.echo_of(nonce):
            return echo
        question = self._incoming.address.get("question", "")
        if not question:
            return None
        if self._opens:
            await self._open_own_thread()
        mine: list[DiscordMessage] = []
        async for message in self.own_after(int(question)):
            if message.nonce == nonce:
                return str(message.id)
            if message.reply_to == int(question) or (self._in_own_thread and message.reply_to is None):
                mine.append(message)
        return pick(mine, page, file_page=self.limits.max_pages)

    async def own_after(self, message_id: int) -> AsyncIterator[DiscordMessage]:
        """Our own messages since then, oldest first, at most two pages of history."""
        client, _ = self._connection.use()
        channel = client.get_partial_messageable(self._channel)
        me = client.user.id if client.user else 0
        try:
            async for message in channel.history(limit=200, after=discord.Object(message_id), oldest_first=True):
                if message.author.id == me:
                    yield read(message)
        except Exception as error:
            raise surface_error(error, posting=False) from error

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        if len(content) > MAX_FILE_BYTES:
            raise SurfaceRejected(f"{name} is larger than Discord takes", too_long=True)
        body = await self._send(
            file_nonce(self._reply_id, name),
            content=clip(render(comment), PAGE_UNITS) or None,
            file=discord.File(io.BytesIO(content), filename=name),
        )
        return str(body["id"])

    async def busy(self, on: bool) -> None:
        started, self._typing = self._typing, on
        if on and not started and self._connection.calls is not None:
            self._connection.calls.spawn(self._type, "typing indicator")

    async def _type(self) -> None:
        """Show that something is coming. A side task: its failure delays nothing (facts/discord.md 1.7)."""
        await self._connection.clock.sleep(TYPING_AFTER_S)
        for _ in range(TYPING_ROUNDS):
            if not self._typing or self._connection.client is None:
                return
            if self._connection.may_type() and not self._opens:
                await self._connection.client.get_partial_messageable(self._channel).typing()
                await self._connection.clock.sleep(TYPING_EVERY_S)
            else:
                await self._connection.clock.sleep(1.0)

    async def close(self) -> None:
        self._typing = False
        await self._writer.settle()


def text_of(shown: Shown, *, quiet_links: bool = False) -> str:
    """The whole message under a page's buttons."""
    return message_text(
        shown.text,
        status=shown.status,
        footer=shown.footer,
        final=shown.final,
        quiet_links=quiet_links,
        plain=shown.plain,
    )


def view_of(shown: Shown, incoming: Incoming) -> Buttons | None:
    """A page that was refused as it was is shown without buttons."""
    return None if shown.plain else buttons(shown.controls, incoming.user.user)


def pick(mine: list[DiscordMessage], page: int, *, file_page: int) -> str | None:
    """Which of our messages is page number *page*: the text pages in order, the file's page by its file."""
    if page >= file_page:
        found = [message for message in mine if message.files]
        return str(found[0].id) if found else None
    pages = [message for message in mine if not message.files]
    return str(pages[page].id) if page < len(pages) else None


def file_nonce(reply_id: str, name: str) -> str:
    """The same for the same file of the same reply, within Discord's 25 characters."""
    return hashlib.sha256(f"{reply_id}/{name}".encode()).hexdigest()[:24]
