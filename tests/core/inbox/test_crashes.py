"""kill -9 at chosen points of an answer, in real processes: nothing is lost, nothing stands there twice."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import wording
from tests.core import crash_template
from tests.core.crash_house import ANSWER, POINTS
from tests.core.crash_template import Template


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with crash_template.template() as it:
        yield it


@pytest.fixture
def place(tmp_path: Path, empty_database: Path) -> Path:
    """A folder with a database, and one message that the platform delivers at each start."""
    shutil.copy(empty_database, tmp_path / "tern.db")
    (tmp_path / "messages").write_text("question@root\n")
    return tmp_path


def shown(folder: Path) -> list[str]:
    """What stands on the platform."""
    return sorted(crash_template.shown(folder).values())


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


def states(folder: Path) -> dict[str, str]:
    """Message id -> state of its newest run, from a database that is whole."""
    assert crash_template.damage(folder) == "ok"
    return crash_template.states(folder)


def wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_answer_is_whole_and_single(template: Template, place: Path, point: str) -> None:
    """After kill -9 at this point and a restart exactly one complete answer stands on the platform."""
    template.start(place, die_at=point)

    template.start(place)

    assert shown(place) == [ANSWER]
    assert states(place) == {"m-question": "answered"}


def test_killed_twice_is_no_worse(template: Template, place: Path) -> None:
    """A crash in the recovery of a crash is recovered as well."""
    template.start(place, die_at="after post")
    template.start(place, die_at="before settle")

    template.start(place)

    assert shown(place) == [ANSWER]
    assert states(place) == {"m-question": "answered"}


def test_message_that_kills_is_quarantined_and_the_innocent_are_not(template: Template, place: Path) -> None:
    """After three starts it gets one sentence; a message that was under way in the same crashes is answered."""
    (place / "messages").write_text("poison@root\nquestion@other\n")

    for _ in range(6):
        template.start(place)

    assert shown(place) == sorted([wording.QUARANTINED, ANSWER])
    assert states(place) == {"m-poison": "quarantined", "m-question": "answered"}
    assert asked(place).count("poison") == 3


def test_second_process_during_the_drain_of_the_first_doubles_nothing(template: Template, place: Path) -> None:
    """A rolling deploy: the new process runs beside the old one and finishes its answer in the same message."""
    first = template.start(place, slow_s=0.3, wait=False)
    wait_until(lambda: any(shown(place)) if (place / "platform").exists() else False)

    os.kill(first, signal.SIGTERM)
    template.start(place)

    assert shown(place) == [ANSWER]
    assert states(place) == {"m-question": "answered"}
    assert asked(place) == ["question", "question"]


def test_two_processes_side_by_side_answer_once(template: Template, place: Path) -> None:
    """Two replicas over one database share the work; neither answers what the other has."""
    questions = [f"{root}{number}" for number in range(3) for root in ("root", "other")]
    (place / "messages").write_text("".join(f"{text}@{text[:-1]}\n" for text in questions))
    first = template.start(place, wait=False)
    wait_until(lambda: (place / f"up-{first}").exists())

    template.start(place)

    assert shown(place) == [ANSWER] * 6
    assert set(states(place).values()) == {"answered"}
    assert sorted(asked(place)) == sorted(questions)
