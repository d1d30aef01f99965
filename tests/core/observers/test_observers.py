"""Observers: what the log, the metrics and the usage rows say of a record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from core.domain.errors import KeyRejected, StorageBusy
from core.domain.requests import Attempt, RequestRecord, ShownRecord, Usage
from core.observers.log import LogObserver
from core.observers.metrics import MetricsObserver
from core.observers.usage import QUEUE_ROWS, UsageObserver
from core.wording import reference
from tests.fakes.clock import LoopClock
from tests.fakes.provider import ANN
from tests.fakes.stores import MemoryUsage

Run = Callable[[Coroutine[Any, Any, Any]], Any]

SPENT = Usage(prompt_tokens=100, cached_tokens=40, output_tokens=20, cost_usd=0.25)
BROKEN = Attempt("groq", "big", 0.0, 1.0, 0.2, "StreamBroken", replace(SPENT, estimated=True), "req_1")
ENOUGH = Attempt("groq", "small", 1.0, 1.5, 0.3, "ok", SPENT, "req_2")
RECORD = RequestRecord(
    request_id="run-1",
    kind="chat",
    user=ANN,
    channel_key="slack:C1",
    requested_model="auto",
    started_at=1_800_000_000.0,
    first_text_s=0.21,
    duration_s=2.5,
    outcome="ok",
    model="small",
    provider="groq",
    usage=SPENT + SPENT,
    attempts=(BROKEN, ENOUGH),
    finish="stop",
)
REFUSED = replace(RECORD, outcome="OverLimit", attempts=(), usage=Usage(), first_text_s=None, model="")
HIT = replace(RECORD, outcome="cached", attempts=(), usage=Usage())
SHOWN = ShownRecord("run-1", "slack", first_shown_s=0.4, last_lag_s=0.1, edits=4, pages=1, outcome="ok")


# --- log -------------------------------------------------------------------------------------------------------------


def test_log_line_joins_error_and_provider() -> None:
    """One line carries the reader's code, the request id and the providers' own ids."""
    logger = CapturingLogger()

    LogObserver(logger).request(RECORD)

    (call,) = logger.calls
    assert (call.method_name, call.args) == ("info", ("request",))
    assert call.kwargs["ref"] == reference("run-1")
    assert call.kwargs["provider_request_ids"] == ["req_1", "req_2"]
    assert call.kwargs["first_text_ms"] == 210
    assert call.kwargs["attempts"][0] == "groq/big=StreamBroken 1000ms"


@pytest.mark.parametrize(
    ("outcome", "level"), [("ok", "info"), ("stopped", "info"), ("OverLimit", "info"), ("NoModelLeft", "warning")]
)
def test_level_says_whose_doing_it_was(outcome: str, level: str) -> None:
    """A refusal or a stop is no fault; a failed request is."""
    logger = CapturingLogger()

    LogObserver(logger).request(replace(RECORD, outcome=outcome))

    assert logger.calls[0].method_name == level


def test_operator_is_told_what_to_mend() -> None:
    """A rejected key is an error line of its own."""
    logger = CapturingLogger()

    LogObserver(logger).alert(KeyRejected("invalid key", provider="groq", status=401))

    assert logger.calls[0].method_name == "error"
    assert logger.calls[0].kwargs["provider"] == "groq"


def test_default_logger_is_structlogs() -> None:
    """Without a logger of its own it writes where bot/logs.py says."""
    with structlog.testing.capture_logs() as lines:
        LogObserver().shown(SHOWN)

    assert lines[0]["event"] == "shown"
    assert lines[0]["first_shown_ms"] == 400


# --- metrics ---------------------------------------------------------------------------------------------------------


def value(metrics: MetricsObserver, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_counts_of_a_request() -> None:
    """Requests, attempts, cost and tokens are counted by model, abandoned attempts under their own."""
    metrics = MetricsObserver()

    metrics.request(RECORD)

    assert value(metrics, "tern_requests_total", kind="chat", outcome="ok", model="small") == 1
    assert value(metrics, "tern_attempts_total", provider="groq", model="big", outcome="StreamBroken") == 1
    assert value(metrics, "tern_cost_usd_total", model="big") == 0.25
    assert value(metrics, "tern_tokens_total", model="small", kind="cached") == 40
    assert value(metrics, "tern_fallbacks_total", failed="big", to="small") == 1
    assert value(metrics, "tern_first_text_seconds_sum", model="small") == pytest.approx(0.21)


def test_same_model_again_is_a_retry() -> None:
    """Two attempts on one model are no fallback."""
    metrics = MetricsObserver()

    metrics.request(replace(RECORD, attempts=(replace(ENOUGH, outcome="Overloaded"), ENOUGH)))

    assert value(metrics, "tern_retries_total", model="small") == 1
    assert value(metrics, "tern_fallbacks_total", failed="small", to="small") is None


def test_hits_and_refusals() -> None:
    """A hit and a refusal are counted, and a hit's first text does not flatter the model."""
    metrics = MetricsObserver()

    metrics.request(HIT)
    metrics.request(REFUSED)

    assert value(metrics, "tern_cache_hits_total") == 1
    assert value(metrics, "tern_guard_refusals_total", kind="OverLimit") == 1
    assert value(metrics, "tern_first_text_seconds_count", model="small") is None


