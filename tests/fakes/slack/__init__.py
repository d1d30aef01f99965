"""A strict Slack in one process: Web API, Socket Mode, signed HTTP deliveries, files, rate buckets and faults.

It refuses what Slack refuses, counts what Slack counts and misbehaves as Slack misbehaves; "facts/slack.md N" names
where each rule was found (read 2026-11-22). What an app did wrong without Slack complaining is in `violations`.
"""

from tests.fakes.slack.server import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack
from tests.fakes.slack.world import Fault, Message, Person, Place

__all__ = ["APP_TOKEN", "BOT_TOKEN", "SIGNING_SECRET", "FakeSlack", "Fault", "Message", "Person", "Place"]
