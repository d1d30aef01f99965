"""Fallback: what the reader gets, and which models were asked, for each way a model may fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from core.domain import errors as e
from core.domain.events import Notice, Restarted, Started, TextDelta, ToolCallDelta
from core.domain.model_spec import Capability, ModelSpec, Route
from core.domain.requests import ChatRequest, Image, OutputFormat, Reply, Turn, Usage
from core.gateway.attempts import AttemptBook
from core.gateway.circuit_breaker import CircuitBreaker
from core.gateway.context_window import fit
from core.gateway.fallback import PATIENCE_S, Fallback, Signals
from core.gateway.tokens import TokenScale
from core.ports.gateway import Admitted, Later, Never
from tests.core.gateway.continuation.answers import ANSWER, IN_OTHER_WORDS, TOKENS, cut, last_words
from tests.fakes.clock import LoopClock
from tests.fakes.provider import FakeProvider, Heard, Pause, Script, a_model, a_request

Run = Callable[[Coroutine[Any, Any, Any]], Any]

BIG = a_model("big")
SMALL = a_model("small", efforts=(), default_effort=None)
SPARE = a_model("spare", provider="openai")
LOCAL = a_model("tiny", provider="local", tier="local")


class OpenDoors:
    """An Admission that lets everything in unless told otherwise, and keeps account of its tickets."""

    def __init__(self) -> None:
        self.verdicts: dict[str, list[Later | Never]] = {}
        self.open: dict[int, str] = {}
        self.settled: list[tuple[str, Usage | None]] = []
        self.learned: list[tuple[str, str]] = []
        self.allowed = 10_000
        self._tickets = 0

    def admit(self, model: ModelSpec, *, prompt_tokens: int, output_tokens: int) -> Admitted | Later | Never:
        if waiting := self.verdicts.get(model.id):
            return waiting.pop(0)
        self._tickets += 1
        self.open[self._tickets] = model.id
        return Admitted(self._tickets, min(output_tokens, self.allowed))

    def settle(self, ticket: int, usage: Usage | None) -> None:
        self.settled.append((self.open.pop(ticket), usage))

    def read_headers(self, model: ModelSpec, headers: Mapping[str, str]) -> None: ...

    def learn(self, model: ModelSpec, error: e.ProviderError) -> None:
        self.learned.append((model.id, type(error).__name__))


class House:
    """A fallback over one scripted provider for every provider name, and ears for everything it says."""

    def __init__(self, *models: ModelSpec) -> None:
        self.clock = LoopClock()
        self.models = models or (BIG, SMALL, SPARE)
        self.provider = FakeProvider(clock=self.clock)
        self.admission = OpenDoors()
        self.breaker = CircuitBreaker(self.clock)
        self.book = AttemptBook()
        self.heard = Heard()
        self.alerts: list[str] = []
        self.dead: list[str] = []
        self.fallback = Fallback(
            self,
            dict.fromkeys(("groq", "openai", "local"), self.provider),
            self.admission,
            self.breaker,
            self.clock,
            fit,
            TokenScale(),
            self.book,
            Signals(lambda error: self.alerts.append(type(error).__name__), lambda model, why: self.dead.append(model)),
        )

    def route(self, request: ChatRequest) -> Route:
        return Route(self.models, "as the test says")

    async def ask(self, request: ChatRequest | None = None) -> Reply:
        request = request or a_request()
        try:
            return await self.fallback(request, self.heard)
        finally:
            self.book.close(request.request_id)
            assert not self.admission.open, "every ticket is settled"

    @property
    def notices(self) -> list[str]:
        return [notice.kind for notice in self.heard.of(Notice)]


def provider_error(kind: type[e.ProviderError], **facts: Any) -> e.ProviderError:
    return kind("no", **facts)


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (e.KeyRejected, ["big", "spare"]),
        (e.SpendLimitReached, ["big", "spare"]),
        (e.ModelGone, ["big", "small"]),
        (e.ModelBlocked, ["big", "small"]),
        (e.LimitReached, ["big", "small"]),
        (e.TooLargeForLimit, ["big", "small"]),
        (e.ContextTooLong, ["big", "big", "spare"]),
        (e.CallMalformed, ["big", "big", "small"]),
        (e.OutputMalformed, ["big", "big", "small"]),
        (e.Unprocessable, ["big", "small"]),
        (e.RequestRejected, ["big", "small"]),
        (e.Overloaded, ["big", "small"]),
        (e.ConnectionFailed, ["big", "small"]),
        (e.StreamBroken, ["big", "small"]),
        (e.Stalled, ["big", "small"]),
    ],
)
def test_who_is_asked_next(error: type[e.ProviderError], asked: list[str], run_virtual: Run) -> None:
    """Each error leads to the model that the table names; its answer is the reader's (retries are a stage below)."""
    house = House(BIG, SMALL, replace(SPARE, context_window=BIG.context_window * 2))
    house.provider.on("big", [error("no")], [error("no")]).always(["hello"])

    reply = run_virtual(house.ask())

    assert house.provider.models == asked
    assert (reply.text, house.heard.text) == ("hello", "hello")


