"""Code -> HTML with classes (page/highlight.css gives them colours). Pure.

Pygments is asked only for languages on a list: its five hundred lexers are regular expressions by many hands, some of
them quadratic, and the code comes from a model that anybody may talk to.
"""

from __future__ import annotations

from html import escape

from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

_NAMES = """
bash sh shell zsh console powershell ps1 awk sed python py python3 pycon pytb javascript js jsx typescript ts tsx
json jsonc json5 yaml yml toml ini html xml svg css scss less sql postgresql mysql sqlite graphql csv
c cpp c++ h hpp csharp c# cs java kotlin scala groovy go golang rust rs swift dart objective-c objc zig nim
ruby rb php perl lua r julia matlab elixir erlang haskell hs clojure ocaml fsharp asm nasm
dockerfile docker makefile make cmake nginx diff patch markdown md latex tex protobuf terraform hcl nix vim http regex
"""
LANGUAGES = frozenset(_NAMES.split())
MAX_CHARS = 40_000
"""Longer code is shown without colours: lexing takes about 4 ms per 1,000 characters (measured, Pygments 2.21)."""
MAX_LINE_CHARS = 2_000
"""Minified code gains nothing from colours, and long lines are where lexers turn quadratic."""

_PREFIX = "k-"
_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True, classprefix=_PREFIX)


def language_of(fence: str) -> str:
    """The language that a fence's first word names, "" where it names none: ``` ```python title=x ``` -> "python"."""
    word = fence.strip().split(maxsplit=1)[0] if fence.strip() else ""
    return word.strip("{}.").lower()[:32]


def highlight(code: str, language: str) -> str:
    """HTML of *code*, escaped, with class names only; without colours where the language is unknown or it is long."""
    lexer = _lexer(language)
    if lexer is None or len(code) > MAX_CHARS or max(map(len, code.split("\n"))) > MAX_LINE_CHARS:
        return escape(code)
    pieces: list[str] = []

    class _Pieces:
        def write(self, piece: str) -> None:
            pieces.append(piece)

    rest = code.lstrip("\ufeff")
    _FORMATTER.format(lexer.get_tokens(rest), _Pieces())
    html = code[: len(code) - len(rest)] + "".join(pieces)  # Pygments would take a byte order mark away
    return html if code.endswith("\n") else html.removesuffix("\n")  # Pygments ends every text with a line end


class GrowingCode:
    """Highlights a block that is still being written, without starting over at each line.

    Colours follow in steps: what came since the last step is shown plain until it makes up an eighth of the block, so
    that n characters cost about nine passes' worth of lexing instead of one pass per edit.
    """

    _AT_ONCE_CHARS = 1_500

    def __init__(self) -> None:
        self._language = ""
        self._code = ""
        self._html = ""

    def render(self, code: str, language: str) -> str:
        grown = language == self._language and code.startswith(self._code)
        tail = len(code) - len(self._code)
        if grown and len(code) > self._AT_ONCE_CHARS and tail < len(code) // 8:
            return self._html + escape(code[len(self._code) :])
        # up to a line's end, so that the half-written line is not coloured wrongly and kept so
        whole_lines = code.rfind("\n") + 1 if len(code) > self._AT_ONCE_CHARS else len(code)
        self._language, self._code = language, code[:whole_lines]
        self._html = highlight(self._code, language) if self._code else ""
        return self._html + escape(code[whole_lines:])


def _lexer(language: str) -> Lexer | None:
    if language not in LANGUAGES:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
