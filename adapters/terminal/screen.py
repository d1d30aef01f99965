"""Where an answer grows: a terminal drawn with rich, or a plain stream for pipes.

A terminal cannot take back what has scrolled away. So finished blocks are printed for good, and only the last block,
which still changes, is drawn again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown as RichMarkdown
from rich.segment import Segment
from rich.text import Text

from adapters.terminal.blocks import blocks
from core.base.markdown.parser import new_parser

_PARSER = new_parser()

FRAMES_PER_SECOND = 15
"""More is not read faster, and each frame renders the last block anew."""


class Screen(Protocol):
    """Shows one answer at a time: `grow` as often as it grew, then `end`; and lines in between."""

    def grow(self, text: str, status: str) -> None:
        """*text* is the answer so far as Markdown, whole; *status* a short line that is no part of it."""
        ...

    def end(self, text: str, footer: str) -> None: ...

    def say(self, markdown: str) -> None:
        """A line of the program itself, between answers."""
        ...


class Markdown(RichMarkdown):
    """Drawn by rich, read by the parser that reads it for every surface: rich's own drops cells and references."""

    def __init__(self, markup: str, *, style: str = "none") -> None:
        super().__init__("", style=style)
        self.markup = markup
        self.parsed = _PARSER.parse(markup)
        for token in self.parsed:
            for child in token.children or []:
                child.type = "text" if child.type == "mention" else child.type


class RichScreen:
    """A terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: list[str] = []
        """Blocks of the present answer that stand for good."""
        self._live: Live | None = None

    def grow(self, text: str, status: str) -> None:
        found = blocks(text)
        self._settle(found[:-1])
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=FRAMES_PER_SECOND, transient=True)
            self._live.start()
        growing = found[len(self._printed) :]
        parts: list[RenderableType] = [Markdown(block) for block in growing]
        if status or not found:
            parts.append(Text(status or "…", style="dim"))
        self._live.update(_Tail(Group(*parts)))

    def end(self, text: str, footer: str) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._settle(blocks(text))
        if footer:
            self._console.print(Text(footer, style="dim italic"))
        self._console.print()
        self._printed = []

    def say(self, markdown: str) -> None:
        # Two spaces make a line's end one in Markdown too; our own sentences mean theirs.
        self._console.print(Markdown(markdown.replace("\n", "  \n"), style="cyan"))

    def _settle(self, finished: list[str]) -> None:
        """Print what is finished and not printed yet; say so where what stands there was taken back."""
        if self._printed != finished[: len(self._printed)]:
            if len(finished) < len(self._printed):
                return  # it grows again from an earlier point; wait until it says something else
            self._console.print(Text("(what stands above was taken back; the answer begins again)", style="dim"))
            self._printed = []
        for block in finished[len(self._printed) :]:
            self._console.print(Markdown(block))
            self._console.print()
        self._printed = list(finished) if len(finished) >= len(self._printed) else self._printed


class _Tail:
    """The last lines of something that may be taller than the terminal: the newest words are the ones to see."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._inner, options.update(height=None), pad=False)
        yield from self._joined(lines[-max(3, console.height - 2) :])

    @staticmethod
    def _joined(lines: list[list[Segment]]) -> Iterator[Segment]:
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line


class PlainScreen:
    """A pipe or a file: the text as it comes, nothing drawn twice."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written = ""

    def grow(self, text: str, status: str) -> None:
        if not text.startswith(self._written):
            self._write("\n\n(the answer begins again)\n\n")
            self._written = ""
        self._write(text[len(self._written) :])
        self._written = text

    def end(self, text: str, footer: str) -> None:
        self.grow(text, "")
        self._write(f"\n({footer})\n\n" if footer else "\n\n")
        self._written = ""

    def say(self, markdown: str) -> None:
        self._write(markdown + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
