"""What goes wrong on request, and what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class Fault:
    """What goes wrong with the next *times* requests that match."""

    method: str
    path: str
    """A regular expression, searched in the path."""
    what: Literal["status", "rate_limited", "cloudflare", "lost", "cut", "hang"]
    """"lost": carried out, but the response never arrives. "cut": the connection dies before anything is done.
    "hang": carried out, answered only after `after_s`."""
    times: int = 1
    status: int = 500
    after_s: float = 0.1
    skip: int = 0
    """Let so many matching requests pass first."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Any
    at: float
    """Loop time."""
