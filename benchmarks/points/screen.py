"""Point 4: what a reader sees."""

from __future__ import annotations

import asyncio
from statistics import fmean, geometric_mean, median

from benchmarks.bench import Bench
from benchmarks.figures import Goal, Section, Table, at_most
from benchmarks.points import channels
from benchmarks.screen.scene import STRATEGIES, Hour, Outcome, Place, Scene, cold, last_word_bound_s, play, play_hour

_SPEEDS, _LENGTHS, _ANSWERS = (40, 200, 500), (50, 400, 2_000), (1, 4, 16)
_CROWD = 16
"""No sixteen people ask in one direct message."""


async def measure(bench: Bench) -> Section:
    tables, goals, notes = [], [], []
    places: tuple[Place, ...] = ("Discord", "Slack", "Slack DM")
    for place in places:
        shapes = _shapes(quick=bench.quick)
        scenes = [Scene(place, *shape) for shape in shapes if place != "Slack DM" or shape[2] < _CROWD]
        outcomes = {
            name: [await asyncio.to_thread(play, scene, strategy) for scene in scenes]
            for name, strategy in STRATEGIES.items()
        }
        tables.append(_summary(place, scenes, outcomes))
        if not bench.quick:
            tables.append(_details(place, scenes, outcomes))
        unlearned = [await asyncio.to_thread(cold, scene) for scene in scenes]
        mine = outcomes["Tern"]
        notes.append(f"{place}, before the pacer has seen any answer: {_over_best(scenes, unlearned)} times the best.")
        goals += _goals(place, scenes, mine)
    notes.append(
        "The best is a bound: no schedule that shows each first word at once is better. It is reached where one answer "
        "grows, and up to a fifth below what can be reached where several share few edits, more where an answer has "
        "pages that must wait for their posts."
    )
    tables.append(await _hours(quick=bench.quick))
    crowd = await channels.measure_tern(bench)
    tables.append(crowd.table())
    goals += crowd.goals()
    return Section(
        "4. What the reader sees",
        "Virtual time on the tests' strict platform: 80 ms there and back; Discord 5 posts and 5 edits in 5 s a "
        "channel and 45 calls a second over all, Slack one post a second a channel and 50 edits a minute, in direct "
        "messages 20 streams begun, 20 ended and 100 appends a minute, as the adapters have it. "
        f"{' / '.join(map(str, _SPEEDS))} tokens/s x {' / '.join(map(str, _LENGTHS))} tokens x "
        f"{' / '.join(map(str, _ANSWERS))} answers at once in one place. Tern is its own LiveReply and Pacer after "
        "four answers of that kind; the cadences are those of others (benchmarks/screen/cadences.py), each at its "
        "best: "
        "they wait for the bucket as discord.py does, or repeat as slack_sdk does. The best is computed from the same "
        "bucket, knowing the future (benchmarks/best_schedule.py), or from the posts that an answer's pages need, "
        "where that is more. Times count from the answer's first token to the platform. The crowd of channels at the "
        "end is `python -m bot run` in real time, through discord.py.",
        tuple(tables),
        tuple(goals),
        tuple(notes),
    )


def _shapes(*, quick: bool) -> list[tuple[int, int, int]]:
    if quick:
        return [(200, 400, 1), (200, 400, 4), (500, 400, 16)]
    return [(speed, length, answers) for answers in _ANSWERS for length in _LENGTHS for speed in _SPEEDS]


async def _hours(*, quick: bool) -> Table:
    """Questions as they come: nobody is alone, and nobody knows who comes next."""
    rows = []
    places: tuple[Place, ...] = ("Discord", "Slack")
    for place in places:
        for per_minute in (6,) if quick else (2, 6, 15):
            hour = Hour(place, per_minute)
            outcomes = [await asyncio.to_thread(play_hour, hour, strategy) for strategy in STRATEGIES.values()]
            cells = (f"{one.first_s:.2f} / {one.lag_s:.2f} / {one.latest_s:.1f} / {one.refusals}" for one in outcomes)
            rows.append((place, f"{per_minute}", f"{hour.least_lag_s:.2f}", *cells))
    head = ("", "questions a minute", "alone, s", *STRATEGIES)
    caption = (
        f"### Questions at random moments in one place, {Hour('Slack', 6).minutes} minutes, 20 to 2,000 tokens at 40, "
        "200 or 500 a second\n\nFirst text / mean lag / slowest last word (s) / 429s; Tern has seen nothing before. "
        "Alone: the bound for each answer with the bucket to itself, which nobody can reach among others"
    )
    return Table(head, tuple(rows), caption)


def _over_best(scenes: list[Scene], outcomes: list[Outcome]) -> str:
    ratios = [outcome.lag_s / scene.best_lag_s for scene, outcome in zip(scenes, outcomes, strict=True)]
    return f"{geometric_mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _summary(place: Place, scenes: list[Scene], outcomes: dict[str, list[Outcome]]) -> Table:
    rows = []
    for name, mine in outcomes.items():
        rows.append((
            name,
            f"{median(one.first_s for one in mine):.2f} s",
            f"{fmean(one.lag_s for one in mine):.2f} s",
            _over_best(scenes, mine),
            f"{median(one.last_s for one in mine):.2f} s",
            f"{max(one.latest_s for one in mine):.1f} s",
            f"{sum(one.writes for one in mine):,}",
            f"{sum(one.refusals for one in mine):,}",
        ))  # fmt: skip
    head = (
        *(
            "",
            "first text, median",
            "mean lag",
            "times the best: geometric mean (range)",
            "last token to last word, median",
        ),
        *("slowest", "calls", "429s"),
    )
    return Table(head, tuple(rows), f"### {place}, all {len(scenes)} scenes")


def _details(place: Place, scenes: list[Scene], outcomes: dict[str, list[Outcome]]) -> Table:
    rows = []
    for number, scene in enumerate(scenes):
        mine = outcomes["Tern"][number]
        rivals = [outcomes[name][number] for name in STRATEGIES if name != "Tern"]
        rows.append((
            f"{scene.tokens_per_s}", f"{scene.tokens:,}", f"{scene.answers}", f"{scene.best_lag_s:.2f}",
            *(f"{one.first_s:.2f} / {one.lag_s:.2f} / {one.last_s:.2f} / {one.writes}" for one in (mine, *rivals)),
        ))  # fmt: skip
    head = ("tokens/s", "tokens", "answers", "best lag, s", *STRATEGIES)
    caption = f"{place}, scene by scene: first text / mean lag / last word (s) / calls"
    return Table(head, tuple(rows), caption)


def _goals(place: Place, scenes: list[Scene], mine: list[Outcome]) -> list[Goal]:
    ratios = [outcome.lag_s / scene.best_lag_s for scene, outcome in zip(scenes, mine, strict=True)]
    over = sum(ratio > 1.25 for ratio in ratios)
    late = sum(outcome.latest_s > last_word_bound_s(scene) + 1e-6 for scene, outcome in zip(scenes, mine, strict=True))
    refusals = sum(outcome.refusals for outcome in mine)
    return [
        at_most(
            f"{place}: within 1.25 times the best in mean lag, over all scenes",
            geometric_mean(ratios),
            1.25,
            "times",
            f"{over} of {len(scenes)} scenes above 1.25, the worst {max(ratios):.2f}",
        ),
        Goal(f"{place}: no 429", f"{refusals}", refusals == 0),
        Goal(
            f"{place}: last word within a round trip plus pending finals over the bucket's rate",
            f"{len(scenes) - late} of {len(scenes)} scenes",
            late == 0,
        ),
    ]
