"""Many prompts from a file: as many at once as the providers allow, each answered once, going on where it stopped.

Lines in: OpenAI's batch form ({"custom_id", "body"}), {"prompt": "..."}, a JSON string, or plain text. Lines out:
OpenAI's batch result form with the line's number beside it, in any order. The file of answers is the only journal:
what stands there is done, a half-written last line is cut off and done again.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from core.base.clock import Clock
from core.base.waiting import wait_for
from core.domain.errors import (
    BadRequest,
    ContextTooLong,
    KeyRejected,
    ModelBlocked,
    ModelGone,
    NoModelLeft,
    OutputMalformed,
    RequestError,
    RequestRejected,
    SpendLimitReached,
    TernError,
    TooLargeForLimit,
)
from core.domain.events import Event
from core.domain.requests import ChatRequest, Reply, Usage
from core.ports.gateway import Handler
from core.wording import sentence_for


@dataclass(frozen=True, slots=True)
class Line:
    """One line to answer; `number` counts from 1 as editors do."""

    number: int
    custom_id: str
    body: Mapping[str, Any]
    """A /v1/chat/completions body."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    at_once: int = 32
    """Most requests under way; fewer while providers say they are full."""
    start_with: int = 8
    tries: int = 5
    """Of one line that no model could answer just then, in one run; a line that is itself wrong is tried once."""
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    line_deadline_s: float = 300.0
    max_line_bytes: int = 4 * 1024 * 1024


@dataclass(slots=True)
class Progress:
    """Counted while it runs; `done` includes what an earlier run answered."""

    total: int
    done: int = 0
    failed: int = 0
    """Of those: ended with an error that asking again would not mend."""
    before: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """What went wrong, each with how often; for lines that are left as well."""
    refused: str = ""
    """Why nothing more was asked: a provider takes neither this line nor the next."""
    usage: Usage = field(default_factory=Usage)
    at_once: int = 0


class Answers:
    """The file of answers: knows which lines stand in it and adds one line at a time.

    Memory is four bytes for each line of the input, however long its ids and answers are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks = array("I")
        self._file: BinaryIO | None = None

    def open(self) -> int:
        """Read what is there, cut off a half-written last line, open for adding; return how many lines are answered."""
        count = 0
        if self._path.exists():
            with self._path.open("r+b") as present:
                whole = 0
                for raw in present:
                    if not raw.endswith(b"\n"):
                        break
                    try:
                        number, custom_id = _answered(raw)
                    except (msgspec.MsgspecError, KeyError, TypeError) as error:
                        raise BadRequest(f"{self._path.name} is no file of answers; name another one") from error
                    count += not self._mark(number, custom_id)
                    whole += len(raw)
                present.truncate(whole)
        # Opened once for the whole run; closed by `close`.
        self._file = self._path.open("ab")
        return count

    def has(self, line: Line) -> bool:
        """Whether *line* is answered. Raises BadRequest when another input's line was answered under its number."""
        if line.number > len(self._marks) or not self._marks[line.number - 1]:
            return False
        if self._marks[line.number - 1] != _mark_of(line.custom_id):
            raise BadRequest(
                f"{self._path.name} answers another file: line {line.number} there is not {line.custom_id!r}"
            )
        return True

    def add(self, line: Line, answer: Mapping[str, Any]) -> None:
        """Write one answer and hand it to the system at once, so that a kill -9 loses nothing that was paid for."""
        if self._file is None:
            raise RuntimeError("open() comes first")
        # One write call: after a crash the last line is whole or cut, never mixed with another.
        os.write(self._file.fileno(), msgspec.json.encode(answer) + b"\n")
        self._mark(line.number, line.custom_id)

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _mark(self, number: int, custom_id: str) -> bool:
        if number > len(self._marks):
            self._marks.extend([0] * (number - len(self._marks)))
        known = self._marks[number - 1] != 0
        self._marks[number - 1] = _mark_of(custom_id)
        return known


