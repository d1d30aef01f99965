"""What follows from each way a model may fail: one table, after facts/groq.md section 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from core.domain import errors as e


class Again(Enum):
    """How the same model is asked once more, by the fallback, after its retries are used up."""

    NO = auto()
    HIGHER_EFFORT = auto()
    """At the next effort; at temperature 0 where the model takes no efforts."""
    MORE_OUTPUT = auto()
    """With twice the tokens for its answer."""
    TRIMMED = auto()
    """With three quarters of the history; failing that, only models with a larger context."""


class Rest(Enum):
    """Who is left in peace afterwards, and for how long."""

    NOBODY = auto()
    WINDOW = auto()
    """The model, until the provider says its window opens."""
    MODEL = auto()
    """The model, longer each time (`CircuitBreaker`)."""
    PROVIDER = auto()
    """Every model of the provider: a key or an account does not mend itself in a minute."""
    FOREVER = auto()
    """The model is marked dead in the registry."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """After this error, in this order: `retries` on the same model while nothing was shown, `again` once in another
    form, then the next model, while `rest` spares the one that failed."""

    retries: int = 0
    again: Again = Again.NO
    rest: Rest = Rest.NOBODY
    alert: bool = False
    """Tell the operator: no user can mend it and it does not pass by itself."""


CONSEQUENCES: Mapping[type[e.ProviderError], Consequence] = {
    e.KeyRejected: Consequence(rest=Rest.PROVIDER, alert=True),
    e.SpendLimitReached: Consequence(rest=Rest.PROVIDER, alert=True),
    e.ModelGone: Consequence(rest=Rest.FOREVER, alert=True),
    e.ModelBlocked: Consequence(rest=Rest.MODEL, alert=True),
    e.LimitReached: Consequence(retries=1, rest=Rest.WINDOW),  # only where its retry-after is short
    e.TooLargeForLimit: Consequence(),  # waiting never helps; the next model's minute may be larger
    e.ContextTooLong: Consequence(again=Again.TRIMMED),
    e.CallMalformed: Consequence(again=Again.HIGHER_EFFORT),
    e.OutputMalformed: Consequence(again=Again.MORE_OUTPUT),
    e.Unprocessable: Consequence(retries=1),
    e.RequestRejected: Consequence(alert=True),  # our request is wrong for this model, perhaps not for the next
    e.Overloaded: Consequence(retries=2, rest=Rest.MODEL),
    e.ConnectionFailed: Consequence(retries=2, rest=Rest.MODEL),
    e.StreamBroken: Consequence(retries=1, rest=Rest.MODEL),
    e.Stalled: Consequence(rest=Rest.MODEL),
    e.ProviderError: Consequence(rest=Rest.MODEL),
}


def consequence_of(error: e.ProviderError) -> Consequence:
    """Return the row of the nearest class."""
    return next(CONSEQUENCES[kind] for kind in type(error).__mro__ if kind in CONSEQUENCES)
