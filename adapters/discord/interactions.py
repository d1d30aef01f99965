"""Commands and buttons: each acknowledged within Discord's three seconds, each durable before anybody sees it."""

from __future__ import annotations

import asyncio
import io
import logging
import zipfile
from collections.abc import Awaitable, Callable
from typing import Any

import discord

from adapters.discord import commands, parse
from adapters.discord.allow import allows
from adapters.discord.connection import Connection
from adapters.discord.controls import FOR_THE_ASKER
from adapters.discord.failures import ALREADY_ACKNOWLEDGED, CALL_ERRORS, surface_error
from adapters.discord.files import Links
from adapters.discord.interaction_surface import TOKEN_S
from adapters.discord.message import read, read_file, role_ids, snowflake_time
from adapters.discord.parse import PLATFORM, user_key
from adapters.discord.render import MAX_UNITS, clip, render
from adapters.discord.settings import DiscordSettings
from adapters.discord.surface import NO_PINGS
from core import wording
from core.domain.errors import NotAllowed, RequestError, StorageError, SurfaceBusy
from core.domain.incoming import Action, ConversationKey
from core.domain.runs import ReplyCapability
from core.ports.platform import Commands, ControlAction, Intake, Said

log = logging.getLogger(__name__)

Used = discord.Interaction[Any]

SHOW_TRIES = 3
SHOW_AGAIN_S = 2.0
"""How often, and how long apart, a command's answer is tried where the connection to Discord broke."""

NOT_LISTED = wording.sentence_for(NotAllowed("you or this place are not on my list"))


class Interactions:
    def __init__(self, settings: DiscordSettings, connection: Connection, links: Links) -> None:
        self._settings = settings
        self._connection = connection
        self._links = links
        self.intake: Intake | None = None
        self.commands: Commands | None = None

    # --- questions

    async def asked(
        self,
        interaction: Used,
        text: str,
        *,
        action: Action,
        private: bool,
        files: tuple[discord.Attachment, ...] = (),
        target: discord.Message | None = None,
        options: dict[str, str] | None = None,
    ) -> None:
        if not self._allowed(interaction):
            await _whisper(interaction, NOT_LISTED)
            return
        if action == "summarise" and not self._settings.message_content and not _with_bot(interaction):
            # History comes back empty without the intent, over REST too (facts/discord.md 1.2).
            await _whisper(interaction, wording.NEEDS_MESSAGE_CONTENT)
            return
        if self.intake is None or interaction.client.user is None:
            return
        incoming = parse.command(
            parse.Command(
                id=interaction.id,
                user=interaction.user.id,
                name=interaction.user.display_name,
                channel=interaction.channel_id or 0,
                guild=interaction.guild_id,
                action=action,
                text=text,
                private=private,
                with_bot=_with_bot(interaction),
                files=tuple(read_file(file) for file in files),
                target=read(target) if target is not None else None,
                options=options or {},
                locale=str(interaction.locale),
                user_install=interaction.is_user_integration() and not interaction.is_guild_integration(),
            ),
            interaction.client.user.id,
        )
        self._links.remember(tuple(read_file(file) for file in files))
        if target is not None:
            self._links.remember(parse.all_files(read(target)))
        acknowledged = self._expect_ack(interaction)
        try:
            receipt = await self.intake.accept(incoming, _capability(interaction))
        except StorageError as error:
            await _whisper(interaction, wording.sentence_for(error))
            return
        if receipt.state == "refused":
            await _whisper(interaction, receipt.sentence)
            return
        # Whether it stays private is settled here: a deferred response takes no other flag (facts/discord.md 1.5).
        await _acknowledge(interaction, acknowledged, private=private)

    def _allowed(self, interaction: Used) -> bool:
        channel = interaction.channel
        return allows(
            self._settings,
            user=interaction.user.id,
            roles=role_ids(interaction.user),
            guild=interaction.guild_id,
            channel=interaction.channel_id,
            parent=channel.parent_id if isinstance(channel, discord.Thread) else None,
        )

    def _expect_ack(self, interaction: Used) -> asyncio.Future[bool]:
        """Until it is done, surfaces wait before they use the token."""
        loop = asyncio.get_running_loop()
        ack = self._connection.acks[interaction.token] = loop.create_future()
        loop.call_later(TOKEN_S, self._connection.acks.pop, interaction.token, None)
        return ack

    # --- private commands

    async def said(self, interaction: Used, name: str, argument: str = "") -> None:
        if self.commands is None or not self._allowed(interaction):
            await _whisper(interaction, NOT_LISTED)
            return
        if not await _respond(interaction, lambda: interaction.response.defer(ephemeral=True, thinking=True)):
            return  # whoever hears nothing tries again; what cannot be undone must not have happened meanwhile
        try:
            answer = await self._carry_out(interaction, name, argument)
        except Exception as error:
            if not isinstance(error, RequestError | StorageError):
                log.error("/%s failed", name, exc_info=error)
            answer = Said(wording.sentence_for(error))
        await self._show(interaction, answer)

    async def _carry_out(self, interaction: Used, name: str, argument: str) -> Said:
        here = _here(interaction)
        if self.commands is None or (name == "forget" and argument == commands.FORGET_HERE and here is None):
            return Said(wording.FORGOTTEN_NOTHING)
        by, channel = user_key(interaction.user.id), str(interaction.channel_id or "")
        return await commands.carry_out(self.commands, name, argument, by, here, channel)

    async def _show(self, interaction: Used, answer: Said) -> None:
        """Put the answer in the place of "thinking": with its file, packed where it is too large as it is, else with
        a sentence."""
        limit = interaction.filesize_limit
        name, content = fitting(answer.file_name, answer.file, limit)
        if name and await self._replace(interaction, answer.text, name, content):
            return
        text = answer.text
        if answer.file_name:
            text = wording.file_not_sent(answer.file_name, len(answer.file), limit)
        await self._replace(interaction, text)

    async def _replace(self, interaction: Used, text: str, name: str = "", content: bytes = b"") -> bool:
        """Whether the text, and the file where there is one, stands; tried again where the connection broke."""
        for _ in range(SHOW_TRIES):
            # A file is read to its end by an attempt, so each has its own (facts/discord-2.md 5.3).
            files = [discord.File(io.BytesIO(content), filename=name)] if name else []
            try:
                await interaction.edit_original_response(
                    content=clip(render(text), MAX_UNITS), allowed_mentions=NO_PINGS, attachments=files
                )
            except CALL_ERRORS as error:
                log.warning("a command's answer could not be shown: %s", surface_error(error, posting=False))
                if not isinstance(surface_error(error, posting=False), SurfaceBusy):
                    return False
                await self._connection.clock.sleep(SHOW_AGAIN_S)
            else:
                return True
        return False

    async def offered(self, interaction: Used, name: str) -> list[tuple[str, str]]:
        if self.commands is None or not self._allowed(interaction):
            return []
        try:
            return list(await (self.commands.models() if name == "model" else self.commands.personas()))
        except (RequestError, StorageError):
            return []

    # --- buttons

    async def pressed(
        self, interaction: Used, action: ControlAction, reply_id: str, asker: int, choice: str = ""
    ) -> None:
        if self.intake is None:
            return
        if not self._allowed(interaction):
            await _whisper(interaction, NOT_LISTED)
            return
        moderator = _moderates(interaction)
        if action in FOR_THE_ASKER and interaction.user.id != asker and not moderator:
            await _whisper(interaction, wording.NOT_YOURS_TO_STOP)
            return
        private = interaction.message is not None and interaction.message.flags.ephemeral
        acknowledged = self._expect_ack(interaction)
        try:
            sentence = await self.intake.press(
                reply_id,
                action,
                user_key(interaction.user.id),
                moderator=moderator,
                # Only this token can change a private answer; a public one is the bot's own message.
                capability=_capability(interaction) if private else None,
                choice=choice,
            )
        except (RequestError, StorageError) as error:
            sentence = wording.sentence_for(error)
        if sentence:
            await _whisper(interaction, sentence)
            acknowledged.set_result(True)
        else:
            await _acknowledge(interaction, acknowledged)


