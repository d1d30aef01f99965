"""A conversation in the terminal, from the first line to leaving."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.terminal.adapter import USER, TerminalAdapter
from adapters.terminal.marks import VisibleScreen
from core.domain.errors import SurfaceError, SurfaceGone
from core.domain.incoming import ConversationKey, Incoming
from core.domain.runs import ReplyCapability
from core.ports.platform import Receipt, Shown
from core.ports.storage import ConversationSummary, ShownTurn
from tests.adapters.web.house import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.desk import FakeCommands, FakeIntake


class Screen:
    """What was shown: ("end", text) for answers, ("say", text) for lines."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.growing: list[str] = []

    def grow(self, text: str, status: str) -> None:
        self.growing.append(text)

    def end(self, text: str, footer: str) -> None:
        self.seen.append(("end", text))

    def say(self, markdown: str) -> None:
        self.seen.append(("say", markdown))


class Typed:
    """Lines as if typed; `meanwhile` are typed while an answer is being written."""

    def __init__(self, *lines: str, meanwhile: Sequence[str] = ()) -> None:
        self.lines = list(lines)
        self.meanwhile = list(meanwhile)

    async def next(self) -> str | None:
        return self.lines.pop(0) if self.lines else None

    @contextlib.contextmanager
    def overhear(self, heard: Callable[[str], None]) -> Iterator[None]:
        for line in self.meanwhile:
            heard(line)
        yield


class Answering(FakeIntake):
    """An inbox that answers at once on the adapter's surface; `silent` leaves questions open until stopped."""

    adapter: TerminalAdapter
    silent = False
    forgiving = False
    """Whether a lost surface ends the reply, as it does for the real inbox."""

    async def accept(self, incoming: Incoming, capability: ReplyCapability | None = None) -> Receipt:
        receipt = await super().accept(incoming, capability)
        if receipt.state == "accepted" and not self.silent:
            await self._show(incoming, receipt.reply_id, f"You said {incoming.text}.")
        return receipt

    async def stop(self, conversation: ConversationKey, by: Any) -> bool:
        stopped = await super().stop(conversation, by)
        if stopped:
            await self._show(self.accepted[-1], "reply1", "You s")
        return stopped

    async def press(self, *args: Any, **kwargs: Any) -> str:
        sentence = await super().press(*args, **kwargs)
        if not sentence:
            await self._show(self.accepted[-1], args[0], "Again.")
        return sentence

    async def _show(self, incoming: Incoming, reply_id: str, text: str) -> None:
        surface = await self.adapter.surface(incoming, reply_id, None)
        try:
            ref = await surface.post(0, Shown(text[:3]), "nonce")
            await surface.edit(ref, 0, Shown(text, final=True))
        except SurfaceGone:
            if not self.forgiving:
                raise
        finally:
            await surface.close()


class Stored:
    """Conversations that an earlier start left."""

    def __init__(self, *summaries: ConversationSummary) -> None:
        self.summaries = summaries

    async def conversations(self, user: Any, *, limit: int = 100) -> Sequence[ConversationSummary]:
        return self.summaries[:limit]

    async def messages(self, conversation: ConversationKey, *, limit: int = 200) -> Sequence[ShownTurn]:
        return [ShownTurn("m0", "reply0", "assistant", "Hi.", 0.0, "answered")]


class House:
    def __init__(
        self,
        clock: FakeClock,
        *lines: str,
        meanwhile: Sequence[str] = (),
        intake: Answering | None = None,
        **kwargs: Any,
    ) -> None:
        self.screen = Screen()
        self.intake = intake or Answering()
        self.commands = FakeCommands()
        ids = iter(f"id{number}" for number in range(1_000))
        self.adapter = self.intake.adapter = TerminalAdapter(
            screen=self.screen,
            lines=Typed(*lines, meanwhile=meanwhile),
            clock=clock,
            new_id=lambda: next(ids),
            **({"conversations": Stored()} | kwargs),
        )

    async def run(self) -> list[tuple[str, str]]:
        await self.adapter.run(self.intake, self.commands)
        return self.screen.seen


