"""What both kinds of batch share: a line as a request, the progress bar, Ctrl-C, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from adapters.web.api.parse import chat_request, parse_body
from bot.commands.workbench import USER
from core.domain.errors import BadRequest
from core.domain.requests import ChatRequest
from core.extraction.batch import Line
from core.extraction.batch import Progress as Counts

WITH_ERRORS = 1
"""Exit status when every line is done and some ended with an error."""
UNANSWERED = 3
"""Exit status when lines are left: it was stopped, or no model could answer them just then. Run again to go on."""

BATCH_PRICE = 0.5
"""Of the usual one, through Groq's Batch API (facts/groq.md 2, https://console.groq.com/docs/batch)."""


def request_of(line: Line, deadline_at: float) -> ChatRequest:
    """What *line* asks. Raises RequestError."""
    body = parse_body(msgspec.json.encode(line.body))
    if body.n not in (None, 1):
        raise BadRequest("A line has one answer: n must be 1.", param="n")
    return chat_request(body, request_id=f"batch-{line.number}", user=USER, deadline_at=deadline_at)


def conclude(counts: Counts) -> int:
    """Say how it ended; returns the exit status."""
    left = counts.total - counts.done
    said = f"{counts.done:,} of {counts.total:,} lines are answered, {counts.failed:,} of them now with an error"
    print(f"{said}; ${counts.usage.cost_usd:,.4f} this time.", file=sys.stderr)
    if counts.refused:
        print(f"Nothing more was asked: {counts.refused}", file=sys.stderr)
    elif counts.errors:
        [(commonest, times)] = counts.errors.most_common(1)
        print(f"The commonest error, {times:,} of {counts.errors.total():,}: {commonest}", file=sys.stderr)
    if left > 0:
        print(f"{left:,} lines are left: the same command goes on there.", file=sys.stderr)
        return UNANSWERED
    return WITH_ERRORS if counts.failed else 0


@contextlib.contextmanager
def shown(counts: Counts) -> Iterator[Callable[[Counts], None]]:
    """A progress bar on standard error, with rate, cost and time left; only its end where that is no terminal."""
    bar = Progress(
        SpinnerColumn(),
        TimeElapsedColumn(),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("${task.fields[cost]:.4f}"),
        TextColumn("{task.fields[at_once]} at once"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("", total=counts.total, completed=counts.done, rate="", cost=0.0, at_once=0)

        def changed(now: Counts) -> None:
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(
                task,
                completed=now.done,
                rate=f"{speed:,.1f}/s" if speed else "",
                cost=now.usage.cost_usd,
                at_once=now.at_once,
            )

        yield changed


@contextlib.contextmanager
def interrupting(stop: asyncio.Event) -> Iterator[None]:
    """Ctrl-C lets the lines under way finish; a second one breaks them off."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()

    def pressed() -> None:
        if stop.is_set() and me is not None:
            me.cancel()
            return
        print("\nFinishing the lines under way. Ctrl-C again breaks them off.", file=sys.stderr)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, pressed)
    try:
        yield
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        if me is not None:
            me.uncancel()  # what is written stands; how far it came is said yet
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
