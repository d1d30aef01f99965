"""Cache: equal deterministic questions get one answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from core.domain.audience import own_audience
from core.domain.errors import NoModelLeft, OverLimit, StorageBusy
from core.domain.events import Event, Notice, Restarted, Send, Started, TextDelta
from core.domain.requests import Attempt, ChatRequest, Image, OutputFormat, Reasoning, Reply, Text, Tool, Turn, Usage
from core.gateway.cache import Cache, CacheSettings, cache_key, cacheable
from tests.fakes.clock import LoopClock
from tests.fakes.provider import ANN, BEN, Heard, Pause, a_request
from tests.fakes.stores import MemoryCache

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Answer = list[str | Pause | Restarted | Notice | BaseException]

QUESTION = a_request(temperature=0.0)
BENS = replace(QUESTION, request_id="r2", user=BEN)
CARS = replace(QUESTION, request_id="r3", user=replace(BEN, user="car"))


class House:
    """A cache around a handler that plays one scripted answer per call."""

    def __init__(self, *answers: Answer, settings: CacheSettings = CacheSettings()) -> None:
        self.clock = LoopClock()
        self.answers = deque(answers)
        self.asked: list[str] = []
        self.attempts: tuple[Attempt, ...] = (Attempt("groq", "big", 0.0, 1.0, None, "ok", Usage(output_tokens=2)),)
        self.store = MemoryCache(self.clock)
        self.cache = Cache(self.handler, self.store, self.clock, settings)

    async def handler(self, request: ChatRequest, send: Send) -> Reply:
        self.asked.append(request.request_id)
        text = ""
        await send(Started("big", "groq"))
        for step in self.answers.popleft():
            match step:
                case str():
                    text += step
                    await send(TextDelta(step))
                case Pause():
                    await self.clock.sleep(step.duration_s)
                case Restarted():
                    text = text[: step.keep_chars]
                    await send(step)
                case Notice():
                    await send(step)
                case BaseException():
                    raise step
        return Reply(text, "big", "groq", Usage(output_tokens=2, cost_usd=0.1), attempts=self.attempts)

    async def ask(self, request: ChatRequest = QUESTION) -> tuple[str, Reply]:
        heard = Heard()
        reply = await self.cache(request, heard)
        return heard.text, reply

    async def together(self, *requests: ChatRequest) -> list[tuple[str, Reply] | BaseException]:
        return await asyncio.gather(*(self.ask(request) for request in requests), return_exceptions=True)


async def test_answers_do_not_cross_audiences() -> None:
    """What one API key was told is never handed to another, though both ask the same words; its own is."""
    house = House(["one"], ["two"])
    mine, theirs = (replace(QUESTION, user=user, audience=own_audience(user)) for user in (ANN, BEN))

    said = [(await house.ask(request))[0] for request in (mine, theirs, mine)]

    assert said == ["one", "two", "one"]


# --- what is cached --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"temperature": None}, False),
        ({"temperature": 0.1}, False),
        ({"tools": (Tool("search"),)}, False),
        ({"private": True}, False),
    ],
)
def test_only_deterministic_requests(change: dict[str, Any], kept: bool) -> None:
    """Temperature 0, no tools, nothing private."""
    assert cacheable(replace(QUESTION, **change)) is kept


@pytest.mark.parametrize(
    "change",
    [
        {"turns": (Turn("user", (Text("ho"),)),)},
        {"turns": (Turn("system", (Text("hi"),)),)},
        {"turns": (Turn("user", (Text("h"), Text("i"))),)},
        {"turns": (Turn("user", (Image("a", "image/png", data=b"1"),)),)},
        {"requested_model": "quality"},
        {"max_output_tokens": 10},
        {"top_p": 0.5},
        {"stop": ("x",)},
        {"seed": 1},
        {"effort": "high"},
        {"output_format": OutputFormat("json_schema", schema={"type": "object"})},
        {"allow_local": False},
        {"avoid": frozenset({"big"})},
    ],
)
def test_whatever_shapes_the_answer_is_in_the_key(change: dict[str, Any]) -> None:
    """Two requests that may be answered differently have different keys."""
    assert cache_key(replace(QUESTION, **change)) != cache_key(QUESTION)


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "other"},
        {"user": BEN},
        {"deadline_at": 5.0},
        {"editable": True},
        {"channel_key": "slack:C1"},
        {"contributors": frozenset({BEN})},
    ],
)
def test_who_asks_and_where_is_not(change: dict[str, Any]) -> None:
    """The same question by somebody else, somewhere else, has the same key."""
    assert cache_key(replace(QUESTION, **change)) == cache_key(QUESTION)


def test_key_is_canonical() -> None:
    """Order within a schema changes nothing, nor a picture's name; the kind of a part does."""
    one = replace(QUESTION, output_format=OutputFormat("json_schema", schema={"a": 1, "b": 2}))
    two = replace(QUESTION, output_format=OutputFormat("json_schema", schema={"b": 2, "a": 1}))
    assert cache_key(one) == cache_key(two)

    pictures = (replace(QUESTION, turns=(Turn("user", (Image(ref, "image/png", data=b"1"),)),)) for ref in "ab")
    assert len({cache_key(request) for request in pictures}) == 1

    said = replace(QUESTION, turns=(Turn("assistant", (Text("x"),)),))
    thought = replace(QUESTION, turns=(Turn("assistant", (Reasoning("x", "big"),)),))
    assert cache_key(said) != cache_key(thought)


