"""Text that UTF-8 can carry. JSON may hold halves of a character (lone surrogates), and Python keeps them."""

from __future__ import annotations


def well_formed(text: str) -> str:
    """Return *text* with "?" for every lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