@pytest.mark.parametrize("error", [ValueError, UnicodeError, KeyError, RecursionError, MemoryError, TimeoutError])
def test_a_defect_leads_to_the_next_model(error: type[Exception], run_virtual: Run, capsys: Any) -> None:
    """Whatever a provider's code raises that is none of our errors is logged, without its words, and passed by."""
    house = House()

    def breaks(request: ChatRequest) -> list[str]:
        raise error("somebody's secret words")

    house.provider.on("big", breaks).always(["hello"])

    reply = run_virtual(house.ask())

    assert (reply.text, house.provider.models) == ("hello", ["big", "small"])
    logged = capsys.readouterr().out
    assert error.__name__ in logged
    assert "breaks" in logged
    assert "secret" not in logged


def test_what_the_reader_raises_is_no_defect(run_virtual: Run) -> None:
    """A page that is gone ends the answer; no other model is paid for it."""
    house = House()
    house.provider.always(["hello"])

    async def gone(event: object) -> None:
        raise ConnectionResetError("the reader is gone")

    async def ask() -> Reply:
        return await house.fallback(a_request(), gone)

    with pytest.raises(ConnectionResetError):
        run_virtual(ask())
    assert house.provider.models == ["big"]


def test_rejected_key_spares_the_whole_provider(run_virtual: Run) -> None:
    """After a 401 no other model of that provider is asked for a while, and the operator hears of it once."""
    house = House()
    house.provider.on("big", [e.KeyRejected()]).always(["hello"])

    async def two_questions() -> None:
        await house.ask()
        await house.ask()

    run_virtual(two_questions())

    assert house.provider.models == ["big", "spare", "spare"]
    assert house.alerts == ["KeyRejected"]


def test_gone_model_is_marked_dead(run_virtual: Run) -> None:
    """A retired model is reported to the registry and to the operator."""
    house = House()
    house.provider.plays([e.ModelGone()], ["hello"])

    run_virtual(house.ask())

    assert (house.dead, house.alerts) == (["big"], ["ModelGone"])


def test_limits_are_learned(run_virtual: Run) -> None:
    """A 429 and a "Request too large" teach the admission, so that the same limit is not run into again."""
    house = House()
    house.provider.plays([e.LimitReached(retry_after_s=40.0)], [e.TooLargeForLimit()], ["hello"])

    run_virtual(house.ask())

    assert house.admission.learned == [("big", "LimitReached"), ("small", "TooLargeForLimit")]


def test_garbled_call_is_asked_for_again_at_a_higher_effort(run_virtual: Run) -> None:
    """tool_use_failed: once more with the next effort the model takes."""
    house = House()
    house.provider.plays([e.CallMalformed()], ["hello"])

    run_virtual(house.ask())

    assert [call.request.effort for call in house.provider.calls] == [None, "high"]