# --- hits ------------------------------------------------------------------------------------------------------------


def test_second_asker_gets_the_first_answer_for_nothing(run_virtual: Run) -> None:
    """A hit is marked, costs nothing, and is not asked for."""
    house = House(["hel", "lo"])

    async def two() -> tuple[str, Reply]:
        await house.ask()
        return await house.ask(BENS)

    text, reply = run_virtual(two())

    assert text == reply.text == "hello"
    assert (reply.from_cache, reply.usage, reply.attempts) == (True, Usage(), ())
    assert house.asked == ["r1"]


def test_answer_expires(run_virtual: Run) -> None:
    """After ten minutes it is asked for again, also past the database."""
    house = House(["one"], ["two"])

    async def later() -> str:
        await house.ask()
        await house.clock.sleep(601.0)
        return (await house.ask())[0]

    assert run_virtual(later()) == "two"


def test_database_stands_behind_the_memory(run_virtual: Run) -> None:
    """What the memory has dropped, or another process found out, comes from the store."""
    house = House(["one"], ["two"], settings=CacheSettings(entries=1))

    async def three() -> str:
        await house.ask()
        await house.ask(replace(QUESTION, seed=1))
        return (await house.ask())[0]

    assert run_virtual(three()) == "one"
    assert len(house.asked) == 2


@pytest.mark.parametrize("row", [b"not json", b'{"text": 1}'])
def test_unreadable_row_is_a_miss(row: bytes, run_virtual: Run) -> None:
    """A row of another format is asked for again."""
    house = House(["one"])
    house.store.rows[cache_key(QUESTION)] = (row, 9e9, frozenset())

    assert run_virtual(house.ask())[0] == "one"


def test_broken_store_breaks_nothing(run_virtual: Run) -> None:
    """A locked database costs a hit, never an answer."""
    house = House(["one"])
    house.store.broken = StorageBusy()

    assert run_virtual(house.ask())[0] == "one"


def test_regenerate_goes_past_and_refreshes(run_virtual: Run) -> None:
    """A fresh answer is asked for, and replaces the old one."""
    house = House(["one"], ["two"])

    async def three() -> list[str]:
        return [(await house.ask(request))[0] for request in (QUESTION, replace(QUESTION, fresh=True), QUESTION)]

    assert run_virtual(three()) == ["one", "two", "two"]


def test_stand_ins_answer_is_not_kept(run_virtual: Run) -> None:
    """An answer that needed a second model is given, not kept: the key means the first."""
    house = House(["one"], ["two"])
    house.attempts = (replace(house.attempts[0], outcome="Overloaded"), *house.attempts)

    async def two() -> str:
        await house.ask()
        return (await house.ask())[0]

    assert run_virtual(two()) == "two"


def test_uncacheable_request_passes_untouched(run_virtual: Run) -> None:
    """Without temperature 0 every request is its own."""
    house = House(["one"], ["two"])

    assert [text for text, _ in run_virtual(house.together(a_request(), a_request()))] == ["one", "two"]


# --- forgetting ------------------------------------------------------------------------------------------------------


def test_rows_name_everybody_whose_words_are_in_them(run_virtual: Run) -> None:
    """Asker and contributors stand in the row, so that `forget` finds it."""
    house = House(["one"])

    run_virtual(house.ask(replace(QUESTION, contributors=frozenset({BEN}))))

    ((_, _, contributors),) = house.store.rows.values()
    assert contributors == {ANN, BEN}


def test_purge_forgets_the_users_answers(run_virtual: Run) -> None:
    """After `forget` the memory holds nothing of that user; others' answers stay."""
    house = House(["anns"], ["bens"])

    async def purge() -> int:
        await house.ask()
        await house.ask(replace(BENS, seed=1))
        return house.cache.purge(ANN)

    assert run_virtual(purge()) == 1


def test_purge_reaches_answers_in_flight(run_virtual: Run) -> None:
    """An answer that was asked for before `forget` is not kept after it."""
    house = House(["one", Pause(1.0)])

    async def purge() -> None:
        task = asyncio.create_task(house.ask())
        await house.clock.sleep(0.5)
        house.cache.purge(ANN)
        await task

    run_virtual(purge())

    assert house.store.rows == {}


# --- in flight -------------------------------------------------------------------------------------------------------


