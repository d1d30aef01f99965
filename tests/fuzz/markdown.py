"""10,000 Markdown documents on all surfaces: every word once and in order, addresses unchanged, code byte for byte."""

from __future__ import annotations

import random

from tests.corpus.checks import check_everywhere
from tests.corpus.documents import document

COUNT = 10_000


def check(rng: random.Random) -> None:
    found = document(rng)
    check_everywhere(found, page_chars=rng.choice((200, 500, 1_800, 11_000)), drawn=rng.random() < 0.02)
