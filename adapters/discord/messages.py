"""Messages as they come, change and go: taken in once, in the order of their channel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref

import discord

from adapters.discord import parse
from adapters.discord.allow import allows
from adapters.discord.backfill import missed
from adapters.discord.client import Client
from adapters.discord.connection import Connection
from adapters.discord.controls import reply_of
from adapters.discord.failures import CALL_ERRORS
from adapters.discord.files import Links
from adapters.discord.message import DiscordMessage, read, role_ids
from adapters.discord.parse import PLATFORM, Ignored, Trigger, thread_key, trigger, user_key
from adapters.discord.settings import DiscordSettings
from adapters.discord.surface import NO_PINGS
from core import wording
from core.chat.manners import BotTurns, Manners, begins_with_name
from core.chat.reactions import ReactionCommand, command_of
from core.delivery.side_notices import SideNotices
from core.domain.errors import StorageError
from core.domain.incoming import ConversationKey, Incoming
from core.ports.platform import Intake

log = logging.getLogger(__name__)


class Messages:
    """Hands what people write to the intake. The library delivers 0 to N times and without order across tasks
    (facts/discord.md 1.12): the intake forgets doubles, and a lane per channel keeps the order."""

    def __init__(self, settings: DiscordSettings, connection: Connection, links: Links) -> None:
        self._settings = settings
        self._connection = connection
        self._links = links
        self._side_notices = SideNotices(connection.clock)
        self._lanes: weakref.WeakValueDictionary[int, asyncio.Lock] = weakref.WeakValueDictionary()
        self._manners = Manners()
        self._bot_turns = BotTurns(connection.clock)
        self._catching_up = asyncio.Lock()
        self.intake: Intake | None = None
        """None takes nothing in."""
        self.behind_since: float | None = None
        """From when on messages may have been missed, or were refused by storage; None when nothing is owed."""

    @property
    def catching_up(self) -> bool:
        return self._catching_up.locked()

    async def message(self, raw: discord.Message) -> None:
        client, _ = self._connection.use()
        if client.user is not None and raw.author.id == client.user.id:
            self._connection.heard_own(str(raw.nonce or ""), str(raw.id))
            return
        if self.intake is not None and (not raw.author.bot or raw.author.id in self._settings.allow_bots):
            message = read(raw)
            async with self._lane(message.channel):  # tasks start in the order of the events, and a lock is fair
                await self._take(message, revised=False)

    async def edited(self, raw: discord.Message) -> None:
        """Answer an edited question anew. A link preview is an update too, but edits nothing."""
        if self.intake is None or raw.author.bot or raw.edited_at is None:
            return
        message = read(raw)
        async with self._lane(message.channel):
            await self._take(message, revised=True)

    async def deleted(self, guild: int | None, channel: int, messages: frozenset[int]) -> None:
        if self.intake is None:
            return
        async with self._lane(channel):
            for message in sorted(messages):
                try:
                    await self.intake.withdraw(PLATFORM, str(guild or ""), str(channel), str(message))
                    if channel in self._settings.thread_channels:
                        await self.intake.withdraw(PLATFORM, str(guild or ""), str(message), str(message))
                except StorageError as error:
                    log.error("a deleted question could not be withdrawn: %s", error)

    async def reacted(self, reaction: discord.RawReactionActionEvent) -> None:
        """Carry out what an emoji asks for, where the channel opted in; in silence where its giver may not ask."""
        command = command_of(str(reaction.emoji))
        member, intake = reaction.member, self.intake
        if command is None or intake is None or member is None or member.bot:
            return
        client, _ = self._connection.use()
        channel = client.get_channel(reaction.channel_id)
        parent = channel.parent_id if isinstance(channel, discord.Thread) else None
        if not self._settings.reaction_channels & {reaction.channel_id, parent}:
            return
        if not allows(
            self._settings,
            user=member.id,
            roles=role_ids(member),
            guild=reaction.guild_id,
            channel=reaction.channel_id,
            parent=parent,
        ):
            return
        try:
            await self._carry_out(client, intake, command, reaction, channel)
        except CALL_ERRORS as error:
            log.warning("a reaction could not be carried out: %s", type(error).__name__)
        except StorageError as error:
            log.error("a reaction could not be stored: %s", error)

    async def _carry_out(
        self,
        client: Client,
        intake: Intake,
        command: ReactionCommand,
        reaction: discord.RawReactionActionEvent,
        channel: object,
    ) -> None:
        me = client.user.id if client.user else 0
        place = channel if isinstance(channel, discord.abc.Messageable) else None
        raw = await (place or client.get_partial_messageable(reaction.channel_id)).fetch_message(reaction.message_id)
        message = read(raw)
        by = parse.user_key(reaction.user_id)
        if command in ("again", "stop"):
            if message.author == me and (found := reply_of(message.marks)):
                # The desk asks whether it is the asker's own, and says nothing to anybody else.
                await intake.press(found[0], "stop" if command == "stop" else "regenerate", by)
            return
        if message.blank:
            return  # kept back without the content intent (facts/discord.md 1.2)
        known = await intake.conversation_of(PLATFORM, str(message.channel), str(message.id))
        at = self._connection.clock.now()
        async with self._lane(message.channel):
            await intake.accept(parse.reaction(command, message, reaction.user_id, me, known, at))

    def _lane(self, channel: int) -> asyncio.Lock:
        lane = self._lanes.get(channel)
        if lane is None:
            lane = self._lanes[channel] = asyncio.Lock()
        return lane

    async def _take(self, message: DiscordMessage, *, revised: bool) -> None:
        client, _ = self._connection.use()
        intake = self.intake
        if client.user is None or intake is None:
            return
        found = trigger(message, client.user.id, self._settings.allow_bots)
        if found == "thread" and begins_with_name(message.content, client.user.name):
            found = "mention"
        if isinstance(found, Ignored) and found.reason == "not_addressed" and message.thread:
            await self._overhear(intake, message)
        if isinstance(found, Ignored) and found.reason not in ("bare", "withheld"):
            return
        if not await self._allowed(client, message):
            return
        if isinstance(found, Ignored):
            withheld = found.reason == "withheld"
            self._say("empty", message, wording.NAME_ME_ITSELF if withheld else wording.EMPTY_QUESTION)
            return
        if message.bot and not self._bot_turns.take(f"{PLATFORM}:{message.channel}"):
            log.warning("another bot asks too often in channel %s; it is left alone for a while", message.channel)
            return
        try:
            incoming = await self._understand(intake, message, found, client.user.id)
            if incoming is None:
                return
            receipt = await (intake.revise(incoming) if revised else intake.accept(incoming))
        except StorageError as error:
            log.error("message %s could not be stored and is read again later: %s", message.id, error)
            self.owe(message.sent_at)
            if not self.catching_up:
                self._say("not stored", message, wording.not_stored_yet(error))
            return
        if receipt.state == "accepted":
            self._links.remember(parse.all_files(message))
        elif receipt.state == "refused" and receipt.sentence:
            self._say("refused", message, receipt.sentence)

    async def _understand(self, intake: Intake, message: DiscordMessage, found: Trigger, me: int) -> Incoming | None:
        """The message as the desk takes it in; None where it only talks among people in a thread of theirs."""
        if message.thread and message.guild is not None:
            here, by = thread_key(message), user_key(message.author)
            if found == "thread":
                began = await intake.takes_part(here)
                policy = self._settings.follow_ups_in(message.channel, message.parent)
                if began is None or not self._manners.goes_on(policy, here, by, began=began):
                    return None
            else:
                self._manners.meant(here, by)
        known: ConversationKey | None = None
        if message.reply_to is not None and not message.thread:
            known = await intake.conversation_of(PLATFORM, str(message.channel), str(message.reply_to))
        return parse.incoming(message, me, known, own_thread=known is None and self._opens_thread(message, found))

    def _opens_thread(self, message: DiscordMessage, found: Trigger) -> bool:
        """Whether the answer gets a thread of its own: where the channel wants it and Discord allows it, as far as that
        is known; where it turns out that it does not, the answer is a reply."""
        if found != "mention" or message.thread or message.channel not in self._settings.thread_channels:
            return False
        client, _ = self._connection.use()
        guild = client.get_guild(message.guild or 0)
        channel = guild.get_channel(message.channel) if guild else None
        if guild is None or not isinstance(channel, discord.TextChannel):
            return False  # neither threads nor direct messages nor a voice channel's chat have threads of their own
        me: discord.Member | None = guild.me
        if me is None:
            return True
        may = channel.permissions_for(me)
        return may.create_public_threads and may.send_messages_in_threads

    async def _overhear(self, intake: Intake, message: DiscordMessage) -> None:
        """Somebody spoke to somebody else in a thread."""
        with contextlib.suppress(StorageError):
            if began := await intake.takes_part(thread_key(message)):
                self._manners.overheard(thread_key(message), user_key(message.author), began=began)

    async def _allowed(self, client: Client, message: DiscordMessage) -> bool:
        settings = self._settings
        roles = message.roles
        if settings.allow_roles and message.guild is not None and not roles:
            roles = await self._roles(client, message)
        return allows(
            settings,
            user=message.author,
            roles=roles,
            guild=message.guild,
            channel=message.channel,
            parent=message.parent,
            bot=message.bot,
        )

    async def _roles(self, client: Client, message: DiscordMessage) -> frozenset[int]:
        """A message read over REST comes without its author's membership."""
        guild = client.get_guild(message.guild or 0)
        try:
            return role_ids(await guild.fetch_member(message.author)) if guild else frozenset()
        except discord.HTTPException:
            return frozenset()

    def _say(self, about: str, message: DiscordMessage, sentence: str) -> None:
        """One sentence that is no answer, in its turn. Its nonce keeps a redelivery from saying it twice."""
        client, calls = self._connection.use()
        channel = client.get_partial_messageable(message.channel)
        reference = discord.MessageReference(
            message_id=message.id, channel_id=message.channel, fail_if_not_exists=False
        )
        place = str(message.channel)

        async def send() -> None:
            await channel.send(sentence, reference=reference, nonce=f"s{message.id}", allowed_mentions=NO_PINGS)

        async def say() -> None:
            async with calls.turn_to_post(place, self._settings):
                await calls.write("post", place, send)

        about_whom = (about, str(message.author), place)
        calls.spawn(lambda: self._side_notices.say(about_whom, say), "a sentence to the asker")

    def owe(self, since: float) -> None:
        """Messages from then on must be looked for."""
        self.behind_since = since if self.behind_since is None else min(self.behind_since, since)

    async def catch_up(self) -> None:
        """Take in what was written while nobody listened; what was taken before is a redelivery.

        What goes wrong is still owed afterwards.
        """
        async with self._catching_up:
            since, self.behind_since = self.behind_since, None
            if since is None or self.intake is None or self._settings.backfill_hours <= 0:
                return
            try:
                count = await self._read_back(self.intake, since)
            except BaseException:
                self.owe(since)
                raise
            log.info("looked at %d messages that were written while nobody listened", count)

    async def _read_back(self, intake: Intake, since: float) -> int:
        client, _ = self._connection.use()
        now = self._connection.clock.now()
        count = 0
        async for raw in missed(client, intake, self._settings, since=since, now=now):
            message = read(raw)
            async with self._lane(message.channel):
                await self._take(message, revised=False)
            count += 1
        return count