def test_model_without_efforts_gets_temperature_zero(run_virtual: Run) -> None:
    """tool_use_failed where there is no effort to raise: once more at temperature 0."""
    house = House(SMALL)
    house.provider.plays([e.CallMalformed()], ["hello"])

    run_virtual(house.ask())

    assert [call.request.temperature for call in house.provider.calls] == [None, 0.0]


def test_malformed_output_gets_more_tokens(run_virtual: Run) -> None:
    """json_validate_failed: once more with twice the room for the answer."""
    house = House()
    house.provider.plays([e.OutputMalformed()], ["hello"])

    run_virtual(house.ask(a_request(max_output_tokens=500)))

    assert [call.request.max_output_tokens for call in house.provider.calls] == [500, 1000]


def test_too_long_context_is_trimmed_once(run_virtual: Run) -> None:
    """context_length_exceeded: the same model again with less history, and the reader is told."""
    turns = tuple(a_request("word " * 600).turns * 20)
    house = House(replace(BIG, context_window=20_000))
    house.provider.plays([e.ContextTooLong()], ["hello"])

    run_virtual(house.ask(a_request(turns=turns)))

    first, second = (len(call.request.turns) for call in house.provider.calls)
    assert second < first
    assert "trimmed" in house.notices


# --- limits ----------------------------------------------------------------------------------------------------------


def test_used_up_minute_sends_the_request_to_the_next_model(run_virtual: Run) -> None:
    """A window that opens in 8 seconds is not waited for while another model is free."""
    house = House()
    house.admission.verdicts["big"] = [Later("TPM", 8.0)]
    house.provider.plays(["hello"])

    run_virtual(house.ask())

    assert house.provider.models == ["small"]


def test_short_wait_is_waited(run_virtual: Run) -> None:
    """A window that opens within half a second keeps the first choice."""
    house = House()
    house.admission.verdicts["big"] = [Later("RPM", 0.3)]
    house.provider.plays(["hello"])

    run_virtual(house.ask())

    assert house.provider.models == ["big"]


def test_all_windows_used_up_waits_for_the_soonest(run_virtual: Run) -> None:
    """When every model waits for its window, the soonest is waited for once."""
    house = House(BIG, SMALL)
    house.admission.verdicts = {"big": [Later("TPM", 9.0)], "small": [Later("TPM", 4.0)]}
    house.provider.plays(["hello"])

    async def timed() -> float:
        began = house.clock.monotonic()
        await house.ask()
        return house.clock.monotonic() - began

    assert run_virtual(timed()) == pytest.approx(4.0)


def test_waiting_must_fit_patience_and_deadline(run_virtual: Run) -> None:
    """A window that opens after the deadline, or far away, ends the walk at once; the error says when to come back."""
    for wait_s, deadline_s in ((10.0, 5.0), (PATIENCE_S + 1, 600.0)):
        house = House(BIG)
        house.admission.verdicts["big"] = [Later("TPM", wait_s)]

        with pytest.raises(e.NoModelLeft) as failed:
            run_virtual(house.ask(a_request(deadline_at=house_deadline(deadline_s))))

        assert failed.value.retry_after_s == wait_s


def house_deadline(after_s: float) -> float:
    return 1_800_000_000.0 + after_s


def test_request_that_never_fits_goes_on(run_virtual: Run) -> None:
    """Never: the next model is asked, and the error names the limit when nobody can."""
    house = House(BIG)
    house.admission.verdicts["big"] = [Never("TPM", 8000)]

    with pytest.raises(e.NoModelLeft) as failed:
        run_virtual(house.ask())

    assert isinstance(failed.value.errors[0], e.TooLargeForLimit)
    assert failed.value.errors[0].limit == 8000


def test_admitted_output_tokens_reach_the_provider(run_virtual: Run) -> None:
    """What the admission allows is what the model may write."""
    house = House()
    house.admission.allowed = 700
    house.provider.plays(["hello"])

    run_virtual(house.ask())

    assert house.provider.calls[0].request.max_output_tokens == 700


