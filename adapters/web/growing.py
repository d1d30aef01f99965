"""The HTML of a text that grows, block by block, without rendering it whole for every edit. Pure."""

from __future__ import annotations

from adapters.web.highlight import GrowingCode
from adapters.web.markdown import Markdown


class GrowingHtml:
    """Keeps the finished blocks of one text.

    In Markdown a top-level block is never changed by what follows once another block has begun after it. So only the
    text from the start of the last block on is parsed again. The one exception, link reference definitions, is put
    right when the text is final: then it is rendered whole, once.
    """

    def __init__(self, markdown: Markdown) -> None:
        self._markdown = markdown
        self._settled_text = ""
        self._settled: list[str] = []
        self._code = GrowingCode()

    def render(self, text: str, *, final: bool = False) -> tuple[str, ...]:
        """HTML of each top-level block. *final*: every colour and reference is right, whatever it costs."""
        if "\r" in text:  # as the parser does, so that its lines and ours are the same
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if final:
            self._forget()
            return tuple(block.html for block in self._markdown.blocks(text))
        if not text.startswith(self._settled_text):
            self._forget()
        tail = text[len(self._settled_text) :]
        blocks = self._markdown.blocks(tail, growing=self._code)
        html = (*self._settled, *(block.html for block in blocks))
        if len(blocks) > 1:
            before_last = _first_lines(tail, blocks[-1].first_line)
            if _has_begun(tail[len(before_last) :]):
                self._settled_text += before_last
                self._settled += [block.html for block in blocks[:-1]]
        return html

    def unsettled(self, text: str) -> int:
        """How many characters of *text* would be parsed again: what rendering it costs."""
        return len(text) - len(self._settled_text) if text.startswith(self._settled_text) else len(text)

    def _forget(self) -> None:
        self._settled_text = ""
        self._settled = []
        self._code = GrowingCode()


def _has_begun(block: str) -> bool:
    """Whether *block* will be a block of its own whatever is written next.

    "- item\n*" are two lists, but "- item\n*word" is one, so a half-written line may yet join what stands before it;
    not so when it begins with a letter, as no marker of Markdown does.
    """
    return "\n" in block or block[:1].isalpha()


def _first_lines(text: str, count: int) -> str:
    end = 0
    for _ in range(count):
        end = text.index("\n", end) + 1
    return text[:end]
