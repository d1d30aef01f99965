"""`python -m bot batch --provider-batch`: the whole file to Groq's Batch API, at half the price, within a day.

The batch's id stands beside the file of answers (ANSWERS.batch), so the command may be stopped and given again: it
then waits for the same batch and never pays for a second one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bot.commands.batch_screen import BATCH_PRICE, UNANSWERED, conclude, interrupting, request_of, shown
from bot.commands.workbench import Workbench
from core.base.clock import Clock
from core.base.waiting import wait_for
from core.domain.errors import BadRequest, ModelGone, RequestError, RequestRejected
from core.extraction.batch import PASSING, Answers, BatchLimits, Line, failed, read_lines, worded
from core.extraction.batch import Progress as Counts
from core.gateway.router import Router
from core.providers.batches import MAX_BYTES, MAX_LINES, BatchState, GroqBatches
from core.providers.groq import GroqProvider
from core.providers.wire import chat_body

POLL_S = 20.0


class Ticket(msgspec.Struct, frozen=True):
    """What stands beside the answers while a batch is under way."""

    batch: str
    source: str
    """SHA-256 of the file of prompts."""


async def hand_over(
    bench: Workbench, source: Path, target: Path, answers: Answers, counts: Counts, model: str, clock: Clock
) -> int:
    """Upload, wait, fetch. Returns the exit status. Raises RequestError for a file that Groq would not take."""
    groq = bench.cloud.get("groq")
    if not isinstance(groq, GroqProvider):
        raise BadRequest("--provider-batch needs GROQ_API_KEY")
    batches, note = groq.batches(), target.with_name(target.name + ".batch")
    digest = hashlib.sha256(await asyncio.to_thread(source.read_bytes)).hexdigest()
    ticket = _ticket(note, digest)
    stop = asyncio.Event()
    with interrupting(stop):
        if ticket is None:
            content = b"".join(_bodies(source, model, bench.router, answers, counts, clock))
            if not content:
                return conclude(counts)
            if len(content) > MAX_BYTES or content.count(b"\n") > MAX_LINES:
                raise BadRequest(f"Groq takes {MAX_LINES:,} lines and {MAX_BYTES:,} bytes at once; split the file")
            made = await batches.create(await batches.upload(source.name, content))
            ticket = Ticket(made.id, digest)
            _write(note, ticket)
        print(f"Batch {ticket.batch}. It goes on without this command; given again, it fetches the answers.")
        state = await _wait(batches, ticket.batch, counts, clock, stop)
        if state is None:
            return UNANSWERED
        try:
            await _fetch(batches, state, source, answers, counts, bench)
        except (ModelGone, RequestRejected):
            note.unlink()  # the batch's files are gone: the next start makes a new one of what is left
            raise
    note.unlink()
    if state.problem:
        print(f"Groq says: {state.problem}", file=sys.stderr)
    return conclude(counts)


def _ticket(note: Path, digest: str) -> Ticket | None:
    if not note.exists():
        return None
    ticket = msgspec.json.decode(note.read_bytes(), type=Ticket)
    if ticket.source != digest:
        raise BadRequest(f"{note.name} belongs to another file of prompts; name another file of answers")
    return ticket


def _write(note: Path, ticket: Ticket) -> None:
    """Whole or not at all: a half-written note would hide a batch that costs money."""
    draft = note.with_name(note.name + ".new")
    draft.write_bytes(msgspec.json.encode(ticket))
    os.replace(draft, note)


def _bodies(
    source: Path, model: str, router: Router, answers: Answers, counts: Counts, clock: Clock
) -> Iterator[bytes]:
    """What is not answered yet as lines of the Batch API; a line that cannot be asked is answered here."""
    for entry in read_lines(source, model=model, limits=BatchLimits()):
        line, wrong = entry if isinstance(entry, tuple) else (entry, "")
        if answers.has(line):
            continue
        try:
            if wrong:
                raise BadRequest(wrong)
            request = request_of(line, clock.now() + 86_400.0)
            spec = next((each for each in router.route(request) if each.provider == "groq"), None)
            if spec is None:
                raise BadRequest("no model of Groq can do this")
            body = chat_body(replace(request, requested_model=spec.id), spec, "groq")
        except RequestError as error:
            answers.add(line, failed(line, 400, "invalid_request_error", worded(error)))
            counts.done, counts.failed = counts.done + 1, counts.failed + 1
            counts.errors[worded(error)] += 1
            continue
        body.pop("stream_options", None)
        body["stream"] = False
        # Our number is the id there: theirs need not be unique, ours is.
        entry_json = {"custom_id": str(line.number), "method": "POST", "url": "/v1/chat/completions", "body": body}
        yield msgspec.json.encode(entry_json) + b"\n"


async def _wait(
    batches: GroqBatches, batch_id: str, counts: Counts, clock: Clock, stop: asyncio.Event
) -> BatchState | None:
    """The batch's last state; None when told to stop before."""
    before = counts.done
    with shown(counts) as changed:
        while True:
            state = await batches.state(batch_id)
            counts.done = before + (0 if state.ended else state.completed + state.failed)
            changed(counts)
            if state.ended:
                return state
            if await wait_for(stop, clock, POLL_S):
                counts.done = before
                return None


async def _fetch(
    batches: GroqBatches, state: BatchState, source: Path, answers: Answers, counts: Counts, bench: Workbench
) -> None:
    lines = {line.number: line for line in _lines(source)}
    for file_id in (state.output_file, state.error_file):
        if file_id:
            for raw in (await batches.download(file_id)).splitlines():
                _take(msgspec.json.decode(raw), lines, answers, counts, bench)


def _lines(source: Path) -> Iterator[Line]:
    for entry in read_lines(source, model="", limits=BatchLimits()):
        line = entry[0] if isinstance(entry, tuple) else entry
        yield Line(line.number, line.custom_id, {})


def _take(result: dict[str, Any], lines: dict[int, Line], answers: Answers, counts: Counts, bench: Workbench) -> None:
    """Write one result of theirs as one of ours."""
    line = lines[int(result["custom_id"])]
    if answers.has(line):
        return
    response, error = result.get("response"), result.get("error")
    if response and response.get("status_code") == 200:
        answers.add(line, {"id": f"batch_req_{line.number}", "line": line.number, "custom_id": line.custom_id,
                           "response": response, "error": None})  # fmt: skip
        _count_cost(response.get("body") or {}, counts, bench)
    else:
        said = error or ((response or {}).get("body") or {}).get("error") or {}
        status = int((response or {}).get("status_code") or 500)
        if status in PASSING:
            counts.errors[str(said.get("message") or status)] += 1
            return  # the next call asks again
        answers.add(line, failed(line, status, str(said.get("code") or "server_error"), str(said.get("message") or "")))
        counts.failed += 1
        counts.errors[str(said.get("message") or status)] += 1
    counts.done += 1


def _count_cost(body: dict[str, Any], counts: Counts, bench: Workbench) -> None:
    usage, spec = body.get("usage") or {}, bench.router.spec(str(body.get("model")))
    if spec is None:
        return
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    cost_usd = spec.cost_usd(usage.get("prompt_tokens", 0), cached, usage.get("completion_tokens", 0)) * BATCH_PRICE
    counts.usage = replace(counts.usage, cost_usd=counts.usage.cost_usd + cost_usd)
