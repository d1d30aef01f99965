"""A strict Discord on loopback: server.py is the door."""

from tests.fakes.discord.faults import Fault
from tests.fakes.discord.interactions import Interaction
from tests.fakes.discord.limits import Limits
from tests.fakes.discord.server import FakeDiscord, until
from tests.fakes.discord.world import Channel, Guild, Message, Person, Upload

__all__ = [
    "Channel",
    "FakeDiscord",
    "Fault",
    "Guild",
    "Interaction",
    "Limits",
    "Message",
    "Person",
    "Upload",
    "until",
]
