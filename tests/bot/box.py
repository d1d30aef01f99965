"""A house in a box: the whole bot as `bot.app.build` makes it, over a database in a folder and fake providers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import httpx  # noqa: F401 (whole, before a house loads groq in a thread: openai's client stumbles over half of it)

from bot.app import App, build
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from core.domain.incoming import Attachment, ConversationKey, Incoming, UserKey
from core.ports.platform import Receipt
from core.ports.storage import ShownTurn
from tests.fakes.llm_api import KEY, FakeLlmApi

ANN = UserKey("web", "", "local")
CHAT = ConversationKey("web", "", "local", "chat-1")

ENDED = frozenset({"answered", "stopped", "failed", "quarantined"})

_ids = count(1)


class Box:
    """An open house and what a test asks of it."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def says(
        self, text: str, *, conversation: ConversationKey = CHAT, attachments: tuple[Attachment, ...] = ()
    ) -> Receipt:
        """Ann writes *text* on the page."""
        message_id = f"m{next(_ids)}"
        now = self.app.clock.now()
        return await self.app.inbox.accept(
            Incoming(message_id, message_id, ANN, conversation, text, now, attachments, direct=True)
        )

    async def answer(self, reply_id: str, conversation: ConversationKey = CHAT) -> ShownTurn:
        """The reply's stored turn, once its run has ended."""
        async with asyncio.timeout(20):
            while True:
                if (turn := await self.turn(reply_id, conversation)) is not None and turn.state in ENDED:
                    return turn
                await asyncio.sleep(0.02)

    async def turn(self, reply_id: str, conversation: ConversationKey = CHAT) -> ShownTurn | None:
        turns = await self.app.storage.conversations.messages(conversation)
        return next((turn for turn in turns if turn.reply_id == reply_id and turn.role == "assistant"), None)

    async def asks(self, text: str) -> ShownTurn:
        return await self.answer((await self.says(text)).reply_id)

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.app.url + path, **kwargs) as response:
            return response.status, await response.json(content_type=None)


async def until(condition: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Wait for something that happens in real time; looked at every few milliseconds."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def address_of(log: Path) -> str:
    """Where a bot that was started with PORT=0 and logs JSON into *log* listens, once it does."""
    listens = re.compile(r'"part": "page".*"(http://127\.0\.0\.1:\d+)"')
    await until(lambda: listens.search(log.read_text()), within_s=60.0)
    return listens.search(log.read_text())[1]  # type: ignore[index] # it was just found


def keyed(groq: FakeLlmApi | None = None, openai: FakeLlmApi | None = None) -> dict[str, str]:
    """The environment that points the bot at fakes."""
    environ = {}
    if groq is not None:
        environ |= {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": groq.base_url}
    if openai is not None:
        environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": openai.base_url}
    return environ


@asynccontextmanager
async def open_box(folder: Path, environ: dict[str, str], config: str = "") -> AsyncIterator[Box]:
    """Open the house on *folder*, run it, and drain it in the end. The local model is off unless *environ* says so."""
    path = folder / "tern.toml"
    path.write_text(config)
    settings = Settings.from_env(
        {"DATA_DIR": str(folder), "TERN_CONFIG": str(path), "PORT": "0", "LOCAL_MODEL": "off"} | environ
    )
    async with build(settings, Config.load(path)) as app:
        running = asyncio.ensure_future(app.run())
        try:
            await until(lambda: app.inbox.open or running.done())
            yield Box(app)
        finally:
            app.stop()
            await running


def models_asked(api: FakeLlmApi) -> Sequence[str]:
    return [request.model for request in api.asked()]
