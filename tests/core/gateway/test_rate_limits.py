"""What each model's windows still carry."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from core.domain.errors import LimitKind, LimitReached, TooLargeForLimit
from core.domain.model_spec import ModelSpec
from core.domain.requests import Usage
from core.gateway.rate_limits import RateLimits
from core.gateway.registry import load_registry
from core.ports.gateway import Admitted, Later, Never
from tests.fakes.clock import FakeClock
from tests.fakes.llm_api.windows import DEVELOPER, FREE_VISION, Windows
from tests.fakes.llm_api.windows import FREE as FREE_PLAN

REGISTRY = load_registry()
SMALL = REGISTRY.get("openai/gpt-oss-20b")
EYES = REGISTRY.get("qwen/qwen3.8-27b")
LUNA = REGISTRY.get("gpt-6-luna")

FREE = {
    "x-ratelimit-limit-requests": "1000",
    "x-ratelimit-remaining-requests": "999",
    "x-ratelimit-reset-requests": "1m26.4s",
    "x-ratelimit-limit-tokens": "8000",
    "x-ratelimit-remaining-tokens": "8000",
    "x-ratelimit-reset-tokens": "0s",
}
PAID = {**FREE, "x-ratelimit-limit-requests": "500000", "x-ratelimit-limit-tokens": "250000"}
PAID |= {"x-ratelimit-remaining-requests": "499999", "x-ratelimit-remaining-tokens": "250000"}


@pytest.fixture
def admission(clock: FakeClock) -> RateLimits:
    return RateLimits(clock)


def admitted(admission: RateLimits, model: ModelSpec, prompt: int, output: int) -> Admitted:
    verdict = admission.admit(model, prompt_tokens=prompt, output_tokens=output)
    assert isinstance(verdict, Admitted), verdict
    return verdict


def limit_reached(
    kind: LimitKind, limit: int | None, retry_after_s: float | None, used: int | None = None
) -> LimitReached:
    error = LimitReached("no", retry_after_s=retry_after_s)
    error.limit_kind, error.limit, error.used = kind, limit, used
    return error


def passed(clock: FakeClock, duration_s: float) -> None:
    """Let time pass where nobody sleeps, without an event loop."""
    advancing = clock.advance(duration_s)
    with suppress(StopIteration):
        while True:
            advancing.send(None)


def too_large(kind: LimitKind, limit: int) -> TooLargeForLimit:
    error = TooLargeForLimit("no")
    error.limit_kind, error.limit = kind, limit
    return error


def test_an_answer_is_shortened_to_what_the_minute_leaves(admission: RateLimits) -> None:
    """Groq counts prompt plus the most the answer may be, before anything runs."""
    assert admitted(admission, SMALL, 5_000, 4_096).max_output_tokens == 3_000


async def test_what_is_reserved_is_gone_until_it_drains(admission: RateLimits, clock: FakeClock) -> None:
    """The second request waits for as long as the bucket needs."""
    admitted(admission, SMALL, 4_000, 4_000)

    later = admission.admit(SMALL, prompt_tokens=1_000, output_tokens=1_000)
    assert later == Later("TPM", pytest.approx((1_000 + 512) * 60 / 8_000))
    await clock.advance(later.wait_s)

    assert admitted(admission, SMALL, 1_000, 1_000).max_output_tokens == 512


def test_what_was_not_used_is_given_back(admission: RateLimits) -> None:
    """Cached tokens do not count."""
    ticket = admitted(admission, SMALL, 4_000, 4_000).ticket

    admission.settle(ticket, Usage(prompt_tokens=4_000, cached_tokens=3_000, output_tokens=500))

    assert admitted(admission, SMALL, 2_500, 4_000).max_output_tokens == 4_000


def test_without_usage_the_estimate_stays(admission: RateLimits) -> None:
    """A stream that was cut is billed for something."""
    admission.settle(admitted(admission, SMALL, 4_000, 4_000).ticket, None)

    assert isinstance(admission.admit(SMALL, prompt_tokens=100, output_tokens=100), Later)


async def test_requests_per_minute_are_counted(admission: RateLimits, clock: FakeClock) -> None:
    """Though no header shows them."""
    admission.read_headers(SMALL, FREE)
    for _ in range(30):
        admission.settle(admitted(admission, SMALL, 1, 1).ticket, Usage())

    assert admission.admit(SMALL, prompt_tokens=1, output_tokens=1) == Later("RPM", pytest.approx(2.0))
    await clock.advance(2.0)
    admitted(admission, SMALL, 1, 1)


def test_a_request_above_a_published_limit_is_tried_once(admission: RateLimits) -> None:
    """The published limits are the free plan's, and the plan is not known yet."""
    assert admitted(admission, SMALL, 20_000, 4_096).max_output_tokens == 4_096


