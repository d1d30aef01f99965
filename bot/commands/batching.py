"""`python -m bot batch`: a file of prompts in, a file of answers out, going on where it stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.web.api.wire import completion
from bot.commands.batch_screen import BATCH_PRICE, conclude, interrupting, request_of, shown
from bot.commands.workbench import open_workbench
from bot.config.loading import Loaded
from core.base.clock import Clock, SystemClock
from core.domain.errors import BadRequest, ProviderError, RequestError, SettingsError
from core.domain.requests import Reply
from core.domain.schema_checks import SchemaChecks
from core.extraction.batch import Answers, Batch, BatchLimits, Line, read_lines, unreadable
from core.extraction.batch import Progress as Counts
from core.extraction.schema_keeper import SchemaKeeper
from core.gateway.router import Router
from core.gateway.tokens import estimate_request
from core.wording import sentence_for

_ANSWER_TOKENS = 400
"""What an answer is taken to be in an estimate, where the line names no smaller maximum."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a file would take. Costs in USD."""

    lines: int
    unreadable: int
    prompt_tokens: int
    output_tokens: int
    cost_usd: float
    models: Mapping[str, int]
    """Model id -> lines it would answer first."""


def batch(loaded: Loaded, source: Path, target: Path, *, model: str, dry_run: bool, provider_batch: bool) -> int:
    """Answer the lines of *source* into *target*. Returns the exit status: 0 when every line is done."""
    if not source.is_file():
        raise SettingsError([f"{source} is a folder, not a file" if source.is_dir() else f"there is no file {source}"])
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise SettingsError([f"-o: {target} is a folder" if target.is_dir() else f"-o: no folder {target.parent}"])
    if source.resolve() == target.resolve():
        raise SettingsError(["the answers cannot go into the file of prompts"])
    if wrong := unreadable(source, BatchLimits()):
        raise SettingsError([f"{source.name} is no file of prompts, so nothing was asked", *wrong])
    try:
        loaded.registry.resolve(model)
        return asyncio.run(_batch(loaded, source, target, model, dry_run=dry_run, provider_batch=provider_batch))
    except RequestError as error:
        raise SettingsError([str(error)]) from error
    except OSError as error:
        where = error.filename or target
        print(f"{where} cannot be used: {error.strerror or error}. What was answered stands there.", file=sys.stderr)
        return 1
    except ProviderError as error:
        print(f"{sentence_for(error)} ({error.said or error.detail})", file=sys.stderr)
        return 1


async def _batch(loaded: Loaded, source: Path, target: Path, model: str, *, dry_run: bool, provider_batch: bool) -> int:
    clock, limits = SystemClock(), BatchLimits()
    async with open_workbench(loaded, clock) as bench:
        if dry_run:
            print(worded(estimate(read_lines(source, model=model, limits=limits), bench.router, clock)))
            return 0
        answers = Answers(target)
        counts = Counts(total=count_lines(source))
        counts.before = counts.done = answers.open()
        try:
            if provider_batch:
                from bot.commands.provider_batch import hand_over

                return await hand_over(bench, source, target, answers, counts, model, clock)
            return await _answer(bench.handler, source, model, limits, answers, counts, clock)
        finally:
            answers.close()


async def _answer(
    handler: Any, source: Path, model: str, limits: BatchLimits, answers: Answers, counts: Counts, clock: Clock
) -> int:
    stop = asyncio.Event()
    try:
        with shown(counts) as changed, interrupting(stop):
            runner = Batch(SchemaKeeper(handler, SchemaChecks()), request_of, _rendering(clock), clock, limits=limits)
            lines = read_lines(source, model=model, limits=limits)
            await runner.run(lines, answers, counts, changed=changed, stop=stop)
    except KeyboardInterrupt:
        return conclude(counts)
    return conclude(counts)


def _rendering(clock: Clock) -> Callable[[Line, Reply], Mapping[str, Any]]:
    return lambda line, reply: completion(reply, request_id=f"batch-{line.number}", created=int(clock.now()))


def count_lines(source: Path) -> int:
    """How many lines there are to answer; blank ones are none."""
    with source.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def estimate(lines: Iterator[Line | tuple[Line, str]], router: Router, clock: Clock) -> Estimate:
    """Guess tokens and price of *lines* at the first model of each one's route; output tokens are assumed."""
    total = unreadable = prompt = output = 0
    cost_usd = 0.0
    models: dict[str, int] = {}
    for entry in lines:
        total += 1
        try:
            if isinstance(entry, tuple):
                raise BadRequest(entry[1])
            request = request_of(entry, clock.now() + 300.0)
            first = next(iter(router.route(request)), None)
        except RequestError:
            first = None
        if first is None:
            unreadable += 1
            continue
        asked = estimate_request(request)
        said = min(request.max_output_tokens or _ANSWER_TOKENS, _ANSWER_TOKENS)
        prompt, output = prompt + asked, output + said
        cost_usd += first.cost_usd(asked, 0, said)
        models[first.id] = models.get(first.id, 0) + 1
    return Estimate(total, unreadable, prompt, output, cost_usd, models)


def worded(guess: Estimate) -> str:
    """An estimate as lines of text."""
    lines = [
        f"{guess.lines:,} lines, about {guess.prompt_tokens:,} tokens in and {guess.output_tokens:,} out "
        f"(taking an answer to be {_ANSWER_TOKENS} tokens at most).",
        f"About ${guess.cost_usd:,.4f}; ${guess.cost_usd * BATCH_PRICE:,.4f} with --provider-batch.",
        *(f"  {model}: {count:,} lines" for model, count in sorted(guess.models.items())),
    ]
    if guess.unreadable:
        lines.append(f"{guess.unreadable:,} lines cannot be asked; they will be answered with an error.")
    return "\n".join(lines)
