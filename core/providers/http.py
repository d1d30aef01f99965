"""How chat requests and lists of models travel: over connections of our own, with nothing in between.

The SDKs keep what is rare and intricate: recordings, speech, files, batches (sdk.py). A chat request is one POST with a
bearer token, and its stream is decoded here anyway, beneath their objects. Measured with groq 1.7.0 (2026-11-27): an
answer costs the SDK 1.7 ms of processor time and this 0.5; importing groq costs a bot 13 MB, and openai its reader two
seconds at the moment that Groq fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from core.base.clock import SystemClock
from core.domain.errors import ConnectionFailed, KeyRejected, RequestRejected, Stalled
from core.domain.model_spec import ModelSpec
from core.ports.gateway import RemoteModel
from core.providers.catalogue import read_models
from core.providers.failures import broken, error_for
from core.providers.http_answer import Head
from core.providers.http_client import Body, Connections, Origin, basic_authorization
from core.providers.transport import tls_context

LIST_TIMEOUT_S: Final = 15.0
"""For GET /models; start-up goes on without it."""

USER_AGENT: Final = "Tern"
"""A name of our own: what stands before Groq's API answers 403 to agents it finds odd, and bare HTTP libraries are
among them (facts/groq.md 7.8)."""

Headers = tuple[tuple[bytes, bytes], ...]

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


class HttpCaller:
    """Implements Caller for any OpenAI-compatible address. Whoever made it closes it.

    Args:
        base_url: What stands before /chat/completions.
        api_key: Sent as a bearer token; "" sends none. KeyRejected at the first call where no header can carry it.
        proxy: HTTP proxy for https addresses; the environment is not consulted.
        keep: Whether connections are kept between requests.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        api_key: str,
        on_headers: OnHeaders,
        *,
        proxy: str | None = None,
        keep: bool = True,
    ) -> None:
        self._provider = provider
        self._url = urlsplit(base_url.rstrip("/"))
        self._origin = Origin.of(self._url)
        self._api_key = api_key
        self._on_headers = on_headers
        self._proxy = proxy
        self._keep = keep
        self._opened: tuple[Connections, Headers] | None = None

    async def ready(self) -> None:
        """Read the trusted certificates, once and in a thread. Raises KeyRejected."""
        await self._open()

    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> Answer:
        return await self._request("POST", "/chat/completions", model, msgspec.json.encode(body))

    async def models(self) -> Sequence[RemoteModel]:
        """What GET /models lists. Raises ProviderError."""
        await self.ready()
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S) as deadline:
                answer = await self._request("GET", "/models", None, b"")
                with closing(answer.body) as body:
                    return read_models(await body.read_all())
        except ConnectionError as error:
            raise broken("closed", provider=self._provider, model="", detail=str(error)) from error
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise Stalled("no list of models", provider=self._provider) from error

    async def close(self) -> None:
        """Close the connections; the caller is not usable afterwards."""
        if self._opened is not None:
            await self._opened[0].close()

    async def _request(self, method: str, path: str, model: ModelSpec | None, content: bytes) -> Answer:
        connections, headers = await self._open()
        typed = ((b"Content-Type", b"application/json"),) if content else ()
        try:
            head, body = await connections.request(
                self._origin, method, self._url.path + path, headers + typed, content
            )
        except OSError as error:
            raise self._failed(error, model) from error
        try:
            told = _told(head)
            if model is not None:
                self._on_headers(model, told)
            if not 200 <= head.status < 300:
                raise await self._refusal(head.status, told, body, model)
        except BaseException:
            body.close()
            raise
        return Answer(told.get("x-request-id", ""), body)

    async def _refusal(self, status: int, told: Mapping[str, str], body: Body, model: ModelSpec | None) -> Exception:
        try:
            said = await body.read_all()
        except ConnectionError as error:
            return self._failed(error, model)
        if status < 400:
            # Following it would hand the key and people's words to a place that nobody configured.
            return RequestRejected(
                f"the address has moved to {told.get('location', 'somewhere else')[:200]}",
                provider=self._provider,
                model=model.id if model else "",
                status=status,
            )
        name = model.id if model else ""
        return error_for(status, said, told, provider=self._provider, model=name, now=SystemClock().now())

    def _failed(self, error: Exception, model: ModelSpec | None) -> ConnectionFailed:
        detail = f"{type(error).__name__}: {error}".removesuffix(": ")
        return ConnectionFailed(detail, provider=self._provider, model=model.id if model else "")

    async def _open(self) -> tuple[Connections, Headers]:
        if self._opened is None:
            authorization = basic_authorization(self._url)
            if self._api_key:
                authorization = f"Bearer {usable_key(self._api_key, self._provider)}"
            named = {
                "Host": self._url.netloc.rpartition("@")[2],
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                # Compressed streams would arrive in the compressor's portions instead of the model's.
                "Accept-Encoding": "identity",
                **({"Authorization": authorization} if authorization else {}),
                **({} if self._keep else {"Connection": "close"}),
            }
            headers = tuple((name.encode(), value.encode()) for name, value in named.items())
            tls = await asyncio.to_thread(tls_context) if self._origin.tls else None
            # Another call may have been quicker.
            self._opened = self._opened or (Connections(tls, self._proxy, keep=self._keep), headers)
        return self._opened


def usable_key(key: str, provider: str) -> str:
    """Return *key* without the blanks that copying adds. Raises KeyRejected for what no HTTP header can carry."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise KeyRejected("the key is empty or has characters that no key has", provider=provider)
    return key


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _told(head: Head) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers}
