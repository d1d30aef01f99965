"""Takes each thing that Slack delivers. Questions are stored before Slack is told that we have them.

Bolt acknowledges events before its listeners run (facts/slack.md 2), so this stands in front of them: what `deliver`
raises is not acknowledged, and Slack delivers it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from adapters.slack.backfill import read_missed
from adapters.slack.commands import CommandHandlers
from adapters.slack.controls import ControlHandlers
from adapters.slack.events import (
    AboutMe,
    Asked,
    Chosen,
    CommandGiven,
    Deleted,
    Edited,
    HomeOpened,
    Ignored,
    MessagesOpened,
    Pressed,
    Reacted,
    Removed,
    ShortcutUsed,
    StopPressed,
)
from adapters.slack.handlers import Handlers
from adapters.slack.in_flight import DELIVERED_WITHIN_S, InFlight
from adapters.slack.parse import parse
from adapters.slack.reactions import ReactionHandlers
from core.chat.manners import Manners
from core.domain.errors import StorageBusy, StorageError, SurfaceBusy
from core.domain.incoming import Incoming
from core.ports.platform import Receipt
from core.wording import EMPTY_QUESTION, not_stored_yet

logger = logging.getLogger(__name__)

_LATE_S = 30.0

_READ_ON_PER_MINUTE = 20
"""Less than half of Tier 3's 50 a minute (facts/slack.md 1.9); the rest is for questions that need their thread."""


