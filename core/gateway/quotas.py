"""Nobody uses up more than their share: per user, per workspace, and all together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cachetools import TTLCache

from core.base.clock import Clock
from core.domain.errors import OverLimit, SpendStopped
from core.domain.events import Send
from core.domain.incoming import UserKey
from core.domain.model_spec import Price
from core.domain.requests import ChatRequest, Reply, Usage
from core.gateway.attempts import AttemptBook, total
from core.gateway.sliding_window import SlidingWindows
from core.gateway.tokens import estimate_request
from core.ports.gateway import Handler
from core.ports.storage import Spent, UsageStore

DAY_S = 86_400.0
"""Days begin at midnight UTC, for everybody."""

MINUTE_S = 60

REFRESH_S = 30.0
"""How often a day's sum is read from the store again, for what other processes spent."""

KNOWN_REQUEST_S = 6 * 3_600.0
"""A request id seen within this time is a replay: it was counted as a request already."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """None is no ceiling."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Prompt and answer together."""
    tokens_per_day: int | None = None
    cost_per_day_usd: float | None = None


@dataclass(frozen=True, slots=True)
class GuardLimits:
    user: Ceilings = Ceilings(
        requests_per_minute=20, tokens_per_minute=60_000, tokens_per_day=1_000_000, cost_per_day_usd=1.0
    )
    workspace: Ceilings = Ceilings()
    everyone: Ceilings = Ceilings()
    daily_spend_usd: float | None = None
    """The whole bot's. Above it nobody is answered until midnight UTC."""
    answer_tokens: int = 800
    """What an answer is taken to be until its usage is known."""
    price: Price = Price(prompt=0.15, output=0.60)
    """What a token is taken to cost until then: gpt-oss-120b, the dearer of the two everyday models
    (https://console.groq.com/docs/models, read 2026-11-22)."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose ceiling: its name in errors, the key its sums are kept by, and how the store is asked."""

    name: str
    key: str
    ceilings: Ceilings
    user: UserKey | None = None
    workspace: str | None = None
    stop_usd: float | None = None

    @property
    def by_day(self) -> bool:
        ceilings = self.ceilings
        return any(limit is not None for limit in (ceilings.tokens_per_day, ceilings.cost_per_day_usd, self.stop_usd))


@dataclass(slots=True)
class _Day:
    """One scope's running sum since midnight."""

    since: float
    read_at: float
    tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class _Reservation:
    tokens: int
    cost_usd: float


