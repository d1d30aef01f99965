"""One SDK's client: opened at first need, its exceptions translated, its response objects left out.

groq and openai are two packages with the same names in them, so everything here takes the package as a value. They keep
authentication, URLs, parameters and errors; the bytes of an answer go past them (transport.py), because a chunk costs
them four times what it costs our own decoder (facts/models-2.md 1.18).
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from core.base.clock import SystemClock
from core.domain.errors import ConnectionFailed, Stalled
from core.domain.model_spec import ModelSpec
from core.ports.gateway import RemoteModel
from core.providers import callers
from core.providers.callers import Answer, OnHeaders, lower, moved
from core.providers.catalogue import read_models
from core.providers.connections import Body, Connections
from core.providers.failures import broken, error_for
from core.providers.transport import body_of

_IMPORTING: Final = threading.Lock()
"""openai looks into httpx, also while groq's thread has half of it imported."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An SDK as it was loaded: the package, the httpx it brings, and a client of it with `max_retries=0`."""

    sdk: ModuleType
    httpx: ModuleType
    client: Any


class SdkCaller:
    """Implements Caller over groq or openai. Whoever made it closes it.

    Args:
        open_client: Imports the SDK and builds the client; runs in a thread, because openai takes 2.3 s to import.
    """

    def __init__(
        self, provider: str, open_client: Callable[[], Opened], on_headers: OnHeaders, connections: Connections
    ) -> None:
        self._provider = provider
        self._open_client = open_client
        self._on_headers = on_headers
        self._connections = connections.join()
        self._opening = asyncio.Lock()
        self._opened: Opened | None = None

    async def _open(self) -> Opened:
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    await self._connections.open()
                    self._opened = await asyncio.to_thread(self._load)
        return self._opened

    def _load(self) -> Opened:
        with _IMPORTING:
            for name in ("httpx._main", "httpx2._main"):
                # Their command line brings rich, click and pygments: 5 MB and 0.1 s. Both say ImportError is fine.
                sys.modules.setdefault(name, None)  # type: ignore[arg-type] # how Python marks what is not to be had
            opened = self._open_client()
            _ = opened.client.chat.completions.with_streaming_response  # loaded at first touch, 40 ms
            return opened

    async def ready(self) -> None:
        """Import the SDK now, so that the first request does not wait for it. Raises KeyRejected."""
        await self._open()

    async def chat(self, body: Mapping[str, Any], model: ModelSpec) -> Answer:
        rest = dict(body)
        # What either package has no argument for goes beside those it insists on.
        named = {name: rest.pop(name) for name in ("model", "messages", "stream")}

        def ask(client: Any) -> Any:
            return client.chat.completions.with_streaming_response.create(**named, extra_body=rest)

        response = await self._asked(await self._open(), ask, model)
        # The SDK's context is left without its exit, which does nothing but close the body: that is the reader's.
        return Answer(response.headers.get("x-request-id", "")[:200], body_of(response.http_response))

    async def models(self) -> Sequence[RemoteModel]:
        """What GET /models lists. Raises ProviderError."""
        raw = await self.fetch(
            lambda client: client.models.with_streaming_response.list(), None, limit_s=callers.LIST_TIMEOUT_S
        )
        return read_models(raw)

    async def fetch(self, ask: Callable[[Any], Any], model: ModelSpec | None, *, limit_s: float) -> bytes:
        """Return the whole body of what *ask* sends: it is handed the client and returns a streaming response.

        Args:
            model: Whose limits the headers speak about; None where no model is asked.
            limit_s: Seconds until Stalled is raised.
        """
        name = model.id if model else ""
        await self._open()
        try:
            async with asyncio.timeout(limit_s) as deadline, self._opened_body(ask, model) as body:
                return await body.read_all()
        except ConnectionError as error:
            raise broken("closed", provider=self._provider, model=name, detail=str(error)) from error
        except TimeoutError as error:
            if not deadline.expired():
                raise
            stalled = Stalled(f"no answer within {limit_s:g} s", provider=self._provider, model=name)
            stalled.silence_s, stalled.first = limit_s, True
            raise stalled from error

    async def close(self) -> None:
        """Leave the connections; the caller is not usable afterwards."""
        if self._opened is not None:
            await self._opened.client.close()
        await self._connections.leave()

    @asynccontextmanager
    async def _opened_body(self, ask: Callable[[Any], Any], model: ModelSpec | None) -> AsyncIterator[Body]:
        body = body_of((await self._asked(await self._open(), ask, model)).http_response)
        try:
            yield body
        finally:
            body.close()

    async def _asked(self, opened: Opened, ask: Callable[[Any], Any], model: ModelSpec | None) -> Any:
        """The response to what *ask* sends, its body unread."""
        try:
            response = await ask(opened.client).__aenter__()
        except Exception as error:
            raise self._translated(opened, error, model) from error
        if model is not None:
            self._on_headers(model, lower(response.headers))
        return response

    def _translated(self, opened: Opened, error: Exception, model: ModelSpec | None) -> Exception:
        """Our error for the SDK's; what is not the provider's or the wire's doing stays as it is."""
        name = model.id if model else ""
        if isinstance(error, opened.sdk.APIStatusError):
            response = error.response
            headers = lower(response.headers)
            if model is not None:
                self._on_headers(model, headers)
            status = response.status_code
            if status < 400:
                body_of(response).close()
                return moved(status, headers, provider=self._provider, model=name)
            now = SystemClock().now()
            return error_for(status, response.content, headers, provider=self._provider, model=name, now=now)
        # groq wraps whatever goes wrong while sending, our own bugs included: only the wire's doing is translated.
        cause = error.__cause__ if isinstance(error, opened.sdk.APIConnectionError) else error
        if isinstance(cause, opened.httpx.TransportError):
            detail = f"{type(cause).__name__}: {cause}".removesuffix(": ")
            return ConnectionFailed(detail, provider=self._provider, model=name)
        return cause if isinstance(cause, Exception) else error
