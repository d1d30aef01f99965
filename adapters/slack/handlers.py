"""What every handler of a delivery needs, and the few things all of them do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from adapters.slack.allow import needs_person, refusal
from adapters.slack.ephemeral import LIFETIME_S, respond
from adapters.slack.events import Me, Secret
from adapters.slack.failures import Foreign
from adapters.slack.mention_guard import disarm
from adapters.slack.render import to_mrkdwn
from adapters.slack.settings import SlackSettings
from adapters.slack.stream import Streaming
from adapters.slack.surface import post_rate
from adapters.slack.users import NAME_WITHIN_S, Person, Users
from adapters.slack.web_api import WebApi
from core.base.clock import Clock
from core.delivery.side_notices import AGAIN_AFTER_S, SideNotices
from core.domain.errors import NotAllowed, SurfaceError, TernError
from core.domain.incoming import ConversationKey, UserKey
from core.domain.runs import ReplyCapability
from core.ports.platform import Commands, Intake
from core.wording import sentence_for

logger = logging.getLogger(__name__)

_KNOWN_WITHIN_S = 90.0
"""A crowd of newcomers waits for the next minute's look-ups."""
_ASKED_AGAIN_S = 5.0
_ACKNOWLEDGED_WITHIN_S = 2.0
"""Slack gives three seconds (facts/slack.md 1.6)."""
_NOT_ALLOWED_AGAIN_AFTER_S = 600.0


@dataclass(slots=True)
class Handlers:
    settings: SlackSettings
    me: Me
    api: WebApi
    users: Users
    intake: Intake
    commands: Commands
    clock: Clock
    streaming: Streaming
    tasks: asyncio.TaskGroup
    """Whatever goes on after Slack was acknowledged; ends with the adapter's `run`."""
    side_notices: SideNotices

    def user_key(self, user: str) -> UserKey:
        return UserKey("slack", self.me.workspace, user)

    async def conversation(self, channel: str, thread: str) -> ConversationKey:
        """The conversation a thread belongs to. The root may be an answer to a command, whose key is its own."""
        known = await self.intake.conversation_of("slack", channel, thread) if thread else None
        if known and known.workspace != self.me.workspace:
            known = None  # workspaces never meet, even if two channels had one id
        return known or ConversationKey("slack", self.me.workspace, channel, thread)

    async def refusal(
        self, user: str, *, channel: str, direct: bool, team: str = "", within_s: float = NAME_WITHIN_S
    ) -> str | None:
        """Why *user* may not ask here, as half a sentence; "" where they may, None where that cannot be told yet: the
        decision needs Slack, and Slack does not answer."""
        person = self.users.remembered(user)
        if person is None:
            try:
                async with asyncio.timeout(within_s):
                    person = await self.users.get(user)
            except Foreign:
                person = Person(user, known=False)
                if needs_person(self.settings):
                    # What ids alone forbid is forbidden already.
                    known = replace(self.settings, allow_external=True, allow_guests=True)
                    return refusal(known, self.me, person, channel=channel, direct=direct, team=team) or None
        return refusal(self.settings, self.me, person, channel=channel, direct=direct, team=team)

    async def refusal_at_last(self, user: str, *, channel: str, direct: bool, team: str = "") -> str:
        """As `refusal`, with all the patience there is; who is not known by then is refused."""
        until = self.clock.monotonic() + _KNOWN_WITHIN_S
        while (left_s := until - self.clock.monotonic()) > 0:
            why = await self.refusal(user, channel=channel, direct=direct, team=team, within_s=left_s)
            if why is not None:
                return why
            await self.clock.sleep(_ASKED_AGAIN_S)
        return "Slack does not tell me who you are"

    async def explain(self, why: str, user: str, channel: str, thread: str) -> None:
        """Tell somebody why they get no answer at all."""
        sentence = sentence_for(NotAllowed(why))
        await self.whisper("not allowed", sentence, user, channel, thread, again_after_s=_NOT_ALLOWED_AGAIN_AFTER_S)

    async def whisper(
        self, about: str, sentence: str, user: str, channel: str, thread: str, *, again_after_s: float = AGAIN_AFTER_S
    ) -> None:
        """Say something for one person's eyes only, and not again and again. Raises SurfaceError."""

        async def say() -> None:
            # Tier 4 (docs.slack.dev/reference/methods/chat.postEphemeral); where less is taken, a refusal tells.
            async with self.api.take(self.api.rate("chat.postEphemeral", 100, 60.0)):
                await self.api.call(
                    lambda: self.api.writes.chat_postEphemeral(
                        channel=channel, user=user, text=to_mrkdwn(sentence), thread_ts=thread or None
                    )
                )

        await self.side_notices.say((about, user, channel), say, again_after_s=again_after_s)

    async def tell_directly(self, about: str, sentence: str, user: str) -> None:
        """Say something in somebody's direct messages with the bot, and not again and again. Raises SurfaceError."""

        async def say() -> None:
            opened = await self.api.call(lambda: self.api.writes.conversations_open(users=user))
            channel = str(opened["channel"]["id"])
            async with self.api.take(post_rate(self.me.workspace, channel)):
                await self.api.call(
                    lambda: self.api.writes.chat_postMessage(
                        channel=channel, text=to_mrkdwn(sentence), unfurl_links=False, unfurl_media=False
                    )
                )

        await self.side_notices.say((about, user), say, again_after_s=AGAIN_AFTER_S)

    async def say(self, response_url: Secret, markdown: str, *, blocks: list[dict[str, Any]] | None = None) -> None:
        """Answer a command or a press, for its sender's eyes."""
        if not response_url or not markdown:
            return
        body = [{"type": "markdown", "text": disarm(markdown)}, *(blocks or [])]
        content = {"response_type": "ephemeral", "replace_original": False, "text": to_mrkdwn(markdown)[:3_000]}
        await respond(self.api, response_url.value, content | {"blocks": body})

    def capability(self, response_url: Secret) -> ReplyCapability | None:
        if not response_url:
            return None
        return ReplyCapability(response_url.value, self.clock.now() + LIFETIME_S)

    async def is_member(self, channel: str) -> bool:
        """Whether the bot can post in *channel*. A direct message it can see is its own (facts/slack.md 1.6)."""
        try:
            async with asyncio.timeout(NAME_WITHIN_S):
                answer = await self.api.writes.conversations_info(channel=channel)
        except Foreign:
            return False
        info = answer["channel"]
        return bool(info.get("is_member") or info.get("is_im"))

    async def soon(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something that Slack delivers once and that should be done before it is acknowledged; what takes longer
        than Slack waits goes on afterwards."""
        await asyncio.wait({self.tasks.create_task(_logged(work))}, timeout=_ACKNOWLEDGED_WITHIN_S)

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something after Slack was acknowledged. What fails is logged; a Home tab must not end the adapter."""
        self.tasks.create_task(_logged(work))


async def _logged(work: Coroutine[Any, Any, Any]) -> None:
    name = getattr(work, "__qualname__", "work")
    try:
        await work
    except SurfaceError as error:
        logger.info("%s: %s", name, error)
    except (TernError, *Foreign) as error:
        logger.warning("%s failed: %s", name, type(error).__name__)
    except Exception:
        logger.exception("%s failed", name)
