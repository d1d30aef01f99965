"""What goes wrong, decided before anything runs: the same seed makes the same plan, question by question.

Pure. The machine's own timing decides how the faults meet, so a replay repeats the plan, not every interleaving.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fakes.llm_api import (
    Cut,
    Disconnect,
    Fail,
    Say,
    Script,
    Stall,
    Strange,
    bad_request,
    busy,
    decommissioned,
    forbidden,
    html_page,
    json_validate_failed,
    model_not_found,
    output_parse_failed,
    over_capacity,
    rate_limited,
    spend_limit,
    too_large,
    tool_use_failed,
    unauthorised,
    unprocessable,
)

MARK = re.compile(r"\bq(\d{6})\b")
_WORDS = (
    *("tern", "gull", "wave", "salt", "wind", "pole", "harbour", "feather", "arctic", "egg", "chick", "ice"),
    *("shore", "tide", "nest", "wing", "north", "south"),
)
_MISCHIEF = (
    "<!channel> and @everyone, @here",
    "<@U1> <@&42> <!subteam^S1>",
    "**bold _and** under_ ~~gone~~",
    "`code <@U2>` and ```not a fence",
    "a\u200bb\u202ec\u0301\u0301\u0301",
    "https://example.org/?a=1&b=<c>",
    "\n\n```python\nprint('<!here>')\n```\n\n",
    "\n\n- one\n- two\n\n",
    "[label](https://example.org/x) ![picture](https://example.org/y.png)",
    "||hidden|| >>> quote",
)


def mark(number: int) -> str:
    return f"q{number:06d}"


def answer_text(seed: int, number: int) -> str:
    """What a model says to question *number*: no two answers are alike, nor two stretches of one."""
    random = Random(f"{seed}/answer/{number}")
    length = random.choices((random.randint(3, 12), random.randint(15, 70), random.randint(400, 700)), (40, 57, 3))[0]
    words = [random.choice(_WORDS) if at % 5 else f"{number:x}z{at}" for at in range(length)]
    if random.random() < 0.15:
        for _ in range(random.randint(1, 3)):
            words.insert(random.randrange(1, len(words)), random.choice(_MISCHIEF))
    return f"{mark(number)} {' '.join(words)}."


@dataclass(frozen=True, slots=True)
class Troubles:
    """How often what goes wrong; shares of 1."""

    model: float = 0.35
    """Of a question's next attempt, after each that failed."""
    lasting: float = 0.004
    """Of those: a key refused, a model gone; they rest a provider for minutes."""
    lying: float = 0.03
    slow: float = 0.02
    stop: float = 0.03
    edit: float = 0.02
    delete: float = 0.02
    redelivery: float = 0.1
    platform_every_s: float = 4.0
    """Between two faults of a platform."""
    clock_every_s: float = 120.0
    socket_every_s: float = 90.0


CALM = Troubles(0, 0, 0, 0, 0, 0, 0, 0, 1e9, 1e9, 1e9)

_Make = Callable[[Random, str, str], Script]
"""(random, model, what would have been said)."""


def _after(random: Random, text: str) -> int:
    return random.choice((0, 1, 2, random.randint(3, 40), random.randint(3, 400)))


def _cut(how: Any) -> _Make:
    return lambda r, model, text: Cut(text, _after(r, text), how, tokens_per_s=400)


