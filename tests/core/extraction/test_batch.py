"""A batch answers every line once, also when it is stopped, killed or refused in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from core.domain.errors import (
    BadRequest,
    ContextTooLong,
    KeyRejected,
    LimitReached,
    NoModelLeft,
    OutputMalformed,
    ProviderError,
    RequestRejected,
    SpendLimitReached,
    TooLargeForLimit,
)
from core.domain.events import Send
from core.domain.requests import ChatRequest, Reply, Text, Turn, Usage
from core.extraction.batch import Answers, Batch, BatchLimits, Line, Progress, read_lines, unreadable
from core.wording import sentence_for
from tests.core.voice.hearing import USER
from tests.fakes.clock import FakeClock

T = TypeVar("T")

LIMITS = BatchLimits(at_once=4, start_with=2, tries=3)


class Model:
    """Echoes the prompt; `busy` prompts find no model that many times, `seen` is everything asked."""

    def __init__(self, busy: Mapping[str, int] = {}) -> None:
        self.busy = dict(busy)
        self.seen: list[str] = []
        self.under_way = self.most = 0
        self.gate: asyncio.Event | None = None
        self.fails: NoModelLeft | None = None

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            await asyncio.sleep(0)
            prompt = request.turns[0].text
            self.seen.append(prompt)
            if self.fails:
                raise self.fails
            if self.busy.get(prompt, 0):
                self.busy[prompt] -= 1
                raise NoModelLeft([LimitReached("full", retry_after_s=2.0)])
            return Reply(prompt.upper(), "m", "groq", Usage(output_tokens=1, cost_usd=0.5))
        finally:
            self.under_way -= 1


def parse(line: Line, deadline_at: float) -> ChatRequest:
    content = line.body["messages"][0]["content"]
    if content == "wrong":
        raise BadRequest("the body is wrong")
    return ChatRequest(f"b{line.number}", USER, (Turn("user", (Text(content),)),), requested_model=line.body["model"])


def render(line: Line, reply: Reply) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"message": {"content": reply.text}}]}


async def in_time(job: Coroutine[Any, Any, T], clock: FakeClock) -> T:
    """*job* while time passes."""
    task = asyncio.ensure_future(job)
    for _ in range(200):
        if task.done():
            break
        await clock.advance(1.0)
    return await task


class Job:
    def __init__(self, folder: Path, clock: FakeClock, model: Model, text: str) -> None:
        self.source, self.target = folder / "in.jsonl", folder / "out.jsonl"
        self.source.write_text(text)
        self.batch = Batch(model, parse, render, clock, limits=LIMITS)
        self.progress = Progress(total=text.count("\n"))

    async def run(self, stop: asyncio.Event | None = None) -> list[dict[str, Any]]:
        answers = Answers(self.target)
        self.progress.before = answers.open()
        try:
            lines = read_lines(self.source, model="auto", limits=LIMITS)
            await self.batch.run(lines, answers, self.progress, stop=stop)
        finally:
            answers.close()
        return [json.loads(line) for line in self.target.read_text().splitlines()]


def by_id(rows: list[dict[str, Any]]) -> dict[str, str | None]:
    return {
        row["custom_id"]: row["response"] and row["response"]["body"]["choices"][0]["message"]["content"]
        for row in rows
    }


async def test_every_form_of_line_is_answered(tmp_path: Path, clock: FakeClock) -> None:
    """Batch lines, prompt objects, JSON strings and plain text are all questions; ids are kept."""
    lines = [
        json.dumps(
            {
                "custom_id": "x",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"messages": [{"role": "user", "content": "one"}]},
            }
        ),
        json.dumps({"prompt": "two", "custom_id": "y"}),
        json.dumps("three"),
        "plain four",
        "",
        "42",
    ]
    rows = await Job(tmp_path, clock, Model(), "\n".join(lines) + "\n").run()

    assert by_id(rows) == {"x": "ONE", "y": "TWO", "line-3": "THREE", "line-4": "PLAIN FOUR", "line-6": "42"}


async def test_bad_lines_get_their_error(tmp_path: Path, clock: FakeClock) -> None:
    """Broken JSON, foreign endpoints, missing prompts and wrong bodies are answered with what is wrong."""
    lines = ['{"prompt": ', '{"custom_id": "e", "url": "/v1/embeddings", "body": {}}', '{"no": 1}', '"wrong"', '"good"']
    rows = await Job(tmp_path, clock, Model(), "\n".join(lines) + "\n").run()

    errors = {row["line"]: row["error"] and row["error"]["message"] for row in rows}
    assert "JSON" in errors[1]
    assert "/v1/embeddings" in errors[2]
    assert "prompt" in errors[3]
    assert errors[4] == "the body is wrong"
    assert errors[5] is None


async def test_second_run_asks_only_what_is_missing(tmp_path: Path, clock: FakeClock) -> None:
    """What stands in the file of answers is never asked or paid again."""
    model = Model()
    job = Job(tmp_path, clock, model, "a\nb\nc\n")
    await job.run()
    first = list(model.seen)

    rows = await job.run()

    assert (len(rows), model.seen) == (3, first)
    assert job.progress.before == 3


async def test_half_written_line_is_done_again(tmp_path: Path, clock: FakeClock) -> None:
    """A run that was killed while it wrote leaves a stump; it is cut off and its line answered anew."""
    job = Job(tmp_path, clock, Model(), "a\nb\nc\n")
    await job.run()
    content = job.target.read_bytes()
    job.target.write_bytes(content[: len(content) - 20])

    rows = await job.run()

    assert sorted(by_id(rows)) == ["line-1", "line-2", "line-3"]
    assert len(rows) == 3


async def test_answers_of_another_file_are_not_mixed(tmp_path: Path, clock: FakeClock) -> None:
    """Going on with the wrong output file is refused before anything is asked."""
    await Job(tmp_path, clock, Model(), '{"prompt": "a", "custom_id": "one"}\n').run()
    model = Model()

    with pytest.raises(BadRequest, match="another file"):
        await Job(tmp_path, clock, model, '{"prompt": "a", "custom_id": "two"}\n').run()
    assert model.seen == []


async def test_something_else_is_not_overwritten(tmp_path: Path, clock: FakeClock) -> None:
    """A file that holds no answers is left as it is."""
    job = Job(tmp_path, clock, Model(), "a\n")
    job.target.write_text("my novel\n")

    with pytest.raises(BadRequest, match="no file of answers"):
        await job.run()
    assert job.target.read_text() == "my novel\n"


async def test_full_providers_are_waited_for(tmp_path: Path, clock: FakeClock) -> None:
    """A line that finds no model waits at least as long as the provider said and is answered then."""
    model = Model(busy={"b": 2})
    task = asyncio.create_task(Job(tmp_path, clock, model, "a\nb\n").run())
    for _ in range(100):
        await clock.advance(0.5)
        if task.done():
            break

    assert by_id(await task) == {"line-1": "A", "line-2": "B"}
    assert clock.monotonic() >= 4


async def test_what_may_pass_is_asked_again_by_the_next_run(tmp_path: Path, clock: FakeClock) -> None:
    """A line that no model could answer just then is no error in the file: tries are bounded, and the same command
    goes on there."""
    model = Model(busy={"b": LIMITS.tries})
    job = Job(tmp_path, clock, model, "a\nb\n")
    rows = await in_time(job.run(), clock)

    assert by_id(rows) == {"line-1": "A"}
    assert model.seen.count("b") == LIMITS.tries
    assert (job.progress.done, job.progress.failed, job.progress.errors.total()) == (1, 0, 1)
    assert by_id(await in_time(job.run(), clock)) == {"line-1": "A", "line-2": "B"}


@pytest.mark.parametrize("error", [KeyRejected("401", provider="groq"), SpendLimitReached("400", provider="groq")])
async def test_a_refused_key_ends_it_at_once(tmp_path: Path, clock: FakeClock, error: ProviderError) -> None:
    """Ten thousand lines need not hear the same; all are left for the next run, and the reason is said."""
    model = Model()
    model.fails = NoModelLeft([error])
    job = Job(tmp_path, clock, model, "".join(f"{n}\n" for n in range(100)))

    rows = await in_time(job.run(), clock)

    assert rows == []
    assert len(model.seen) <= LIMITS.start_with
    assert job.progress.refused == sentence_for(model.fails)


@pytest.mark.parametrize(
    "errors", [[RequestRejected("no")], [ContextTooLong(), TooLargeForLimit("x")], [OutputMalformed("$.a")]]
)
async def test_what_no_hour_mends_is_the_lines_answer(
    tmp_path: Path, clock: FakeClock, errors: list[ProviderError]
) -> None:
    """Asked once, written down with its error, and counted."""
    model = Model()
    model.fails = NoModelLeft(errors)
    job = Job(tmp_path, clock, model, "a\n")

    [row] = await in_time(job.run(), clock)

    assert row["error"]["status_code"] == 400
    assert (model.seen, job.progress.failed) == (["a"], 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'fine\n{"prompt": \n', "line 2: broken JSON"),
        (b"\xff\xfeh\0i\0\n\0", "line 1: not UTF-8"),
        (b"PK\x03\x04\0\0\0\n", "line 1: not UTF-8 text but binary"),
        (b'["a",\n', "line 1: broken JSON"),
    ],
)
def test_what_is_no_file_of_prompts_is_known_beforehand(tmp_path: Path, content: bytes, says: str) -> None:
    """Binary files and broken JSON are found before anything is asked; at most three lines are named."""
    path = tmp_path / "prompts"
    path.write_bytes(content * 20)

    wrong = unreadable(path, LIMITS)

    assert wrong[0].startswith(says)
    assert len(wrong) <= 3


async def test_stop_lets_what_is_under_way_finish(tmp_path: Path, clock: FakeClock) -> None:
    """After Ctrl-C nothing new starts, everything begun is written, and the next run does the rest."""
    model, stop = Model(), asyncio.Event()
    model.gate = asyncio.Event()
    job = Job(tmp_path, clock, model, "".join(f"{n}\n" for n in range(50)))
    task = asyncio.create_task(job.run(stop))
    while model.under_way < LIMITS.start_with:
        await asyncio.sleep(0)
    stop.set()
    model.gate.set()

    assert len(await task) == LIMITS.start_with
    assert len(await job.run()) == 50
    assert sorted(model.seen, key=int) == [str(n) for n in range(50)]


async def test_crowd_is_bounded(tmp_path: Path, clock: FakeClock) -> None:
    """No more requests are under way than allowed."""
    model = Model()

    await Job(tmp_path, clock, model, "".join(f"{n}\n" for n in range(200))).run()

    assert model.most <= LIMITS.at_once


async def test_usage_adds_up(tmp_path: Path, clock: FakeClock) -> None:
    """Cost so far is known at every moment."""
    job = Job(tmp_path, clock, Model(), "a\nb\nwrong\n")

    await job.run()

    assert (job.progress.usage.cost_usd, job.progress.done, job.progress.failed) == (1.0, 3, 1)


async def test_overlong_line_is_refused_and_the_next_is_read(tmp_path: Path, clock: FakeClock) -> None:
    """A line above the limit costs its own answer only, and never the memory of it."""
    limits = BatchLimits(max_line_bytes=100)
    source = tmp_path / "in.jsonl"
    source.write_text("x" * 1000 + "\nshort\n")

    first, second = read_lines(source, model="auto", limits=limits)

    assert isinstance(first, tuple)
    assert isinstance(second, Line)
    assert second.number == 2
