"""core/domain/audience.py: the law of who may read what, held against random worlds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import find as find_example
from hypothesis.errors import NoSuchExample

from core.domain.audience import ANYBODY, Audience, Place, Scope, admitted, audience_of, may_read, narrowest, place_of
from core.domain.incoming import ConversationKey, Incoming, UserKey
from tests.core.domain.worlds import World, violations, worlds

ANN, BOB = UserKey("slack", "E:T", "U1"), UserKey("slack", "E:T", "U2")
LAW = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def said(
    channel: str = "C1", user: UserKey = ANN, *, workspace: str = "E:T", direct: bool = False, **more: object
) -> Incoming:
    key = ConversationKey(user.platform, workspace, channel, "1")
    return replace(Incoming("1", "", user, key, "words", 0.0, direct=direct), **more)  # type: ignore[arg-type] # its fields


@LAW
@given(worlds())
def test_nobody_is_told_what_they_cannot_read(world: World) -> None:
    """Whatever goes into a request, every reader of the answer could read where it was said, today."""
    assert violations(world, may_read) == []


PLANTED: dict[str, Callable[[Audience, Place], bool]] = {
    "guests read what is open": lambda audience, place: may_read(audience, replace(place, members_only=True)),
    "a summary has the widest audience of its parts": lambda audience, place: (
        any(may_read(Audience(frozenset({scope})), place) for scope in audience.of) or not audience.of
    ),
    "a person's direct messages follow them": lambda audience, place: may_read(
        audience, place if place.reader is None else replace(place, reach="direct")
    ),
    "the workspace of a channel is not looked at": lambda audience, place: may_read(
        Audience(frozenset(replace(scope, workspace=place.workspace) for scope in audience.of)), place
    ),
    "private answers are the channel's": lambda audience, place: may_read(
        Audience(frozenset(scope for scope in audience.of if scope.reach != "private")), place
    ),
}


@pytest.mark.parametrize("law", PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_caught(law: Callable[[Audience, Place], bool]) -> None:
    """The worlds above are rich enough to see each of these mistakes."""
    try:
        world = find_example(
            worlds(),
            lambda world: bool(violations(world, law)),
            settings=settings(max_examples=4_000, phases=[Phase.generate]),
        )
    except NoSuchExample:  # pragma: no cover - only where the worlds have become too poor
        pytest.fail("no world shows this mistake")

    assert violations(world, may_read) == []


@pytest.mark.parametrize(
    ("item", "asked", "allowed"),
    [
        (said("D1", direct=True), said("D1", direct=True), True),
        (said("D1", direct=True), said("C1"), False),
        (said("D1", direct=True), said("C1", visibility="private"), False),
        (said("D1", direct=True), said("D2", BOB, direct=True), False),
        (said("C1"), said("C1", BOB), True),
        (said("C1"), said("C2"), False),
        (said("C1"), said("C1", BOB, visibility="private"), True),
        (said("C1"), said("D1", direct=True, members_only=True), False),
        (said("C1", open_channel=True), said("D1", direct=True, members_only=True), True),
        (said("C1", open_channel=True), said("D1", direct=True), False),
        (said("C1", open_channel=True), said("C2", members_only=True), True),
        (said("C1", open_channel=True), said("C2", workspace="E:OTHER", members_only=True), False),
        (said("C1", visibility="private"), said("C1", BOB, visibility="private"), False),
        (said("C1", visibility="private"), said("D1", direct=True), True),
        (said("C1", visibility="private"), said("C1"), False),
        (said("K", UserKey("api", "", "key-a")), said("K", UserKey("api", "", "key-b")), False),
        (said("K", UserKey("web", "", "")), said("K2", UserKey("web", "", "")), True),
    ],
)
def test_the_table_of_the_design(item: Incoming, asked: Incoming, allowed: bool) -> None:
    """Each line of DESIGN 5, with the case beside it that is refused."""
    assert may_read(audience_of(item), place_of(asked)) is allowed


def test_a_grant_counts_for_one_reader_alone() -> None:
    """A channel whose membership was asked for goes into a private answer, never into one that others read."""
    closed = audience_of(said("C9"))

    assert may_read(closed, place_of(said("D1", direct=True), granted=frozenset({"C9"})))
    assert not may_read(closed, place_of(said("C1"), granted=frozenset({"C9"})))


def test_what_is_left_out_is_a_number() -> None:
    """The readable items stay in order; of the others only how many there were is known."""
    items = [said("C1"), said("D1", direct=True), said("C1", BOB)]

    assert admitted(items, audience_of, place_of(said("C1"))) == ((items[0], items[2]), 1)


def test_what_the_program_says_is_anybodys() -> None:
    """An audience of nothing is no restriction; joined with another it is the other."""
    one = Audience(frozenset({Scope("channel", "slack", "E:T", "C1")}))

    assert may_read(ANYBODY, place_of(said("C2")))
    assert ANYBODY & one == one == narrowest([one, ANYBODY])