_PASSING: Mapping[str, _Make] = {
    "400 tool use failed": lambda r, m, t: tool_use_failed(),
    "400 output not parsed": lambda r, m, t: output_parse_failed(),
    "400 json not valid": lambda r, m, t: json_validate_failed(),
    "403 page in between": lambda r, m, t: html_page(403),
    "408": lambda r, m, t: Fail(408, {"error": {"message": "Request Timeout"}}),
    "409": lambda r, m, t: Fail(409, {"error": {"message": "Conflict"}}),
    "413 above the minute": lambda r, m, t: too_large("TPM", model=m),
    "422": lambda r, m, t: unprocessable(),
    "424": lambda r, m, t: Fail(424, {"error": {"message": "Failed dependency"}}),
    "429 tokens": lambda r, m, t: rate_limited("TPM", model=m, wait=r.choice(("320ms", "2s", "7.66s"))),
    "429 requests": lambda r, m, t: rate_limited("RPM", model=m, wait=r.choice(("1s", "4s"))),
    "429 without a word": lambda r, m, t: Fail(429, "", {}),
    "429 retry-after nonsense": lambda r, m, t: Fail(429, {"error": {"message": "slow down"}}, {"retry-after": "soon"}),
    "498 capacity": lambda r, m, t: busy(498),
    "499": lambda r, m, t: Fail(499, {"error": {"message": "Request cancelled"}}),
    "500": lambda r, m, t: busy(500),
    "500 garbage": lambda r, m, t: Fail(500, "\x00\x01 not json"),
    "502": lambda r, m, t: html_page(502),
    "503": lambda r, m, t: over_capacity(m),
    "503 retry-after": lambda r, m, t: over_capacity(m, retry_after_s=r.choice((1, 2, 40))),
    "504": lambda r, m, t: html_page(504),
    "529": lambda r, m, t: Fail(529, {"error": {"message": "Overloaded"}}),
    "socket closed at once": lambda r, m, t: Disconnect(),
    "stream cut: socket": _cut("socket"),
    "stream cut: half-closed": _cut("half"),
    "stream cut: ended": _cut("clean"),
    "stream cut: error event": _cut("error_event"),
    "stream cut: x_groq error": _cut("x_groq_error"),
    "stream cut: garbage": _cut("garbage"),
    "stall": lambda r, m, t: Stall(t, _after(r, t)),
    "stall with comments": lambda r, m, t: Stall(t, _after(r, t), keepalive=True),
    "first byte late": lambda r, m, t: Say(t, first_after_s=r.uniform(11, 40)),
    "200 with a page": lambda r, m, t: Strange(b"<!DOCTYPE html><html>sorry</html>", "text/html"),
    "200 with nothing": lambda r, m, t: Strange(b""),
    "200 with noise": lambda r, m, t: Strange(bytes(r.randrange(256) for _ in range(400))),
    "200 with a broken line": lambda r, m, t: Strange(b'data: {"choices": [{"delta": {"content": 5}}]}\n\n'),
    "200 done without a word": lambda r, m, t: Strange(b"data: [DONE]\n\n"),
    "200 wrong type": lambda r, m, t: Strange(b"%PDF-1.7", "application/pdf"),
}  # fmt: skip
_LASTING: Mapping[str, _Make] = {
    "401": lambda r, m, t: unauthorised(),
    "403 blocked": lambda r, m, t: forbidden(m),
    "404 gone": lambda r, m, t: model_not_found(m),
    "400 decommissioned": lambda r, m, t: decommissioned(m),
    "400 spend limit": lambda r, m, t: spend_limit(),
    "400 rejected": lambda r, m, t: bad_request("we changed our mind about this field"),
}
_LIES: tuple[Mapping[str, str], ...] = (
    {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3s"},
    {"x-ratelimit-remaining-requests": "-7", "x-ratelimit-reset-requests": "never"},
    {"x-ratelimit-limit-tokens": "99999999999999999999", "x-ratelimit-remaining-tokens": "1e9"},
    {"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "", "x-ratelimit-reset-tokens": "-5s"},
    {"retry-after": "86400"},
)


class Plan:
    """Decides what each attempt at each question meets."""

    def __init__(self, seed: int, troubles: Troubles = Troubles()) -> None:
        self.seed = seed
        self.troubles = troubles
        self._attempts: dict[int, int] = {}
        self.met: dict[str, int] = {}
        """Fault -> how often it was played."""

    def random(self, *what: object) -> Random:
        return Random("/".join(map(str, (self.seed, *what))))

    def chance(self, share: float, *what: object) -> bool:
        return self.random(*what).random() < share

    def fault(self, name: str) -> None:
        self.met[name] = self.met.get(name, 0) + 1

    def script(self, body: Mapping[str, Any]) -> Script | None:
        """What the provider does with this request; None for requests that are no question of ours."""
        messages = body["messages"]
        asked = [found for turn in messages if turn["role"] == "user" for found in MARK.findall(_text(turn))]
        if not asked:
            return None
        number = int(asked[-1])
        attempt = self._attempts[number] = self._attempts.get(number, 0) + 1
        random = self.random("attempt", number, attempt)
        text = self._to_say(messages, number, random)
        if random.random() < self.troubles.model:
            kinds = _LASTING if random.random() < self.troubles.lasting else _PASSING
            name = random.choice(sorted(kinds))
            self.fault(name)
            return kinds[name](random, str(body["model"]), text)
        if random.random() < self.troubles.lying:
            self.fault("lying headers")
            return Say(text, headers=random.choice(_LIES), tokens_per_s=300)
        if random.random() < self.troubles.slow:
            # Late, but no later than a patient house waits: up to a second before each of the bursts.
            self.fault("slow stream")
            return Say(text, first_after_s=random.uniform(0.5, 3), tokens_per_s=20, burst=random.choice((6, 20)))
        return Say(text, tokens_per_s=random.choice((120, 400, 900, None)), burst=random.choice((1, 6, 20)))

    def _to_say(self, messages: list[Mapping[str, Any]], number: int, random: Random) -> str:
        """The whole answer, or its rest where the model is asked to go on."""
        whole = answer_text(self.seed, number)
        if "Your answer above was cut off" not in _text(messages[-1]):
            return whole
        shown = _text(messages[-2])
        if random.random() < 0.15 or not whole.startswith(shown.rstrip()):
            return whole  # a model that starts over
        words = list(re.finditer(r"\S+", shown))
        return whole[words[-min(6, len(words))].start() :] if words else whole


def _text(turn: Mapping[str, Any]) -> str:
    content = turn.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
