"""A conversation in the terminal. Its messages go through the inbox like everybody else's, so history, stop, forget
and a crash in mid-answer are what they are elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from adapters.terminal.files import kept, written
from adapters.terminal.lines import Lines
from adapters.terminal.marks import VisibleScreen
from adapters.terminal.orders import Misspelt, Order, Question, help_text, parse
from adapters.terminal.screen import Screen
from adapters.terminal.surface import TerminalSurface
from core.base.clock import Clock
from core.domain.errors import RequestError, StorageError, SurfaceGone
from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.domain.runs import ReplyCapability
from core.ports.platform import AdapterHealth, Commands, ControlAction, Intake, Said, Surface
from core.ports.storage import BlobStore, ConversationList
from core.wording import sentence_for

USER = UserKey("terminal", "", "local")
"""Whoever sits at this machine and may read its database."""

CHANNEL = "terminal"


class TerminalAdapter:
    """Constructed with everything it needs. `run` is the whole conversation and returns when the person leaves."""

    name = "terminal"

    def __init__(
        self,
        *,
        screen: Screen,
        lines: Lines,
        clock: Clock,
        conversations: ConversationList,
        new_id: Callable[[], str],
        requested_model: str = "",
        begin_new: bool = False,
        folder: Path = Path(),
        blobs: BlobStore | None = None,
    ) -> None:
        """
        Args:
            new_id: Makes message and conversation ids, each different.
            requested_model: The model asked for in this conversation; "" for the user's own choice.
            begin_new: Leave the last conversation alone.
            folder: Where exports and the answers' files are written.
            blobs: Keeps what is sent along; None takes no files.
        """
        self._screen = VisibleScreen(screen)
        self._lines = lines
        self._clock = clock
        self._conversations = conversations
        self._new_id = new_id
        self._requested_model = requested_model
        self._begin_new = begin_new
        self._folder = folder
        self._blobs = blobs
        self._attached: tuple[Attachment, ...] = ()
        """What goes with the next question."""
        self._conversation = ConversationKey(self.name, "", CHANNEL, "")
        self._last_reply = ""
        self._answered = asyncio.Event()
        self._busy = False
        self._event_in_at: float | None = None
        self._delivered_at: float | None = None

    # --- the port ---

    @property
    def lost(self) -> Exception | None:
        """Why the conversation ended although the person did not leave: nothing could be shown any more."""
        return self._screen.lost

    async def run(self, intake: Intake, commands: Commands) -> None:
        with contextlib.suppress(SurfaceGone):
            await self._enter()
            while self.lost is None and (line := await self._lines.next()) is not None:
                if parse(line) == Order("/quit"):
                    return
                await self._take(line, intake, commands)

    async def _take(self, line: str, intake: Intake, commands: Commands) -> None:
        try:
            match parse(line):
                case Question(text):
                    await self._ask(text, intake)
                case Order(name, argument):
                    await self._carry_out(name, argument, intake, commands)
                case Misspelt(typed, meant):
                    self._screen.say(f"`{typed}` is no order; " + (f"`{meant}`?" if meant else "`/help` lists them."))
                case None if self._attached:
                    await self._ask("", intake)
                case None:
                    pass
        except (RequestError, StorageError) as error:
            self._screen.say(sentence_for(error))

    async def close_intake(self) -> None:
        return

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> Surface:
        return TerminalSurface(self._screen, self._surface_closed, self._folder)

    def fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncGenerator[bytes, None]:
        raise SurfaceGone(f"{attachment.name} is not kept here")  # what was sent lies in the blobs

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        return ()

    def health(self) -> AdapterHealth:
        return AdapterHealth(
            "connected", "", self._clock.now(), event_in_at=self._event_in_at, delivered_at=self._delivered_at
        )

    # --- the conversation ---

    async def interrupt(self, intake: Intake) -> bool:
        """Ctrl-C: stop the answer that is being written. False where there is none."""
        return self._busy and await intake.stop(self._conversation, USER)

    async def _enter(self) -> None:
        last = [] if self._begin_new else await self._conversations.conversations(USER, limit=1)
        if not last:
            self._conversation = self._fresh()
            return
        self._conversation = last[0].key
        turns = await self._conversations.messages(self._conversation, limit=20)
        self._last_reply = next((turn.reply_id for turn in reversed(turns) if turn.reply_id), "")
        self._screen.say(f"Going on with *{last[0].title}* (`/new` begins another).")

    def _fresh(self) -> ConversationKey:
        self._last_reply = ""
        return ConversationKey(self.name, "", CHANNEL, self._new_id())

    async def _ask(self, text: str, intake: Intake) -> None:
        message_id = self._new_id()
        now = self._clock.now()
        self._event_in_at = now
        options = {"model": self._requested_model} if self._requested_model else {}
        attached, self._attached = self._attached, ()
        incoming = Incoming(
            message_id, message_id, USER, self._conversation, text, now, attached, options=options, direct=True
        )
        self._answered.clear()
        receipt = await intake.accept(incoming)
        if receipt.state == "refused":
            self._screen.say(receipt.sentence)
            return
        self._last_reply = receipt.reply_id
        await self._watch(intake)

    async def _watch(self, intake: Intake) -> None:
        """Wait for the answer's end; typing /stop meanwhile stops it."""
        stop = asyncio.Event()

        def heard(line: str) -> None:
            if parse(line) == Order("/stop"):
                stop.set()

        async def stop_when_told() -> None:
            await stop.wait()
            await intake.stop(self._conversation, USER)

        self._busy = True
        try:
            with self._lines.overhear(heard):
                async with asyncio.TaskGroup() as group:
                    listening = group.create_task(stop_when_told())
                    await self._answered.wait()
                    listening.cancel()
        finally:
            self._busy = False

    def _surface_closed(self, _: str) -> None:
        """Also where nothing could be shown: whoever waits for the answer's end must not wait for ever."""
        self._delivered_at = self._clock.now()
        self._answered.set()

    # --- orders ---

    async def _carry_out(self, name: str, argument: str, intake: Intake, commands: Commands) -> None:
        match name:
            case "/new":
                self._conversation = self._fresh()
                self._screen.say("A new conversation.")
            case "/attach":
                await self._attach(argument)
            case "/again":
                await self._press("regenerate", intake)
            case "/yes":
                await self._press("confirm", intake)
            case "/no":
                await self._press("decline", intake)
            case "/stop":
                stopped = await intake.stop(self._conversation, USER)
                self._screen.say("Stopped." if stopped else "Nothing is being written.")
            case "/help":
                self._screen.say(help_text())
            case "/model":
                await self._model(argument, commands)
            case "/persona":
                await self._persona(argument, commands)
            case "/usage":
                await self._show(await commands.usage(USER))
            case "/export":
                await self._show(await commands.export(USER, None if argument == "all" else self._conversation))
            case "/forget":
                await self._show(await commands.forget(USER, None if argument == "all" else self._conversation))
                self._conversation = self._fresh()

    async def _attach(self, typed: str) -> None:
        if not typed:
            self._screen.say("Name a file: `/attach photo.jpg`.")
        elif self._blobs is None:
            self._screen.say("Files are not taken here.")
        else:
            file = await kept(typed, self._blobs, USER)
            self._attached = (*self._attached, file)
            self._screen.say(f"`{file.name}` goes with your next question; Enter alone asks with it.")

    async def _press(self, action: ControlAction, intake: Intake) -> None:
        if not self._last_reply:
            self._screen.say("Nothing was asked here yet.")
            return
        self._answered.clear()
        if sentence := await intake.press(self._last_reply, action, USER):
            self._screen.say(sentence)
            return
        await self._watch(intake)

    async def _model(self, argument: str, commands: Commands) -> None:
        if argument:
            await self._show(await commands.set_model(USER, argument))
            self._requested_model = ""
            return
        chosen = self._requested_model or (await commands.choice(USER))[0]
        self._screen.say(_choices(await commands.models(), chosen))

    async def _persona(self, argument: str, commands: Commands) -> None:
        if argument:
            await self._show(await commands.set_persona(USER, argument))
            return
        _, chosen = await commands.choice(USER)
        self._screen.say(_choices(await commands.personas(), chosen))

    async def _show(self, said: Said) -> None:
        if not said.file:
            self._screen.say(said.text)
            return
        try:
            path = await asyncio.to_thread(written, self._folder, said.file_name, said.file)
        except OSError as error:
            folder, why = self._folder.resolve(), error.strerror or type(error).__name__
            self._screen.say(f"`{said.file_name}` could not be written to `{folder}`: {why}.")
        else:
            self._screen.say(f"{said.text} Written to `{path}`.".strip())


def _choices(choices: Sequence[tuple[str, str]], chosen: str) -> str:
    lines = [
        f"- {'**' if name == chosen else ''}`{name}`{'**' if name == chosen else ''} {what}" for name, what in choices
    ]
    return "\n".join(lines) or "There is none; tern.toml can define some."
