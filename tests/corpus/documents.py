"""Makes answers as models write them: many languages, lists, tables, code, links, formulas, emoji, in any mixture.

A document knows what must be met again on every surface: its words, each of them once, its addresses and its code.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

SCRIPTS = {
    "latin": "abcdefghijklmnopqrstuvwxyz",
    "german": "abcdefghijklmnopqrstuvwxyzäöüß",
    "greek": "αβγδεζηθικλμνξοπρστυφχψω",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщыэюя",
    "han": "的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要她出也得里后自以会",
    "kana": "あいうえおかきくけこさしすせそたちつてとなにぬねのアイウエオカキクケコサシスセソ",
    "hangul": "가나다라마바사아자차카타파하고노도로모보소오조초코토포호",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "devanagari": "कखगघचछजझटठडढतथदधनपफबभमयरलवशषसह",
    "thai": "กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศสหอฮ",
}
SPACELESS = frozenset({"han", "kana", "thai"})
EMOJI = ("😀", "👩\u200d🔬", "🇩🇪", "👍🏽", "❤️", "⚠️", "✅", "1️⃣")
MARKS = {"han": "，。：；！？", "kana": "、。！？「」"}
LANGUAGES = ("python", "sh", "json", "", "c++", "sql", "diff", "text", "jsx")
HOSTS = ("example.org", "docs.example.org/3/library", "de.example.org:8080", "xn--bcher-kva.example")
PATHS = (
    "/wiki/Rust_(programming_language)", "/__main__.html", "/a_b_c", "/?q=a&b=c_d#e-f", "/x/(y)/z",
    "/~user/file_1.tar.gz",
    "/search?q=a+b&r[0]=1", "/%E6%9D%B1%E4%BA%AC", "/a*b*c", "/東京_(駅)", "", "/a,b;c=d/e!f", "/@someone/p/1_2",
)  # fmt: skip


CODE_SPANS = ("x_{}", "a * {}", "f({})[0]", "<b{}>", "__n{}__", "a|b{}", "{} && y", "**{}**")
FORMULAS = ("$x_{{{}}}$", "\\({}^2\\)", "@{}", "#{}", "5\\*{}")
CODE_LINES = (
    *("{} = [a](b)", "    return {} * 2", "# {} <b>", "", "\tif {}: # **x**", "| {} | y |", "- {}", "> {}", "$ {}\\n"),
    *("``{}``", "    ~~~ {}", "<!-- {} -->", "{}  ", "https://example.org/__{}__"),
)


@dataclass(slots=True)
class Document:
    """Markdown, and what a reader must meet of it."""

    markdown: str = ""
    words: list[str] = field(default_factory=list)
    """In order; each stands once."""
    headers: list[str] = field(default_factory=list)
    """Of tables: where a table is told as a list, they are said for each row."""
    addresses: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    """The text of each code block."""
    spans: list[str] = field(default_factory=list)
    """Code in running text."""


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.document = Document()
        self._number = 0
        self.script = rng.choice(list(SCRIPTS))

    # --- words ---

    def word(self, *, header: bool = False) -> str:
        """A word that stands nowhere else: letters of the script around a number."""
        self._number += 1
        letters = SCRIPTS[self.script]
        word = "".join(self.rng.choice(letters) for _ in range(self.rng.randint(1, 7))) + f"{self._number}q"
        (self.document.headers if header else self.document.words).append(word)
        return word

    def words(self, most: int = 8) -> str:
        gap = "" if self.script in SPACELESS and self.rng.random() < 0.5 else " "
        return gap.join(self.word() for _ in range(self.rng.randint(1, most)))

    def address(self) -> str:
        self._number += 1
        path = self.rng.choice(PATHS)
        scheme = self.rng.choice(("https", "https", "http"))
        mark = f"/n{self._number}" if "?" not in path else ""
        address = f"{scheme}://{self.rng.choice(HOSTS)}{mark}{path}"
        if "?" in path:
            address += f"&n={self._number}"
        self.document.addresses.append(address)
        return address

    # --- running text ---

    def piece(self) -> str:
        match self.rng.randint(0, 15):
            case 0:
                return f"**{self.words(3)}**"
            case 1:
                return f"*{self.words(2)}*"
            case 2:
                return f"[{self.words(3)}]({self.address()})"
            case 3:
                return f" {self.address()} "
            case 4:
                code = self.rng.choice(CODE_SPANS).format(self._code_word())
                self.document.spans.append(code)
                return f" `{code}` "
            case 5:
                return self.rng.choice(EMOJI)
            case 6:
                marks = MARKS.get(self.script, ":")
                return f"**{self.words(2)}{marks[0]}**{self.words(2)}"
            case 7:
                return f"~~{self.words(2)}~~"
            case 8:
                return self.rng.choice(("({})", "\u201c{}\u201d", "「{}」")).format(self.words(2))
            case 9:
                return self.rng.choice(("snake_{}_case", "2 * {} * 3", "{} < 5 & 6 > 5")).format(self.word())
            case 10:
                return self.rng.choice(FORMULAS).format(self.word())
            case 11:
                return f"***{self.words(2)}***"
            case _:
                return self.words()

    def _code_word(self) -> str:
        self._number += 1
        return f"k{self._number}z"

    def line(self, most: int = 5) -> str:
        gap = " " if self.script not in SPACELESS else self.rng.choice(("", " "))
        text = gap.join(self.piece() for _ in range(self.rng.randint(1, most)))
        return f"{self.word()}{gap}{text.rstrip()}" + self.rng.choice((".", "", "。", "!", ":"))

    # --- blocks ---

    def paragraph(self) -> list[str]:
        return [self.line() for _ in range(self.rng.choice((1, 1, 1, 2, 3)))]

    def heading(self) -> list[str]:
        level = self.rng.randint(1, 6)
        return [f"{'#' * level} {self.line(2)}"]

    def code(self, tick: str = "") -> list[str]:
        lines = [self.rng.choice(CODE_LINES).format(self._code_word()) for _ in range(self.rng.randint(1, 6))]
        if not lines[0].strip():
            lines[0] = self._code_word()
        if not lines[-1].strip():
            lines[-1] = self._code_word()
        self.document.code.append("\n".join(lines))
        fence = tick or self.rng.choice(("```", "```", "```", "~~~", "````"))
        return [fence + self.rng.choice(LANGUAGES), *lines, fence]

    def table(self) -> list[str]:
        columns = self.rng.randint(1, 4)
        rows = [[self.cell() for _ in range(columns)] for _ in range(self.rng.randint(0, 4))]
        header = [self.word(header=True) for _ in range(columns)]
        marks = self.rng.choices(("---", ":--", "--:", ":-:"), k=columns)
        return [f"| {' | '.join(cells)} |" for cells in (header, marks, *rows)]

    def cell(self) -> str:
        match self.rng.randint(0, 7):
            case 0:
                return f"[{self.words(2)}]({self.address()})"
            case 1:
                return self.address()
            case 2:
                return f"**{self.words(2)}** `a_b|c`"
            case 3:
                return f"{self.words(1)}<br>{self.words(1)}"
            case _:
                return self.words(2)

    def items(self, depth: int = 0) -> list[str]:
        ordered = self.rng.random() < 0.4
        bullet = self.rng.choice(("-", "*", "+"))
        first = 1 if depth else self.rng.choice((1, 1, 1, 3, 9))  # only a 1 may follow its item's words at once
        lines: list[str] = []
        for number in range(self.rng.randint(1, 4)):
            mark = f"{first + number}." if ordered else bullet
            indent = " " * (len(mark) + 1)
            body = self._item(depth)
            lines.append(f"{mark} {body[0]}")
            lines += [indent + line if line else "" for line in body[1:]]
        return lines

    def _item(self, depth: int) -> list[str]:
        match self.rng.randint(0, 8):
            case 0 if depth < 2:
                return [self.line(2), *self.items(depth + 1)]
            case 1:
                return [self.line(2), "", *self.code()]
            case 2:
                return [self.line(2), *self.code("```")]
            case 3:
                return [self.rng.choice(("[ ] ", "[x] ")) + self.line(2)]
            case 4:
                return self.code("```")
            case 5:
                return [self.line(2), "", *self.paragraph()]
            case _:
                return [self.line(3)]

    def quote(self) -> list[str]:
        inside = self.rng.choice((self.paragraph, self.items, self.code, self.paragraph))()
        return [f"> {line}" if line else ">" for line in inside]

    def block(self) -> list[str]:
        kinds: tuple[Callable[[], list[str]], ...] = (
            self.paragraph, self.paragraph, self.paragraph, self.heading, self.code, self.table, self.items, self.items,
            self.quote, self.rule, self.formula,
        )  # fmt: skip
        return self.rng.choice(kinds)()

    def rule(self) -> list[str]:
        return [self.rng.choice(("---", "***", "* * *"))]

    def formula(self) -> list[str]:
        return ["$$", f"\\sum_{{i=1}}^n {self.word()}", "$$"]


def document(rng: random.Random, *, script: str | None = None) -> Document:
    """One answer."""
    maker = _Maker(rng)
    maker.script = script or maker.script
    blocks = [maker.block() for _ in range(rng.choice((1, 2, 3, 5, 8, 12)))]
    maker.document.markdown = "\n\n".join("\n".join(block) for block in blocks)
    for found in (maker.document.words, maker.document.addresses):
        found.sort(key=maker.document.markdown.index)  # they were not always made in the order in which they stand
    return maker.document
