"""An inbox with everything behind it that is real but the platform and the model: database, answering, live reply."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TypeAlias

from core.base.clock import Clock
from core.chat.service import Answered, Context
from core.delivery.pacing.pacer import Pacer
from core.domain.errors import SurfaceError
from core.domain.events import Notice, Send, TextDelta
from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.domain.requests import Attempt, Reply, ShownRecord, Text, Turn, Usage
from core.domain.runs import ReplyCapability
from core.inbox.inbox import Inbox, InboxLimits
from core.inbox.runner import Runner, RunnerSettings
from core.ports.platform import Adapter, AdapterHealth, Commands, Intake, Receipt, Surface
from core.storage import Storage, open_storage
from tests.database import url_in
from tests.fakes.clock import FakeClock, settle
from tests.fakes.surface import FakePlatform, FakeSurface

ANN = UserKey("discord", "", "ann")
BOB = UserKey("discord", "", "bob")
_messages = count(1)


def conversation(root: str = "root") -> ConversationKey:
    return ConversationKey("discord", "guild", "channel", root)


def message(
    text: str = "What is a tern?",
    *,
    user: UserKey = ANN,
    root: str = "root",
    message_id: str = "",
    at: float = 1_800_000_000.0,
    **more: object,
) -> Incoming:
    """A message nobody has seen before, unless *message_id* says which."""
    message_id = message_id or f"m{next(_messages)}"
    return replace(
        Incoming(message_id, f"event of {message_id}", user, conversation(root), text, at),
        **more,  # type: ignore[arg-type]  # a test names real fields
    )


Step: TypeAlias = str | Exception | asyncio.Event | Notice | Callable[[], None]
"""Text to say, an error to raise, an event to wait for, a notice to give, something to do."""


class FakeChat:
    """Plays one script per answer; "answer to ..." where none is left."""

    def __init__(self) -> None:
        self.scripts: deque[Sequence[Step]] = deque()
        self.asked: list[Incoming] = []
        self.deadlines: list[float] = []
        self.answering = 0
        self.most_at_once = 0

    def plays(self, *scripts: Sequence[Step]) -> None:
        self.scripts.extend(scripts)

    async def answer(
        self,
        run_id: str,
        incoming: Incoming,
        *,
        context: Context,
        send: Send,
        deadline_at: float,
        editable: bool = True,
        allow_local: bool = True,
    ) -> Answered:
        self.asked.append(incoming)
        self.deadlines.append(deadline_at)
        script = self.scripts.popleft() if self.scripts else [f"Answer to {incoming.text}"]
        self.answering += 1
        self.most_at_once = max(self.most_at_once, self.answering)
        try:
            said = ""
            for step in script:
                match step:
                    case str():
                        said += step
                        await send(TextDelta(step))
                    case asyncio.Event():
                        await step.wait()
                    case Notice():
                        await send(step)
                    case Exception():
                        raise step
                    case _:
                        step()
            return answered(incoming.text, said)
        finally:
            self.answering -= 1


def answered(question: str, text: str) -> Answered:
    usage = Usage(prompt_tokens=10, output_tokens=20, cost_usd=0.001)
    attempt = Attempt("groq", "fast", 0.0, 1.5, 0.5, "ok", usage)
    reply = Reply(text, "fast", "groq", usage, attempts=(attempt,))
    return Answered(reply, ((Turn("user", (Text(question),)), 3), (Turn("assistant", (Text(text),)), 5)))


class FakeAdapter(Adapter):
    """Surfaces that stay where they are between openings, one per reply."""

    def __init__(self, clock: Clock) -> None:
        self.platform = FakePlatform(clock)
        self.surfaces: dict[str, FakeSurface] = {}
        self.capabilities: list[ReplyCapability | None] = []
        self.refuses: SurfaceError | None = None
        """Raised instead of opening a surface."""

    @property
    def name(self) -> str:
        return "discord"

    async def run(self, intake: Intake, commands: Commands) -> None: ...

    async def close_intake(self) -> None: ...

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> Surface:
        self.capabilities.append(capability)
        if self.refuses:
            raise self.refuses
        limits = replace(FakeSurface(self.platform).limits, post=(), edit=())
        return self.surfaces.setdefault(reply_id, FakeSurface(self.platform, limits, name=f"{reply_id}-"))

    async def fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncIterator[bytes]:
        yield b""

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        return ()

    def health(self) -> AdapterHealth:
        return AdapterHealth("connected")


@dataclass
class Watcher:
    """An observer that remembers."""

    records: list[ShownRecord] = field(default_factory=list)

    def request(self, record: object) -> None: ...

    def shown(self, record: ShownRecord) -> None:
        self.records.append(record)


class Desk:
    """One process of the bot over a database. `start` it twice over one folder to play two processes."""

    def __init__(self, storage: Storage, clock: FakeClock, limits: InboxLimits, adapter: FakeAdapter) -> None:
        self.clock = clock
        self.storage = storage
        self.chat = FakeChat()
        self.adapter = adapter
        self.watcher = Watcher()
        self.adapters: dict[str, Adapter] = {"discord": self.adapter}
        self.answering = Runner(
            self.chat,
            storage.inbox,
            self.adapters,
            {"discord": Pacer(clock)},
            clock,
            [self.watcher],
            RunnerSettings(),
            on_waiting=self._miss,
        )
        self.missed = 0
        """How often a run began to wait for a model."""
        self.inbox = Inbox(storage.inbox, self.answering, clock, limits)
        self.task: asyncio.Task[None] | None = None

    def _miss(self) -> None:
        self.missed += 1

    async def say(self, text: str = "What is a tern?", **more: object) -> Receipt:
        """Accept a message; it is answered in the background."""
        return await self.inbox.accept(message(text, at=self.clock.now(), **more))  # type: ignore[arg-type]

    def signs(self, *receipts: Receipt) -> list[str]:
        """What stands on the platform beside the answers: places in the queue, for one."""
        surfaces = [self.adapter.surfaces.get(receipt.reply_id) for receipt in receipts]
        return [page.status for surface in surfaces if surface for page in surface.shown]

    def pages(self, receipt: Receipt) -> list[str]:
        """What stands on the platform for a reply."""
        surface = self.adapter.surfaces.get(receipt.reply_id)
        return surface.pages if surface else []

    async def state(self, receipt: Receipt) -> str:
        """The state of the newest run into a reply, "gone" where the message is."""
        known = await self.storage.inbox.reply(receipt.reply_id)
        return known.state if known else "gone"

    async def until(self, happened: Callable[[], bool | Awaitable[bool]]) -> None:
        """Let the database's threads work until *happened*; no time passes on the clock."""
        async with asyncio.timeout(5):
            while True:
                result = happened()
                if result if isinstance(result, bool) else await result:
                    return
                await settle(5)
                await asyncio.sleep(0.001)

    async def until_state(self, receipt: Receipt, *states: str) -> None:
        async def there() -> bool:
            return await self.state(receipt) in states

        await self.until(there)

    async def until_quiet(self) -> None:
        """Until nothing runs."""
        await self.until(lambda: self.inbox.running == 0)

    async def passes(self, duration_s: float, *, step_s: float = 0.5) -> None:
        """Let time pass in steps small enough for everything that happens meanwhile."""
        while duration_s > 0:
            await self.clock.advance(min(step_s, duration_s))
            duration_s -= step_s
            await self.breathe()

    async def passes_until(self, happened: Callable[[], bool]) -> None:
        """Let time pass, a minute at most, until *happened*: on a busy machine threads answer after later ticks."""
        for _ in range(120):
            if happened():
                return
            await self.passes(0.5)
        raise AssertionError("it did not happen within a minute")

    async def breathe(self) -> None:
        """Let the database's threads finish what is under way."""
        for _ in range(4):
            await settle(5)
            await self.storage.check_writable()  # behind every write that waits
            await self.storage.inbox.stops([])

    async def start(self) -> None:
        self.task = asyncio.create_task(self.inbox.run())
        await settle()

    async def die(self) -> None:
        """End without a word, as far as the rows can tell: nothing is settled, nothing given back."""
        assert self.task
        self.task.cancel()
        while not self.task.done():
            await self.breathe()
            await self.clock.advance(0.05)


@asynccontextmanager
async def desk(
    folder: Path,
    clock: FakeClock,
    *,
    owner: str = "one",
    limits: InboxLimits = InboxLimits(),
    run: bool = True,
    adapter: FakeAdapter | None = None,
) -> AsyncIterator[Desk]:
    """A running desk; *adapter* of an earlier one shows it the platform as that one left it."""
    storage = await open_storage(url_in(folder), folder, clock, b"key", owner, rules=limits.rules)
    async with storage:
        it = Desk(storage, clock, limits, adapter or FakeAdapter(clock))
        if run:
            await it.start()
        try:
            yield it
        finally:
            if it.task and not it.task.done():
                await it.die()
