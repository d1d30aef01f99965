"""Who the bot is for whom: system prompts by name, and what a channel prefers. Values from tern.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.domain.errors import BadRequest
from core.domain.requests import Effort

Reading = Literal["off", "thread", "mention"]
"""What is read around a question: nothing, its thread or reply chain, or also the channel before a mention in it."""

DEFAULT = "default"
"""The persona of whoever chose none; `[personas.default]` in tern.toml replaces the built-in one."""


@dataclass(frozen=True, slots=True)
class Persona:
    prompt: str
    """What is added to the general system prompt."""
    model: str = ""
    """The model of this persona where nobody else has one; "" for none."""
    temperature: float | None = None
    effort: Effort | None = None

    @property
    def summary(self) -> str:
        """The prompt's first sentence, for lists."""
        line = self.prompt.strip().split("\n", 1)[0]
        sentence, dot, _ = line.partition(". ")
        return (sentence + dot.strip())[:100]


@dataclass(frozen=True, slots=True)
class Channel:
    """What an operator set for one channel."""

    persona: str = ""
    model: str = ""
    context: Reading = "mention"
    memory: bool = True


@dataclass(frozen=True, slots=True)
class Personas:
    """All of them. `channels` is keyed "platform:channel id", as in tern.toml."""

    named: Mapping[str, Persona] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    bot_name: str = "Tern"

    def channel(self, channel_key: str) -> Channel:
        return self.channels.get(channel_key, Channel())

    def choose(self, *names: str) -> Persona:
        """The persona of the first name that is not "".

        Raises:
            BadRequest: If that one does not exist. A persona that was removed from tern.toml is told, not guessed.
        """
        name = next(filter(None, names), DEFAULT)
        if name in self.named:
            return self.named[name]
        if name == DEFAULT:
            return Persona("Be helpful, friendly and to the point.")
        known = ", ".join(name for name, _ in self.listing())
        raise BadRequest(f"there is no persona {name!r}; there are: {known}", param="persona")

    def listing(self) -> Sequence[tuple[str, str]]:
        """(name, summary), the default first."""
        names = [DEFAULT, *(name for name in self.named if name != DEFAULT)]
        return [(name, self.choose(name).summary) for name in names]
