"""A small house that can be killed: real database, real processes, a platform that is a folder of files.

Run as a script it is a template process: everything is imported once, then each line on its input forks one process
of the house. That makes a start cost milliseconds. Lines: JSON {"folder", "die_at", "slow_s"}; answers: JSON {"pid"}.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.clock import SystemClock
from core.chat.service import Answered, Context
from core.delivery.pacing.pacer import Pacer
from core.domain.events import Send, TextDelta
from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.domain.requests import Reply, Text, Turn, Usage
from core.domain.runs import Claim, ReplyCapability, RunRules, Settlement
from core.inbox.inbox import Inbox, InboxLimits
from core.inbox.runner import Runner, RunnerSettings
from core.ports.platform import Adapter, AdapterHealth, Commands, Intake, Shown, Surface, SurfaceLimits
from core.storage import open_storage

RULES = RunRules(lease_s=0.4)
LIMITS = InboxLimits(look_every_s=0.05, farewell_s=1.0, rules=RULES)
ANSWER = "Terns are birds of the coast."
POINTS = (
    "accepted",  # the row is there, nothing has begun
    "opening",  # the surface is about to be opened
    "thinking",  # claimed, the model is asked
    "before post",  # the ledger says "posting", the platform knows nothing
    "after post",  # the platform has it, we never heard
    "streaming",  # the page stands with a part of the answer
    "before edit",
    "after edit",
    "answered",  # the model is done, the last words are not shown
    "before settle",  # everything is shown, the rows say "running"
    "after settle",
)


def message(text: str, root: str = "root") -> Incoming:
    """What a platform would deliver again after a restart: always the same four keys."""
    at = ConversationKey("files", "", "channel", root)
    return Incoming(f"m-{text}", f"e-{text}", UserKey("files", "", f"user-{root}"), at, text, SystemClock().now())


@dataclass(frozen=True, slots=True)
class Fate:
    """Dies by SIGKILL at one point, once it is reached."""

    die_at: str

    def reaches(self, point: str) -> None:
        if point == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


class FolderSurface(Surface):
    """One file a message, written and renamed, so that it is applied or not."""

    limits = SurfaceLimits(max_chars=2_000)

    def __init__(self, folder: Path, fate: Fate) -> None:
        self._folder = folder
        self._fate = fate

    def _write(self, ref: str, nonce: str, text: str) -> None:
        unfinished = self._folder / f".{ref}.{os.getpid()}"
        unfinished.write_text(json.dumps({"nonce": nonce, "text": text}))
        unfinished.rename(self._folder / ref)

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        self._fate.reaches("before post")
        ref = os.urandom(6).hex()
        self._write(ref, nonce, shown.text)
        self._fate.reaches("after post")
        return ref

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        self._fate.reaches("before edit")
        self._write(ref, json.loads((self._folder / ref).read_text())["nonce"], shown.text)
        self._fate.reaches("after edit")

    async def remove(self, ref: str, page: int) -> None:
        (self._folder / ref).unlink()

    async def find(self, page: int, nonce: str) -> str | None:
        for path in self._folder.glob("[!.]*"):
            if json.loads(path.read_text())["nonce"] == nonce:
                return path.name
        return None

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        raise NotImplementedError

    async def busy(self, on: bool) -> None: ...

    async def close(self) -> None: ...


@dataclass
class FolderAdapter(Adapter):
    folder: Path
    fate: Fate

    @property
    def name(self) -> str:
        return "files"

    async def run(self, intake: Intake, commands: Commands) -> None: ...

    async def close_intake(self) -> None: ...

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> Surface:
        self.fate.reaches("opening")
        return FolderSurface(self.folder, self.fate)

    async def fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncIterator[bytes]:
        yield b""

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        return ()

    def health(self) -> AdapterHealth:
        return AdapterHealth("connected")


@dataclass
class Chat:
    """Says the answer word by word; "poison" takes the process down."""

    fate: Fate
    slow_s: float
    log: Path

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
        with self.log.open("a") as file:
            file.write(incoming.text + "\n")
        self.fate.reaches("thinking")
        if incoming.text == "poison":
            await asyncio.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)
        for number, word in enumerate(ANSWER.split(" ")):
            await send(TextDelta(word if number == 0 else f" {word}"))
            await asyncio.sleep(self.slow_s)
            if number == 3:
                self.fate.reaches("streaming")
        self.fate.reaches("answered")
        reply = Reply(ANSWER, "fast", "groq", Usage())
        return Answered(reply, ((Turn("user", (Text(incoming.text),)), 1), (Turn("assistant", (Text(ANSWER),)), 1)))


class FatedStore:
    """The inbox's rows, with two places to die at."""

    def __init__(self, store: Any, fate: Fate) -> None:
        self._store = store
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, claim: Claim, settlement: Settlement) -> None:
        self._fate.reaches("before settle")
        await self._store.settle(claim, settlement)
        self._fate.reaches("after settle")


async def live(folder: Path, die_at: str, slow_s: float) -> None:
    """Take in the messages that the folder names, as a platform that delivers again, and answer until all is done.

    SIGTERM drains.
    """
    clock, fate = SystemClock(), Fate(die_at)
    platform = folder / "platform"
    platform.mkdir(exist_ok=True)
    owner = f"{os.getpid()}-{clock.now()}"
    async with await open_storage("", folder, clock, b"key", owner, rules=RULES) as storage:
        store: Any = FatedStore(storage.inbox, fate)
        answering = Runner(
            Chat(fate, slow_s, folder / "asked"),
            store,
            {"files": FolderAdapter(platform, fate)},
            {"files": Pacer(clock)},
            clock,
            settings=RunnerSettings(first_retry_s=0.1),
        )
        inbox = Inbox(store, answering, clock, LIMITS)
        drained = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, drained.set)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(inbox.run())
            await asyncio.sleep(0)
            for line in (folder / "messages").read_text().splitlines():
                text, root = line.split("@")
                await inbox.accept(message(text, root))
            fate.reaches("accepted")
            (folder / f"up-{os.getpid()}").touch()
            while not drained.is_set() and await _unsettled(store):
                await asyncio.sleep(0.02)
            await inbox.drain(0.2 if drained.is_set() else 5)
            await running


async def _unsettled(store: Any) -> bool:
    return any([await store.open_runs(user=UserKey("files", "", f"user-{root}")) for root in ("root", "other")])


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)  # no process outlives a test that forgot it
            sys.stdout = open(Path(order["folder"]) / f"log-{os.getpid()}", "w")  # noqa: SIM115 for the process's life
            sys.stderr = sys.stdout
            try:
                asyncio.run(live(Path(order["folder"]), order["die_at"], order["slow_s"]))
            finally:
                sys.stdout.flush()
                os._exit(0 if sys.exc_info()[0] is None else 1)
        print(json.dumps({"pid": pid}), flush=True)
        if order["wait"]:
            os.waitpid(pid, 0)
            print(json.dumps({"ended": pid}), flush=True)


if __name__ == "__main__":
    main()