def test_a_request_above_a_confirmed_limit_is_refused_for_good(admission: RateLimits) -> None:
    """The header has shown that it is the free plan."""
    admission.read_headers(SMALL, FREE)

    assert admission.admit(SMALL, prompt_tokens=20_000, output_tokens=4_096) == Never("TPM", 8_000)


def test_another_plan_drops_what_no_header_shows(admission: RateLimits) -> None:
    """A paid key must not be held to the free plan's 30 requests a minute, on no model of the provider."""
    admitted(admission, EYES, 10, 10)
    admission.read_headers(SMALL, PAID)

    for _ in range(200):
        admitted(admission, SMALL, 100, 100)
    for _ in range(40):
        admission.settle(admitted(admission, EYES, 10, 10).ticket, Usage())


def test_limits_that_the_operator_stated_hold(admission: RateLimits) -> None:
    """Without TPM in the table no header can contradict it."""
    stated = replace(SMALL, limits={"RPM": 2})
    admission.read_headers(stated, PAID)

    admitted(admission, stated, 1, 1)
    admitted(admission, stated, 1, 1)

    assert isinstance(admission.admit(stated, prompt_tokens=1, output_tokens=1), Later)


def test_headers_know_of_other_processes(admission: RateLimits) -> None:
    """What remains there is what remains."""
    admission.read_headers(SMALL, {**FREE, "x-ratelimit-remaining-tokens": "200"})

    later = admission.admit(SMALL, prompt_tokens=500, output_tokens=500)

    assert later == Later("TPM", pytest.approx((7_800 + 1_000 - 8_000) * 60 / 8_000))


def test_headers_do_not_forget_what_is_in_flight(admission: RateLimits) -> None:
    """A header may have been written before the provider saw our other requests."""
    admitted(admission, SMALL, 4_000, 3_500)

    admission.read_headers(SMALL, FREE)

    assert isinstance(admission.admit(SMALL, prompt_tokens=1_000, output_tokens=1_000), Later)


def test_headers_do_not_know_of_what_went_out_meanwhile(admission: RateLimits, clock: FakeClock) -> None:
    """They count what was used before, not the request that is still on its way: the minute has to carry both."""
    windows = Windows(lambda model: FREE_PLAN, clock.monotonic)
    for prompt in (1_500, 1_500):
        ticket = admitted(admission, SMALL, prompt, 500).ticket
        assert windows.take(SMALL.id, prompt=prompt, output=500) is None
        admission.settle(ticket, Usage(prompt_tokens=prompt, output_tokens=500))
    headers = windows.headers(SMALL.id)
    admitted(admission, SMALL, 3_000, 500)

    admission.read_headers(SMALL, headers)

    assert isinstance(admission.admit(SMALL, prompt_tokens=1_000, output_tokens=512), Later)


def test_headers_correct_a_count_that_is_too_high(admission: RateLimits) -> None:
    """Of a request that was stopped it is not known what it cost; the provider knows."""
    admission.settle(admitted(admission, SMALL, 4_000, 4_000).ticket, None)

    admission.read_headers(SMALL, {**FREE, "x-ratelimit-remaining-tokens": "6000"})

    assert admitted(admission, SMALL, 1_000, 5_000).max_output_tokens == 5_000


