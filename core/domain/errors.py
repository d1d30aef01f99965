"""Every error of the house, one class for one sentence, fields instead of prose.

    TernError
    ├── RequestError              the asker's doing: say what to change
    │   ├── BadRequest            a malformed or contradictory request
    │   ├── UnknownModel          an id that no registry entry has
    │   ├── TooLarge              text, file or body above a stated limit
    │   ├── Unreadable            a file or picture that is broken, protected or of a kind nobody here reads
    │   ├── NothingRead           files without a word, none of which could be read
    │   ├── Unfetchable           an address that may not, or could not, be fetched
    │   └── Refused               not now, or not for you
    │       ├── OverLimit         the per-user, workspace or global guard; says when to come back
    │       ├── SpendStopped      the whole bot's daily spend is used up
    │       ├── QueueFull         too many messages wait already
    │       └── NotAllowed        outside the allowed circle
    ├── ProviderError             the model provider's doing; facts/groq.md 3; what follows: error_policy.py
    │   ├── KeyRejected           401: this provider rests, the operator is told
    │   ├── SpendLimitReached     400 by the provider's own spend limit: this provider rests
    │   ├── ModelGone             404, or 400 decommissioned: the model is dead
    │   ├── ModelBlocked          403: this key may not use the model
    │   ├── LimitReached          429: this model's window is used up; wait or go on
    │   ├── TooLargeForLimit      413 or 429 "Request too large": never fits this model's window
    │   ├── ContextTooLong        the prompt exceeds the model's context
    │   ├── CallMalformed         tool_use_failed: once more at a higher effort
    │   ├── OutputMalformed       output_parse_failed, json_validate_failed: once more
    │   ├── Unprocessable         422: once more
    │   ├── RequestRejected       any other 4xx: our request is wrong for this model
    │   ├── Overloaded            498, 5xx: wait a little, then go on
    │   ├── ConnectionFailed      no response byte came; ask again at once
    │   ├── StreamBroken          a stream that ended wrongly after it began
    │   └── Stalled               silence beyond the stated seconds
    ├── NoModelLeft               every model on the route failed; carries their errors
    ├── SurfaceError              the platform's doing
    │   ├── SurfaceGone           the place, message or right to post is gone for good
    │   │   └── SurfaceForbidden  the place is there, but one of the bot's own rights is not
    │   ├── SurfaceBusy           429 or 5xx: not now; says when
    │   └── SurfaceRejected       this text or layout was refused: show it plainer or shorter
    ├── StorageError
    │   ├── StorageBusy           locked beyond the timeout
    │   ├── StorageFull           disk full or read-only
    │   ├── StorageCorrupt        the file is damaged
    │   ├── StorageTooNew         written by a newer version of the program
    │   ├── StorageUnreadable     one stored row is not what the program writes
    │   └── StaleFence            another process owns the run now: stop writing at once
    └── SettingsError             settings or tern.toml cannot be used; lists every problem

What the reader sees for each is in core/wording.py and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from core.domain.requests import Attempt, Usage

LimitKind = Literal["RPM", "RPD", "TPM", "TPD", "ITPM", "OTPM", "ASH", "ASD", "unknown"]


class TernError(Exception):
    """Root of the tree. Messages never hold a secret."""


class RequestError(TernError):
    """The asker can mend it."""


class BadRequest(RequestError):
    """`param` names the field where there is one."""

    def __init__(self, problem: str, *, param: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.param = param


class UnknownModel(RequestError):
    def __init__(self, wanted: str, *, known: Sequence[str]) -> None:
        super().__init__(f"unknown model {wanted!r}; known: {', '.join(known)}")
        self.wanted = wanted
        self.known = tuple(known)


class TooLarge(RequestError):
    """`allowed` is the limit in words: "25 MB" also where it was given in bytes."""

    def __init__(self, what: str, *, limit: int, unit: str) -> None:
        in_megabytes = unit == "bytes" and limit >= 2**20
        self.allowed = f"{limit // 2**20} MB" if in_megabytes else f"{limit:,} {unit}"
        super().__init__(f"{what} is larger than {self.allowed}")
        self.what = what
        self.limit = limit
        self.unit = unit


class Unreadable(RequestError):
    """`name` is the file as its sender called it (untrusted), `why` half a sentence for the reader."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"cannot read {name!r}: {why}")
        self.name = name
        self.why = why


class NothingRead(RequestError):
    """Files came without a word, and none of them could be read; the reasons were told already, file by file."""

    def __init__(self, *, sound: bool) -> None:
        """*sound*: all of them were recordings."""
        super().__init__("none of the files could be read")
        self.sound = sound


class Unfetchable(RequestError):
    """`where` is the host alone: addresses may carry tokens. `passing` when a later try may succeed."""

    def __init__(self, where: str, why: str, *, passing: bool = False) -> None:
        super().__init__(f"cannot fetch from {where}: {why}")
        self.where = where
        self.why = why
        self.passing = passing


class Refused(RequestError):
    """Not now, or not for this person. `retry_after_s` is None where waiting does not help."""

    retry_after_s: float | None = None


