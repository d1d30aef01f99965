"""What a typed line means: a question, or an order such as `/model quality`. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

ORDERS: dict[str, str] = {
    "/model": "show the models, or choose one: /model quality",
    "/persona": "show the personas, or choose one: /persona reviewer",
    "/attach": "send a voice clip, picture or file with the next question: /attach photo.jpg",
    "/new": "begin a new conversation",
    "/again": "have the last question answered again",
    "/yes": "agree to what I asked before using a tool that changes something",
    "/no": "decline it",
    "/stop": "stop the answer that is being written (Ctrl-C does too)",
    "/usage": "what you have used",
    "/export": "write what is stored of this conversation to a file; /export all: of all of them",
    "/forget": "remove what is stored of this conversation; /forget all: everything about you",
    "/help": "this list",
    "/quit": "leave (Ctrl-D does too)",
}
"""Order -> what it does, in the order of the help."""

SYNONYMS = {"/exit": "/quit", "/q": "/quit", "/?": "/help", "/h": "/help", "/regenerate": "/again", "/models": "/model"}


@dataclass(frozen=True, slots=True)
class Question:
    text: str


@dataclass(frozen=True, slots=True)
class Order:
    name: str
    """One of ORDERS."""
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Misspelt:
    """Starts like an order and is none. `meant` is the nearest one, "" where none is near."""

    typed: str
    meant: str = ""


def parse(line: str) -> Question | Order | Misspelt | None:
    """Return what *line* asks for; None for an empty one. A path such as /usr/bin/env is a question."""
    text = line.strip()
    if not text:
        return None
    word, _, argument = text.partition(" ")
    name = SYNONYMS.get(word.lower(), word.lower())
    if name in ORDERS:
        return Order(name, argument.strip())
    if word.startswith("/") and "/" not in word[1:] and "\n" not in text:
        return Misspelt(word, next(iter(difflib.get_close_matches(name, ORDERS, n=1)), ""))
    return Question(text)


def help_text() -> str:
    """The orders as a Markdown list."""
    return "\n".join(f"- `{name}` {what}" for name, what in ORDERS.items())
