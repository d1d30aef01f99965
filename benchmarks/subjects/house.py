"""The house as `bot.app.build` makes it, with a platform that shows everything at once.

Arguments: "asyncio" or "uvloop", then "running" or "closed" (built and opened, but nothing is dispatched).
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bench import NO_LIMITS
from benchmarks.figures import percentile
from benchmarks.meter import TOKEN_CHARS, Meter, streaming
from benchmarks.remote import obey, rhythm, run_on
from bot.app import App, build
from bot.config import mapping
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from core.delivery.draft import Draft
from core.domain.events import Event, Send, TextDelta
from core.domain.incoming import ConversationKey, Incoming, Quote, UserKey
from core.domain.requests import ChatRequest, Text, Turn
from core.domain.runs import ReplyCapability
from core.inbox.inbox import InboxLimits
from core.ports.platform import AdapterHealth, Commands, Intake, Shown, SurfaceLimits
from core.wording import notice_line

PLATFORM = "web"
_PAGE_CHARS = 1_900
"""As Discord's: long answers are split as they would be there."""

TOML = f"""{NO_LIMITS}
[models."openai/gpt-oss-20b"]
limits = {{ TPM = 1000000000 }}

[models."openai/gpt-oss-120b"]
limits = {{ TPM = 1000000000 }}
"""


class Screen:
    """Shows what it is told without any network; one for all replies."""

    def __init__(self, limits: SurfaceLimits) -> None:
        self.limits = limits
        self.seen: Callable[[str, Shown], None] = lambda conversation, shown: None
        self.gone: Callable[[str], None] = lambda conversation: None


class OneReply:
    """A surface on that screen."""

    def __init__(self, screen: Screen, conversation: str) -> None:
        self._screen = screen
        self._conversation = conversation

    @property
    def limits(self) -> SurfaceLimits:
        return self._screen.limits

    async def post(self, page: int, shown: Shown, nonce: str) -> str:
        self._screen.seen(self._conversation, shown)
        return nonce

    async def edit(self, ref: str, page: int, shown: Shown) -> None:
        self._screen.seen(self._conversation, shown)

    async def remove(self, ref: str, page: int) -> None: ...

    async def find(self, page: int, nonce: str) -> str | None:
        return None

    async def attach(self, name: str, content: bytes, comment: str) -> str:
        return name

    async def busy(self, on: bool) -> None: ...

    async def close(self) -> None:
        self._screen.gone(self._conversation)


class Platform:
    """An adapter whose messages come from this file."""

    name = PLATFORM

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    async def run(self, intake: Intake, commands: Commands) -> None:
        await asyncio.Event().wait()

    async def close_intake(self) -> None: ...

    async def surface(self, incoming: Incoming, reply_id: str, capability: ReplyCapability | None) -> OneReply:
        return OneReply(self._screen, incoming.conversation.root)

    def fetch(self, attachment: Any, incoming: Incoming) -> Any:
        raise NotImplementedError

    async def context(self, incoming: Incoming, *, channel_messages: int = 0) -> Sequence[Quote]:
        return ()

    def health(self) -> AdapterHealth:
        return AdapterHealth("connected")


_numbers = itertools.count(1)


def conversation(root: str) -> ConversationKey:
    return ConversationKey(PLATFORM, "", "bench", root)


def incoming(text: str, root: str = "") -> Incoming:
    """Each from another person, in a conversation of its own unless *root* names one."""
    name = f"m{next(_numbers)}"
    user = UserKey(PLATFORM, "", f"u-{name}")
    return Incoming(name, name, user, conversation(root or name), text, time.time(), direct=True)