class OverLimit(Refused):
    """`scope` is whose ceiling it is, `kind` what is counted, e.g. ("user", "requests per minute")."""

    def __init__(self, scope: str, kind: str, *, limit: float, retry_after_s: float) -> None:
        super().__init__(f"{scope} limit of {limit:g} {kind} reached")
        self.scope = scope
        self.kind = kind
        self.limit = limit
        self.retry_after_s = retry_after_s


class SpendStopped(Refused):
    def __init__(self, *, limit_usd: float, retry_after_s: float) -> None:
        super().__init__(f"daily spend limit of {limit_usd:g} USD reached")
        self.limit_usd = limit_usd
        self.retry_after_s = retry_after_s


class QueueFull(Refused):
    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} messages are waiting")
        self.waiting = waiting


class NotAllowed(Refused):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class ProviderError(TernError):
    """A model provider failed. `detail` is ours and goes into logs: names, codes and sizes, nobody's words. `said` is
    the provider's own text without keys and organisation ids; people's words may be in it, so it is in no log."""

    usage: Usage | None = None
    """What was spent before it failed (`estimated`); None where nothing was, or nobody knows."""

    def __init__(
        self,
        detail: str = "",
        *,
        said: str = "",
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{provider or 'provider'} {model}: {status or ''} {detail}".strip())
        self.detail = detail
        self.said = said
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class KeyRejected(ProviderError): ...


class SpendLimitReached(ProviderError): ...


class ModelGone(ProviderError): ...


class ModelBlocked(ProviderError): ...


class LimitReached(ProviderError):
    """`limit_kind` says which window; `limit` its size and `used` its filling where the text gave them."""

    limit_kind: LimitKind = "unknown"
    limit: int | None = None
    used: int | None = None


class TooLargeForLimit(ProviderError):
    """Waiting never helps: the request alone exceeds the window of `limit` tokens a minute."""

    limit_kind: LimitKind = "unknown"
    limit: int | None = None
    requested: int | None = None


class ContextTooLong(ProviderError): ...


class CallMalformed(ProviderError):
    """`failed_generation` is what the model wrote instead of a valid call."""

    failed_generation: str = ""


class OutputMalformed(ProviderError):
    failed_generation: str = ""


class Unprocessable(ProviderError): ...


class RequestRejected(ProviderError):
    """`param` names the field the provider complained about, where it said so."""

    param: str | None = None


class Overloaded(ProviderError): ...


class ConnectionFailed(ProviderError): ...


class StreamBroken(ProviderError):
    """`cause_kind` tells the ways apart (facts/groq.md 4)."""

    cause_kind: Literal["closed", "no_finish", "error_event", "x_groq_error", "garbage", "empty"] = "closed"


class Stalled(ProviderError):
    """No token for `silence_s` seconds; `first` when not even the first came."""

    silence_s: float = 0.0
    first: bool = False


class NoModelLeft(TernError):
    """`errors` in the order they happened; empty where no model fits the request at all.

    `attempts` are the calls that were made on the way: some of them cost money.
    """

    def __init__(
        self,
        errors: Sequence[ProviderError] = (),
        *,
        partial_text: str = "",
        missing: str = "",
        attempts: Sequence[Attempt] = (),
    ) -> None:
        super().__init__("no model left: " + ("; ".join(str(error) for error in errors) or missing or "none fits"))
        self.errors = tuple(errors)
        self.partial_text = partial_text
        self.missing = missing
        """The capability that no configured model has, e.g. "vision"."""
        self.attempts = tuple(attempts)

    @property
    def retry_after_s(self) -> float | None:
        """The soonest moment any of the providers named; None where none did."""
        return min((e.retry_after_s for e in self.errors if e.retry_after_s is not None), default=None)


class SurfaceError(TernError):
    """A platform refused or failed to show something."""


class SurfaceGone(SurfaceError): ...


class SurfaceForbidden(SurfaceGone):
    """`ability` is what is not allowed, after "I am not allowed to"; `needs` the right's own name, "" where unknown."""

    def __init__(self, ability: str, *, needs: str = "") -> None:
        super().__init__(f"not allowed to {ability}" + (f" (needs {needs})" if needs else ""))
        self.ability = ability
        self.needs = needs


class SurfaceBusy(SurfaceError):
    """`retry_after_s` as the platform said. `unsure` when the write may have been applied all the same. `too_many` when
    it says that there were too many calls: then fewer may be made, not only later."""

    def __init__(self, why: str, *, retry_after_s: float = 1.0, unsure: bool = False, too_many: bool = False) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s
        self.unsure = unsure
        self.too_many = too_many


class SurfaceRejected(SurfaceError):
    """`too_long` when a shorter page would pass."""

    def __init__(self, why: str, *, too_long: bool = False) -> None:
        super().__init__(why)
        self.too_long = too_long


class StorageError(TernError): ...


class StorageBusy(StorageError): ...


class StorageFull(StorageError): ...


class StorageCorrupt(StorageError): ...


class StorageTooNew(StorageError): ...


class StorageUnreadable(StorageError): ...


class StaleFence(StorageError): ...


class SettingsError(TernError):
    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
