"""CommonMark's rule for which run of `*`, `_` or `~` may open emphasis and which may close it. Pure.

With one addition, as Chinese, Japanese and Korean write without spaces: a mark beside one of their characters counts as
beside a space, and their own punctuation counts as a letter ("**开源：**代码" is bold).

Source: https://spec.commonmark.org/0.31.2/#delimiter-run; the addition as in the markdown-cjk-friendly specification,
https://github.com/tats-u/markdown-cjk-friendly (read 2026-12-01).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache


def flanks(marker: str, before: str, after: str) -> tuple[bool, bool]:
    """Whether a run of *marker* between two characters (each "" at the text's end) may open, and may close."""
    space_before, space_after = _is_space(before), _is_space(after)
    hard_before, hard_after = _is_hard(before), _is_hard(after)
    left = not space_after and (not hard_after or space_before or hard_before or _is_cjk(before))
    right = not space_before and (not hard_before or space_after or hard_after or _is_cjk(after))
    if marker != "_":
        return left, right
    return left and (not right or _is_punctuation(before)), right and (not left or _is_punctuation(after))


def _is_space(char: str) -> bool:
    return not char or char.isspace()


@lru_cache(maxsize=4096)
def _is_punctuation(char: str) -> bool:
    return bool(char) and unicodedata.category(char)[0] in "PS"


@lru_cache(maxsize=4096)
def _is_cjk(char: str) -> bool:
    return bool(char) and unicodedata.east_asian_width(char) in "WF"


def _is_hard(char: str) -> bool:
    """Punctuation of writing that has spaces."""
    return _is_punctuation(char) and not _is_cjk(char)
