"""How long a model may be silent."""

from __future__ import annotations

from dataclasses import dataclass

from core.domain.model_spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A token here is text, reasoning or a piece of a tool call; keep-alive comments do not count."""

    first_token_s: float = 10.0
    """From sending to the first token. Groq's models answer within a second and think aloud at 450 to 1,000 tokens a
    second (models.toml), so ten seconds of nothing is a queue, not a thought: the next model is faster than waiting."""
    silence_s: float = 3.0
    """Between two tokens. The slowest Groq model leaves 2 ms between them."""
    last_words_s: float = 1.0
    """After the finish reason, for the usage that follows it; without it the usage is estimated."""
    linger_s: float = 0.25
    """After [DONE], for the end of the HTTP body, which gives its connection back to the pool. Nobody waits for it."""

    def whole_s(self, model: ModelSpec, max_output_tokens: int) -> float:
        """Return how long an unstreamed answer of *max_output_tokens* may take: all its tokens at half the speed."""
        return self.first_token_s + 2 * max_output_tokens / (model.speed or _UNKNOWN_SPEED)


_UNKNOWN_SPEED = 50
"""Tokens a second where none is published: a large hosted model on a bad day."""

GROQ = Timeouts()

OPENAI = Timeouts(first_token_s=30.0)
"""Its models think without showing it, so nothing arrives meanwhile."""

LOCAL = Timeouts(first_token_s=120.0, silence_s=15.0)
"""Two busy processor cores read a full 8,192-token prompt at about 100 tokens a second and write 4 (facts/local.md)."""