# --- rests -----------------------------------------------------------------------------------------------------------


def test_failed_model_rests(run_virtual: Run) -> None:
    """After a hard failure the next request goes to the next model at once."""
    house = House()
    house.provider.plays([e.Overloaded()], ["one"], ["two"])

    async def two_questions() -> None:
        await house.ask()
        await house.ask()

    run_virtual(two_questions())

    assert house.provider.models == ["big", "small", "small"]


def test_resting_is_never_the_reason_for_silence(run_virtual: Run) -> None:
    """When every model rests, the one that is due soonest is asked all the same."""
    house = House(BIG, SMALL)
    house.provider.plays([e.Overloaded()], [e.Overloaded()], ["hello"])

    async def two_questions() -> Reply:
        with pytest.raises(e.NoModelLeft):
            await house.ask()
        return await house.ask()

    assert run_virtual(two_questions()).text == "hello"


def test_rejected_key_is_the_reason_given_while_the_provider_rests(run_virtual: Run) -> None:
    """A provider that rests is not asked, but its reason is still what the reader hears."""
    house = House(BIG)
    house.provider.plays([e.KeyRejected()])

    async def two_questions() -> None:
        for _ in range(2):
            with pytest.raises(e.NoModelLeft) as failed:
                await house.ask()
            assert isinstance(failed.value.errors[0], e.KeyRejected)

    run_virtual(two_questions())

    assert house.provider.models == ["big"]


# --- what the reader is told -----------------------------------------------------------------------------------------


def test_another_model_is_named(run_virtual: Run) -> None:
    """When the second model answers, the reader is told which and instead of which, before its first word."""
    house = House()
    house.provider.plays([e.Overloaded()], ["hel", "lo"])

    run_virtual(house.ask())

    assert house.heard.events == [
        Started("small", "groq"),
        Notice("fallback", {"model": "small", "wanted": "big"}),
        TextDelta("hel"),
        TextDelta("lo"),
    ]


def test_local_model_says_so(run_virtual: Run) -> None:
    """The small local model is announced, also as the first choice."""
    house = House(LOCAL)
    house.provider.plays(["hello"])

    run_virtual(house.ask())

    assert house.notices == ["local"]


def test_first_model_needs_no_notice(run_virtual: Run) -> None:
    """The model that was meant answers without a word about it."""
    house = House()
    house.provider.plays(["hello"])

    reply = run_virtual(house.ask())

    assert house.notices == []
    assert [attempt.outcome for attempt in reply.attempts] == ["ok"]


def test_model_of_a_provider_without_key_is_passed_by(run_virtual: Run) -> None:
    """A route may name models that nobody can reach; they are no failure."""
    house = House(replace(BIG, provider="elsewhere"), SMALL)
    house.provider.plays(["hello"])

    run_virtual(house.ask())

    assert house.provider.models == ["small"]


@pytest.mark.parametrize(
    ("request_", "missing"),
    [
        (a_request(), "text"),
        (a_request(needs=frozenset({Capability.TOOLS, Capability.TEXT})), "tools"),
        (a_request(turns=(Turn("user", (Image("ref", "image/png"),)),)), "vision"),
        (a_request(output_format=OutputFormat("json_schema", schema={})), "json_schema"),
    ],
)
def test_empty_route_names_what_is_missing(request_: ChatRequest, missing: str, run_virtual: Run) -> None:
    """Where no configured model can do it, the error names the capability."""
    house = House()
    house.models = ()

    with pytest.raises(e.NoModelLeft) as failed:
        run_virtual(house.ask(request_))

    assert failed.value.missing == missing


# --- mid-stream ------------------------------------------------------------------------------------------------------


def say(tokens: Iterable[str], *then: e.ProviderError) -> Script:
    return [*tokens, *then]


CONTINUE: dict[str, Callable[[str, str], Iterable[str]]] = {
    "exactly": lambda shown, rest: [rest[i : i + 5] for i in range(0, len(rest), 5)],
    "last words again": lambda shown, rest: [last_words(shown, 6), rest],
    "sure, continuing": lambda shown, rest: ["Sure, ", "continuing: ", rest],
}


