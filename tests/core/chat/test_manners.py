"""Who is answered in a crowd."""

from __future__ import annotations

import pytest

from core.chat.manners import BOT_TURNS, BOT_TURNS_S, BotTurns, FollowUps, Manners, begins_with_name
from core.domain.incoming import ConversationKey, UserKey
from tests.fakes.clock import FakeClock

THREAD = ConversationKey("discord", "g", "t", "t")
PEOPLE = {name: UserKey("discord", "", name) for name in ("ann", "bob", "cy")}

# Each step: who speaks, how ("tern" means the bot, "" nobody in particular, "other" somebody else), whether answered.
Step = tuple[str, str, bool]


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        ("asker", [("ann", "", True), ("ann", "", True)]),
        ("asker", [("bob", "", False), ("ann", "", False)]),
        ("asker", [("bob", "other", False), ("ann", "", False)]),
        ("asker", [("bob", "", False), ("ann", "tern", True), ("ann", "", True)]),
        ("asker", [("bob", "tern", True), ("bob", "", True), ("ann", "", False), ("bob", "", False)]),
        ("asker", [("ann", "other", False), ("ann", "", True)]),
        ("asker", [("bob", "", False), ("cy", "", False), ("cy", "tern", True), ("cy", "", True)]),
        ("all", [("bob", "", True), ("ann", "", True), ("cy", "", True)]),
        ("mention", [("ann", "", False), ("ann", "tern", True), ("ann", "", False)]),
    ],
)
def test_who_is_answered_in_a_thread_that_ann_began(policy: FollowUps, steps: list[Step]) -> None:
    """Dialogues, step by step."""
    manners = Manners()

    found = []
    for who, to, _ in steps:
        by = PEOPLE[who]
        if to == "tern":
            manners.meant(THREAD, by)
            found.append(True)
        elif to == "other":
            manners.overheard(THREAD, by, began=PEOPLE["ann"])
            found.append(False)
        else:
            found.append(manners.goes_on(policy, THREAD, by, began=PEOPLE["ann"]))

    assert found == [answered for _, _, answered in steps]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Tern, why?", True),
        ("tern why?", True),
        ("hey Tern: why?", True),
        ("@Tern why?", True),
        ("Tern", True),
        ("Terns are birds", False),
        ("ask Tern", False),
        ("lantern", False),
        ("", False),
        ("x" * 100_000, False),
    ],
)
def test_a_name_at_the_beginning_means_its_bearer(text: str, meant: bool) -> None:
    """As people call each other; a word that only begins alike does not."""
    assert begins_with_name(text, "Tern") is meant


def test_no_name_means_nobody() -> None:
    """A bot without a name is not meant by everything."""
    assert not begins_with_name("hello", " ")


async def test_bots_are_answered_five_times_in_a_quarter_of_an_hour() -> None:
    """Whatever they say; people and other channels are not counted."""
    clock = FakeClock()
    turns = BotTurns(clock)

    found = [turns.take("discord:1") for _ in range(BOT_TURNS + 2)]
    elsewhere = turns.take("discord:2")
    await clock.advance(BOT_TURNS_S)

    assert found == [True] * BOT_TURNS + [False, False]
    assert elsewhere
    assert turns.take("discord:1")
