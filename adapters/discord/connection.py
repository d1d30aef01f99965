"""What surfaces share: the client of the moment, the tasks that write, and what was learned meanwhile."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from adapters.discord.client import Client
from adapters.discord.failures import TokenGone
from adapters.discord.rest_calls import RestCalls
from core.base.clock import Clock
from core.domain.errors import SurfaceBusy

ACK_PATIENCE_S = 5.0
"""Discord waits 3 s for "heard" (facts/discord.md 1.5); after that there is nothing to wait for."""

ECHOES = 2_000
"""Own messages whose nonce is remembered."""

TYPING_A_SECOND = 2
"""Typing indicators over all channels: of the five calls that buckets.GLOBAL leaves. Fifty questions at once would else
spend the whole second's fifty on indicators, and the answers behind them be refused."""


@dataclass(slots=True)
class Connection:
    """Outlives the client: a surface opened before a reconnect goes on after it."""

    clock: Clock
    calls: RestCalls | None = None
    client: Client | None = None
    acks: dict[str, asyncio.Future[bool]] = field(default_factory=dict, repr=False)
    """Interaction token -> whether Discord learned in time that we heard; before that the token cannot be used."""
    _echoes: OrderedDict[str, str] = field(default_factory=OrderedDict)

    _typed_at: deque[float] = field(default_factory=lambda: deque(maxlen=TYPING_A_SECOND))

    def may_type(self) -> bool:
        """Whether one more typing indicator fits; counts it if so."""
        now = self.clock.monotonic()
        if len(self._typed_at) == TYPING_A_SECOND and now - self._typed_at[0] < 1.0:
            return False
        self._typed_at.append(now)
        return True

    def use(self) -> tuple[Client, RestCalls]:
        """The present client and its tasks. Raises SurfaceBusy while there is none."""
        if self.client is None or self.calls is None:
            raise SurfaceBusy("not connected to Discord", retry_after_s=2.0)
        return self.client, self.calls

    def heard_own(self, nonce: str, message_id: str) -> None:
        """A message of ours came back through the gateway: the surest word on a post whose response was lost."""
        if nonce:
            self._echoes[nonce] = message_id
            if len(self._echoes) > ECHOES:
                self._echoes.popitem(last=False)

    def echo_of(self, nonce: str) -> str | None:
        return self._echoes.get(nonce)

    async def acknowledged(self, token: str) -> None:
        """Wait until the interaction may be written to; returns at once for one of an earlier process.

        Raises TokenGone when Discord no longer waited for us.
        """
        ack = self.acks.get(token)
        if ack is None:
            return
        await asyncio.wait({ack}, timeout=ACK_PATIENCE_S)
        if not ack.done() or not ack.result():
            raise TokenGone("the interaction was not acknowledged in time")