@pytest.mark.parametrize("editable", [True, False], ids=["page", "api"])
@pytest.mark.parametrize("behaviour", CONTINUE)
@pytest.mark.parametrize("after", range(1, len(TOKENS), 3))
def test_broken_answer_is_continued_by_the_next_model(
    behaviour: str, after: int, editable: bool, run_virtual: Run
) -> None:
    """The reader ends up with the original text, and the broken model is not asked again for it."""
    shown, rest = cut(after)
    house = House()
    house.provider.plays(say(TOKENS[:after], e.StreamBroken("closed")), list(CONTINUE[behaviour](shown, rest)))

    reply = run_virtual(house.ask(a_request(editable=editable)))

    assert house.heard.text == ANSWER
    assert reply.text == ANSWER
    assert house.provider.models == ["big", "small"]
    assert [restart.keep_chars for restart in house.heard.of(Restarted)] == [len(shown)]
    assert house.notices == ["continued"]


def test_continuation_is_asked_with_what_was_said(run_virtual: Run) -> None:
    """The second model sees the question, the text so far, and the order to go on."""
    house = House()
    house.provider.plays(say(["Terns fly "], e.Stalled()), ["far."])

    run_virtual(house.ask(a_request("Where to?")))

    turns = house.provider.calls[1].request.turns
    assert [turn.role for turn in turns] == ["user", "assistant", "user"]
    assert turns[1].text == "Terns fly "


def test_starting_over_replaces_the_text_on_a_page(run_virtual: Run) -> None:
    """(d) on an editable surface: the new answer stands alone."""
    house = House()
    house.provider.plays(say(TOKENS[:14], e.StreamBroken()), [IN_OTHER_WORDS])

    reply = run_virtual(house.ask(a_request(editable=True)))

    assert house.heard.text == reply.text == IN_OTHER_WORDS


def test_starting_over_is_refused_where_only_continuing_is_possible(run_virtual: Run) -> None:
    """(d) on an append-only stream: the third model is tried, and its exact continuation is shown."""
    house = House()
    _, rest = cut(14)
    house.provider.plays(say(TOKENS[:14], e.StreamBroken()), [IN_OTHER_WORDS], [rest])

    run_virtual(house.ask())

    assert house.heard.text == ANSWER
    assert house.provider.models == ["big", "small", "spare"]


def test_append_only_stream_without_a_safe_seam_ends_in_an_error(run_virtual: Run) -> None:
    """When nobody continues, what stands stays, and the error carries it."""
    house = House(BIG, SMALL)
    house.provider.plays(say(TOKENS[:14], e.StreamBroken()), [IN_OTHER_WORDS])

    with pytest.raises(e.NoModelLeft) as failed:
        run_virtual(house.ask())

    assert failed.value.partial_text == house.heard.text == "".join(TOKENS[:14])
    assert [type(error) for error in failed.value.errors] == [e.StreamBroken, e.StreamBroken]


def test_two_breaks_in_one_answer(run_virtual: Run) -> None:
    """A continuation that breaks is continued too."""
    house = House()
    house.provider.plays(say(["One two"], e.StreamBroken()), say([" three", " four"], e.StreamBroken()), [" five"])

    reply = run_virtual(house.ask())

    assert reply.text == house.heard.text == "One two three four five"
    assert [attempt.outcome for attempt in reply.attempts] == ["StreamBroken", "StreamBroken", "ok"]


def test_continuation_that_fails_unseen_leaves_no_trace(run_virtual: Run) -> None:
    """Words still held back when the second model fails are never shown; the third continues from the first's."""
    house = House()
    house.provider.plays(say(["Terns fly.\n\n"], e.StreamBroken()), say(["They"], e.Stalled()), ["Then they rest."])

    run_virtual(house.ask(a_request(editable=True)))

    assert house.heard.text == "Terns fly.\n\nThen they rest."
    assert house.provider.calls[2].request.turns[1].text == "Terns fly.\n\n"