def test_a_filling_that_was_rounded_down_is_not_run_into(admission: RateLimits) -> None:
    """Used 7000 may be 7000.4: a request that fits to the token does not."""
    admission.learn(LUNA, limit_reached("TPM", 8_000, 0.0, used=7_000))

    assert isinstance(admission.admit(LUNA, prompt_tokens=488, output_tokens=512), Later)


def test_openai_counts_requests_by_the_minute(admission: RateLimits) -> None:
    """The same header name, another window."""
    admission.read_headers(LUNA, {**FREE, "x-ratelimit-remaining-requests": "0"})

    assert admission.admit(LUNA, prompt_tokens=1, output_tokens=1) == Later("RPM", pytest.approx(0.06))


@pytest.mark.parametrize("value", ["", "-1", "many", "1.5"])
def test_headers_that_make_no_sense_are_ignored(admission: RateLimits, value: str) -> None:
    """A proxy may rewrite them."""
    admission.read_headers(LUNA, {**FREE, "x-ratelimit-limit-tokens": value, "x-ratelimit-remaining-tokens": value})

    assert isinstance(admission.admit(LUNA, prompt_tokens=100_000, output_tokens=100), Admitted)


async def test_a_day_that_is_used_up_is_not_asked_again(admission: RateLimits, clock: FakeClock) -> None:
    """TPD is in no header: the refusal names window, size and time."""
    admission.learn(LUNA, limit_reached("TPD", 200_000, 525.3))

    assert admission.admit(LUNA, prompt_tokens=1, output_tokens=1) == Later("TPD", pytest.approx(525.3))
    await clock.advance(526)
    admitted(admission, LUNA, 1, 1)


def test_a_refusal_without_a_time_rests_a_little(admission: RateLimits) -> None:
    """And without a size only where the window is known."""
    admission.learn(SMALL, limit_reached("RPM", None, None))
    admission.learn(LUNA, limit_reached("RPM", None, None))

    assert admission.admit(SMALL, prompt_tokens=1, output_tokens=1) == Later("RPM", 5.0)
    admitted(admission, LUNA, 1, 1)


def test_an_output_limit_learned_once_shortens_every_answer(admission: RateLimits) -> None:
    """OTPM 1000: any request with more fails for ever, so it asks for no more."""
    paid = replace(EYES, limits={})
    admission.learn(paid, too_large("OTPM", 1_000))

    assert admitted(admission, paid, 2_000, 4_096).max_output_tokens == 1_000


def test_an_input_limit_learned_once_refuses_longer_prompts(admission: RateLimits) -> None:
    """One team made 72,000 useless calls in two days."""
    paid = replace(EYES, limits={})
    admission.learn(paid, too_large("ITPM", 7_000))

    assert admission.admit(paid, prompt_tokens=7_001, output_tokens=100) == Never("ITPM", 7_000)
    admitted(admission, paid, 6_000, 100)


def test_a_limit_run_into_although_known_gets_a_margin(admission: RateLimits) -> None:
    """The provider counts more tokens than our estimate."""
    admission.learn(LUNA, too_large("TPM", 8_000))
    admitted(admission, LUNA, 7_000, 900)

    admission.learn(LUNA, too_large("TPM", 8_000))

    assert admission.admit(LUNA, prompt_tokens=7_000, output_tokens=900) == Never("TPM", 8_000)


def test_an_unknown_window_teaches_nothing(admission: RateLimits) -> None:
    """The text did not say which."""
    admission.learn(LUNA, limit_reached("unknown", 5, 60.0))
    admission.learn(LUNA, TooLargeForLimit("body too large"))

    admitted(admission, LUNA, 1, 1)


