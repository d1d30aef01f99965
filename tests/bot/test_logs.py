"""Logs never show a secret, whoever wrote the line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from bot.logs import configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the process logged; the logging of the test run is put back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def test_json_line_has_the_facts(stream: io.StringIO) -> None:
    """One JSON object a line: message, level, logger, time and the fields."""
    configure("info", "json", (), stream=stream)

    structlog.get_logger("core.test").info("answered", request_id="r1", tokens=3)

    line = json.loads(stream.getvalue())
    assert (line["message"], line["level"], line["logger"]) == ("answered", "info", "core.test")
    assert (line["request_id"], line["tokens"]) == ("r1", 3)


@pytest.mark.parametrize("format_", ["json", "console"])
def test_secret_is_hidden_wherever_it_stands(stream: io.StringIO, format_: str) -> None:
    """In the message, in a field, nested, or in a traceback: a setting's secret is never printed."""
    configure("info", format_, ["hunter-twenty-two"], stream=stream)  # type: ignore[arg-type]
    log = structlog.get_logger("bot")

    log.info("key is hunter-twenty-two", field="hunter-twenty-two", nested={"a": ["hunter-twenty-two"]})
    try:
        raise ValueError("refused hunter-twenty-two")
    except ValueError:
        log.exception("failed")

    assert "hunter-twenty-two" not in stream.getvalue()
    assert "[secret]" in stream.getvalue()
    assert "ValueError" in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "gsk_0123456789abcdefghij",
        "xoxb-1234-5678-abcdefgh",
        "https://hooks.slack.com/commands/T1/2/abcdef",
        "https://discord.com/api/webhooks/123456/abcdefghijklmnopqrstuvwxyz",
        "Authorization: Bearer abcdefghijkl",
    ],
)
def test_foreign_secret_is_known_by_its_shape(stream: io.StringIO, text: str) -> None:
    """Keys that are not in our settings, and response addresses, are hidden too."""
    configure("info", "json", (), stream=stream)

    logging.getLogger("slack_bolt").warning("failed: %s", text)

    shown = json.loads(stream.getvalue())["message"]
    assert "[secret]" in shown
    assert text not in shown


def test_libraries_go_the_same_way_and_are_quiet(stream: io.StringIO) -> None:
    """A library's warning is one of our lines; its chatter is not there at all."""
    configure("info", "json", (), stream=stream)

    logging.getLogger("discord.gateway").info("heartbeat")
    logging.getLogger("discord.gateway").warning("shard %s is late", 3)

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "shard 3 is late"


def test_libraries_that_tell_what_they_carry_are_silent_at_debug_too(stream: io.StringIO) -> None:
    """discord.py's gateway and SQLAlchemy's statements hold whole messages, and tokens of interactions."""
    configure("debug", "json", (), stream=stream)

    logging.getLogger("discord.gateway").debug("WebSocket Event: %s", {"token": "aW50ZXJhY3Rpb24"})
    logging.getLogger("sqlalchemy.engine.Engine").info("%r", ("the words of a message",))
    logging.getLogger("httpx").debug("connected")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "connected"


def test_level_is_kept(stream: io.StringIO) -> None:
    """At the default level, debug lines are not written."""
    configure("info", "json", (), stream=stream)

    structlog.get_logger("core").debug("details")

    assert stream.getvalue() == ""
