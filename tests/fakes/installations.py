"""core/ports/workspaces.py in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core.domain.errors import StorageError
from core.ports.workspaces import Installation, Installations, PeopleStore, WorkspaceSettings


@dataclass
class FakeInstallations:
    """Set `fails` to break every call."""

    kept: dict[str, Installation] = field(default_factory=dict)
    states: dict[str, float] = field(default_factory=dict)
    fails: StorageError | None = None
    _turns: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def save(self, installation: Installation) -> None:
        self._break_if_told()
        self.kept[installation.key] = installation

    async def find(self, key: str) -> Installation | None:
        self._break_if_told()
        return self.kept.get(key)

    async def all(self) -> Sequence[Installation]:
        self._break_if_told()
        return list(self.kept.values())

    async def renewed(
        self, key: str, due: Callable[[Installation], bool], renew: Callable[[Installation], Awaitable[Installation]]
    ) -> Installation | None:
        self._break_if_told()
        async with self._turns[key]:
            if (current := self.kept.get(key)) and due(current):
                self.kept[key] = await renew(current)
            return self.kept.get(key)

    async def remove(self, key: str) -> bool:
        self._break_if_told()
        return self.kept.pop(key, None) is not None

    async def new_state(self, expires_at: float) -> str:
        self._break_if_told()
        state = f"state{len(self.states)}"
        self.states[state] = expires_at
        return state

    async def take_state(self, state: str) -> bool:
        self._break_if_told()
        return self.states.pop(state, None) is not None

    def _break_if_told(self) -> None:
        if self.fails:
            raise self.fails


@dataclass
class FakeWorkspaceSettings:
    kept: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    async def get(self, platform: str, workspace: str) -> Mapping[str, str]:
        return self.kept.get((platform, workspace), {})

    async def set(self, platform: str, workspace: str, settings: Mapping[str, str]) -> None:
        self.kept[platform, workspace] = settings


@dataclass
class FakePeople:
    kept: dict[tuple[str, str, str], tuple[float, str]] = field(default_factory=dict)

    async def known(self, platform: str, workspace: str, since: float) -> Mapping[str, tuple[float, str]]:
        return {
            user: (at, what)
            for (on, where, user), (at, what) in self.kept.items()
            if (on, where) == (platform, workspace) and at >= since
        }

    async def keep(self, platform: str, workspace: str, user: str, at: float, what: str) -> None:
        self.kept[platform, workspace, user] = (at, what)


_: tuple[type[Installations], type[WorkspaceSettings], type[PeopleStore]] = (
    FakeInstallations,
    FakeWorkspaceSettings,
    FakePeople,
)