class RateGuard:
    """A stage that refuses before anything is spent, and says when to come back.

    A request reserves an estimate under its id; when it is over, the reservation is replaced by what all its attempts
    used, once, also when it failed or was stopped (`book`). The daily sums come from `store`, so a restart does not
    reset them; a waiting message that is tried again is not counted as a new request.

    Weaknesses: windows of a minute are kept in memory and per process, and slide by estimate (sliding_window.py).
    Requests in flight can overshoot a daily ceiling by what their estimates were short. Another process's spending is
    seen up to half a minute late. A single request above a per-minute ceiling passes when the window is empty, because
    no waiting would help it.

    Raises OverLimit and SpendStopped.
    """

    def __init__(
        self, handler: Handler, store: UsageStore, clock: Clock, limits: GuardLimits, book: AttemptBook
    ) -> None:
        self._handler = handler
        self._store = store
        self._clock = clock
        self.limits = limits
        """May be replaced while running (SIGHUP)."""
        self.own_ceilings: Callable[[UserKey, Ceilings], Ceilings] = lambda user, ceilings: ceilings
        """What holds for one user in place of the ceilings for each: an API key may have its own."""
        self._book = book
        self._windows = SlidingWindows(clock, MINUTE_S)
        self._days: TTLCache[str, _Day] = TTLCache(10_000, DAY_S, timer=clock.monotonic)
        self._reserved: dict[str, dict[str, _Reservation]] = {}
        """Scope key -> request id -> what it may come to use."""
        self._known: TTLCache[str, bool] = TTLCache(10_000, KNOWN_REQUEST_S, timer=clock.monotonic)

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        limits = self.limits
        prompt_tokens = estimate_request(request)
        answer_tokens = min(request.max_output_tokens or limits.answer_tokens, limits.answer_tokens)
        price = limits.price
        reservation = _Reservation(
            prompt_tokens + answer_tokens, (prompt_tokens * price.prompt + answer_tokens * price.output) / 1e6
        )
        scopes = tuple(self._scopes(request.user, limits))
        await self._reserve(scopes, request.request_id, reservation)
        try:
            reply = await self._handler(request, send)
        except BaseException:
            self._settle(scopes, request.request_id, total(self._book.of(request.request_id)))
            raise
        self._settle(scopes, request.request_id, reply.usage)
        return reply

    @property
    def recordings(self) -> AudioQuota:
        """The same ceilings for recordings, which have seconds instead of tokens."""
        return AudioQuota(self)

    async def _reserve(self, scopes: tuple[_Scope, ...], request_id: str, reservation: _Reservation) -> None:
        days = [(scope, await self._day(scope)) for scope in scopes]
        # From here to the reservation nothing waits: two requests cannot both take the last of a day.
        for scope, day in days:
            self._check_day(scope, day, reservation)
        self._check_minute(scopes, request_id, reservation.tokens)
        for scope in scopes:
            self._reserved.setdefault(scope.key, {})[request_id] = reservation

    def _scopes(self, user: UserKey, limits: GuardLimits) -> Iterator[_Scope]:
        workspace = f"{user.platform}:{user.workspace}"
        yield _Scope(
            "user",
            f"user:{user.platform}:{user.workspace}:{user.user}",
            self.own_ceilings(user, limits.user),
            user=user,
        )
        if user.workspace:
            yield _Scope("workspace", f"workspace:{workspace}", limits.workspace, workspace=workspace)
        yield _Scope("everyone", "everyone", limits.everyone, stop_usd=limits.daily_spend_usd)

    def _check_day(self, scope: _Scope, day: _Day | None, reservation: _Reservation) -> None:
        """Raise when a daily sum has no room for *reservation*."""
        if day is None:
            return
        tokens, cost_usd, stop_usd = scope.ceilings.tokens_per_day, scope.ceilings.cost_per_day_usd, scope.stop_usd
        pending = self._reserved.get(scope.key, {}).values()
        spent_tokens = day.tokens + sum(other.tokens for other in pending)
        spent_usd = day.cost_usd + sum(other.cost_usd for other in pending)
        back_s = day.since + DAY_S - self._clock.now()
        if stop_usd is not None and spent_usd + reservation.cost_usd > stop_usd:
            raise SpendStopped(limit_usd=stop_usd, retry_after_s=back_s)
        if tokens is not None and spent_tokens + reservation.tokens > tokens:
            raise OverLimit(scope.name, "tokens per day", limit=tokens, retry_after_s=back_s)
        if cost_usd is not None and spent_usd + reservation.cost_usd > cost_usd:
            raise OverLimit(scope.name, "USD per day", limit=cost_usd, retry_after_s=back_s)

    async def _day(self, scope: _Scope) -> _Day | None:
        """The scope's sum of today, None where no daily ceiling asks for it.

        It is what the store says or what was settled here, whichever is more: sums only grow, and rows reach the store
        a little after they are settled.
        """
        if not scope.by_day:
            return None
        now = self._clock.now()
        since = now - now % DAY_S
        day = self._days.get(scope.key)
        if day is None or day.since != since or now - day.read_at > REFRESH_S:
            spent: Spent = await self._store.spent(since, user=scope.user, workspace=scope.workspace)
            known = self._days.get(scope.key)
            tokens, cost_usd = (known.tokens, known.cost_usd) if known is not None and known.since == since else (0, 0)
            day = _Day(since, now, max(spent.tokens, tokens), max(spent.cost_usd, cost_usd))
            self._days[scope.key] = day
        return day

    def _check_minute(self, scopes: tuple[_Scope, ...], request_id: str, tokens: int) -> None:
        """Look at every window first and count in all of them afterwards: a refused request uses up nothing."""
        asked = request_id.partition(".")[0]  # rounds with tools and parts of a long text ("ID.2") are one request
        requests = 0 if asked in self._known else 1
        counted: list[tuple[str, int]] = []
        for scope in scopes:
            for kind, ceiling, cost in (
                ("requests per minute", scope.ceilings.requests_per_minute, requests),
                ("tokens per minute", scope.ceilings.tokens_per_minute, tokens),
            ):
                if ceiling is None or not cost:
                    continue
                key = f"{scope.key}:{kind}"
                wait_s = self._windows.wait_s(key, ceiling, cost)
                if wait_s > 0:
                    raise OverLimit(scope.name, kind, limit=ceiling, retry_after_s=wait_s)
                counted.append((key, cost))
        for key, cost in counted:
            self._windows.use(key, cost)
        self._known[asked] = True

    def _settle(self, scopes: tuple[_Scope, ...], request_id: str, usage: Usage) -> None:
        """Replace the reservation by what was used. A second time does nothing."""
        tokens = usage.prompt_tokens + usage.output_tokens
        for scope in scopes:
            reservation = self._reserved.get(scope.key, {}).pop(request_id, None)
            if reservation is None:
                continue
            if not self._reserved[scope.key]:
                del self._reserved[scope.key]
            if (day := self._days.get(scope.key)) is not None:
                day.tokens += tokens
                day.cost_usd += usage.cost_usd
            if scope.ceilings.tokens_per_minute is not None:
                self._windows.use(f"{scope.key}:tokens per minute", tokens - reservation.tokens)


class AudioQuota:
    """The guard for what is heard or spoken: one request a minute's window, and money by the length. Implements
    `AudioGuard`.

    A voice clip counts as a request of its own, beside the question that is made of it: both are paid.
    """

    def __init__(self, guard: RateGuard) -> None:
        self._guard = guard
        self._open: dict[str, tuple[_Scope, ...]] = {}

    async def admit(self, request_id: str, user: UserKey, *, cost_usd: float) -> None:
        """Reserve *cost_usd* before anything is uploaded. Raises OverLimit and SpendStopped."""
        scopes = tuple(self._guard._scopes(user, self._guard.limits))
        await self._guard._reserve(scopes, request_id, _Reservation(0, cost_usd))
        self._open[request_id] = scopes

    async def settle(self, request_id: str, usage: Usage) -> None:
        """Replace the reservation by what was used; an unknown id does nothing."""
        self._guard._settle(self._open.pop(request_id, ()), request_id, usage)
