"""One line per request and per visible answer, for people who look for one or count many. No text of anybody."""

from __future__ import annotations

from typing import Any

import structlog

from core.domain.errors import ProviderError
from core.domain.requests import Attempt, RequestRecord, ShownRecord
from core.wording import reference

_FINE = frozenset({"ok", "cached", "stopped"})
_REFUSED = frozenset({"OverLimit", "SpendStopped", "NotAllowed", "QueueFull", "BadRequest", "UnknownModel", "TooLarge"})


class LogObserver:
    """Writes records to structlog. `ref` is the code that the reader of an error saw; `provider_request_ids` are what
    the providers' own support asks for."""

    def __init__(self, logger: Any = None) -> None:
        self._log = structlog.get_logger("tern") if logger is None else logger

    def request(self, record: RequestRecord) -> None:
        usage = record.usage
        write = self._log.info if record.outcome in _FINE | _REFUSED else self._log.warning
        write(
            "request",
            ref=reference(record.request_id),
            request_id=record.request_id,
            kind=record.kind,
            user=f"{record.user.platform}:{record.user.workspace}:{record.user.user}",
            channel_key=record.channel_key,
            requested_model=record.requested_model,
            outcome=record.outcome,
            model=record.model,
            provider=record.provider,
            finish=record.finish,
            first_text_ms=None if record.first_text_s is None else round(record.first_text_s * 1000),
            duration_ms=round(record.duration_s * 1000),
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=round(usage.cost_usd, 6),
            estimated=usage.estimated,
            attempts=[_in_short(attempt) for attempt in record.attempts],
            provider_request_ids=[a.provider_request_id for a in record.attempts if a.provider_request_id],
        )

    def shown(self, record: ShownRecord) -> None:
        self._log.info(
            "shown",
            ref=reference(record.request_id),
            request_id=record.request_id,
            platform=record.platform,
            outcome=record.outcome,
            first_shown_ms=None if record.first_shown_s is None else round(record.first_shown_s * 1000),
            last_lag_ms=None if record.last_lag_s is None else round(record.last_lag_s * 1000),
            edits=record.edits,
            pages=record.pages,
        )

    def alert(self, error: ProviderError) -> None:
        """What the operator must mend: a key, an account, a retired model."""
        self._log.error(
            "provider needs attention",
            error=type(error).__name__,
            provider=error.provider,
            model=error.model,
            status=error.status,
            detail=error.detail,
            provider_request_id=error.request_id,
        )


def _in_short(attempt: Attempt) -> str:
    return f"{attempt.provider}/{attempt.model}={attempt.outcome} {round(attempt.duration_s * 1000)}ms"
