"""A stream that breaks after every token of an answer, seen from outside: the page's own stream, the stored turn, and
the API as the openai package reads it. The second model behaves in five ways; what the reader then sees is written
down here for each.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx  # noqa: F401 (openai looks into it, and the house's thread may have imported half of it)
import openai
import pytest

from adapters.web.markdown import Markdown
from core.domain.incoming import ConversationKey
from tests.bot.box import Box, keyed, open_box
from tests.core.gateway.continuation.answers import ANSWER, IN_OTHER_WORDS, TOKENS, cut, last_words
from tests.fakes.llm_api import FakeLlmApi, Say, Script

SPEED, QUALITY = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
EVERY_CUT = range(len(TOKENS) + 1)
"""Before the first token, after each one, and after the last, where only the end of the stream is missing."""
BLOCK_OPENED, BLOCK_CLOSED = TOKENS.index("```") + 3, len(TOKENS) - 1 - TOKENS[::-1].index("```") + 1
"""After how many tokens the code block has begun and is closed."""
INSTEAD = f"> Answered by {QUALITY}, because {SPEED} cannot just now."
SIDE_BY_SIDE = 16
AT_ONCE = 1_000
"""Tokens in one write: time is real here, and a machine that dawdles between two words would decide about a seam."""
NO_LIMITS = """
[limits]
requests_per_minute = 0
tokens_per_minute = 0
tokens_per_day = 0
cost_per_day_usd = 0
messages_per_minute = 0

[models."openai/gpt-oss-20b"]
limits = { TPM = 1_000_000_000 }

[models."openai/gpt-oss-120b"]
limits = { TPM = 1_000_000_000 }
"""

Second = Callable[[str, str], str]
"""(what was shown, what is missing) -> what the second model says."""


def exactly(shown: str, rest: str) -> str:
    """Where nothing is missing it says the last words and nothing else, as it was told."""
    return rest or last_words(shown, 6)


def last_words_again(shown: str, rest: str) -> str:
    return last_words(shown, 6) + rest


def sure_continuing(shown: str, rest: str) -> str:
    return "Sure, continuing: " + rest


def in_other_words(shown: str, rest: str) -> str:
    return IN_OTHER_WORDS


def fence_gone_wrong(shown: str, rest: str) -> str:
    """Inside the code block it closes and opens it again; right after it, it closes it a second time."""
    tokens = len(TOKENS) - len(_tokens_of(rest))
    if BLOCK_OPENED <= tokens < BLOCK_CLOSED - 1:
        return "```\n\n```python\n" + rest
    return "```\n" + rest if tokens == BLOCK_CLOSED + 1 else exactly(shown, rest)


def _tokens_of(rest: str) -> tuple[str, ...]:
    return next(TOKENS[start:] for start in EVERY_CUT if "".join(TOKENS[start:]) == rest)


@dataclass(frozen=True)
class Seen:
    """What one reader has in the end."""

    text: str
    html: str = ""
    error: str = ""


class Readers:
    """The page and the API's client, both from outside."""

    def __init__(self, box: Box, http: aiohttp.ClientSession) -> None:
        self._box = box
        self._http = http
        self._client = openai.AsyncOpenAI(base_url=f"{box.app.url}/v1", api_key="any", max_retries=0)
        self._gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def everywhere(self, read: Callable[[int], Any]) -> list[Any]:
        """What *read* saw at every cut, in order."""

        async def one(after: int) -> Any:
            async with self._gate, asyncio.timeout(20):
                return await read(after)

        return await asyncio.gather(*(one(after) for after in EVERY_CUT))

    async def page(self, after: int) -> Seen:
        """Ask on the page and follow its stream until the answer is settled."""
        conversation = f"conversation-{after:03}"
        base = f"{self._box.app.url}/page/conversations/{conversation}"
        question = {"message_id": f"message-{after:03}", "text": question_for(after)}
        async with self._http.get(f"{base}/events") as stream:
            async with self._http.post(f"{base}/messages", json=question) as sent:
                reply_id = (await sent.json())["reply_id"]
            blocks: list[str] = []
            async for event, data in frames(stream):
                if event != "reply":
                    continue
                for index, keep, more in data["blocks"]:
                    blocks[index:] = [*blocks[index : index + 1], *blocks[index + 1 :]]
                    blocks.extend([""] * (index + 1 - len(blocks)))
                    blocks[index] = blocks[index][:keep] + more
                del blocks[data["count"] :]
                if data["settled"]:
                    break
        stored = await self._box.turn(reply_id, ConversationKey("web", "", "local", conversation))
        assert stored is not None
        assert stored.text == data["settled"]["text"]
        return Seen(stored.text, "".join(blocks))

    async def api(self, after: int) -> Seen:
        """Read the append-only stream to its end, or to the error in it."""
        text = ""
        try:
            stream = await self._client.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": question_for(after)}], stream=True
            )
            async for chunk in stream:
                text += "".join(choice.delta.content or "" for choice in chunk.choices)
        except openai.APIError as error:
            return Seen(text, error=error.message)
        return Seen(text)