def test_audio_seconds_are_counted(admission: RateLimits) -> None:
    """Booked when they are known; the hour then has to drain."""
    whisper = REGISTRY.get("whisper-large-v3-turbo")
    ticket = admitted(admission, whisper, 0, 0).ticket

    admission.settle(ticket, Usage(audio_s=7_300))

    assert admission.admit(whisper, prompt_tokens=0, output_tokens=0) == Later("ASH", pytest.approx(50.0))


def test_an_unknown_ticket_is_ignored(admission: RateLimits) -> None:
    """Settled twice, say."""
    ticket = admitted(admission, SMALL, 1, 1).ticket
    admission.settle(ticket, None)
    admission.settle(ticket, Usage(prompt_tokens=10**9))

    admitted(admission, SMALL, 1, 1)


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(
    st.lists(st.tuples(st.integers(1, 9_000), st.integers(1, 5_000), st.floats(0, 20)), min_size=20, max_size=60),
    st.sampled_from([FREE_PLAN, FREE_VISION, DEVELOPER]),
    st.booleans(),
    st.booleans(),
)
def test_no_limit_is_run_into_twice(
    requests: list[tuple[int, int, float]], plan: dict[str, int], tells_headers: bool, published: bool
) -> None:
    """Against the fake's own counting: each kind of window refuses at most once, whatever is asked and when."""
    clock = FakeClock()
    model = EYES if published else replace(EYES, limits={})
    admission = RateLimits(clock)
    windows = Windows(lambda model: plan, clock.monotonic)
    refusals: Counter[tuple[str, bool]] = Counter()
    for prompt, output, pause_s in requests:
        passed(clock, pause_s)
        verdict = admission.admit(model, prompt_tokens=prompt, output_tokens=output)
        if not isinstance(verdict, Admitted):
            continue
        full = windows.take(EYES.id, prompt=prompt, output=verdict.max_output_tokens)
        if tells_headers:
            admission.read_headers(model, windows.headers(EYES.id))
        if full is None:
            used = verdict.max_output_tokens // 2
            windows.give_back(EYES.id, prompt=0, output=verdict.max_output_tokens - used)
            admission.settle(verdict.ticket, Usage(prompt_tokens=prompt, output_tokens=used))
            continue
        admission.settle(verdict.ticket, Usage())
        refusals[full.kind, full.wait_s is None] += 1
        kind = cast(LimitKind, full.kind)
        error = (
            too_large(kind, full.limit)
            if full.wait_s is None
            else limit_reached(kind, full.limit, full.wait_s, full.used)
        )
        admission.learn(model, error)
        admission.settle(verdict.ticket, Usage())

    assert all(count == 1 for count in refusals.values()), refusals


def test_learned_limit_is_known_after_a_restart(clock: FakeClock, admission: RateLimits) -> None:
    """What a refusal taught holds in the next process: the same limit is not run into twice."""
    admission.learn(EYES, too_large("OTPM", 1_000))

    after = RateLimits(clock)
    after.recall(admission.kept())

    assert admitted(after, EYES, 100, 4_000).max_output_tokens == 1_000


def test_used_up_day_is_known_after_a_restart(clock: FakeClock, admission: RateLimits) -> None:
    """A day's window goes on draining while no process runs, from where it stood."""
    admission.learn(SMALL, limit_reached("TPD", 200_000, 600.0, used=200_000))
    kept = admission.kept()
    passed(clock, 300.0)

    after = RateLimits(clock)
    after.recall(kept)

    verdict = after.admit(SMALL, prompt_tokens=10, output_tokens=512)
    assert isinstance(verdict, Later)
    assert verdict.kind == "TPD"
    assert verdict.wait_s == pytest.approx(300.0)


def test_recalled_limits_of_models_not_asked_are_kept_on(clock: FakeClock, admission: RateLimits) -> None:
    """A model that a whole process never asked loses nothing."""
    admission.learn(EYES, too_large("OTPM", 1_000))

    after = RateLimits(clock)
    after.recall(admission.kept())

    assert after.kept() == admission.kept()