def test_what_was_shown() -> None:
    """Time to the first visible words, from the last token to the last edit, and edits, by platform."""
    metrics = MetricsObserver()

    metrics.shown(SHOWN)
    metrics.shown(replace(SHOWN, first_shown_s=None, last_lag_s=None))

    assert value(metrics, "tern_first_visible_seconds_sum", platform="slack") == pytest.approx(0.4)
    assert value(metrics, "tern_last_edit_lag_seconds_count", platform="slack") == 1
    assert value(metrics, "tern_edits_per_answer_sum", platform="slack") == 8


def test_gauges_are_read_when_somebody_looks() -> None:
    """The queue's length is asked for at each scrape."""
    metrics = MetricsObserver()
    queue = [1, 2, 3]
    metrics.gauge("queue_waiting", "Messages that wait.", lambda: len(queue))
    queue.pop()

    body, content_type = metrics.page()

    assert b"tern_queue_waiting 2.0" in body
    assert content_type.startswith("text/plain")


def test_no_label_names_a_person() -> None:
    """Users and places are never labels."""
    metrics = MetricsObserver()

    metrics.request(RECORD)

    body, _ = metrics.page()
    assert RECORD.user.user.encode() not in body
    assert RECORD.channel_key.encode() not in body


# --- usage -----------------------------------------------------------------------------------------------------------


class Books:
    def __init__(self) -> None:
        self.store = MemoryUsage()
        self.logger = CapturingLogger()
        self.usage = UsageObserver(self.store, LoopClock(), self.logger)

    async def run_for(self, duration_s: float) -> None:
        task = asyncio.create_task(self.usage.run())
        await asyncio.sleep(duration_s)
        task.cancel()
        await asyncio.wait([task])


def test_rows_are_written(run_virtual: Run) -> None:
    """A request becomes a row with its sum; a refusal does not."""
    books = Books()
    books.usage.request(RECORD)
    books.usage.request(replace(REFUSED, request_id="run-2"))
    books.usage.request(replace(HIT, request_id="run-3"))

    run_virtual(books.run_for(1.0))

    assert list(books.store.rows) == ["run-1", "run-3"]
    assert books.store.rows["run-1"].usage == SPENT + SPENT
    assert books.store.rows["run-1"].at == RECORD.started_at


def test_locked_database_is_tried_again(run_virtual: Run) -> None:
    """A busy database delays a row, it does not lose it."""
    books = Books()
    books.store.broken = StorageBusy()
    books.usage.request(RECORD)

    async def mend() -> None:
        task = asyncio.create_task(books.run_for(10.0))
        await asyncio.sleep(1.0)
        books.store.broken = None
        await task

    run_virtual(mend())

    assert "run-1" in books.store.rows
    assert books.usage.lost == 0


def test_shutdown_writes_the_rest(run_virtual: Run) -> None:
    """What waits when the task is cancelled is written before it ends."""
    books = Books()

    async def late() -> None:
        task = asyncio.create_task(books.usage.run())
        await asyncio.sleep(1.0)
        books.usage.request(RECORD)
        task.cancel()
        await asyncio.wait([task])

    run_virtual(late())

    assert "run-1" in books.store.rows


def test_dead_database_loses_rows_loudly(run_virtual: Run) -> None:
    """A row that cannot be written at all is given up after a while, and the log says so."""
    books = Books()
    books.store.broken = StorageBusy()
    books.usage.request(RECORD)

    run_virtual(books.run_for(60.0))

    assert books.usage.lost == 1
    assert books.logger.calls[0].kwargs["why"] == "StorageBusy"


def test_queue_is_bounded() -> None:
    """Beyond its bound the oldest row goes; memory does not grow."""
    books = Books()
    for number in range(QUEUE_ROWS + 1):
        books.usage.request(replace(RECORD, request_id=str(number)))

    assert books.usage.waiting == QUEUE_ROWS
    assert books.usage.lost == 1
