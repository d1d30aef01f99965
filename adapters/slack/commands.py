"""`/tern ...` and the message shortcuts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapters.slack.ephemeral import send_directly
from adapters.slack.events import CommandGiven, Secret, ShortcutUsed
from adapters.slack.handlers import Handlers
from adapters.slack.home import about_me_buttons
from adapters.slack.ids import SUBCOMMANDS
from adapters.slack.interactions import MessageLink, message_link
from adapters.slack.message import attachments_of, quote_of
from adapters.slack.reading_rights import may_read
from adapters.slack.target import unchecked
from core.domain.errors import BadRequest, NotAllowed, RequestError, StorageError, SurfaceError, TernError
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.ports.platform import Said
from core.wording import sentence_for

_UNREADABLE = "that message is not there, or not for both of us to read"


class CommandHandlers:
    """Questions are accepted before Slack is acknowledged; everything else is answered through the response_url."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def command(self, given: CommandGiven) -> None:
        handlers, at = self._handlers, given.incoming.conversation
        user = given.incoming.user.user
        why = await handlers.refusal(user, channel=at.channel, direct=given.incoming.direct, team=given.team)
        if why:
            handlers.later(handlers.say(given.response_url, sentence_for(NotAllowed(why))))
        elif given.verb == "ask":
            incoming = given.incoming if why == "" else unchecked(given.incoming, given.team)
            await self._accept(await self._in_public(incoming), given.response_url)
        elif why is None:
            handlers.later(self._once_known(given))
        else:
            await self._carry_out(given)

    async def _once_known(self, given: CommandGiven) -> None:
        handlers, at = self._handlers, given.incoming.conversation
        why = await handlers.refusal_at_last(
            given.incoming.user.user, channel=at.channel, direct=given.incoming.direct, team=given.team
        )
        if why:
            await handlers.say(given.response_url, sentence_for(NotAllowed(why)))
        else:
            await self._carry_out(given)

    async def _carry_out(self, given: CommandGiven) -> None:
        """Everything but "ask"."""
        handlers = self._handlers
        match given.verb:
            case "transcribe":
                await handlers.soon(self._transcribe(given))
            case "extract":
                await handlers.soon(self._extract(given))
            case _:
                handlers.later(self._tell(given))

    async def _in_public(self, incoming: Incoming) -> Incoming:
        """Public where the bot can post; elsewhere the response_url is all there is (facts/slack.md 1.6)."""
        if await self._handlers.is_member(incoming.conversation.channel):
            return replace(incoming, visibility="public")
        return incoming

    async def shortcut(self, used: ShortcutUsed) -> None:
        handlers, incoming = self._handlers, used.incoming
        at = incoming.conversation
        why = await handlers.refusal(
            incoming.user.user, channel=at.channel, direct=at.channel.startswith("D"), team=used.team
        )
        if why is None:
            incoming = unchecked(incoming, used.team)
        if why:
            handlers.later(handlers.say(used.response_url, sentence_for(NotAllowed(why))))
        elif incoming.action == "summarise" and not await handlers.is_member(at.channel):
            handlers.later(
                handlers.say(used.response_url, f"I cannot read this thread: invite me with `/invite @{self._name}`.")
            )
        elif incoming.action == "transcribe" and not incoming.attachments:
            handlers.later(handlers.say(used.response_url, sentence_for(BadRequest("that message has no voice clip"))))
        else:
            await self._accept(incoming, used.response_url)

    @property
    def _name(self) -> str:
        return self._handlers.settings.bot_name

    async def _accept(self, incoming: Incoming, response_url: Secret) -> None:
        """Slack delivers neither commands nor shortcuts twice: where storing fails the person is told at once."""
        handlers = self._handlers
        incoming = await handlers.users.described(incoming)
        incoming = replace(incoming, received_at=handlers.clock.now())
        capability = handlers.capability(response_url) if incoming.visibility == "private" else None
        try:
            receipt = await handlers.intake.accept(incoming, capability)
        except StorageError as error:
            handlers.later(handlers.say(response_url, sentence_for(error)))
            return
        if receipt.state == "refused":
            handlers.later(handlers.say(response_url, receipt.sentence))

    async def _transcribe(self, given: CommandGiven) -> None:
        link = message_link(given.argument)
        found = await self._message_at(link, given) if link else None
        files = attachments_of(found) if found else ()
        if not files:
            problem = "give me the link of a message with a clip"
            if link:
                problem = "that message has no voice clip I can read" if found else _UNREADABLE
            await self._handlers.say(given.response_url, sentence_for(BadRequest(problem)))
            return
        verbose = {"verbose": "on"} if "verbose" in given.argument.lower().split() else {}
        options = given.incoming.options | verbose
        incoming = replace(given.incoming, text="", action="transcribe", attachments=files, options=options)
        await self._accept(incoming, given.response_url)

    async def _extract(self, given: CommandGiven) -> None:
        """`/tern extract LINK name, price:number`: from the linked message, with its files."""
        link = message_link(given.argument)
        found = await self._message_at(link, given) if link else None
        if found is None:
            problem = _UNREADABLE if link else "give me the link of a message, then the fields"
            await self._handlers.say(given.response_url, sentence_for(BadRequest(problem)))
            return
        schema = " ".join(word for word in given.argument.split() if message_link(word) is None).strip("<> ")
        incoming = replace(
            given.incoming,
            text=f"extract {schema}".strip(),
            action="extract",
            options={"schema": schema} if schema else {},
            quotes=(quote_of(found, self._handlers.me),),
        )
        await self._accept(incoming, given.response_url)

    async def _message_at(self, link: MessageLink, given: CommandGiven) -> dict[str, Any] | None:
        """The linked message; None where it cannot be read, by the bot or by whoever asks."""
        handlers, asker = self._handlers, given.incoming
        if not await may_read(handlers, asker.user.user, link.channel, asked_in=asker.conversation.channel):
            return None
        reads = handlers.api.reads
        try:
            answer = await handlers.api.call(
                lambda: reads.conversations_replies(
                    channel=link.channel, ts=link.thread, oldest=link.ts, latest=link.ts, inclusive=True, limit=5
                )
            )
        except SurfaceError:
            return None
        return next((message for message in answer.get("messages") or () if message.get("ts") == link.ts), None)

    async def _tell(self, given: CommandGiven) -> None:
        """Everything that is no question."""
        handlers, user = self._handlers, given.incoming.user
        blocks: list[dict[str, Any]] | None = None
        try:
            said = await self._said(given.verb, given.argument, user, given.incoming.conversation.channel)
            if given.verb == "forget" and not given.argument:
                blocks = [{"type": "actions", "elements": about_me_buttons()}]
            if said.file:
                await send_directly(handlers.api, user.user, said.file_name, said.file, said.text)
                said = Said("I have sent you the file as a direct message.")
        except RequestError as error:
            said = Said(sentence_for(error))
        except TernError as error:
            said = Said(sentence_for(error, given.incoming.message_id))
        await handlers.say(given.response_url, said.text, blocks=blocks)

    async def _said(self, verb: str, argument: str, user: UserKey, channel: str) -> Said:
        commands = self._handlers.commands
        match verb:
            case "model":
                return await commands.set_model(user, argument) if argument else await self._models(user)
            case "persona":
                return await commands.set_persona(user, argument) if argument else await self._personas(user)
            case "usage":
                return await commands.usage(user)
            case "stop":
                link = await self._linked(argument) if argument else None
                return await commands.stop(user, channel=channel, conversation=link)
            case "forget" if not argument:
                return Said("This deletes your messages to me, my answers, your files and choices.")
            case "forget":
                return await commands.forget(user, await self._linked(argument))
            case "export":
                return await commands.export(user, await self._linked(argument) if argument else None)
            case _:
                return commands.help("slack", SUBCOMMANDS)

    async def _linked(self, argument: str) -> ConversationKey:
        link = message_link(argument)
        if link is None:
            raise BadRequest("give me the link of a message in the thread")
        return await self._handlers.conversation(link.channel, link.thread)

    async def _models(self, user: UserKey) -> Said:
        chosen, _ = await self._handlers.commands.choice(user)
        return Said(_list("Your model", chosen, await self._handlers.commands.models(), "/tern model NAME"))

    async def _personas(self, user: UserKey) -> Said:
        _, chosen = await self._handlers.commands.choice(user)
        return Said(
            _list("Your persona", chosen or "default", await self._handlers.commands.personas(), "/tern persona NAME")
        )


def _list(what: str, chosen: str, choices: Any, how: str) -> str:
    lines = [f"- `{name}` {about}" for name, about in choices]
    return "\n".join([f"{what}: **{chosen}**. Choose with `{how}`:", "", *lines])
