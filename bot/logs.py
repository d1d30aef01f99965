"""Logs: readable on a terminal, one JSON object a line elsewhere, and never a secret in either.

Everything goes through structlog, what libraries say with the standard `logging` too. By agreement nobody logs the text
of a message at any level; what is logged are ids, figures and outcomes.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import structlog

from bot.config.settings import LogFormat, LogLevel

HIDDEN = "[secret]"

_LOOKS_SECRET = re.compile(
    r"""gsk_[A-Za-z0-9]{16,} | sk-[A-Za-z0-9_-]{16,} | xox[a-z]-[A-Za-z0-9-]{8,} | xapp-[A-Za-z0-9-]{8,}
      | (?<=hooks\.slack\.com/)[\w./-]+ | (?<=/webhooks/)\d+/[\w.-]{20,} | (?<=/interactions/)\d+/[\w.-]{20,}
      | (?<=[Bb]earer\ )[\w.~+/=-]{8,}""",
    re.VERBOSE,
)
"""Keys by their shape, so that even one that is not ours (a visitor's, an old one in an error text) stays hidden; the
parts of Slack's and Discord's response addresses that give the right to post."""

QUIET = (
    "discord",
    "slack_bolt",
    "slack_sdk",
    "aiohttp.access",
    "httpx",
    "httpcore",
    "openai",
    "groq",
    "asyncio",
    "alembic",
    "sqlalchemy",
    "markdown_it",
    "PIL",
    "mcp",
    "filelock",
)
"""Libraries whose info messages are of no use to an operator; their warnings are."""

SILENT = ("discord", "slack_bolt", "slack_sdk", "openai", "groq", "sqlalchemy", "mcp")
"""Of these, the ones that at debug tell all they send and receive: people's words, and tokens that nobody but a
platform knows, so that they have no shape to be found by."""


def configure(level: LogLevel, format_: LogFormat, secrets: Sequence[str], *, stream: TextIO | None = None) -> None:
    """Send every log of this process to *stream* (standard error unless given)."""
    stream = stream or sys.stderr
    pretty = format_ == "console" or (format_ == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_render(pretty, stream),
                redact(secrets),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        heard = level == "debug" and name not in SILENT
        logging.getLogger(name).setLevel(logging.DEBUG if heard else logging.WARNING)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def redact(secrets: Sequence[str]) -> Callable[[Any, str, Any], Any]:
    """A last processor: takes secrets out of the rendered line, tracebacks and all.

    Works on the finished text because that is the one place where nothing can slip past: whatever object, exception or
    nested value carried the secret, here it is a string.
    """
    values = sorted({value for value in secrets if len(value) >= 4}, key=len, reverse=True)
    known = re.compile("|".join(re.escape(value) for value in values)) if values else None

    def processor(_logger: Any, _method: str, rendered: Any) -> Any:
        if not isinstance(rendered, str):
            return rendered
        if known is not None:
            rendered = known.sub(HIDDEN, rendered)
        return _LOOKS_SECRET.sub(HIDDEN, rendered)

    return processor


def _render(pretty: bool, stream: TextIO) -> list[structlog.typing.Processor]:
    if pretty:
        return [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    return [
        structlog.processors.EventRenamer("message"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]
