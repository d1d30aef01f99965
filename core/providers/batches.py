"""Groq's Batch API: a file up, a batch made of it, its state, a file down. Half the price, done within a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from core.base.foreign import Malformed, json_value
from core.domain.errors import ProviderError
from core.providers.sdk import SdkCaller

MAX_LINES: Final = 50_000
MAX_BYTES: Final = 100_000_000
"""Of one file: the SDK's own words; the documentation says 200 MB (facts/groq.md 2)."""

WINDOW: Final = "24h"
"""How long Groq may take; 24h to 7d (groq 1.7.0, batch_create_params)."""

State = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
ENDED: Final[frozenset[str]] = frozenset({"failed", "completed", "expired", "cancelled"})

_UPLOAD_S = 600.0
_ASK_S = 30.0


class _Counts(msgspec.Struct):
    total: int = 0
    completed: int = 0
    failed: int = 0


class _Wrong(msgspec.Struct):
    message: str | None = None
    line: int | None = None


class _Errors(msgspec.Struct):
    data: list[_Wrong] | None = None


class _File(msgspec.Struct):
    id: str


class _Batch(msgspec.Struct):
    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: _Counts | None = None
    errors: _Errors | None = None


@dataclass(frozen=True, slots=True)
class BatchState:
    id: str
    status: str
    output_file: str
    """"" until there is one; lines that went well."""
    error_file: str
    """Lines that failed."""
    completed: int
    failed: int
    problem: str
    """Why the whole batch failed."""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class GroqBatches:
    """Raises ProviderError. Owns nothing: the caller belongs to the provider it came from."""

    def __init__(self, caller: SdkCaller, provider: str) -> None:
        self._caller = caller
        self._provider = provider

    async def upload(self, name: str, content: bytes) -> str:
        """Hand over a JSON Lines file; returns its id."""
        raw = await self._caller.fetch(
            lambda client: client.files.with_streaming_response.create(
                file=(name, content, "application/jsonl"), purpose="batch"
            ),
            None,
            limit_s=_UPLOAD_S,
        )
        file: _File = self._read(raw, _File)
        return file.id

    async def create(self, file_id: str) -> BatchState:
        raw = await self._caller.fetch(
            lambda client: client.batches.with_streaming_response.create(
                completion_window=WINDOW, endpoint="/v1/chat/completions", input_file_id=file_id
            ),
            None,
            limit_s=_ASK_S,
        )
        return self._state(raw)

    async def state(self, batch_id: str) -> BatchState:
        raw = await self._caller.fetch(
            lambda client: client.batches.with_streaming_response.retrieve(batch_id), None, limit_s=_ASK_S
        )
        return self._state(raw)

    async def download(self, file_id: str) -> bytes:
        return await self._caller.fetch(
            lambda client: client.files.with_streaming_response.content(file_id), None, limit_s=_UPLOAD_S
        )

    def _state(self, raw: bytes) -> BatchState:
        found = self._read(raw, _Batch)
        counts = found.request_counts or _Counts()
        wrong = [error for error in (found.errors.data if found.errors else None) or () if error.message]
        return BatchState(
            found.id,
            found.status,
            found.output_file_id or "",
            found.error_file_id or "",
            counts.completed,
            counts.failed,
            "; ".join(
                f"line {error.line}: {error.message}" if error.line else str(error.message) for error in wrong[:3]
            ),
        )

    def _read(self, raw: bytes, kind: Any) -> Any:
        try:
            return msgspec.convert(json_value(raw), kind, strict=False)
        except (Malformed, msgspec.ValidationError) as error:
            raise ProviderError("an answer that cannot be read", provider=self._provider) from error