class House:
    """What can be asked of it: every public coroutine is a command."""

    def __init__(self, app: App, screen: Screen, folder: Path) -> None:
        self._app = app
        self._screen = screen
        self._folder = folder

    # --- points 1, 2 and 8: the stream ---

    async def stream(self, **wanted: Any) -> Any:
        """Chat service, middleware stack and provider; the text goes into a Draft."""

        async def one(meter: Meter, question: str) -> None:
            await self._answer(question, _into_draft(meter))

        return await streaming(one)(**wanted)

    async def _answer(self, question: str, send: Send, root: str = "") -> None:
        async def no_context() -> Sequence[Quote]:
            return ()

        asked = incoming(question, root)
        deadline_at = time.time() + 600
        await self._app.chat.answer(asked.message_id, asked, context=no_context, send=send, deadline_at=deadline_at)

    async def whole(self, streams: int, chunks: int, burst: int, every_ms: float, hold_ms: float, lags: bool) -> Any:
        """The same through the durable inbox onto the screen; CPU per chunk of everything, start and end included."""
        left = asyncio.Event()
        open_replies = streams

        def gone(_: str) -> None:
            nonlocal open_replies
            open_replies -= 1
            if not open_replies:
                left.set()

        self._screen.gone = gone
        question = rhythm(chunks, burst, every_ms, hold_ms)
        cpu_from = time.process_time()
        for _ in range(streams):
            await self._app.inbox.accept(incoming(question))
        await left.wait()
        cpu_s = time.process_time() - cpu_from
        self._screen.gone = lambda conversation: None
        return {"us_per_chunk": cpu_s / (streams * chunks) * 1e6, "ms_per_answer": cpu_s / streams * 1e3}

    # --- point 3: before the first token ---

    async def first_token(self, count: int) -> Any:
        """One question after the other. Both halves in ms: accept to request received, chunk written to shown."""
        before, after = [], []
        for _ in range(count):
            shown: asyncio.Future[tuple[float, str]] = asyncio.get_running_loop().create_future()
            closed = asyncio.Event()

            def seen(_: str, page: Shown, shown: asyncio.Future[tuple[float, str]] = shown) -> None:
                if not shown.done() and page.text.strip():
                    shown.set_result((time.monotonic(), page.text))

            self._screen.seen = seen
            self._screen.gone = lambda _, closed=closed: closed.set()  # type: ignore[misc]
            accepted_at = time.monotonic()
            await self._app.inbox.accept(incoming(rhythm(4, 1, 0, 20)))
            shown_at, text = await shown
            arrived_us, written_us = text.split()[:2]
            before.append(int(arrived_us) / 1e3 - accepted_at * 1e3)
            after.append(shown_at * 1e3 - int(written_us) / 1e3)
            await closed.wait()
        self._screen.seen = lambda conversation, shown: None
        self._screen.gone = lambda conversation: None
        both = [a + b for a, b in zip(before, after, strict=True)]
        return {
            name: (percentile(values, 0.5), percentile(values, 0.99))
            for name, values in (("before", before), ("after", after), ("both", both))
        }

    # --- point 5: memory ---

    async def rss(self) -> int:
        gc.collect()
        return rss_bytes()

    async def growing(self, answers: int, tokens: int) -> Any:
        """Bytes each growing answer adds, all of them half told; on the screen and in the inbox like any other.

        Counted are those that have not ended when the last one is half told: "growing" of them.
        """
        before = await self.rss()
        half = asyncio.Event()
        grown: dict[str, int] = {}

        def seen(root: str, shown: Shown) -> None:
            grown[root] = max(grown.get(root, 0), len(shown.text))  # a second page begins small
            if len(grown) == answers and min(grown.values()) >= tokens // 2 * TOKEN_CHARS * 0.9:
                half.set()

        closed = asyncio.Event()
        left = answers

        def gone(_: str) -> None:
            nonlocal left
            left -= 1
            if not left:
                closed.set()

        self._screen.seen, self._screen.gone = seen, gone
        cpu_from = time.process_time()
        # Seven tokens a second: the last of a thousand has begun long before the first one ends, although each costs
        # one core 20 ms. Longer pauses would be taken for a stalled model where the machine is busy.
        question = rhythm(tokens, 5, 750, 0)
        for _ in range(answers):
            await self._app.inbox.accept(incoming(question))
        await half.wait()
        growing, during = left, await self.rss()
        await closed.wait()
        self._screen.seen = lambda conversation, shown: None
        self._screen.gone = lambda conversation: None
        cpu_s = time.process_time() - cpu_from
        return {
            "bytes": (during - before) / max(1, growing),
            "growing": growing,
            "after": await self.rss() - before,
            "cpu_ms": cpu_s / answers * 1e3,
        }

    async def fill(self, root: str, turns: int) -> Any:
        """Put *turns* turns into a conversation's history behind the house's back; returns bytes on disk and in RSS."""
        await self._answer(rhythm(2, 1, 0, 0), _nowhere, root)  # warms up; the rows below are what counts
        before, size = await self.rss(), _size(self._folder)
        await asyncio.to_thread(_insert, self._folder / "tern.db", root, turns)
        await self._answer(rhythm(2, 1, 0, 0), _nowhere, root)
        return {"disk_bytes": _size(self._folder) - size, "rss_bytes": await self.rss() - before}

    # --- point 7: storage ---

    async def accepts(self, count: int, tasks: int) -> Any:
        """Accepted messages per second."""
        waiting = [incoming("hello") for _ in range(count)]

        async def work() -> None:
            while waiting:
                await self._app.inbox.accept(waiting.pop())

        began, cpu = time.monotonic(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(work())
        wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
        return {"per_s": count / wall_s, "cpu_us": cpu_s / count * 1e6}

    async def accept_while_growing(self, answers: int, count: int) -> Any:
        """Milliseconds of `accept`: (median, 99 %). What is accepted meanwhile is answered as well."""
        question = rhythm(count, 1, 20, 0)
        for _ in range(answers):
            await self._app.inbox.accept(incoming(question))
        took_ms = []
        for _ in range(count):
            await asyncio.sleep(0.01)
            began = time.monotonic()
            await self._app.inbox.accept(incoming(rhythm(4, 1, 0, 0)))
            took_ms.append((time.monotonic() - began) * 1e3)
        while self._app.inbox.running:
            await asyncio.sleep(0.02)
        return percentile(took_ms, 0.5), percentile(took_ms, 0.99)

    async def cache_hits(self, count: int) -> Any:
        """Microseconds from request to reply for one that is in memory: (median, 99 %)."""
        user = UserKey(PLATFORM, "", "cache")
        turns = (Turn("user", (Text(rhythm(200, 10, 0, 0)),)),)
        request = ChatRequest("c", user, turns, temperature=0.0)
        await self._app._stack(request, _nowhere)
        took_us = []
        for number in range(count):
            asked = replace(request, request_id=f"c{number}")
            began = time.monotonic()
            reply = await self._app._stack(asked, _nowhere)
            took_us.append((time.monotonic() - began) * 1e6)
            assert reply.from_cache
        return percentile(took_us, 0.5), percentile(took_us, 0.99)

    # --- point 8: history ---

    async def history(self, root: str, count: int) -> Any:
        """CPU milliseconds of one short answer in that conversation."""
        cpu_from = time.process_time()
        for _ in range(count):
            await self._answer(rhythm(4, 2, 0, 0), _nowhere, root)
        return (time.process_time() - cpu_from) / count * 1e3


async def _nowhere(event: Event) -> None: ...


def _into_draft(meter: Meter) -> Send:
    draft = Draft(notice_line)

    async def send(event: Event) -> None:
        first = not draft.chars
        draft.apply(event)
        if type(event) is TextDelta:
            if first:
                meter.begin()
            meter.text(event.text)

    return send


def rss_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4_096


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("tern.db*"))