def test_continuation_may_end_in_a_tool_call(run_virtual: Run) -> None:
    """Text that broke before a tool call is continued, and the call goes through."""
    house = House()
    call = ToolCallDelta(0, "c1", "look_up", "{}")
    house.provider.plays(say(["Let me"], e.StreamBroken()), ["Let me", " see.", call])

    reply = run_virtual(house.ask())

    assert reply.text == house.heard.text == "Let me see."
    assert reply.tool_calls[0].name == "look_up"
    assert house.heard.of(ToolCallDelta) == [call]


def test_tool_call_instead_of_a_continuation(run_virtual: Run) -> None:
    """A second model that only calls a tool leaves the text as it stands."""
    house = House()
    house.provider.plays(say(["Let me"], e.StreamBroken()), [ToolCallDelta(0, "c1", "look_up", "{}")])

    reply = run_virtual(house.ask())

    assert reply.text == house.heard.text == "Let me"
    assert reply.finish == "tool_calls"


def test_continuation_needs_no_waiting(run_virtual: Run) -> None:
    """A closed socket is noticed at once: nothing sleeps between the break and the next model's first word."""
    house = House()
    house.provider.plays(say(["One two"], e.StreamBroken()), [" three"])

    async def timed() -> float:
        began = house.clock.monotonic()
        await house.ask()
        return house.clock.monotonic() - began

    assert run_virtual(timed()) == 0.0


