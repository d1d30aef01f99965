"""GET /models, as providers answer it and as they should not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ports.gateway import RemoteModel
from core.providers.catalogue import read_models


def listing(*entries: object) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def test_groqs_extra_fields_are_read() -> None:
    """Prices are strings per token there."""
    entry = {
        "id": "m",
        "active": True,
        "context_window": 131_072,
        "max_completion_tokens": 65_536,
        "pricing": {"prompt": "0.000000075", "completion": "0.0000003", "input_cache_read": "0.0000000375"},
    }

    assert read_models(listing(entry)) == (RemoteModel("m", 131_072, 65_536, 0.075, 0.0375, 0.3, None, True),)


def test_other_names_of_the_same_fields() -> None:
    """Both were seen."""
    entry = {"id": "m", "context_length": 10, "max_output_length": 5, "pricing": {"input": 1e-6, "output": 2e-6}}

    assert read_models(listing(entry)) == (RemoteModel("m", 10, 5, 1.0, None, 2.0),)


def test_openais_shutdown_date() -> None:
    """A date, whatever follows it."""
    assert read_models(listing({"id": "m", "shutdown_date": "2027-01-14T00:00:00Z"}))[0].shutdown_at == "2027-01-14"


@pytest.mark.parametrize("price", ["0", "", "free", None, "-1"])
def test_a_price_of_nothing_is_no_price(price: str | None) -> None:
    """A zero would make a model free by mistake."""
    assert read_models(listing({"id": "m", "pricing": {"prompt": price}}))[0].price_prompt is None


def test_an_entry_that_cannot_be_read_still_exists() -> None:
    """Otherwise its model would be marked dead for a new field's type."""
    assert read_models(listing({"id": "m", "context_window": "huge"}, {"no": "id"}, 7)) == (RemoteModel("m"),)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"{}", b'{"data": 5}', b"null"])
def test_no_list_is_empty(raw: bytes) -> None:
    """And an empty one teaches nothing."""
    assert read_models(raw) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["context_window", "pricing", "active", "shutdown_date", "x", "max_completion_tokens"]), JSON
    )
)
def test_nothing_in_an_entry_loses_it(entry: dict[str, Any]) -> None:
    """Whatever a provider puts there."""
    assert [model.id for model in read_models(listing({**entry, "id": "m"}))] == ["m"]