def read_lines(path: Path, *, model: str, limits: BatchLimits) -> Iterator[Line | tuple[Line, str]]:
    """Yield the lines of *path*; a line that cannot be read comes with the reason. Blank lines are passed over."""
    with path.open("rb") as source:
        number = 0
        while raw := source.readline(limits.max_line_bytes + 1):
            number += 1
            if len(raw) > limits.max_line_bytes:
                while not raw.endswith(b"\n") and (raw := source.readline(limits.max_line_bytes)):
                    pass
                yield Line(number, f"line-{number}", {}), f"longer than {limits.max_line_bytes} bytes"
                continue
            if raw.strip():
                yield _line(number, raw, model)


def _line(number: int, raw: bytes, model: str) -> Line | tuple[Line, str]:
    plain = Line(number, f"line-{number}", {})
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return plain, _NO_TEXT
    if "\0" in text:
        return plain, f"{_NO_TEXT} text but binary"
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        if text.startswith(("{", "[")):
            return plain, f"{_BROKEN}: {error}"
        value = text
    if isinstance(value, dict):
        custom_id = str(value.get("custom_id", f"line-{number}"))
        body = value.get("body")
        if isinstance(body, dict):
            if value.get("url", "/v1/chat/completions") != "/v1/chat/completions":
                return Line(number, custom_id, {}), f"only /v1/chat/completions is answered, not {value['url']!r}"
            return Line(number, custom_id, {"model": model, **body})
        prompt = value.get("prompt")
        if not isinstance(prompt, str):
            return Line(number, custom_id, {}), 'neither "body" nor "prompt" is there'
        return Line(number, custom_id, _ask(prompt, model))
    if isinstance(value, str):
        return Line(number, plain.custom_id, _ask(value, model))
    # A number or a list: what somebody wrote as plain text.
    return Line(number, plain.custom_id, _ask(text, model))


def _ask(prompt: str, model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}]}


