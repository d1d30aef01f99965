"""`extract name, price:number` on a message, thread or file: a readable table, and the data as files."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from core import wording
from core.chat.digest import split
from core.chat.quoting import quoted
from core.chat.service import Answered, Context, ReplyFile
from core.domain.errors import BadRequest, NoModelLeft, OutputMalformed
from core.domain.events import Notice, Send, TextDelta
from core.domain.incoming import WHOLE_THREAD, Incoming
from core.domain.requests import ExtractRequest, Part, Reply, Text, Turn, Usage
from core.extraction.extraction import Extracted, Extraction
from core.extraction.schema import Schema, parse_short, read_schema, rows_of
from core.gateway.tokens import TokenScale
from core.ports.gateway import AttachmentReader
from core.ports.platform import MAX_CHOICE_CHARS, MAX_CHOICES

PRESETS: Mapping[str, tuple[str, str]] = {
    "to-dos": (
        "who does what, until when",
        "who: person who is to do it\nwhat: task\nuntil: date or time, as written",
    ),
    "table": (
        "the facts it holds, one a line",
        "item: what or who it is about\nfact: what is said of it\nvalue: figure, date or name",
    ),
}
"""Name -> (description, short form): what everybody may ask for without writing a schema."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:[eE][+-]?\d+)?\s?%?", re.ASCII)

SHOWN_ROWS = 20
WHOLE_CHARS = 24_000
"""Of text that is read at once, as documents are (core/files/attachments.py)."""
PART_CHARS = 20_000
READ_CHARS = 1_000_000
"""Of one file: fifty parts."""
_AT_ONCE = 4
_CELL_CHARS = 120
_WORD = "extract"


def wanted(incoming: Incoming, saved: Mapping[str, Schema]) -> str | None:
    """The schema that *incoming* asks for: its option, or what follows the word "extract"; "" where it is still to be
    chosen, None for any other message.

    "extract the main idea" is a question: it counts only where what follows is a saved name or a list of fields, and
    something is there to be read: a file, a message pointed at, the thread it is written in.
    """
    if incoming.action == "extract":
        return incoming.options.get("schema") or _after_the_word(incoming.text)
    in_thread = incoming.conversation.root != incoming.message_id and not incoming.direct
    if incoming.action != "ask" or not (incoming.attachments or incoming.quotes or incoming.reply_to or in_thread):
        return None
    asked = _after_the_word(incoming.text)
    if not asked:
        return None
    if asked in saved or asked in PRESETS:
        return asked
    try:
        fields = parse_short(asked)["properties"]
    except BadRequest:
        return None
    # One bare word, or words without a comma or a type, are prose.
    return asked if len(fields) > 1 or ":" in asked else None


def _after_the_word(text: str) -> str:
    word, _, rest = text.strip().lstrip("/").partition(" ")
    return rest.strip() if word.lower().rstrip(":") == _WORD else ""