def _insert(path: Path, root: str, count: int) -> None:
    """Questions and answers of sixty words, as settled runs leave them."""
    words = "a tern flies from pole to pole and back every year of its long life " * 4
    with sqlite3.connect(path, timeout=30) as db:
        ours = "platform = ? AND channel = 'bench' AND root = ?"
        row = db.execute(f"SELECT id FROM conversations WHERE {ours}", (PLATFORM, root)).fetchone()
        if row is None:
            columns = (
                "platform, workspace, channel, root, starter_platform, starter_workspace, starter_user, updated_at"
            )
            values = (PLATFORM, "", "bench", root, PLATFORM, "", "u", time.time())
            row = (db.execute(f"INSERT INTO conversations ({columns}) VALUES (?,?,?,?,?,?,?,?)", values).lastrowid,)
        turns = (
            (row[0], number // 2, number % 2, f"old{number // 2}", ("user", "assistant")[number % 2], words)
            for number in range(-count, 0)
        )
        db.executemany(
            "INSERT INTO turns (conversation_id, message_seq, position, message_id, role, platform, workspace, user,"
            f" speaker, at, tokens, words) VALUES (?, ?, ?, ?, ?, '{PLATFORM}', '', 'u', '', 1, 60, ?)",
            turns,
        )
    db.close()


@asynccontextmanager
async def opened(port: int, folder: Path, *, running: bool) -> Any:
    (folder / "tern.toml").write_text(TOML)
    environ = {
        "GROQ_API_KEY": "k",
        "GROQ_BASE_URL": f"http://127.0.0.1:{port}",
        "LOCAL_MODEL": "off",
        "DATA_DIR": str(folder),
        "LOG_LEVEL": "error",
    }
    # 64 answers at once and 1,000 waiting are right for a bot; what grows beyond is measured all the same.
    limits = InboxLimits(concurrency=2_000, queue=1_000_000, messages_per_minute=sys.maxsize)
    mapping.inbox_limits = lambda config: limits  # type: ignore[assignment]
    screen = Screen(SurfaceLimits(max_chars=_PAGE_CHARS))
    settings, config = Settings.from_env(environ), Config.load(folder / "tern.toml")
    async with build(settings, config, instead=lambda storage: Platform(screen)) as app, AsyncExitStack() as stack:
        if running:
            life = asyncio.ensure_future(app.run())
            stack.callback(life.cancel)
            while not app.inbox.open:
                await asyncio.sleep(0.01)
        house = House(app, screen, folder)
        await house._answer(rhythm(4, 1, 0, 0), _nowhere)  # connections and imports
        gc.freeze()  # as bot/commands/running.py
        yield house


async def main() -> None:
    from bot.logs import configure

    configure("error", "json", ())
    port, folder, running = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[4] == "running"
    async with opened(port, folder, running=running) as house:
        names = [name for name in dir(house) if not name.startswith("_")]
        commands: dict[str, Callable[..., Awaitable[Any]]] = {name: getattr(house, name) for name in names}
        await obey(commands)


if __name__ == "__main__":
    run_on(sys.argv[3], main())
