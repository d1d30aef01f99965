"""What a reader sees in a terminal and in a pipe."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from adapters.terminal.marks import VisibleScreen, visible
from adapters.terminal.screen import PlainScreen, RichScreen


def terminal() -> tuple[RichScreen, Console]:
    console = Console(
        file=io.StringIO(), force_terminal=True, width=60, height=10, color_system=None, legacy_windows=False
    )
    return RichScreen(console), console


def shown(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_finished_answer_stands_once() -> None:
    """After the end every block stands exactly once outside the live region, with its footer."""
    screen, console = terminal()

    screen.grow("# Ti", "")
    screen.grow("# Title\n\nSome te", "")
    screen.end("# Title\n\nSome text.", "answered by x")

    assert shown(console).count("Some text.") == 1
    assert shown(console).rstrip().endswith("answered by x")


def test_long_answer_keeps_its_newest_words_in_sight() -> None:
    """A block taller than the terminal shows its end, not its beginning, while it grows."""
    screen, console = terminal()
    long_code = "```\n" + "\n".join(f"line {number}" for number in range(100))

    screen.grow(long_code, "")
    screen._live.refresh()  # type: ignore[union-attr]  # drawn now instead of within a fifteenth of a second

    text = shown(console)
    assert "line 99" in text
    assert "line 10" not in text
    screen.end(long_code, "")


def test_taken_back_text_is_said() -> None:
    """When a second model says something else, what stands in the scroll-back is marked as void."""
    screen, console = terminal()

    screen.grow("First.\n\nSecond.\n\nThi", "")
    screen.end("Other.\n\nWords.", "")

    assert "taken back" in shown(console)
    assert shown(console).rstrip().endswith("Words.")


def test_pipe_gets_each_word_once() -> None:
    """In a pipe the text comes piece by piece without any drawing."""
    stream = io.StringIO()
    screen = PlainScreen(stream)

    screen.grow("Hel", "thinking")
    screen.grow("Hello wor", "")
    screen.end("Hello world", "")

    assert stream.getvalue() == "Hello world\n\n"


def test_pipe_says_when_the_answer_begins_again() -> None:
    """A pipe cannot take back either, and says so."""
    stream = io.StringIO()
    screen = PlainScreen(stream)

    screen.grow("Hello", "")
    screen.end("Goodbye", "")

    assert "begins again" in stream.getvalue()
    assert stream.getvalue().endswith("Goodbye\n\n")


STEERING = {
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "title": "\x1b]0;root@host\x07",
    "colour": "\x1b[31mred",
    "8-bit": "\x9b31mred\x9d0;title\x9c",
    "overwrite": "rm -rf ~\rls -l    \b\b",
    "delete": "abc\x7f",
    "direction": "user\u202etxt.exe\u2066",
    "bell and form feed": "\a\x0c",
}


@pytest.mark.parametrize("words", STEERING.values(), ids=STEERING)
@pytest.mark.parametrize("form", ["{}", "```\n{}\n```", "`{}`", "# {}", "[{}](https://example.org/{})", "> - {}"])
def test_nothing_steers_the_terminal(words: str, form: str) -> None:
    """What a model writes reaches a terminal and a pipe with every control mark visible, while it grows and at its end;
    the escapes that are there are rich's own."""
    text = form.replace("{}", words)
    stream = io.StringIO()
    drawn, console = terminal()
    for screen in (VisibleScreen(PlainScreen(stream)), VisibleScreen(drawn)):
        screen.grow(text, words)
        screen.end(text, words)
        screen.say(text)

    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", stream.getvalue())
    assert not re.search("\x1b\\](?!8;)|[\a\x7f-\x9f\u202e]|\x1b\\[31m", shown(console))


@pytest.mark.parametrize("reference", ["&#27;", "&#x1b;", "&#155;", "&#8238;"])
def test_character_references_are_no_way_around(reference: str) -> None:
    """Markdown's own way to write a character by its number gives no control mark either."""
    screen, console = terminal()

    VisibleScreen(screen).end(f"a {reference}]52;c;eA== b", "")

    assert not re.search("\x1b\\](?!8;)|[\x80-\x9f\u202e]", shown(console))


def test_line_ends_of_other_systems_are_line_ends() -> None:
    """CRLF is a newline, a lone CR a mark; tabs and newlines stay."""
    assert visible("a\r\nb\tc\nd\re\u2028f") == "a\nb\tc\nd␍e\nf"