async def test_question_is_answered_before_the_next_is_read(clock: FakeClock) -> None:
    """Two lines are two answers, in order, in one conversation."""
    house = House(clock, "one", "two")

    assert await house.run() == [("end", "You said one."), ("end", "You said two.")]
    assert len({incoming.conversation for incoming in house.intake.accepted}) == 1


async def test_last_conversation_goes_on(clock: FakeClock) -> None:
    """After a restart the last conversation is taken up, and the person is told."""
    key = ConversationKey("terminal", "", "terminal", "earlier")
    house = House(clock, "and?", conversations=Stored(ConversationSummary(key, "About terns", 0.0)))

    seen = await house.run()

    assert "About terns" in seen[0][1]
    assert house.intake.accepted[0].conversation == key


async def test_new_begins_another_conversation(clock: FakeClock) -> None:
    """After /new, questions belong to a fresh conversation."""
    house = House(clock, "one", "/new", "two")

    await house.run()

    first, second = house.intake.accepted
    assert first.conversation != second.conversation


async def test_typing_stop_during_an_answer_stops_it(clock: FakeClock) -> None:
    """/stop is heard while an answer is written; what was said stands."""
    house = House(clock, "one", meanwhile=["/stop"])
    house.intake.silent = True

    assert await house.run() == [("end", "You s")]
    assert house.intake.stopped


async def test_stop_with_nothing_running_says_so(clock: FakeClock) -> None:
    """/stop at the prompt answers in words."""
    assert await House(clock, "/stop").run() == [("say", "Nothing is being written.")]


async def test_interrupt_at_the_prompt_stops_nothing(clock: FakeClock) -> None:
    """Ctrl-C without an answer under way is not taken for a stop."""
    house = House(clock)

    assert not await house.adapter.interrupt(house.intake)


async def test_again_answers_the_last_question_anew(clock: FakeClock) -> None:
    """/again presses Regenerate on the last reply."""
    house = House(clock, "one", "/again")

    assert (await house.run())[-1] == ("end", "Again.")
    assert house.intake.pressed[0].action == "regenerate"


async def test_again_without_a_question_says_so(clock: FakeClock) -> None:
    """/again in an empty conversation does nothing but say why."""
    assert await House(clock, "/again").run() == [("say", "Nothing was asked here yet.")]


async def test_refused_message_gives_its_sentence(clock: FakeClock) -> None:
    """When the inbox refuses, the person reads why and may go on."""
    house = House(clock, "one", "/quit")
    house.intake.refuse = "Too many messages at once."

    assert await house.run() == [("say", "Too many messages at once.")]


async def test_model_is_chosen(clock: FakeClock) -> None:
    """/model with a name chooses it; without one it lists them with the chosen one marked."""
    house = House(clock, "/model quality", "/model")

    seen = await house.run()

    assert await house.commands.choice(USER) == ("quality", "")
    assert "**`quality`**" in seen[-1][1]


async def test_unknown_model_is_worded(clock: FakeClock) -> None:
    """A wrong name gets a sentence, not a traceback."""
    ((kind, text),) = await House(clock, "/model nope").run()

    assert kind == "say"
    assert "nope" in text


async def test_export_is_written_to_a_file(clock: FakeClock, tmp_path: Path) -> None:
    """/export writes JSON and says where."""
    seen = await House(clock, "/export all", folder=tmp_path).run()

    (path,) = tmp_path.iterdir()
    assert path.suffix == ".json"
    assert path.name in seen[0][1]


@pytest.mark.parametrize("line", ["/quit", "/exit", "/q"])
async def test_quit_leaves(clock: FakeClock, line: str) -> None:
    """Nothing after /quit is asked."""
    house = House(clock, line, "one")

    await house.run()

    assert house.intake.accepted == []


