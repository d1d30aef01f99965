"""What a tool is, and which tools a place may use."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.base.clock import Clock
from core.domain.incoming import ConversationKey, UserKey
from core.domain.requests import ChatRequest, Tool, Turn
from core.files.values import Job, Result
from core.net.guarded_fetch import Fetched, FetchPolicy
from core.ports.storage import History


class Reader(Protocol):
    async def run(self, job: Job, *, deadline_s: float | None = None) -> Result: ...


class Fetcher(Protocol):
    async def fetch(self, url: str, policy: FetchPolicy, *, headers: Mapping[str, str] | None = None) -> Fetched: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a tool may touch. No settings, no keys: what is not here is out of every tool's reach."""

    clock: Clock
    reader: Reader
    """For files: people queue for it."""
    quick: Reader
    """For what is a few hundred characters, so that no sum waits behind somebody's documents."""
    fetcher: Fetcher
    history: History


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf, and where, a tool runs."""

    request_id: str
    user: UserKey
    channel_key: str
    conversation: ConversationKey | None
    tz: str


Run = Callable[[Mapping[str, Any], Caller], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool. `run` gets arguments that validate against the schema and returns text for the model.

    `run` raises TernError for what the model should know ("no such page"); anything else is a defect.
    """

    tool: Tool
    run: Run | None
    """None for a tool that the provider runs itself."""
    label: Callable[[Mapping[str, Any]], str]
    """A few words for the reader, from valid arguments: "Reading example.org"."""
    reaches_outside: bool = False
    """Off everywhere until a place switches it on."""
    acts: bool = False
    """Changes something somewhere: the asker confirms each call first."""
    asks_about: Callable[[Mapping[str, Any], Sequence[Turn]], bool] | None = None
    """Whether this very call is to be confirmed, by its arguments and what was said so far."""
    untrusted: bool = False
    """Its results are other people's words."""
    deadline_s: float = 15.0
    max_result_chars: int = 8_000

    @property
    def name(self) -> str:
        return self.tool.name


@dataclass(frozen=True, slots=True)
class ToolRules:
    """Which tools are allowed where; names as in `tern.toml`."""

    everywhere: frozenset[str] | None = None
    """None: every tool that does not reach outside and does not act."""
    by_channel: Mapping[str, frozenset[str]] | None = None
    """Place ("slack:C123") -> what is allowed there beside `everywhere`; "SERVER__*" is all of a server's."""


class Toolbox:
    """All tools there are; `allowed` picks those of one request."""

    def __init__(self, tools: Iterable[ToolSpec], rules: ToolRules = ToolRules()) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._rules = rules

    def names(self) -> Sequence[str]:
        return tuple(self._tools)

    def change(self, rules: ToolRules) -> None:
        """Take over rules that were read again."""
        self._rules = rules

    def add(self, tools: Iterable[ToolSpec], *, replacing: str = "") -> None:
        """Add tools that became known later; those whose names start with *replacing* go first, if it is given."""
        if replacing:
            self._tools = {name: tool for name, tool in self._tools.items() if not name.startswith(replacing)}
        self._tools.update((tool.name, tool) for tool in tools)

    def allowed(self, request: ChatRequest) -> Mapping[str, ToolSpec]:
        """Tool name -> tool, for the place *request* comes from."""
        extra = (self._rules.by_channel or {}).get(request.channel_key, frozenset())
        base = self._rules.everywhere
        return {
            name: tool
            for name, tool in self._tools.items()
            if _named(name, extra)
            or (_named(name, base) if base is not None else not (tool.reaches_outside or tool.acts))
        }

    def absent(self, names: Iterable[str], request: ChatRequest) -> list[str]:
        """Those of *names* that the place allows but no server offers just now."""
        here = (self._rules.by_channel or {}).get(request.channel_key, frozenset())
        allowed = here | (self._rules.everywhere or frozenset())
        return [name for name in names if name not in self._tools and _named(name, allowed)]


def _named(name: str, allowed: frozenset[str]) -> bool:
    """Whether *allowed* names the tool itself, or all of its server's ("time__*")."""
    server, found, _ = name.partition("__")
    return name in allowed or (bool(found) and f"{server}__*" in allowed)


def load_kit(services: Services) -> list[ToolSpec]:
    """Make the tool of every module in `kit/`, by name."""
    from core.tools import kit

    names = sorted(module.name for module in pkgutil.iter_modules(kit.__path__))
    return [importlib.import_module(f"{kit.__name__}.{name}").make(services) for name in names]