class Dispatcher:
    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self._commands = CommandHandlers(handlers)
        self._controls = ControlHandlers(handlers)
        self._reactions = ReactionHandlers(handlers)
        self._in_flight = InFlight(handlers.clock)
        self._manners = Manners()
        self.removed = asyncio.Event()
        """The app was uninstalled or its token revoked."""
        self.removed_why = ""

    async def deliver(self, body: Mapping[str, Any]) -> None:
        """Take one delivery; durable when it returns.

        Raises StorageError and SurfaceError: then nothing was stored, and Slack must hear no acknowledgement.
        """
        handlers, seen = self.handlers, parse(body, self.handlers.me)
        match seen:
            case Asked():
                await self.asked(seen)
            case Edited():
                await self._edited(seen)
            case Deleted(channel, message_id):
                young = self._may_come(message_id)
                await handlers.intake.withdraw("slack", handlers.me.workspace, channel, message_id, may_come=young)
            case CommandGiven():
                await self._commands.command(seen)
            case ShortcutUsed():
                await self._commands.shortcut(seen)
            case Pressed():
                await self._controls.pressed(seen)
            case StopPressed():
                await self._controls.stop_pressed(seen)
            case Reacted():
                await self._reactions.reacted(seen)
            case HomeOpened(user):
                handlers.later(self._controls.show_home(user))
            case MessagesOpened(_, channel):
                handlers.later(self._controls.suggest(channel))
            case Chosen():
                handlers.later(self._controls.chosen(seen))
            case AboutMe():
                handlers.later(self._controls.about_me(seen))
            case Removed(why):
                self.removed_why = why
                self.removed.set()
            case Ignored("rate limited"):
                logger.warning("Slack holds events back: more than 30,000 an hour; leave busy channels")
            case Ignored(why):
                logger.debug("ignored a delivery: %s", why)
            case _:
                assert_never(seen)

    def tell_waiting(self, body: Mapping[str, Any], error: StorageError) -> None:
        """Say to whoever wrote to the bot that their message could not be stored yet, for their eyes only."""
        seen = parse(body, self.handlers.me)
        if isinstance(seen, Asked) and seen.addressed:
            incoming = seen.incoming
            at, thread = incoming.conversation, incoming.address["thread"]
            self.handlers.later(
                self.handlers.whisper("not stored", not_stored_yet(error), incoming.user.user, at.channel, thread)
            )

    async def asked(self, asked: Asked) -> bool:
        """Accept a message that is for the bot; says whether it was.

        Raises as `deliver`: also where that cannot be told yet.
        """
        thread = (asked.incoming.conversation.channel, asked.incoming.address["thread"])
        if asked.addressed:
            with self._in_flight.taking(thread):
                taken = await self._take(asked)
            if taken and self._is_late(asked):
                self.handlers.later(self._read_on(*thread))
            return taken
        await self._in_flight.wait(thread)
        taken = await self._take(asked)
        if not taken and self._in_flight.owes(thread):
            raise StorageBusy("the question that it may follow could not be taken in yet")
        return taken

    def _is_late(self, asked: Asked) -> bool:
        """Whether it was delivered again after a minute: what followed in its thread came first, when nobody could know
        that it was for the bot."""
        late = self._age_s(asked.incoming.message_id) > _LATE_S
        reads = self.handlers.settings.distribution != "unlisted"
        return reads and late and not asked.in_thread and not asked.incoming.direct

    async def _read_on(self, channel: str, root: str) -> None:
        api = self.handlers.api
        async with api.take(api.rate("conversations.replies:read on", _READ_ON_PER_MINUTE, 60.0)):
            await read_missed(self.handlers, self.asked, channel, root, root)

    async def _take(self, asked: Asked) -> bool:
        incoming = await self._for_us(asked)
        if incoming is None:
            return False
        receipt = await self.handlers.intake.accept(await self._described(incoming))
        await self._received(receipt, incoming)
        return True

    async def _edited(self, edited: Edited) -> None:
        """A known question is answered anew in the same reply; a mention added by an edit asks for the first time.

        A young one that is not known was lost on its way: it comes again, with its old words, and is a redelivery then.
        """
        asked, handlers = edited.asked, self.handlers
        at, message_id = asked.incoming.conversation, asked.incoming.message_id
        known = await handlers.intake.seen("slack", at.workspace, at.channel, message_id)
        if known or edited.newly_addressed or asked.incoming.direct:
            asked = replace(asked, addressed=True)
        elif not self._may_come(message_id):
            return
        incoming = await self._for_us(asked)
        if incoming is None:
            return
        incoming = await self._described(incoming)
        receipt = await handlers.intake.revise(
            incoming
        )  # as `accept` where it is not known, and it may be known by now
        await self._received(receipt, incoming)

    def _may_come(self, message_id: str) -> bool:
        """Whether Slack may still deliver that message for the first time."""
        return self._age_s(message_id) < DELIVERED_WITHIN_S

    def _age_s(self, message_id: str) -> float:
        return self.handlers.clock.now() - float(message_id)

    async def _for_us(self, asked: Asked) -> Incoming | None:
        """The question in its conversation, or None where it is not for the bot or not allowed."""
        incoming, handlers = asked.incoming, self.handlers
        if not asked.addressed and not asked.in_thread:
            return None
        if asked.in_thread:
            at = await handlers.conversation(incoming.conversation.channel, incoming.conversation.root)
            incoming = replace(incoming, conversation=at)
            if asked.addressed:
                self._manners.meant(at, incoming.user)
        if not asked.addressed and not await self._is_follow_up(asked, incoming):
            return None
        at, user = incoming.conversation, incoming.user.user
        why = await handlers.refusal(user, channel=at.channel, direct=incoming.direct, team=asked.team)
        if why is None:
            raise SurfaceBusy("Slack does not say yet who asks")  # it delivers messages again
        if not why and asked.addressed and asked.bare and not asked.in_thread:
            handlers.later(handlers.whisper("empty", EMPTY_QUESTION, user, at.channel, ""))
            return None
        if not why:
            return incoming
        if asked.addressed:
            handlers.later(handlers.explain(why, user, at.channel, incoming.address["thread"]))
        return None

    async def _is_follow_up(self, asked: Asked, incoming: Incoming) -> bool:
        """Whether a message in a thread goes on with the bot although it does not name it."""
        at, by = incoming.conversation, incoming.user
        began = await self.handlers.intake.takes_part(at)
        if began is None:
            return False
        if asked.to_other:
            self._manners.overheard(at, by, began=began)
            return False
        return self._manners.goes_on(self.handlers.settings.thread_follow_ups, at, by, began=began)

    async def _described(self, incoming: Incoming) -> Incoming:
        return await self.handlers.users.described(incoming)

    async def _received(self, receipt: Receipt, incoming: Incoming) -> None:
        at, thread = incoming.conversation, incoming.address["thread"]
        if receipt.state == "refused" and receipt.sentence:
            said = self.handlers.whisper("refused", receipt.sentence, incoming.user.user, at.channel, thread)
            self.handlers.later(said)
        if receipt.state == "accepted" and incoming.direct and thread == incoming.message_id:
            self.handlers.later(self._controls.entitle(at.channel, thread, incoming.text))
