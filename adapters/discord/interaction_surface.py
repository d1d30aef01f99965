"""Shows the reply to a slash or menu command: the deferred response first, follow-ups after it.

The token lives fifteen minutes (facts/discord.md 1.5). Then a public answer goes on as the bot's own messages; a
private one is undeliverable, because nobody else may see it.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable
from typing import Any

import discord

from adapters.discord import buckets
from adapters.discord.connection import Connection
from adapters.discord.failures import TokenGone
from adapters.discord.render import PAGE_UNITS, clip, measure_quiet, render
from adapters.discord.settings import DiscordSettings
from adapters.discord.surface import MAX_FILE_BYTES, NO_PINGS, ChannelSurface, Writer, pick, text_of, view_of
from core.domain.errors import SurfaceGone, SurfaceRejected
from core.domain.incoming import Incoming
from core.domain.runs import ReplyCapability
from core.ports.platform import Controls, Rate, Shown, SurfaceLimits

TOKEN_S = 15 * 60.0
TOKEN_MARGIN_S = 15.0
"""A write that begins this close to the end may arrive after it."""

USER_INSTALL_FOLLOWUPS = 5
"""Per interaction where the app is installed to the user alone (facts/discord.md 1.5)."""

ORIGINAL = "@original"


class InteractionSurface:
    """A reply through an interaction's token. Link previews are kept away by angle brackets: a deferred response may
    carry no flag but EPHEMERAL (facts/discord.md 1.5)."""

    def __init__(
        self,
        connection: Connection,
        settings: DiscordSettings,
        incoming: Incoming,
        reply_id: str,
        capability: ReplyCapability,
        channel: ChannelSurface,
    ) -> None:
        """*channel* shows what comes after the token's end."""
        self._connection = connection
        self._incoming = incoming
        self._capability = capability
        self._channel = channel
        self._private = incoming.visibility == "private"
        self._reply_id = reply_id
        self._dead = False
        """The token turned out to be of no use before its time."""
        place = incoming.message_id
        self._writer = Writer(connection, place)
        self._controls: dict[int, Controls | None] = {}
        self._moved: dict[str, str] = {}
        """Pages that the token left behind -> the messages that carry on."""
        max_pages = settings.most_messages
        if incoming.address.get("install") == "user":
            max_pages = min(
                max_pages, USER_INSTALL_FOLLOWUPS
            )  # the response and four more; the fifth is kept for a file
        rate = Rate(buckets.key("interaction", place), settings.channel_calls, settings.channel_window_s)
        self.limits = SurfaceLimits(
            max_chars=PAGE_UNITS, post=(rate,), edit=(rate,), measure=measure_quiet, max_pages=max_pages
        )

    def _expired(self) -> bool:
        return self._dead or self._connection.clock.now() > self._capability.expires_at - TOKEN_MARGIN_S

    def _after_the_end(self) -> ChannelSurface:
        if self._private:
            raise SurfaceGone("the interaction is over and its answer is private")
        return self._channel

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        if not self._expired():
            try:
                return await self._post(page, shown)
            except TokenGone:
                self._dead = True
        return await self._after_the_end().post(page, shown, nonce)

    async def _post(self, page: int, shown: Shown) -> str:
        if page == 0:
            # The deferred response is there already: this is an edit, and repeating it is harmless.
            body = await self._edit(ORIGINAL, self._changes(page, shown))
        else:
            view = view_of(shown, self._incoming)
            extra: dict[str, Any] = {"view": view} if view else {}
            body = await self._follow_up(content=text_of(shown, quiet_links=True), **extra)
        self._controls[page] = shown.controls
        return str(body["id"])

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        if not self._expired():
            try:
                await self._edit(ref, self._changes(page, shown))
            except TokenGone:
                self._dead = True
            else:
                self._controls[page] = shown.controls
                return
        channel = self._after_the_end()
        try:
            await channel.edit(self._moved.get(ref, ref), page, shown)
        except SurfaceGone:
            # Where the bot may not touch the response, the answer goes on in a message of its own.
            self._moved[ref] = await channel.post(page, shown, f"{self._reply_id[:22]}m{page}")

    async def remove(self, ref: str, page: int) -> None:
        self._controls.pop(page, None)
        if self._expired():
            await self._after_the_end().remove(self._moved.get(ref, ref), page)
            return
        webhook = await self._webhook()
        try:
            await self._writer.write("other", lambda: webhook.delete_message(int(ref)))
        except SurfaceGone:
            return

    async def find(self, page: int, nonce: str) -> str | None:
        """The first page is always there, so posting it again is an edit; private follow-ups cannot be listed."""
        if page == 0 or self._private:
            return None
        started = int(self._incoming.message_id)
        mine = [message async for message in self._channel.own_after(started) if message.interaction == started]
        return pick(mine, page, file_page=self.limits.max_pages)

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        if len(content) > MAX_FILE_BYTES:
            raise SurfaceRejected(f"{name} is larger than Discord takes", too_long=True)
        if not self._expired():
            said = clip(render(comment, quiet_links=True), PAGE_UNITS)
            file = discord.File(io.BytesIO(content), filename=name)
            try:
                body = await self._follow_up(**({"content": said} if said else {}), file=file)
            except TokenGone:
                self._dead = True
            else:
                return str(body["id"])
        return await self._after_the_end().attach(name, content, comment)

    async def busy(self, on: bool) -> None:
        """The deferred response shows by itself that something is coming."""

    async def close(self) -> None:
        await self._writer.settle()
        await self._channel.close()

    async def _edit(self, ref: str, changes: dict[str, Any]) -> dict[str, Any]:
        webhook = await self._webhook()
        target: Any = ref if ref == ORIGINAL else int(ref)
        return await self._writer.write(
            "interaction", lambda: webhook.edit_message(target, allowed_mentions=NO_PINGS, **changes)
        )

    async def _follow_up(self, **content: Any) -> dict[str, Any]:
        webhook = await self._webhook()

        def send() -> Awaitable[object]:
            return webhook.send(
                allowed_mentions=NO_PINGS,
                # Every part of a private answer is private (facts/discord.md 5.2, point 11).
                ephemeral=self._private,
                suppress_embeds=True,
                wait=True,
                **content,
            )

        return await self._writer.write("interaction", send)

    async def _webhook(self) -> discord.Webhook:
        """The token's webhook, also after a restart: built as Interaction.followup builds it, without the event."""
        client, _ = self._connection.use()
        token = self._capability.secret
        await self._connection.acknowledged(token)
        if client.application_id is None:
            raise SurfaceGone("the application is not known")
        payload: Any = {"id": client.application_id, "type": 3, "token": token}
        return discord.Webhook.from_state(data=payload, state=client._connection)

    def _changes(self, page: int, shown: Shown) -> dict[str, Any]:
        changes: dict[str, Any] = {"content": text_of(shown, quiet_links=True)}
        if page not in self._controls or self._controls[page] != shown.controls:
            changes["view"] = view_of(shown, self._incoming)
        return changes