class Batch:
    """Answers a file's lines through one handler (the stack without cache and per-user guard)."""

    def __init__(
        self,
        handler: Handler,
        parse: Callable[[Line, float], ChatRequest],
        render: Callable[[Line, Reply], Mapping[str, Any]],
        clock: Clock,
        *,
        limits: BatchLimits = BatchLimits(),
    ) -> None:
        """*parse* turns a line and its deadline (epoch) into a request or raises RequestError; *render* makes the
        /v1/chat/completions response body of a reply."""
        self._handler = handler
        self._parse = parse
        self._render = render
        self._clock = clock
        self._limits = limits

    async def run(
        self,
        lines: Iterator[Line | tuple[Line, str]],
        answers: Answers,
        progress: Progress,
        *,
        changed: Callable[[Progress], None] = lambda _: None,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Answer every line that *answers* does not hold yet; a set *stop* lets the lines under way finish.

        Raises:
            OSError: The file of answers cannot be written.
        """
        stop = stop or asyncio.Event()
        pace = _Pace(self._limits)
        try:
            async with asyncio.TaskGroup() as group:
                for entry in lines:
                    line, wrong = entry if isinstance(entry, tuple) else (entry, "")
                    if answers.has(line):
                        continue
                    await pace.enter(stop)
                    if stop.is_set():
                        break
                    group.create_task(self._one(line, wrong, answers, progress, pace, changed, stop))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _one(
        self,
        line: Line,
        wrong: str,
        answers: Answers,
        progress: Progress,
        pace: _Pace,
        changed: Callable[[Progress], None],
        stop: asyncio.Event,
    ) -> None:
        progress.at_once = pace.under_way
        changed(progress)
        try:
            if wrong:
                answer: dict[str, Any] | None = failed(line, 400, "invalid_request_error", wrong)
            else:
                answer = await self._answer(line, progress, pace, stop)
            if answer is None:
                return  # the next run asks again
            answers.add(line, answer)
            progress.done += 1
            if answer["error"] is not None:
                progress.failed += 1
                progress.errors[answer["error"]["message"]] += 1
        finally:
            pace.leave()
            progress.at_once = pace.under_way
            changed(progress)

    async def _answer(self, line: Line, progress: Progress, pace: _Pace, stop: asyncio.Event) -> dict[str, Any] | None:
        wait_s = self._limits.first_wait_s
        for attempt in range(1, self._limits.tries + 1):
            try:
                request = self._parse(line, self._clock.now() + self._limits.line_deadline_s)
                reply = await self._handler(request, _discard)
            except RequestError as error:
                return failed(line, 400, "invalid_request_error", worded(error))
            except NoModelLeft as error:
                pace.full()
                if lasting := _lasting(error):
                    return failed(line, 400, "invalid_request_error", lasting)
                if error.errors and all(isinstance(one, KeyRejected | SpendLimitReached) for one in error.errors):
                    progress.refused = sentence_for(error)
                    stop.set()  # every further line would only hear the same
                if stop.is_set() or attempt == self._limits.tries:
                    progress.errors[sentence_for(error)] += 1
                    return None
                asked = max((failure.retry_after_s or 0.0 for failure in error.errors), default=0.0)
                wait_s *= 2
                if await wait_for(stop, self._clock, min(max(wait_s / 2, asked), self._limits.longest_wait_s)):
                    return None
            except TernError as error:  # a full disk, a locked database: nothing is wrong with the line
                progress.errors[sentence_for(error)] += 1
                return None
            else:
                pace.went_well()
                progress.usage = progress.usage + reply.usage
                return _succeeded(line, self._render(line, reply))
        return None


class _Pace:
    """How many requests may be under way: one more after each round that went well, half after a refusal.

    The admission in front of each model keeps its own minute; this only keeps the crowd before that door small.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._allowed = float(limits.start_with)
        self.under_way = 0
        self._left = asyncio.Event()

    async def enter(self, stop: asyncio.Event) -> None:
        while self.under_way >= int(self._allowed) and not stop.is_set():
            self._left.clear()
            await self._left.wait()
        self.under_way += 1

    def leave(self) -> None:
        self.under_way -= 1
        self._left.set()

    def went_well(self) -> None:
        self._allowed = min(self._allowed + 1 / self._allowed, float(self._limits.at_once))

    def full(self) -> None:
        self._allowed = max(1.0, self._allowed / 2)


def _succeeded(line: Line, body: Mapping[str, Any]) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": str(body.get("id", "")), "body": body}
    return {"id": f"batch_req_{line.number}", "line": line.number, "custom_id": line.custom_id, "response": response,
            "error": None}  # fmt: skip


def _lasting(error: NoModelLeft) -> str:
    """What is wrong with the line itself, or with what is asked of it; "" where another hour may mend it."""
    if error.missing:
        return sentence_for(error)
    if error.errors and all(isinstance(one, _LASTING) for one in error.errors):
        return str(error)
    return ""


_LASTING = (RequestRejected, ContextTooLong, TooLargeForLimit, OutputMalformed, ModelGone, ModelBlocked)

PASSING = frozenset({401, 408, 409, 425, 429, 499, *range(500, 600)})
"""Status codes that say nothing about a line: it is asked again."""


def unreadable(path: Path, limits: BatchLimits) -> list[str]:
    """Why *path* is no file of prompts: its first lines that are no text or broken JSON; nothing where it is one."""
    found: list[str] = []
    for entry in read_lines(path, model="", limits=limits):
        if isinstance(entry, tuple) and entry[1].startswith((_NO_TEXT, _BROKEN)):
            found.append(f"line {entry[0].number}: {entry[1]}")
            if len(found) == _NAMED:
                break
    return found


_NO_TEXT, _BROKEN = "not UTF-8", "broken JSON"
_NAMED = 3


def worded(error: RequestError) -> str:
    """What is wrong with a line, and where."""
    where = error.param if isinstance(error, BadRequest) and error.param else ""
    return f"{where}: {error}" if where else str(error)


def failed(line: Line, status: int, code: str, message: str) -> dict[str, Any]:
    """The result line of a line that came to nothing."""
    error = {"code": code, "message": message, "status_code": status}
    return {"id": f"batch_req_{line.number}", "line": line.number, "custom_id": line.custom_id, "response": None,
            "error": error}  # fmt: skip


def _answered(raw: bytes) -> tuple[int, str]:
    value = msgspec.json.decode(raw)
    return int(value["line"]), str(value["custom_id"])


def _mark_of(custom_id: str) -> int:
    """A check of the id, never 0 (which means "not answered")."""
    return zlib.crc32(custom_id.encode("utf-8", "surrogatepass")) | 1


async def _discard(event: Event) -> None:
    """A batch shows nothing while an answer grows."""
