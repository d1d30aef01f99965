"""Three hundred answers as models write them, in eleven scripts, on every surface."""

from __future__ import annotations

import random

import pytest

from tests.corpus.checks import check_everywhere
from tests.corpus.documents import SCRIPTS, document

LIMITS = (11_000, 1_800, 500, 200)
A_SCRIPT = 28


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_answer_is_the_same_on_every_surface(script: str) -> None:
    """Each word once and in order, addresses unchanged, code as it was: on Slack, Discord, the page, the terminal."""
    for number in range(A_SCRIPT):
        answer = document(random.Random(f"{script}/{number}"), script=script)
        check_everywhere(answer, page_chars=LIMITS[number % len(LIMITS)], drawn=number == 0)
