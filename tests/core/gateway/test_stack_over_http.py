"""The whole stack with the real registry, router, admission and providers, against strict fakes of both APIs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from core.base.clock import SystemClock
from core.domain.errors import NoModelLeft
from core.domain.events import Notice, Restarted
from core.domain.requests import Reply, RequestRecord, ShownRecord
from core.gateway.context_window import fit
from core.gateway.fallback import Signals
from core.gateway.quotas import Ceilings, GuardLimits
from core.gateway.rate_limits import RateLimits
from core.gateway.registry import load_registry
from core.gateway.router import Router
from core.gateway.stack import Parts, build_stack
from core.gateway.tokens import TokenScale
from core.providers.groq import GroqProvider
from core.providers.openai import OpenAIProvider
from core.providers.timeouts import Timeouts
from tests.core.gateway.continuation.answers import ANSWER, IN_OTHER_WORDS, TOKENS, cut, last_words
from tests.fakes import llm_api
from tests.fakes.llm_api import KEY, Cut, Disconnect, FakeLlmApi, Say, Script, Stall
from tests.fakes.provider import Heard, a_request
from tests.fakes.stores import MemoryCache, MemoryUsage

SPEED, QUALITY, EYES, LUNA = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b", "gpt-6-luna"
QUICK = Timeouts(first_token_s=1.5, silence_s=0.5, last_words_s=0.1, linger_s=0.05)
"""Real time, because real sockets take part; long enough for a busy machine."""


class HastyClock(SystemClock):
    """Real sockets take part, so time is real; but nobody here waits for a retry."""

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(0)


class House:
    """Everything between a request and the wire."""

    def __init__(self, groq: FakeLlmApi, openai: FakeLlmApi) -> None:
        self.groq, self.openai = groq, openai
        self.heard = Heard()
        self.records: list[RequestRecord] = []
        self.alerts: list[str] = []
        clock = HastyClock()
        self.registry = load_registry()
        scale, admission = TokenScale(), RateLimits(clock)
        self.providers = {
            "groq": GroqProvider(KEY, base_url=groq.base_url, on_headers=admission.read_headers, timeouts=QUICK),
            "openai": OpenAIProvider(KEY, base_url=openai.base_url, on_headers=admission.read_headers, timeouts=QUICK),
        }
        self.registry.serve(self.providers)
        self.stack = build_stack(
            Parts(
                routing=Router(self.registry, scale),
                providers=self.providers,
                admission=admission,
                fit=fit,
                scale=scale,
                cache_store=MemoryCache(clock),
                usage_store=MemoryUsage(),
                observers=[self],
                clock=clock,
                random=lambda: 0.0,
                limits=GuardLimits(user=Ceilings()),
                signals=Signals(lambda error: self.alerts.append(type(error).__name__), self.registry.mark_dead),
            )
        )

    async def ask(self, **changes: object) -> Reply:
        return await self.stack(a_request("How do terns live?", **changes), self.heard)

    def request(self, record: RequestRecord) -> None:
        self.records.append(record)

    def shown(self, record: ShownRecord) -> None: ...

    async def close(self) -> None:
        for provider in self.providers.values():
            await provider.close()

    @property
    def asked(self) -> list[str]:
        """Models in the order they were asked, over the wire."""
        calls = [*self.groq.asked(), *self.openai.asked()]
        return [str(call.body["model"]) for call in calls]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with FakeLlmApi("groq") as groq, FakeLlmApi("openai") as openai:
        house = House(groq, openai)
        yield house
        await house.close()


@pytest.mark.parametrize(
    ("failure", "asked", "alert"),
    [
        pytest.param(llm_api.decommissioned(SPEED), [SPEED, QUALITY], "ModelGone", id="400 decommissioned"),
        pytest.param(llm_api.model_not_found(SPEED), [SPEED, QUALITY], "ModelGone", id="404 not found"),
        pytest.param(llm_api.tool_use_failed(), [SPEED, SPEED], "", id="400 tool_use_failed"),
        pytest.param(llm_api.output_parse_failed(), [SPEED, SPEED], "", id="400 output_parse_failed"),
        pytest.param(llm_api.json_validate_failed(), [SPEED, SPEED], "", id="400 json_validate_failed"),
        pytest.param(
            llm_api.bad_request("Please reduce the length of the messages", code="context_length_exceeded"),
            [SPEED, SPEED],
            "",
            id="400 context_length_exceeded",
        ),
        pytest.param(
            llm_api.bad_request("unsupported", param="top_p"),
            [SPEED, QUALITY],
            "RequestRejected",
            id="400 bad parameter",
        ),
        pytest.param(llm_api.spend_limit(), [SPEED, LUNA], "SpendLimitReached", id="400 spend limit"),
        pytest.param(llm_api.unauthorised(), [SPEED, LUNA], "KeyRejected", id="401"),
        pytest.param(llm_api.forbidden(SPEED), [SPEED, QUALITY], "ModelBlocked", id="403 permission"),
        pytest.param(llm_api.html_page(), [SPEED, QUALITY], "ModelBlocked", id="403 Cloudflare"),
        pytest.param(llm_api.too_large("TPM"), [SPEED, QUALITY], "", id="413 too large"),
        pytest.param(llm_api.too_large("OTPM"), [SPEED, QUALITY], "", id="429 too large"),
        pytest.param(llm_api.unprocessable(), [SPEED, SPEED], "", id="422"),
        pytest.param(llm_api.rate_limited("TPM", wait="6s"), [SPEED, QUALITY], "", id="429 minute"),
        pytest.param(llm_api.rate_limited("TPM", wait="1s"), [SPEED, SPEED], "", id="429 a second"),
        pytest.param(llm_api.rate_limited("TPD", wait="8m45s"), [SPEED, QUALITY], "", id="429 day"),
        pytest.param(llm_api.busy(498), [SPEED, SPEED], "", id="498"),
        pytest.param(llm_api.busy(500), [SPEED, SPEED], "", id="500"),
        pytest.param(llm_api.busy(502), [SPEED, SPEED], "", id="502"),
        pytest.param(llm_api.over_capacity(SPEED), [SPEED, SPEED], "", id="503"),
        pytest.param(llm_api.over_capacity(SPEED, retry_after_s=30), [SPEED, QUALITY], "", id="503 come back later"),
        pytest.param(Disconnect(), [SPEED, SPEED], "", id="closed before the first byte"),
        pytest.param(Cut("Terns", after=0), [SPEED, SPEED], "", id="closed before the first token"),
        pytest.param(Stall(), [SPEED, QUALITY], "", id="silence"),
    ],
)
async def test_status_table(house: House, failure: Script, asked: list[str], alert: str) -> None:
    """facts/groq.md 3, line by line: who is asked next, and whether the operator hears of it. The reader only sees the
    answer."""
    house.groq.plays(SPEED, failure)

    reply = await house.ask()

    assert house.asked == asked
    assert house.alerts == ([alert] if alert else [])
    assert reply.text == house.heard.text == "All right."
    assert house.records[0].attempts[-1].outcome == "ok"


@pytest.mark.parametrize("failure", [llm_api.too_large("TPM"), llm_api.rate_limited("TPD", wait="8m45s")])
async def test_the_same_limit_is_not_run_into_twice(house: House, failure: Script) -> None:
    """After a 413 or a used-up day the next question goes past that model without asking it."""
    house.groq.plays(SPEED, failure)
    large = {"max_output_tokens": 4_000, "turns": a_request("word " * 8_000).turns}

    await house.ask(**large)
    await house.ask(**large, request_id="r2")

    assert house.asked == [SPEED, QUALITY, QUALITY]


BEHAVIOURS: dict[str, Callable[[str, str], str]] = {
    "exactly": lambda shown, rest: rest,
    "last words again": lambda shown, rest: last_words(shown, 6) + rest,
    "sure, continuing": lambda shown, rest: "Sure, continuing: " + rest,
}


@pytest.mark.parametrize("editable", [True, False], ids=["page", "api"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("after", range(1, len(TOKENS), 4))
async def test_stream_cut_in_the_middle(house: House, after: int, behaviour: str, editable: bool) -> None:
    """A socket that closes after any token is answered by the next model, and the reader ends up with the original."""
    shown, rest = cut(after)
    house.groq.plays(SPEED, Say(chunks=TOKENS[:after], finish="none"))
    house.groq.plays(QUALITY, Say(BEHAVIOURS[behaviour](shown, rest)))

    reply = await house.ask(editable=editable)

    assert house.heard.text == reply.text == ANSWER
    assert house.asked == [SPEED, QUALITY]
    assert [notice.kind for notice in house.heard.of(Notice)] == ["continued"]


@pytest.mark.parametrize("how", ["socket", "half", "clean", "error_event", "x_groq_error", "garbage"])
async def test_every_way_to_break(house: House, how: str) -> None:
    """However a stream breaks after HTTP 200, the next model goes on."""
    house.groq.plays(SPEED, Cut("Terns fly from pole to pole.", after=3, how=how))  # type: ignore[arg-type]
    house.groq.plays(QUALITY, Say(" pole to pole."))

    await house.ask()

    assert house.heard.text == "Terns fly from pole to pole."


async def test_silence_in_the_middle(house: House) -> None:
    """A stream that falls silent is given up after the stated time, and continued."""
    house.groq.plays(SPEED, Stall("Terns fly from pole to pole.", after=3))
    house.groq.plays(QUALITY, Say(" pole to pole."))

    await house.ask()

    assert house.heard.text == "Terns fly from pole to pole."


async def test_starting_over(house: House) -> None:
    """(d) replaces the text on a page; on an append-only stream the models after it are tried, then it ends there."""
    for model in (QUALITY, EYES):
        house.groq.plays(model, Say(IN_OTHER_WORDS), Say(IN_OTHER_WORDS))
    house.openai.plays(LUNA, Say(IN_OTHER_WORDS))
    house.groq.plays(SPEED, Cut(ANSWER, after=9), Cut(ANSWER, after=9))

    with pytest.raises(NoModelLeft) as failed:
        await house.ask()
    stands = house.heard.text
    assert failed.value.partial_text == stands
    assert ANSWER.startswith(stands)

    second = House(house.groq, house.openai)
    await second.ask(editable=True)
    await second.close()

    assert second.heard.text == IN_OTHER_WORDS
    assert second.heard.of(Restarted) == [Restarted(QUALITY, 0)]


async def test_everything_is_down(house: House) -> None:
    """When no model answers, the errors of all of them are known, and nothing was shown."""
    for api in (house.groq, house.openai):
        api.default = llm_api.busy(500)

    with pytest.raises(NoModelLeft) as failed:
        await house.ask()

    assert {error.model for error in failed.value.errors} == {SPEED, QUALITY, EYES, LUNA}
    assert house.heard.text == ""
