"""What LOCAL_MODEL means."""

from __future__ import annotations

import pytest

from bot.local.choice import EMBEDDED, choice_of, spec_of
from core.domain.model_spec import Capability
from core.ports.gateway import RemoteModel


def test_nothing_means_the_model_that_comes_along() -> None:
    """Without LOCAL_MODEL the embedded model stands in; it is never given tools or pictures."""
    choice = choice_of("")

    assert (choice.kind, choice.spec) == ("embedded", EMBEDDED)
    assert {Capability.TOOLS, Capability.VISION}.isdisjoint(EMBEDDED.capabilities)


def test_off_means_none() -> None:
    """LOCAL_MODEL=off."""
    assert choice_of("off").spec is None


def test_file_is_named_after_itself() -> None:
    """A GGUF file's name, tidied, is its model id."""
    choice = choice_of("/models/Qwen3 4B_Q4.gguf")

    assert (choice.kind, choice.path) == ("file", "/models/Qwen3 4B_Q4.gguf")
    assert choice.spec is not None
    assert choice.spec.id == "qwen3-4b-q4"


@pytest.mark.parametrize(
    ("url", "base_url", "model_id"),
    [
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1", None),
        ("http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1", None),
        ("http://127.0.0.1:11434/v1#llama4:12b", "http://127.0.0.1:11434/v1", "llama4:12b"),
    ],
)
def test_server_may_name_its_model(url: str, base_url: str, model_id: str | None) -> None:
    """What follows # is the model; without it the server is asked."""
    choice = choice_of(url)

    assert choice.base_url == base_url
    assert (choice.spec.id if choice.spec else None) == model_id


def test_servers_key_is_taken_out_of_its_url() -> None:
    """A key given as the URL's password is sent as a key, and is in no address and no repr."""
    choice = choice_of("https://:the-key@models.example.org:8000/v1#big")

    assert (choice.base_url, choice.api_key) == ("https://models.example.org:8000/v1", "the-key")
    assert "the-key" not in repr(choice)


def test_server_says_how_much_its_model_holds() -> None:
    """A context length in the list is taken over; without one a small one is assumed."""
    assert spec_of(RemoteModel("a", context_window=32_768)).context_window == 32_768
    assert spec_of(RemoteModel("a")).context_window == 8_192