def test_equal_requests_in_flight_share_one_call(run_virtual: Run) -> None:
    """Three people ask at once: one call, three answers, two of them for nothing."""
    house = House([Pause(1.0), "hel", Pause(1.0), "lo"])

    answers = run_virtual(house.together(QUESTION, BENS, CARS))

    assert [text for text, _ in answers] == ["hello"] * 3
    assert [reply.from_cache for _, reply in answers] == [False, True, True]
    assert house.asked == ["r1"]


def test_follower_hears_what_was_said_and_what_comes(run_virtual: Run) -> None:
    """Who joins late gets the beginning at once and the rest as it comes, restarts and notices included."""
    house = House(["one two", Notice("continued"), Pause(1.0), Restarted("small", 4), "three"])
    heard = Heard()

    async def late() -> list[Event]:
        leader = asyncio.create_task(house.ask())
        await house.clock.sleep(0.5)
        follower = asyncio.create_task(house.cache(BENS, heard))
        await asyncio.sleep(0.1)
        before = list(heard.events)
        await asyncio.gather(leader, follower)
        return before

    before = run_virtual(late())

    assert before == [Started("big", "groq"), TextDelta("one two"), Notice("continued")]
    assert heard.text == "one three"


def test_surfaces_that_cannot_edit_fly_apart(run_virtual: Run) -> None:
    """An append-only reader never follows an answer that may be taken back."""
    house = House([Pause(1.0), "one"], [Pause(1.0), "one"])

    run_virtual(house.together(QUESTION, replace(BENS, editable=True)))

    assert house.asked == ["r1", "r2"]


@pytest.mark.parametrize(
    "failure", [OverLimit("user", "requests per minute", limit=1, retry_after_s=1.0), NoModelLeft()]
)
def test_leaders_failure_is_not_shared(failure: Exception, run_virtual: Run) -> None:
    """The leader's refusal is the leader's; a follower asks for itself, and the others follow that one."""
    house = House([Pause(1.0), failure], [Pause(1.0), "hello"])

    anns, bens, cars = run_virtual(house.together(QUESTION, BENS, CARS))

    assert anns is failure
    assert (bens[0], cars[0]) == ("hello", "hello")
    assert house.asked == ["r1", "r2"]


def test_stopped_leader_promotes_a_follower(run_virtual: Run) -> None:
    """Ann presses stop: Ben's answer goes on, from the beginning, without a word twice."""
    house = House(["Terns fly", Pause(9.0)], ["Terns ", "fly", " south"])
    heard = Heard()

    async def stop() -> Reply:
        leader = asyncio.create_task(house.ask())
        await asyncio.sleep(0.1)
        follower = asyncio.create_task(house.cache(BENS, heard))
        await asyncio.sleep(0.1)
        leader.cancel()
        return await follower

    reply = run_virtual(stop())

    assert heard.text == reply.text == "Terns fly south"
    assert heard.of(Restarted) == []
    assert not reply.from_cache


@pytest.mark.parametrize(
    "second", [["Terns ", "sail"], ["Ter"], ["Terns fly"], ["Terns", Restarted("b", 2), "rrific"], ["x", "y"]]
)
def test_promoted_follower_may_differ_on_a_page(second: Answer, run_virtual: Run) -> None:
    """Where the second answer differs, an editable surface is corrected from there."""
    house = House(["Terns fly", Pause(1.0), NoModelLeft()], second)

    _, bens = run_virtual(house.together(replace(QUESTION, editable=True), replace(BENS, editable=True)))

    assert bens[0] == bens[1].text


def test_append_only_follower_gets_an_error_instead(run_virtual: Run) -> None:
    """Where nothing can be taken back, a different second answer ends the stream with what stands."""
    house = House(["Terns fly", Pause(1.0), NoModelLeft()], ["Terns sail"])

    _, bens = run_virtual(house.together(QUESTION, BENS))

    assert isinstance(bens, NoModelLeft)
    assert bens.partial_text == "Terns fly"


def test_follower_keeps_its_own_deadline(run_virtual: Run) -> None:
    """A follower gives up at its own deadline; the leader goes on."""
    house = House(["Terns", Pause(9.0), " fly"])

    anns, bens = run_virtual(house.together(QUESTION, replace(BENS, deadline_at=1_800_000_002.0)))

    assert anns[0] == "Terns fly"
    assert isinstance(bens, NoModelLeft)
    assert bens.partial_text == "Terns"


def test_follower_that_leaves_disturbs_nobody(run_virtual: Run) -> None:
    """A cancelled follower is only that."""
    house = House(["Terns", Pause(1.0), " fly"])

    async def leave() -> str:
        leader = asyncio.create_task(house.ask())
        await asyncio.sleep(0.1)
        follower = asyncio.create_task(house.ask(BENS))
        await asyncio.sleep(0.1)
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower
        return (await leader)[0]

    assert run_virtual(leave()) == "Terns fly"