def _capability(interaction: Used) -> ReplyCapability:
    return ReplyCapability(interaction.token, expires_at=snowflake_time(interaction.id) + TOKEN_S)


def _moderates(interaction: Used) -> bool:
    return interaction.permissions.manage_messages or interaction.permissions.administrator


def _with_bot(interaction: Used) -> bool:
    """Whether this is the direct channel with the bot, not one between people."""
    channel = interaction.channel
    return (
        interaction.guild_id is None
        and isinstance(channel, discord.DMChannel)
        and not (interaction.is_user_integration() and not interaction.is_guild_integration())
    )


def _here(interaction: Used) -> ConversationKey | None:
    """The conversation of a thread or direct message; a server's channel holds many."""
    place = str(interaction.channel_id or "")
    if _with_bot(interaction) or isinstance(interaction.channel, discord.Thread):
        return ConversationKey(PLATFORM, str(interaction.guild_id or ""), place, place)
    return None


def fitting(name: str, content: bytes, limit: int) -> tuple[str, bytes]:
    """The file as it may be uploaded, packed where it is too large otherwise; ("", b"") where it is even then."""
    if len(content) <= limit:
        return name, content
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return (f"{name}.zip", packed.getvalue()) if packed.tell() <= limit else ("", b"")


async def _acknowledge(interaction: Used, acknowledged: asyncio.Future[bool], *, private: bool = False) -> None:
    """Say "heard". Too late, or the connection broke: the answer then goes where it can (surface.py)."""
    if interaction.type is discord.InteractionType.component:
        heard = await _respond(interaction, interaction.response.defer)
    else:
        heard = await _respond(interaction, lambda: interaction.response.defer(ephemeral=private, thinking=True))
    acknowledged.set_result(heard)


async def _whisper(interaction: Used, sentence: str) -> None:
    """Tell the person alone."""
    shown = clip(render(sentence), MAX_UNITS)
    await _respond(
        interaction,
        lambda: interaction.response.send_message(shown, ephemeral=True, allowed_mentions=NO_PINGS),
    )


async def _respond(interaction: Used, respond: Callable[[], Awaitable[object]]) -> bool:
    """Respond within Discord's three seconds; whether it did. Once more where the connection broke: what arrived the
    first time all the same is then refused as a second one."""
    for last in (False, True):
        try:
            await respond()
        except CALL_ERRORS as error:
            if isinstance(error, discord.HTTPException) and error.code == ALREADY_ACKNOWLEDGED:
                return True
            if last or not isinstance(surface_error(error, posting=False), SurfaceBusy):
                log.warning("an interaction could not be responded to: %s", surface_error(error, posting=False))
                return False
        else:
            return True
    return False
