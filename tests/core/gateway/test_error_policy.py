"""The table of consequences is complete."""

from __future__ import annotations

import pytest

from core.domain import errors as e
from core.gateway.error_policy import CONSEQUENCES, Again, Rest, consequence_of


@pytest.mark.parametrize("kind", e.ProviderError.__subclasses__())
def test_every_provider_error_has_its_own_row(kind: type[e.ProviderError]) -> None:
    """A new error class must say what follows from it."""
    assert kind in CONSEQUENCES


def test_unknown_subclass_takes_the_nearest_row() -> None:
    """An error class of a provider's own behaves like its parent."""

    class Busy(e.Overloaded): ...

    assert consequence_of(Busy()) is CONSEQUENCES[e.Overloaded]


def test_what_never_fits_is_never_waited_for() -> None:
    """Neither repeated nor rested: only another model helps (facts/groq.md 2, "72k useless 413 calls")."""
    row = CONSEQUENCES[e.TooLargeForLimit]

    assert (row.retries, row.again, row.rest) == (0, Again.NO, Rest.NOBODY)


def test_operator_hears_of_what_does_not_pass_by_itself() -> None:
    """Keys, accounts, retired or blocked models, and requests of ours that a provider does not take."""
    alerting = {kind for kind, row in CONSEQUENCES.items() if row.alert}

    assert alerting == {e.KeyRejected, e.SpendLimitReached, e.ModelGone, e.ModelBlocked, e.RequestRejected}
