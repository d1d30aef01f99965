"""Presses: the buttons under an answer, Slack's own Stop, the Home tab; and the agent surface around a conversation."""

from __future__ import annotations

from adapters.slack.ephemeral import send_directly
from adapters.slack.events import AboutMe, Chosen, Pressed, StopPressed
from adapters.slack.handlers import Handlers
from adapters.slack.home import HomeFacts, home_view
from core.domain.errors import NotAllowed, RequestError, StorageError, TernError
from core.wording import sentence_for

_MAX_TITLE_CHARS = 80


class ControlHandlers:
    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def pressed(self, pressed: Pressed) -> None:
        """Carry out a press; durable when it returns. Slack delivers no press twice, so a failure is told at once."""
        handlers, direct = self._handlers, pressed.channel.startswith("D")
        why = await handlers.refusal(pressed.user, channel=pressed.channel, direct=direct)
        if why is None:
            handlers.later(self._press_once_known(pressed))
        else:
            await self._press(pressed, why)

    async def _press_once_known(self, pressed: Pressed) -> None:
        direct = pressed.channel.startswith("D")
        why = await self._handlers.refusal_at_last(pressed.user, channel=pressed.channel, direct=direct)
        await self._press(pressed, why)

    async def _press(self, pressed: Pressed, why: str) -> None:
        handlers, by = self._handlers, self._handlers.user_key(pressed.user)
        if why:
            handlers.later(handlers.say(pressed.response_url, sentence_for(NotAllowed(why))))
            return
        person = handlers.users.remembered(pressed.user)
        try:
            sentence = await handlers.intake.press(
                pressed.reply_id,
                pressed.action,
                by,
                moderator=person is not None and person.admin,
                capability=handlers.capability(pressed.response_url) if pressed.ephemeral else None,
                choice=pressed.choice,
            )
        except (RequestError, StorageError) as error:
            sentence = sentence_for(error, pressed.reply_id)
        if sentence:
            handlers.later(handlers.say(pressed.response_url, sentence))

    async def stop_pressed(self, stop: StopPressed) -> None:
        """Slack's own Stop: the session must leave `processing`, whether or not anything ran (facts/slack.md 1.1)."""
        handlers = self._handlers
        at = await handlers.conversation(stop.channel, stop.thread)
        ran = await handlers.intake.stop(at, handlers.user_key(stop.user))
        if not ran:
            handlers.later(
                handlers.api.quietly(
                    "ending a session",
                    lambda: handlers.api.writes.agents_sessions_setStatus(
                        channel_id=stop.channel, thread_ts=stop.thread, status="active"
                    ),
                )
            )

    async def show_home(self, user: str, said: str = "") -> None:
        """*said*: what came of something that was pressed there; a tab has no other place for it."""
        handlers, key = self._handlers, self._handlers.user_key(user)
        model, persona = await handlers.commands.choice(key)
        view = home_view(
            HomeFacts(
                bot_name=handlers.settings.bot_name,
                models=await handlers.commands.models(),
                personas=await handlers.commands.personas(),
                model=model,
                persona=persona,
                usage=(await handlers.commands.usage(key)).text,
                said=said,
            )
        )
        # Read client: publishing the same view twice is harmless, so it may be repeated.
        await handlers.api.reads.views_publish(user_id=user, view=view)

    async def chosen(self, chosen: Chosen) -> None:
        handlers, key = self._handlers, self._handlers.user_key(chosen.user)
        if chosen.what == "model":
            await handlers.commands.set_model(key, chosen.value)
        else:
            await handlers.commands.set_persona(key, chosen.value)
        await self.show_home(chosen.user)

    async def about_me(self, about: AboutMe) -> None:
        handlers, key = self._handlers, self._handlers.user_key(about.user)
        try:
            if about.what == "forget":
                said = (await handlers.commands.forget(key)).text
            else:
                export = await handlers.commands.export(key)
                await send_directly(handlers.api, about.user, export.file_name, export.file, export.text)
                said = export.text
        except TernError as error:
            said = sentence_for(error)
        if about.response_url:
            await handlers.say(about.response_url, said)
        else:
            await self.show_home(about.user, said)

    async def suggest(self, channel: str) -> None:
        """Prompts for an empty direct message. Without thread_ts: an agent app's call would fail in silence
        (facts/slack.md 1.1)."""
        handlers = self._handlers
        prompts = [{"title": title, "message": message} for title, message in handlers.settings.suggested_prompts[:4]]
        if prompts:
            await handlers.api.quietly(
                "suggesting prompts",
                lambda: handlers.api.reads.assistant_threads_setSuggestedPrompts(channel_id=channel, prompts=prompts),
            )

    async def entitle(self, channel: str, thread: str, question: str) -> None:
        """Name a new conversation in the direct messages' timeline after its first words."""
        title = " ".join(question.split())[:_MAX_TITLE_CHARS] or "New conversation"
        api = self._handlers.api
        writes, lacks = api.writes, api.abilities.lacks
        if self._handlers.streaming.sessions and not lacks("agents.sessions.rename"):
            async with api.take(api.rate("agents.sessions.rename", 50, 60.0)):  # Tier 3; nobody waits for a title
                named = await api.quietly(
                    "naming a session",
                    lambda: writes.agents_sessions_rename(channel_id=channel, thread_ts=thread, title=title),
                )
            if named or not lacks("agents.sessions.rename"):
                return
        if not lacks("assistant.threads.setTitle"):
            await api.quietly(
                "setting a title",
                lambda: writes.assistant_threads_setTitle(channel_id=channel, thread_ts=thread, title=title),
            )