class Extracting:
    """Implements `Chat` for the action "extract".

    Args:
        saved: Schemas of tern.toml by name, as they are now.
        reader: Hands over whole documents; notes on them would lose rows.
    """

    def __init__(
        self,
        extraction: Extraction,
        saved: Callable[[], Mapping[str, Schema]],
        reader: AttachmentReader | None,
        scale: TokenScale,
    ) -> None:
        self._extraction = extraction
        self._saved = saved
        self._reader = reader
        self._scale = scale

    def choices(self) -> Sequence[tuple[str, str]]:
        """(name, description) of what may be asked for by name."""
        own = [(name, ", ".join(schema.get("properties", {}))[:100]) for name, schema in self._saved().items()]
        return [*((name, about) for name, (about, _) in PRESETS.items()), *own]

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
        """Raises BadRequest for a wrong schema or nothing to read; NoModelLeft naming the field that failed."""
        asked = wanted(incoming, self._saved())
        if not asked:
            return await self._ask_which(send)
        schema = self._schema(asked)
        material = await self._material(incoming, context, send, deadline_at)
        request = ExtractRequest(run_id, incoming.user, (), rows_of(schema), deadline_at=deadline_at)
        found = await self._in_parts(request, in_parts(material), send)
        rows: list[dict[str, Any]] = [row for extracted in found for row in extracted.value["items"]]
        text = table(rows, list(schema.get("properties", {})))
        await send(TextDelta(text))
        usage = sum((extracted.usage for extracted in found), Usage())
        reply = Reply(text, found[-1].model, found[-1].provider, usage)
        question = Turn("user", (Text(incoming.text or f"extract {asked}"),))
        turns = (question, Turn("assistant", (Text(text),)))
        files = (ReplyFile("extracted.json", as_json(rows)), ReplyFile("extracted.csv", as_csv(rows))) if rows else ()
        return Answered(reply, tuple((turn, self._scale.tokens([turn])) for turn in turns), files)

    async def _in_parts(
        self, request: ExtractRequest, parts: Sequence[tuple[Part, ...]], send: Send
    ) -> list[Extracted]:
        """What each part holds, in their order. Half a reading is not passed off as a whole one: all or an error."""
        room, finished = asyncio.Semaphore(_AT_ONCE), 0

        async def one(number: int, part: tuple[Part, ...]) -> Extracted:
            nonlocal finished
            async with room:
                own_id = request.request_id if number == 1 else f"{request.request_id}.part{number}"
                extracted = await self._extraction.extract(
                    replace(request, request_id=own_id, turns=(Turn("user", part),))
                )
            finished += 1
            if len(parts) > 1:
                await send(Notice("tool", {"label": f"Extracting: {finished} of {len(parts)} parts"}))
            return extracted

        await send(Notice("tool", {"label": "Extracting"}))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(number, part)) for number, part in enumerate(parts, start=1)]
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            raise NoModelLeft((first,)) if isinstance(first, OutputMalformed) else first from failures
        return [task.result() for task in tasks]

    async def _ask_which(self, send: Send) -> Answered:
        """The choice is a button under the answer, so it is as durable as the answer."""
        names = tuple(name for name, _ in self.choices() if len(name) <= MAX_CHOICE_CHARS)[:MAX_CHOICES]
        await send(TextDelta(wording.WHICH_SCHEMA))
        return Answered(Reply(wording.WHICH_SCHEMA, "", "", Usage(), choices=names), ())

    def _schema(self, asked: str) -> Schema:
        saved = self._saved()
        if asked in saved:
            return saved[asked]
        if asked in PRESETS:
            return parse_short(PRESETS[asked][1])
        if asked.isidentifier():  # a name that tern.toml knows no more, not a table of one column
            known = ", ".join(name for name, _ in self.choices())
            raise BadRequest(f"there is no schema {asked!r}; known: {known}; or name fields: name, price:number")
        return read_schema(asked)

    async def _material(self, incoming: Incoming, context: Context, send: Send, deadline_at: float) -> tuple[Part, ...]:
        """What stands in the message, its files and what it points at; the thread where there is nothing else."""
        parts: list[Part] = []
        quotes = incoming.quotes
        if WHOLE_THREAD in incoming.options or not (quotes or incoming.attachments):
            quotes = (*quotes, *await context(0))
        if around := quoted(quotes, ""):
            parts.append(Text(around))
        everything = replace(incoming, quotes=quotes)
        if self._reader is not None and (incoming.attachments or any(quote.attachments for quote in quotes)):
            parts += await self._reader.read(everything, send, deadline_at=deadline_at)
        if not parts and incoming.reply_to:
            raise BadRequest(
                'I cannot read that message from here: use "Extract ..." in its own menu, or attach the file'
            )
        if not parts:
            raise BadRequest("there is nothing to extract from: reply to a message, or attach a file")
        return tuple(parts)


def in_parts(material: tuple[Part, ...]) -> list[tuple[Part, ...]]:
    """*material* as it is, or, where it is long text, in parts that fit any context with their answer."""
    texts = [part.text for part in material if isinstance(part, Text)]
    if len(texts) < len(material) or sum(map(len, texts)) <= WHOLE_CHARS:
        return [material]
    return [(Text(piece),) for piece in split("\n\n".join(texts), PART_CHARS)]


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The first rows as a Markdown table, and how many there are."""
    if not rows:
        return "I found nothing that fits."
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in columns) + " |" for row in rows[:SHOWN_ROWS]]
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    more = f"; the first {SHOWN_ROWS} are shown" if len(rows) > SHOWN_ROWS else ""
    return "\n".join([*lines, "", f"{count}{more}. Everything is in the attached files."])


def _cell(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= _CELL_CHARS else text[: _CELL_CHARS - 1] + "…"


def as_json(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(rows), indent=1)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """With a byte order mark, without which spreadsheets take UTF-8 for something else; formulas are defused."""
    out = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(out)
    writer.writerow(map(_plain, columns))
    writer.writerows([_plain(row.get(name)) for name in columns] for row in rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _plain(value: object) -> object:
    """What a spreadsheet would take for a formula gets an apostrophe before it: the words came from anybody. What is
    a number as a whole stays one."""
    if isinstance(value, str):
        formula = value.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
        return f"'{value}" if formula and not _NUMBER.fullmatch(value) else value
    return value if value is None or isinstance(value, int | float | bool) else msgspec.json.encode(value).decode()
