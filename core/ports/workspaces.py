"""What an app keeps that many workspaces install: who installed it, with which tokens, and what each has set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Installation:
    """One workspace's, or one whole organisation's. An organisation's has no team."""

    enterprise: str
    team: str
    token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    """Good for one use; "" where tokens do not rotate."""
    expires_at: float | None = None
    """Epoch seconds; None: never."""
    app: str = ""
    bot_user: str = ""
    bot: str = ""
    scopes: str = ""
    """As granted, with commas; may be fewer than were asked for."""
    installed_by: str = ""
    installed_at: float = 0.0
    name: str = ""

    @property
    def key(self) -> str:
        """ "ENTERPRISE:TEAM", the workspace of every key."""
        return f"{self.enterprise}:{self.team}"


class Installations(Protocol):
    """Durable; tokens are sealed. Raises StorageError."""

    async def save(self, installation: Installation) -> None:
        """Also a second time: the newest tokens are the ones that hold."""
        ...

    async def find(self, key: str) -> Installation | None: ...

    async def all(self) -> Sequence[Installation]: ...

    async def renewed(
        self, key: str, due: Callable[[Installation], bool], renew: Callable[[Installation], Awaitable[Installation]]
    ) -> Installation | None:
        """Replace tokens, one process at a time: whoever waited finds those that another one fetched. None where the
        workspace has gone. Raises what *renew* raises."""
        ...

    async def remove(self, key: str) -> bool:
        """Erase the tokens; False where there were none."""
        ...

    async def new_state(self, expires_at: float) -> str:
        """A secret that comes back with whoever installs, once."""
        ...

    async def take_state(self, state: str) -> bool:
        """Whether it was ours, unused and not too old; used up now."""
        ...


class WorkspaceSettings(Protocol):
    """What a workspace's own admins set, over what the operator set. Raises StorageError."""

    async def get(self, platform: str, workspace: str) -> Mapping[str, str]: ...

    async def set(self, platform: str, workspace: str, settings: Mapping[str, str]) -> None: ...


class PeopleStore(Protocol):
    """What a platform said about people, so that a restart need not ask about everybody again. Raises StorageError."""

    async def known(self, platform: str, workspace: str, since: float) -> Mapping[str, tuple[float, str]]:
        """User -> (when it was learned, what: the adapter's own text)."""
        ...

    async def keep(self, platform: str, workspace: str, user: str, at: float, what: str) -> None: ...
