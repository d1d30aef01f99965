"""Counts and times for Prometheus, all under `tern_`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from core.domain.requests import RequestRecord, ShownRecord

_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
_EDITS = (1, 2, 3, 5, 8, 12, 20, 40, 80)
_REFUSALS = frozenset({"OverLimit", "SpendStopped"})


class MetricsObserver:
    """Keeps its own registry, so that two bots in one process (as in tests) do not meet.

    Labels are few and bounded: models, providers, outcomes, platforms; never users or places.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        r = self.registry
        self._requests = Counter(
            "tern_requests", "Requests by end and model.", ["kind", "outcome", "model"], registry=r
        )
        self._first_text = Histogram(
            "tern_first_text_seconds", "From a request's entry to the model's first text.", ["model"],
            buckets=_SECONDS, registry=r,
        )  # fmt: skip
        self._duration = Histogram(
            "tern_request_seconds", "From a request's entry to its end.", ["outcome"], buckets=_SECONDS, registry=r
        )
        self._first_shown = Histogram(
            "tern_first_visible_seconds", "From acceptance to the first words on the screen.", ["platform"],
            buckets=_SECONDS, registry=r,
        )  # fmt: skip
        self._last_lag = Histogram(
            "tern_last_edit_lag_seconds", "From the model's last token to the edit that shows it.", ["platform"],
            buckets=_SECONDS, registry=r,
        )  # fmt: skip
        self._edits = Histogram(
            "tern_edits_per_answer", "Posts and edits of one answer.", ["platform"], buckets=_EDITS, registry=r
        )
        self._attempts = Counter(
            "tern_attempts", "Calls to models by end.", ["provider", "model", "outcome"], registry=r
        )
        self._fallbacks = Counter(
            "tern_fallbacks", "Steps from a model that failed to the next one.", ["failed", "to"], registry=r
        )
        self._retries = Counter("tern_retries", "Further calls to the same model.", ["model"], registry=r)
        self._cache_hits = Counter("tern_cache_hits", "Answers given without a call.", registry=r)
        self._refusals = Counter("tern_guard_refusals", "Requests refused by a limit.", ["kind"], registry=r)
        self._cost = Counter("tern_cost_usd", "What models cost, estimates included.", ["model"], registry=r)
        self._tokens = Counter("tern_tokens", "Tokens; cached are part of prompt.", ["model", "kind"], registry=r)

    def request(self, record: RequestRecord) -> None:
        self._requests.labels(record.kind, record.outcome, record.model).inc()
        self._duration.labels(record.outcome).observe(record.duration_s)
        if record.first_text_s is not None and record.outcome != "cached":
            self._first_text.labels(record.model).observe(record.first_text_s)
        if record.outcome == "cached":
            self._cache_hits.inc()
        if record.outcome in _REFUSALS:
            self._refusals.labels(record.outcome).inc()
        for attempt in record.attempts:
            usage = attempt.usage
            self._attempts.labels(attempt.provider, attempt.model, attempt.outcome).inc()
            self._cost.labels(attempt.model).inc(usage.cost_usd)
            for kind, count in (
                ("prompt", usage.prompt_tokens),
                ("cached", usage.cached_tokens),
                ("output", usage.output_tokens),
                ("reasoning", usage.reasoning_tokens),
            ):
                if count:
                    self._tokens.labels(attempt.model, kind).inc(count)
        for before, after in pairwise(record.attempts):
            if before.model == after.model:
                self._retries.labels(after.model).inc()
            else:
                self._fallbacks.labels(before.model, after.model).inc()

    def shown(self, record: ShownRecord) -> None:
        if record.first_shown_s is not None:
            self._first_shown.labels(record.platform).observe(record.first_shown_s)
        if record.last_lag_s is not None:
            self._last_lag.labels(record.platform).observe(record.last_lag_s)
        self._edits.labels(record.platform).observe(record.edits)

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Show what *read* returns whenever somebody looks: `tern_NAME`, e.g. "queue_waiting"."""
        Gauge(f"tern_{name}", meaning, registry=self.registry).set_function(read)

    def page(self) -> tuple[bytes, str]:
        """Return the body and the content type of GET /metrics."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4