def test_held_words_go_out_when_time_is_up(run_virtual: Run) -> None:
    """A slow second model whose seam is unclear is shown after half a second all the same."""
    house = House()
    house.provider.plays(say(["Terns fly.\n\n"], e.StreamBroken()), ["They", Pause(0.6), " rest", Pause(60.0), " then"])

    async def look() -> str:
        async with asyncio.timeout(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(house.ask(a_request(editable=True)), 1.0)
        return house.heard.text

    assert run_virtual(look()) == "Terns fly.\n\nThey rest"


def test_broken_tool_call_is_asked_for_again_as_a_whole(run_virtual: Run) -> None:
    """A tool call in flight is never continued: the next model starts anew, with the original request."""
    house = House()
    half = ToolCallDelta(0, "c1", "look_up", '{"q": "te')
    house.provider.plays(
        ["Let me see. ", half, e.StreamBroken()], [ToolCallDelta(0, "c2", "look_up", '{"q": "terns"}')]
    )

    reply = run_virtual(house.ask(a_request(editable=True)))

    assert house.provider.calls[1].request.turns == a_request().turns
    assert house.heard.of(Restarted) == [Restarted("small", 0)]
    assert reply.tool_calls[0].arguments == '{"q": "terns"}'
    assert reply.text == ""


def test_broken_tool_call_ends_an_append_only_stream(run_virtual: Run) -> None:
    """What was said of a call cannot be taken back there, so no other model is asked."""
    house = House()
    house.provider.plays([ToolCallDelta(0, "c1", "look_up", "{"), e.StreamBroken()])

    with pytest.raises(e.NoModelLeft):
        run_virtual(house.ask())

    assert house.provider.models == ["big"]


@pytest.mark.parametrize("editable", [True, False])
def test_broken_json_is_never_continued(editable: bool, run_virtual: Run) -> None:
    """JSON is asked for again as a whole where it may be replaced; elsewhere the stream ends."""
    house = House()
    house.provider.plays(say(['{"a": '], e.StreamBroken()), ['{"a": 1}'])
    request = a_request(editable=editable, output_format=OutputFormat("json_object"))

    if editable:
        assert run_virtual(house.ask(request)).text == house.heard.text == '{"a": 1}'
    else:
        with pytest.raises(e.NoModelLeft):
            run_virtual(house.ask(request))


def test_json_that_fails_before_it_is_shown_goes_to_the_next_model(run_virtual: Run) -> None:
    """Nothing was shown, so nothing is lost, also on an append-only stream."""
    house = House()
    house.provider.plays([e.Overloaded()], ['{"a": 1}'])

    assert run_virtual(house.ask(a_request(output_format=OutputFormat("json_object")))).text == '{"a": 1}'


def test_call_garbled_after_text_is_repeated_on_a_page(run_virtual: Run) -> None:
    """tool_use_failed in mid-stream: once more at a higher effort, and the text before it is replaced."""
    house = House()
    house.provider.plays(["Let me ", e.CallMalformed()], ["Here: terns."])

    run_virtual(house.ask(a_request(editable=True)))

    assert house.provider.models == ["big", "big"]
    assert house.heard.text == "Here: terns."


# --- ends ------------------------------------------------------------------------------------------------------------


def test_everything_fails(run_virtual: Run) -> None:
    """NoModelLeft carries the errors in order and the attempts that were made."""
    house = House()
    house.provider.plays([e.Overloaded()], [e.ModelBlocked()], [e.RequestRejected()])

    with pytest.raises(e.NoModelLeft) as failed:
        run_virtual(house.ask())

    assert [type(error) for error in failed.value.errors] == [e.Overloaded, e.ModelBlocked, e.RequestRejected]
    assert [attempt.model for attempt in failed.value.attempts] == ["big", "small", "spare"]


def test_deadline_ends_the_walk(run_virtual: Run) -> None:
    """At the deadline the provider's stream is closed and what stands is kept."""
    house = House()
    house.provider.plays(["Terns", Pause(100.0), " fly"])

    with pytest.raises(e.NoModelLeft) as failed:
        run_virtual(house.ask(a_request(deadline_at=house_deadline(30.0))))

    assert failed.value.partial_text == "Terns"
    assert house.provider.cancelled == 1
    assert isinstance(failed.value.errors[-1], e.Stalled)


def test_stopping_passes_through_and_is_booked(run_virtual: Run) -> None:
    """A cancelled request closes the stream and leaves its cost, estimated, in the book."""
    house = House()
    house.provider.plays(["Terns fly south ", Pause(100.0), "now"])

    async def stop() -> None:
        task = asyncio.create_task(house.fallback(a_request(), house.heard))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(stop())

    (attempt,) = house.book.of("r1")
    assert (attempt.outcome, attempt.usage.estimated) == ("stopped", True)
    assert attempt.usage.output_tokens > 0
    assert house.admission.settled == [("big", None)]
    assert house.provider.cancelled == 1


def test_usage_adds_up_all_attempts(run_virtual: Run) -> None:
    """The reply's usage holds the abandoned attempt too, as an estimate; a refused call costs nothing."""
    house = House()
    reported = Usage(prompt_tokens=10, output_tokens=5, cost_usd=0.1)
    house.provider.plays([e.Overloaded()], say(["one two"], e.StreamBroken()), [" three", reported])

    reply = run_virtual(house.ask())

    refused, broken, last = reply.attempts
    assert refused.usage == Usage()
    assert broken.usage.estimated
    assert broken.usage.cost_usd > 0
    assert last.usage == reported
    assert reply.usage == broken.usage + reported


def test_first_text_is_timed_per_attempt(run_virtual: Run) -> None:
    """Each attempt says when its own first text came."""
    house = House()
    house.provider.plays([Pause(2.0), e.Overloaded()], [Pause(1.5), "hello"])

    reply = run_virtual(house.ask())

    assert [attempt.first_text_s for attempt in reply.attempts] == [None, 1.5]


def test_reader_that_is_gone_ends_the_call(run_virtual: Run) -> None:
    """An error of the stage outside is not a model's failure: nobody else is asked."""
    house = House()
    house.provider.plays(["hello"])

    async def gone(event: object) -> None:
        raise ConnectionResetError

    async def ask() -> None:
        await house.fallback(a_request(), gone)

    with pytest.raises(ConnectionResetError):
        run_virtual(ask())

    assert house.provider.models == ["big"]
    assert not house.admission.open
