"""One SDK's client: opened at first need, its exceptions translated, its response objects left out.

groq and openai are two packages with the same names in them, so everything here takes the package as a value. Chat
goes without them: http.py says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from core.base.clock import SystemClock
from core.domain.errors import ConnectionFailed, Stalled
from core.domain.model_spec import ModelSpec
from core.providers.failures import broken, error_for
from core.providers.http import OnHeaders, lower
from core.providers.http_client import Body
from core.providers.transport import body_of


@dataclass(frozen=True, slots=True)
class Opened:
    """An SDK as it was loaded: the package, the httpx it brings, and a client of it with `max_retries=0`."""

    sdk: ModuleType
    httpx: ModuleType
    client: Any


class SdkCaller:
    """Calls over groq or openai.

    Args:
        open_client: Imports the SDK and builds the client; runs in a thread, because openai takes 2.3 s to import.
    """

    def __init__(self, provider: str, open_client: Callable[[], Opened], on_headers: OnHeaders) -> None:
        self._provider = provider
        self._open_client = open_client
        self._on_headers = on_headers
        self._opening = asyncio.Lock()
        self._opened: Opened | None = None

    async def _open(self) -> Opened:
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    self._opened = await asyncio.to_thread(self._open_client)
        return self._opened

    async def ready(self) -> None:
        """Import the SDK now, so that the first request does not wait for it. Raises KeyRejected."""
        await self._open()

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
        """Close the connections; the caller is not usable afterwards."""
        if self._opened is not None:
            await self._opened.client.close()

    @asynccontextmanager
    async def _opened_body(self, ask: Callable[[Any], Any], model: ModelSpec | None) -> AsyncIterator[Body]:
        opened = await self._open()
        asking = ask(opened.client)
        try:
            response = await asking.__aenter__()
        except Exception as error:
            raise self._translated(opened, error, model) from error
        if model is not None:
            self._on_headers(model, lower(response.headers))
        body = body_of(response.http_response)
        try:
            yield body
        finally:
            body.close()
            await asking.__aexit__(None, None, None)

    def _translated(self, opened: Opened, error: Exception, model: ModelSpec | None) -> Exception:
        """Our error for the SDK's; what is not the provider's or the wire's doing stays as it is."""
        name = model.id if model else ""
        if isinstance(error, opened.sdk.APIStatusError):
            response = error.response
            headers = lower(response.headers)
            if model is not None:
                self._on_headers(model, headers)
            now = SystemClock().now()
            return error_for(
                response.status_code, response.content, headers, provider=self._provider, model=name, now=now
            )
        # groq wraps whatever goes wrong while sending, our own bugs included: only the wire's doing is translated.
        cause = error.__cause__ if isinstance(error, opened.sdk.APIConnectionError) else error
        if isinstance(cause, opened.httpx.TransportError):
            detail = f"{type(cause).__name__}: {cause}".removesuffix(": ")
            return ConnectionFailed(detail, provider=self._provider, model=name)
        return cause if isinstance(cause, Exception) else error
