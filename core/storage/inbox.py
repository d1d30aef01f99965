"""The inbox's rows behind one door: arrivals, claims, look-ups, and the ledger of posted pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from core.base.clock import Clock
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.domain.runs import (
    Claim,
    KnownReply,
    Pending,
    ReplyCapability,
    RunAction,
    RunRules,
    Settlement,
    StopReason,
    Taken,
)
from core.ports.platform import Decision
from core.ports.storage import PostedPage, ReplyLedger
from core.storage import arrivals, claims, lookups, suspensions
from core.storage.arrivals import Arrival
from core.storage.claims import Owner, check_held, held, still_held
from core.storage.encryption import Seals
from core.storage.engine import Database
from core.storage.locks import lock_run
from core.storage.prepared import Prepared
from core.storage.schema import feedback, pages, who
from core.storage.statements import upsert

_is_page = (pages.c.reply_id == bindparam("reply")) & (pages.c.page == bindparam("number"))
_PAGE = ("reply_id", "page", "platform", "channel", "nonce")
_SAVE_PAGE = Prepared(
    upsert(pages, ("reply_id", "page"), ("nonce",)).from_select(
        _PAGE, select(*(bindparam(name, type_=pages.c[name].type) for name in _PAGE)).where(still_held)
    )
)
_POSTED = Prepared(update(pages).where(_is_page, still_held).values(ref=bindparam("new_ref")))
_REMOVED = Prepared(delete(pages).where(_is_page, still_held))


class SqlInbox:
    """Implements `InboxStore`. `owner` names this process in leases: no two processes may share one."""

    def __init__(self, database: Database, seals: Seals, clock: Clock, owner: str, rules: RunRules) -> None:
        self._database = database
        self._seals = seals
        self._clock = clock
        self._owner = owner
        self._rules = rules

    # --- arrivals

    async def accept(
        self, incoming: Incoming, capability: ReplyCapability | None, run_id: str, reply_id: str, *, claim: bool
    ) -> Taken:
        arrival = self._arrival(run_id, reply_id, claim=claim)
        return await self._database.write(lambda c: arrivals.accept(c, self._seals, incoming, capability, arrival))

    async def revise(self, incoming: Incoming, run_id: str, reply_id: str) -> Taken:
        arrival = self._arrival(run_id, reply_id)
        return await self._database.write(lambda c: arrivals.revise(c, self._seals, incoming, arrival))

    async def withdraw(
        self, platform: str, workspace: str, channel: str, message_id: str, run_id: str, *, may_come: bool = False
    ) -> Taken:
        key = _key(platform, workspace, channel, message_id)
        arrival = self._arrival(run_id, "")
        return await self._database.write(lambda c: arrivals.withdraw(c, self._seals, key, arrival, may_come=may_come))

    async def repeat(
        self,
        reply_id: str,
        action: RunAction,
        capability: ReplyCapability | None,
        run_id: str,
        *,
        options: Mapping[str, str] | None = None,
    ) -> Taken:
        arrival = self._arrival(run_id, reply_id)
        return await self._database.write(
            lambda c: arrivals.repeat(c, self._seals, reply_id, action, capability, arrival, options or {})
        )

    async def decide(
        self, reply_id: str, decision: Decision, by: UserKey, capability: ReplyCapability | None, run_id: str
    ) -> Taken:
        arrival = self._arrival(run_id, reply_id)
        return await self._database.write(
            lambda c: suspensions.decide(c, self._seals, decision, by, capability, arrival)
        )

    async def overdue(self, limit: int) -> Sequence[tuple[str, UserKey]]:
        now = self._database.now()
        return await self._database.read(lambda c: suspensions.overdue(c, now, limit))

    async def request_stop(self, run_ids: Sequence[str], reason: StopReason) -> list[str]:
        now = self._database.now()
        return await self._database.write(
            lambda c: [run_id for run_id in run_ids if arrivals.request_stop(c, run_id, reason, now)]
        )

    async def save_feedback(self, reply_id: str, by: UserKey, verdict: str) -> None:
        row = {"reply_id": reply_id, **who(by), "verdict": verdict, "at": self._database.now()}
        statement = upsert(feedback, ("reply_id", "platform", "workspace", "user"), ("verdict", "at"))
        await self._database.write(lambda c: c.execute(statement, row) and None)

    # --- claims

    async def pending(self, limit: int) -> Sequence[Pending]:
        owner = self._as_owner()
        return await self._database.read(lambda c: claims.pending(c, owner, limit))

    async def claim(self, run_ids: Sequence[str]) -> Sequence[Claim]:
        owner = self._as_owner()
        return await self._database.write(lambda c: claims.claim(c, self._seals, run_ids, owner))

    async def retry_now(self) -> int:
        now = self._clock.now()
        return await self._database.write(lambda c: claims.retry_now(c, now))

    async def hold(self, run_ids: Sequence[str]) -> Sequence[Claim]:
        owner = self._as_owner()
        return await self._database.write(lambda c: claims.hold(c, self._seals, run_ids, owner))

    async def renew(self, run_ids: Sequence[str]) -> dict[str, tuple[int, StopReason | None]]:
        owner = self._as_owner()
        kept = await self._database.write(lambda c: claims.renew(c, run_ids, owner))
        await self._database.agree_on_time()
        return kept

    async def settle(self, claim: Claim, settlement: Settlement) -> None:
        now = self._database.now()
        await self._database.write(lambda c: claims.settle(c, self._seals, claim, settlement, self._owner, now))

    async def release(self, claim: Claim) -> None:
        await self._database.write(lambda c: claims.release(c, claim, self._owner))

    def ledger(self, claim: Claim) -> ReplyLedger:
        return SqlLedger(self._database, claim, self._owner)

    # --- look-ups

    async def stops(self, run_ids: Sequence[str]) -> dict[str, StopReason]:
        return await self._database.read(lambda c: lookups.stops(c, run_ids))

    async def open_count(self) -> int:
        return await self._database.read(lookups.open_count)

    async def open_runs(
        self, *, user: UserKey | None = None, conversation: ConversationKey | None = None, channel: str = ""
    ) -> Sequence[tuple[str, UserKey]]:
        return await self._database.read(
            lambda c: lookups.open_runs(c, user=user, conversation=conversation, channel=channel)
        )

    async def reply(self, reply_id: str) -> KnownReply | None:
        return await self._database.read(lambda c: lookups.reply(c, reply_id))

    async def conversation_of(self, platform: str, channel: str, ref: str) -> ConversationKey | None:
        return await self._database.read(lambda c: lookups.where_is(c, platform, channel, ref))

    async def pages_of(self, platform: str, channel: str, message_id: str) -> Sequence[str]:
        return await self._database.read(lambda c: lookups.pages_of(c, platform, channel, message_id))

    async def takes_part(self, conversation: ConversationKey) -> UserKey | None:
        return await self._database.read(lambda c: lookups.starter(c, conversation))

    async def active_conversations(self, platform: str, since: float) -> Sequence[tuple[ConversationKey, str]]:
        return await self._database.read(lambda c: lookups.active(c, platform, since))

    async def seen(self, platform: str, workspace: str, channel: str, message_id: str) -> bool:
        key = _key(platform, workspace, channel, message_id)
        return await self._database.read(lambda c: lookups.seen(c, self._seals, key))

    def _as_owner(self) -> Owner:
        return Owner(self._owner, self._database.now(), self._rules)

    def _arrival(self, run_id: str, reply_id: str, *, claim: bool = False) -> Arrival:
        return Arrival(self._database.now(), self._owner, run_id, reply_id, self._rules, claim)


class SqlLedger:
    """Implements `ReplyLedger` for one claim."""

    def __init__(self, database: Database, claim: Claim, owner: str) -> None:
        self._database = database
        self._claim = claim
        self._owner = owner

    async def pages(self) -> Sequence[PostedPage]:
        if self._claim.fresh:
            return []
        return await self._database.read(lambda c: lookups.posted_pages(c, self._claim.reply_id))

    async def posting(self, page: int, nonce: str) -> None:
        at = self._claim.incoming.conversation
        row = {
            "reply_id": self._claim.reply_id,
            "page": page,
            "platform": at.platform,
            "channel": at.channel,
            "nonce": nonce,
        }

        await self._write(_SAVE_PAGE, row)

    async def posted(self, page: int, ref: str) -> None:
        await self._write(_POSTED, {"reply": self._claim.reply_id, "number": page, "new_ref": ref})

    async def removed(self, page: int) -> None:
        await self._write(_REMOVED, {"reply": self._claim.reply_id, "number": page})

    async def _write(self, statement: Prepared, values: Mapping[str, Any]) -> None:
        """Run *statement*, which changes nothing unless the run is still ours. Raises StaleFence."""
        values = {**values, **held(self._claim, self._owner)}

        def work(c: Connection) -> None:
            lock_run(c, self._claim.run_id)
            if not statement.count(c, values):
                check_held(c, self._claim, self._owner)

        await self._database.write(work)


def _key(platform: str, workspace: str, channel: str, message_id: str) -> dict[str, str]:
    return {"platform": platform, "workspace": workspace, "channel": channel, "message_id": message_id}
