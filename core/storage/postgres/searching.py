"""Search with PostgreSQL's own text search, made to find what SQLite's FTS5 finds.

There is no index: `turns_recent` narrows to one conversation first, and a text is split in microseconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, case, cast, false, func, literal_column
from sqlalchemy.dialects.postgresql import TSQUERY

from core.storage import schema

_MARKS = "[\u0300-\u036f]"
_NO_LETTERS = r"[!-/:-@\[-`{-~\u00a0-\u00bf\u2000-\u206f\u3000-\u303f]+"
"""What splits words. PostgreSQL's own parser keeps addresses and hyphenated words whole, FTS5 does not."""

_SIMPLE: ColumnElement[Any] = literal_column("'simple'::regconfig")


def matches(words: Sequence[str]) -> ColumnElement[bool]:
    """See `searching.matches`."""
    bare = func.regexp_replace(func.normalize(schema.turns.c.words, literal_column("NFKD")), _MARKS, "", "g")
    text = func.to_tsvector(_SIMPLE, func.lower(func.regexp_replace(bare, _NO_LETTERS, " ", "g")))
    *whole, last = [func.phraseto_tsquery(_SIMPLE, _plain(word)) for word in words]
    beginning = cast(func.concat(cast(last, Text), ":*"), TSQUERY)
    found = [text.bool_op("@@")(phrase) for phrase in whole]
    # A word without a letter or digit in it finds nothing, and would be no query with ":*" behind it.
    return and_(*found, case((func.numnode(last) > 0, text.bool_op("@@")(beginning)), else_=false()))


def _plain(word: str) -> str:
    """As the stored words are made: without marks above letters, in lower case, its parts apart."""
    bare = re.sub(_MARKS, "", unicodedata.normalize("NFKD", word))
    return re.sub(_NO_LETTERS, " ", bare).lower()