async def frames(stream: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    event = ""
    async for raw in stream.content:
        name, _, value = raw.decode().rstrip("\n").partition(": ")
        if name == "event":
            event = value
        elif name == "data":
            yield event, json.loads(value)


def question_for(after: int) -> str:
    return f"How do terns live? (to be cut after {after} tokens)"


def html_of(text: str) -> str:
    return "".join(block.html for block in Markdown().blocks(text))


def breaking_off(second: Second, then: Second | None = None) -> Callable[[dict[str, Any]], Script]:
    """The first model breaks off where the question says; the next one is *second*, and *then* those after it."""

    def answer(body: dict[str, Any]) -> Script:
        said = json.dumps(body["messages"])
        (after,) = set(map(int, re.findall(r"to be cut after (\d+) tokens", said)))
        if body["model"] == SPEED:
            return Say(chunks=TOKENS[:after], finish="none", burst=AT_ONCE)
        if "was cut off" not in said:
            return Say(ANSWER)
        speaks = second if body["model"] == QUALITY or then is None else then
        return Say(speaks(*cut(after)), burst=AT_ONCE)

    return answer


@asynccontextmanager
async def house(folder: Path, answer: Callable[[dict[str, Any]], Script]) -> AsyncIterator[Readers]:
    """The whole bot between fakes that answer by *answer*, where no model rests after a failure."""
    async with (
        FakeLlmApi("groq") as groq,
        FakeLlmApi("openai") as backup,
        open_box(folder, keyed(groq, backup), NO_LIMITS) as box,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        for api in (groq, backup):
            api.answers(answer)
        groq.limits = {model: {"TPM": 1_000_000_000} for model in groq.models}
        # The cases run side by side, and the first model must be asked in each.
        box.app._stack.breaker.failed = lambda model, error: None  # type: ignore[method-assign]
        yield Readers(box, http)


@pytest.mark.parametrize("second", [exactly, last_words_again, sure_continuing, fence_gone_wrong])
async def test_reader_sees_the_original(tmp_path: Path, second: Second) -> None:
    """(a) exactly, (b) last words again, (c) "Sure, continuing", (e) a fence gone wrong: the original, everywhere."""
    async with house(tmp_path, breaking_off(second)) as readers:
        on_page = await readers.everywhere(readers.page)
        by_api = await readers.everywhere(readers.api)

    assert [seen.text for seen in on_page] == [ANSWER] * len(EVERY_CUT)
    assert on_page[0].html == html_of(f"{INSTEAD}\n\n{ANSWER}")  # nothing was said yet, so nothing is continued
    assert {seen.html for seen in on_page[1:]} == {html_of(ANSWER)}
    assert by_api == [Seen(ANSWER)] * len(EVERY_CUT)


async def test_page_shows_the_new_answer_where_a_model_starts_over(tmp_path: Path) -> None:
    """(d) On the page what stood is replaced by the new answer; before the first token there was nothing to replace."""
    async with house(tmp_path, breaking_off(in_other_words)) as readers:
        on_page = await readers.everywhere(readers.page)

    assert on_page[0].text == ANSWER
    assert [seen.text for seen in on_page[1:]] == [IN_OTHER_WORDS] * len(TOKENS)
    assert {seen.html for seen in on_page[1:]} == {html_of(IN_OTHER_WORDS)}


async def test_api_asks_on_where_a_model_starts_over(tmp_path: Path) -> None:
    """(d) Nothing can be taken back on the API: a model that starts over is left out, and the one after it goes on."""
    async with house(tmp_path, breaking_off(in_other_words, then=exactly)) as readers:
        by_api = await readers.everywhere(readers.api)

    assert by_api == [Seen(ANSWER)] * len(EVERY_CUT)


async def test_api_ends_with_an_error_where_every_model_starts_over(tmp_path: Path) -> None:
    """(d) When all of them start over, the API's stream keeps what it said and ends with an error in it."""
    async with house(tmp_path, breaking_off(in_other_words)) as readers:
        by_api = await readers.everywhere(readers.api)

    assert by_api[0] == Seen(ANSWER)
    assert [seen.text for seen in by_api[1:]] == [cut(after)[0] for after in EVERY_CUT[1:]]
    assert all(seen.error for seen in by_api[1:])
