"""Presses: the buttons under an answer, Slack's own Stop, the Home tab; and the agent surface around a conversation."""

from __future__ import annotations

from adapters.slack.ephemeral import send_directly
from adapters.slack.events import AboutMe, Chosen, Pressed, StopPressed
from adapters.slack.handlers import Desk
from adapters.slack.home import HomeFacts, home_view
from core.domain.errors import NotAllowed, RequestError, StorageError, SurfaceError
from core.ports.platform import Rate
from core.wording import sentence_for

_MAX_TITLE_CHARS = 80


_RENAME = Rate("slack:agents.sessions.rename", 50, 60.0)
"""Tier 3, for the whole workspace."""


class ControlDesk:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def pressed(self, pressed: Pressed) -> None:
        """Carry out a press; durable when it returns. Slack delivers no press twice, so a failure is told at once."""
        desk, by = self._desk, self._desk.user_key(pressed.user)
        why = await desk.refusal(pressed.user, channel=pressed.channel, direct=pressed.channel.startswith("D"))
        if why:
            desk.later(desk.say(pressed.response_url, sentence_for(NotAllowed(why))))
            return
        person = desk.people.remembered(pressed.user)
        try:
            sentence = await desk.intake.press(
                pressed.reply_id,
                pressed.action,
                by,
                moderator=person is not None and person.admin,
                capability=desk.capability(pressed.response_url) if pressed.ephemeral else None,
                choice=pressed.choice,
            )
        except (RequestError, StorageError) as error:
            sentence = sentence_for(error, pressed.reply_id)
        if sentence:
            desk.later(desk.say(pressed.response_url, sentence))

    async def stop_pressed(self, stop: StopPressed) -> None:
        """Slack's own Stop: the session must leave `processing`, whether or not anything ran (facts/slack.md 1.1)."""
        desk = self._desk
        at = await desk.conversation(stop.channel, stop.thread)
        ran = await desk.intake.stop(at, desk.user_key(stop.user))
        if not ran:
            desk.later(
                desk.api.quietly(
                    "ending a session",
                    lambda: desk.api.writes.agents_sessions_setStatus(
                        channel_id=stop.channel, thread_ts=stop.thread, status="active"
                    ),
                )
            )

    async def show_home(self, user: str) -> None:
        desk, key = self._desk, self._desk.user_key(user)
        model, persona = await desk.commands.choice(key)
        view = home_view(
            HomeFacts(
                bot_name=desk.settings.bot_name,
                models=await desk.commands.models(),
                personas=await desk.commands.personas(),
                model=model,
                persona=persona,
                usage=(await desk.commands.usage(key)).text,
            )
        )
        # Read client: publishing the same view twice is harmless, so it may be repeated.
        await desk.api.reads.views_publish(user_id=user, view=view)

    async def chosen(self, chosen: Chosen) -> None:
        desk, key = self._desk, self._desk.user_key(chosen.user)
        if chosen.what == "model":
            await desk.commands.set_model(key, chosen.value)
        else:
            await desk.commands.set_persona(key, chosen.value)
        await self.show_home(chosen.user)

    async def about_me(self, about: AboutMe) -> None:
        desk, key = self._desk, self._desk.user_key(about.user)
        if about.what == "forget":
            said = await desk.commands.forget(key)
        else:
            said = await desk.commands.export(key)
            await send_directly(desk.api, about.user, said.file_name, said.file, said.text)
        if about.response_url:
            await desk.say(about.response_url, said.text)
        else:
            await self.show_home(about.user)

    async def suggest(self, channel: str) -> None:
        """Prompts for an empty direct message. Without thread_ts: an agent app's call would fail in silence
        (facts/slack.md 1.1)."""
        desk = self._desk
        prompts = [{"title": title, "message": message} for title, message in desk.settings.suggested_prompts[:4]]
        if prompts:
            await desk.api.quietly(
                "suggesting prompts",
                lambda: desk.api.reads.assistant_threads_setSuggestedPrompts(channel_id=channel, prompts=prompts),
            )

    async def entitle(self, channel: str, thread: str, question: str) -> None:
        """Name a new conversation in the direct messages' timeline after its first words."""
        title = " ".join(question.split())[:_MAX_TITLE_CHARS] or "New conversation"
        api, streaming = self._desk.api, self._desk.streaming
        writes = api.writes
        if streaming.sessions:
            try:
                async with api.take(_RENAME):  # nobody waits for a title
                    await api.call(
                        lambda: writes.agents_sessions_rename(channel_id=channel, thread_ts=thread, title=title)
                    )
            except SurfaceError as error:
                streaming.session_refused(error)
        if not streaming.sessions:
            await api.quietly(
                "setting a title",
                lambda: writes.assistant_threads_setTitle(channel_id=channel, thread_ts=thread, title=title),
            )
