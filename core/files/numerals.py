"""Numbers as people write them, turned into one way of writing, or refused where they can be read in two. Pure.

"1,5" is one and a half in half of the world, "1,234" a thousand and more in the other: which was meant is told by the
other numbers beside it, or it is asked for.
"""

from __future__ import annotations

import re
import unicodedata

_SPACES = " \u00a0\u2007\u2009\u202f"
_NUMBER = re.compile(rf"\d+(?:[.,'’{_SPACES}]\d+)*", re.ASCII)
_GROUPED = r"\d{{1,3}}(?:{0}\d{{3}})+"
_INDIAN = re.compile(r"\d{1,3}(?:,\d{2})+,\d{3}")


class Ambiguous(ValueError):
    """A number that can be read in two ways, or in none; the message says how to write it."""


def plain(text: str) -> str:
    """Return *text* with every number as Python writes it: "1.234,5 + 1" becomes "1234.5 + 1".

    Raises:
        Ambiguous: "1,234" alone (1234 or 1.234), "12 34", "1.2.3", a comma that belongs to no number.
    """
    text = "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in text)
    numbers = _NUMBER.findall(text)
    decimals = {mark for number in numbers if (mark := _decimal_mark(number))}
    if len(decimals) > 1:
        raise Ambiguous("some of its numbers have a decimal point and some a decimal comma; write points only")
    decimal = decimals.pop() if decimals else ""
    text = _NUMBER.sub(lambda found: _read(found[0], decimal), text)
    if "," in text or "’" in text:
        raise Ambiguous("a comma stands between no digits there; write numbers with a decimal point, without commas")
    return text


def _decimal_mark(number: str) -> str:
    """Which mark is certainly a decimal one in *number*; "" where it has none or may have none."""
    marks = [one for one in number if not one.isdigit()]
    if not marks or marks[-1] not in ".,":
        return ""
    last = marks[-1]
    if marks.count(last) > 1:  # a group mark
        return ""
    whole, _, part = number.rpartition(last)
    if len(set(marks)) > 1 or len(part) != 3 or len(whole) > 3 or whole.startswith("0"):
        return last
    return ""


def _read(number: str, decimal: str) -> str:
    """One number without its group marks. Raises Ambiguous."""
    if number.isdigit():
        return number
    own = _decimal_mark(number)
    whole, part = number, ""
    if own:
        whole, _, part = number.rpartition(own)
    if whole.isdigit():
        return f"{whole}.{part}" if part else whole
    marks = {one for one in whole if not one.isdigit()}
    mark = marks.pop()
    if marks or not (re.fullmatch(_GROUPED.format(re.escape(mark)), whole) or _INDIAN.fullmatch(whole)):
        raise Ambiguous(f"{number!r} is no number that I can read; write it without spaces or commas, like 1234.5")
    if own or whole.count(mark) > 1 or mark not in ".,":
        if mark in (own, decimal):
            raise Ambiguous(f"{number!r} can be read in two ways; write numbers like 1234.5")
        return _digits(whole) + (f".{part}" if part else "")
    if mark == ".":  # "1.234", as programs and models write it, unless its neighbours have a decimal comma
        return whole if decimal != "," else _digits(whole)
    if decimal == ".":
        return _digits(whole)
    if decimal == ",":
        return whole.replace(",", ".")
    bare, point = _digits(whole), whole.replace(",", ".")
    raise Ambiguous(f"{number} can be read in two ways; write {bare} or {point}")


def _digits(text: str) -> str:
    return "".join(one for one in text if one.isdigit())
