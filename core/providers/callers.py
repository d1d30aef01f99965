"""How a request gets to a provider and its answer back, whatever carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from core.domain.errors import KeyRejected, ProviderError, RequestRejected
from core.domain.model_spec import ModelSpec
from core.providers.connections import Body

LIST_TIMEOUT_S: Final = 15.0
"""For GET /models; start-up goes on without it."""

OnHeaders = Callable[[ModelSpec, Mapping[str, str]], None]
"""Hears the headers of every answer, refusals included; names are in lower case."""


def ignore_headers(model: ModelSpec, headers: Mapping[str, str]) -> None:
    """For whoever does not count limits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with status 200 whose body is still coming. Whoever opened it closes the body."""

    request_id: str
    """The provider's; "" where it named none. The other headers are heard by OnHeaders and not kept."""
    body: Body


class Caller(Protocol):
    """How a chat request gets to a provider. Raises ProviderError."""

    async def ready(self) -> None:
        """Return when `chat` will not have to load anything first."""
        ...

    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> Answer:
        """Send *body* and wait for the head of the answer. Nothing of the request is held while the answer comes."""
        ...


def usable_key(key: str, provider: str) -> str:
    """Return *key* without the blanks that copying adds. Raises KeyRejected for what no HTTP header can carry."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise KeyRejected("the key is empty or has characters that no key has", provider=provider)
    return key


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def moved(status: int, told: Mapping[str, str], *, provider: str, model: str) -> ProviderError:
    """The error for a redirect: following it would hand the key and people's words to a place nobody configured."""
    where = told.get("location", "somewhere else")[:200]
    return RequestRejected(f"the address has moved to {where}", provider=provider, model=model, status=status)
