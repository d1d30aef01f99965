"""How Groq counts: a bucket per model and kind that drains all the time. Pure, but for the clock it is handed.

The drain is visible in https://console.groq.com/docs/rate-limits : limit 14400, remaining 14370, reset 2m59.56s, that
is 30 requests at 6 seconds each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

FREE: Mapping[str, int] = {"RPM": 30, "RPD": 1_000, "TPM": 8_000, "TPD": 200_000}
DEVELOPER: Mapping[str, int] = {"RPM": 1_000, "RPD": 500_000, "TPM": 250_000}
FREE_VISION: Mapping[str, int] = {**FREE, "ITPM": 7_000, "OTPM": 1_000}
"""facts/groq.md 1a and 2; ITPM and OTPM were seen in refusals of qwen3.8 only."""

_WINDOW_S = {"M": 60.0, "H": 3_600.0, "D": 86_400.0}


@dataclass(slots=True)
class Bucket:
    limit: int
    window_s: float
    level: float = 0.0
    at: float = 0.0

    def settle(self, now: float) -> None:
        self.level = max(0.0, self.level - (now - self.at) * self.limit / self.window_s)
        self.at = now

    def wait_s(self, amount: float) -> float:
        return max(0.0, (self.level + amount - self.limit) * self.window_s / self.limit)

    @property
    def reset_s(self) -> float:
        return self.level * self.window_s / self.limit


@dataclass(frozen=True, slots=True)
class Full:
    """No room: for now, or for ever (`wait_s` None)."""

    kind: str
    limit: int
    used: int
    requested: int
    wait_s: float | None


class Windows:
    """The windows of one organisation, per model."""

    def __init__(self, limits_of: Callable[[str], Mapping[str, int]], now: Callable[[], float]) -> None:
        self._limits_of = limits_of
        self._now = now
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self.refused = 0

    def take(self, model: str, *, prompt: int, output: int) -> Full | None:
        """Admission counts prompt and the most the answer may be, before anything runs (facts/groq.md 2)."""
        wanted = self._wanted(prompt, output)
        buckets = {kind: self._bucket(model, kind) for kind in self._limits_of(model) if kind in wanted}
        for kind, bucket in buckets.items():
            wait_s = bucket.wait_s(wanted[kind])
            never = wanted[kind] > bucket.limit
            if never or wait_s > 0:
                self.refused += 1
                return Full(kind, bucket.limit, round(bucket.level), wanted[kind], None if never else wait_s)
        for kind, bucket in buckets.items():
            bucket.level += wanted[kind]
        return None

    def give_back(self, model: str, *, prompt: int, output: int) -> None:
        """What was counted at admission and not used after all (cached tokens among it)."""
        for kind, amount in self._wanted(prompt, output).items():
            if kind in self._limits_of(model) and kind not in ("RPM", "RPD"):
                bucket = self._bucket(model, kind)
                bucket.level = max(0.0, bucket.level - amount)

    def headers(self, model: str) -> dict[str, str]:
        """Requests are always those of the day, tokens those of the minute (facts/groq.md 2, "Headers")."""
        headers: dict[str, str] = {}
        for kind, name in (("RPD", "requests"), ("TPM", "tokens")):
            if kind in self._limits_of(model):
                bucket = self._bucket(model, kind)
                headers[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.limit - bucket.level)))
                headers[f"x-ratelimit-reset-{name}"] = go_duration(bucket.reset_s)
        return headers

    @staticmethod
    def _wanted(prompt: int, output: int) -> dict[str, int]:
        total = prompt + output
        return {"RPM": 1, "RPD": 1, "TPM": total, "TPD": total, "ITPM": prompt, "OTPM": output}

    def _bucket(self, model: str, kind: str) -> Bucket:
        limit = self._limits_of(model)[kind]
        bucket = self._buckets.setdefault((model, kind), Bucket(limit, _WINDOW_S[kind[-1]], at=self._now()))
        bucket.limit = limit
        bucket.settle(self._now())
        return bucket


def go_duration(seconds: float) -> str:
    """Write seconds as Go does: 172ms, 7.66s, 2m59.56s, 1h0m0s."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    said = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{said}"
    return f"{minutes}m{said}" if minutes else said