async def test_misspelt_order_is_not_asked(clock: FakeClock) -> None:
    """A slip of the finger does not cost tokens."""
    house = House(clock, "/modle")

    assert await house.run() == [("say", "`/modle` is no order; `/model`?")]
    assert house.intake.accepted == []


async def test_attached_files_go_with_the_next_question(clock: FakeClock, tmp_path: Path) -> None:
    """/attach sends a file along once; Enter alone asks with it, as one does with a voice clip."""
    (tmp_path / "clip.ogg").write_bytes(b"sound")
    house = House(clock, f"/attach {tmp_path / 'clip.ogg'}", "", "and now?", blobs=FakeBlobs())

    await house.run()

    asked = [(incoming.text, [item.name for item in incoming.attachments]) for incoming in house.intake.accepted]
    assert asked == [("", ["clip.ogg"]), ("and now?", [])]


async def test_missing_file_is_told(clock: FakeClock) -> None:
    """A path that leads nowhere is a sentence, and nothing is asked."""
    house = House(clock, "/attach /nonexistent.png", "/attach", blobs=FakeBlobs())

    seen = await house.run()

    assert "no such file" in seen[0][1]
    assert "Name a file" in seen[1][1]
    assert house.intake.accepted == []


class Attaching(Answering):
    """Every answer brings a file along."""

    async def _show(self, incoming: Incoming, reply_id: str, text: str) -> None:
        surface = await self.adapter.surface(incoming, reply_id, None)
        await surface.edit(await surface.post(0, Shown(text), "nonce"), 0, Shown(text, final=True))
        with contextlib.suppress(SurfaceError):
            await surface.attach("extracted.csv", text.encode(), "")
        await surface.close()


async def test_answers_files_are_written_and_said(clock: FakeClock, tmp_path: Path) -> None:
    """Each file lies in the folder where the person works, the second beside the first, and its path is told."""
    house = House(clock, "one", "two", intake=Attaching(), folder=tmp_path)

    seen = await house.run()

    first, second = tmp_path / "extracted.csv", tmp_path / "extracted-2.csv"
    assert [text for kind, text in seen if kind == "say"] == [f"Written to `{first}`.", f"Written to `{second}`."]
    assert (first.read_text(), second.read_text()) == ("You said one.", "You said two.")


async def test_folder_that_takes_no_file_is_named(clock: FakeClock, tmp_path: Path) -> None:
    """The answer stands all the same; why its file does not is a sentence."""
    house = House(clock, "one", "/export", intake=Attaching(), folder=tmp_path / "gone")

    seen = await house.run()

    assert ("end", "You said one.") in seen
    assert [text.partition(" could not be written to ")[0] for kind, text in seen if kind == "say"] == [
        "`extracted.csv`",
        "`tern-export.json`",
    ]


class Failing(Screen):
    """A screen that takes a few writes and then nothing more."""

    def __init__(self, takes: int, error: Exception) -> None:
        super().__init__()
        self.left = takes
        self.error = error

    def _write(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error

    def grow(self, text: str, status: str) -> None:
        self._write()

    def end(self, text: str, footer: str) -> None:
        self._write()

    def say(self, markdown: str) -> None:
        self._write()


@pytest.mark.parametrize("takes", range(4))
@pytest.mark.parametrize(
    "error",
    [
        UnicodeEncodeError("latin-1", "…", 0, 1, "ordinal not in range(256)"),
        BrokenPipeError(),
        ValueError("I/O operation on closed file"),
        IndexError("a renderer's fault"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_screen_that_fails_ends_the_conversation(clock: FakeClock, takes: int, error: Exception) -> None:
    """At whatever write it fails, nothing hangs and nothing more is asked of a model."""
    house = House(clock, "/help", "one", "two", "three")
    house.adapter._screen = VisibleScreen(Failing(takes, error))
    house.intake.forgiving = True

    async with asyncio.timeout(5):
        await house.run()

    assert house.adapter.lost is error
    assert len(house.intake.accepted) <= 2
