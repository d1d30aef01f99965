"""Codes of the languages that were heard."""

from __future__ import annotations

import pytest

from core.providers.languages import language_code


@pytest.mark.parametrize(
    ("heard", "code"),
    [("german", "de"), ("English", "en"), ("haitian creole", "ht"), ("de", "de"), ("klingon", "klingon"), ("", "")],
)
def test_language_is_told_by_its_code(heard: str, code: str) -> None:
    """Names become codes; codes and what nobody knows stay."""
    assert language_code(heard) == code
