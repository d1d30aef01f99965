"""What a reader sees in a terminal and in a pipe."""

from __future__ import annotations

import io

from rich.console import Console

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
