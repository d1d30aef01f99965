"""Who writes: names, language, time zone, guest or stranger, from users.info, kept for an hour. Where a crowd comes at
once, everybody is read from users.list."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError

from adapters.slack.events import Me
from adapters.slack.failures import LATER, Foreign, code_of, status_of
from adapters.slack.web_api import WebApi
from core.base.clock import Clock
from core.domain.errors import StorageError
from core.domain.incoming import Incoming, Quote
from core.ports.workspaces import PeopleStore

logger = logging.getLogger(__name__)

NAME_WITHIN_S = 0.8
"""How long an acceptance waits for somebody's name; three seconds is all Slack gives (facts/slack.md 1.10)."""
_KEPT_S = 3_600.0
_KEPT_PEOPLE = 10_000
_STORED_S = 86_400.0
"""How long what an earlier process learned is taken for true."""
_MOST_NAMES = 20
_PER_MINUTE, _MINUTE_S = 100, 61.0
"""Tier 4, for the whole workspace; a little over its minute, for clocks that do not agree to the millisecond."""
_CROWD = 20
"""So many strangers at once are a crowd: at a hundred a minute the last of them would wait for minutes."""
_LISTS_PER_MINUTE = 20
"""Tier 2 (docs.slack.dev/reference/methods/users.list)."""
_LIST_PAGE = 999
"""The most that users.list takes (docs.slack.dev/tools/node-slack-sdk/reference/web-api/interfaces/UsersListArguments,
read 2026-11-28)."""
_LIST_PAGES = 20
_LIST_AGAIN_S = 600.0
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)>")


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    name: str = ""
    locale: str = ""
    tz: str = ""
    team: str = ""
    enterprise: str = ""
    guest: bool = False
    stranger: bool = False
    admin: bool = False
    known: bool = True
    """False where Slack would not say: then nothing above holds."""


def person_from(user: Mapping[str, Any]) -> Person:
    profile, enterprise = user.get("profile") or {}, user.get("enterprise_user") or {}
    return Person(
        id=str(user["id"]),
        name=str(profile.get("display_name") or user.get("real_name") or user.get("name") or ""),
        locale=str(user.get("locale") or ""),
        tz=str(user.get("tz") or ""),
        team=str(user.get("team_id") or ""),
        enterprise=str(enterprise.get("enterprise_id") or ""),
        guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        stranger=bool(user.get("is_stranger")),
        admin=bool(user.get("is_admin") or user.get("is_owner")),
    )


def _person_of(user: str, what: str) -> Person | None:
    try:
        return Person(user, **json.loads(what))
    except (TypeError, ValueError):
        return None  # written by another version


def is_external(person: Person, me: Me, *, team: str = "") -> bool:
    """Whether somebody belongs to another company (Slack Connect).

    Args:
        team: The author's team as the event says; on a Grid a colleague's may differ from ours, so that alone decides
            nothing where the organisation is the same (facts/slack.md 1.8, 1.11).
    """
    if person.stranger:
        return True
    if me.enterprise and person.enterprise == me.enterprise:
        return False
    return any(known and known != me.team for known in (person.team, team))


class Users:
    """Asks Slack about each person once, in tasks of its own: whoever no longer waits finds the answer next time."""

    def __init__(self, api: WebApi, clock: Clock, store: PeopleStore | None = None) -> None:
        """*store*: what was learned outlives a restart there."""
        self._api = api
        self._store = store
        self._clock = clock
        self._kept: dict[str, tuple[float, Person]] = {}
        self._asking: dict[str, tuple[asyncio.Future[Person], asyncio.Task[None]]] = {}
        self._list_again_at = float("-inf")
        self._tasks: asyncio.TaskGroup | None = None

    def use(self, tasks: asyncio.TaskGroup | None) -> None:
        """Ask in *tasks* from now on; None: Slack is not asked any more."""
        self._tasks = tasks
        self._asking.clear()

    async def remember(self) -> None:
        """Read what an earlier process learned within a day; never fails."""
        if self._store is None:
            return
        now, since = self._clock.now(), self._clock.now() - _STORED_S
        try:
            stored = await self._store.known("slack", self._api.workspace, since)
        except StorageError as error:
            logger.info("the names of people could not be read: %s", error)
            return
        for user, (at, what) in stored.items():
            if (person := _person_of(user, what)) and len(self._kept) < _KEPT_PEOPLE:
                self._kept[user] = (self._clock.monotonic() + _STORED_S - (now - at), person)

    async def _store_person(self, person: Person) -> None:
        if self._store is None or not person.known:
            return
        what = json.dumps({name: value for name, value in asdict(person).items() if name not in ("id", "known")})
        try:
            await self._store.keep("slack", self._api.workspace, person.id, self._clock.now(), what)
        except StorageError as error:
            logger.info("a name could not be stored: %s", error)

    async def get(self, user: str) -> Person:
        """Waits for the minute's rate, so give it a time limit. Raises what the SDK raises where asking later may help;
        `known=False` where Slack has no answer."""
        found = self.remembered(user)
        if found is not None:
            return found
        asking = self._ask(user)
        await asyncio.wait({asking})
        return asking.result()

    def remembered(self, user: str) -> Person | None:
        until, person = self._kept.get(user, (0.0, None))
        return person if self._clock.monotonic() < until else None

    async def names(self, users: Iterable[str]) -> dict[str, str]:
        """Names for ids, as far as Slack tells them in time; never fails."""
        wanted = list(users)[:_MOST_NAMES]
        asking = [self._ask(user) for user in wanted if self.remembered(user) is None]
        if asking:
            _, late = await asyncio.wait(asking, timeout=NAME_WITHIN_S)
            if late:
                logger.info("Slack did not tell %d names in time", len(late))
        return {user: person.name for user in wanted if (person := self.remembered(user))}

    async def described(self, incoming: Incoming) -> Incoming:
        """*incoming* with the asker's name, language and zone, and names for ids, as far as Slack tells in time."""
        asker = incoming.user.user
        names = await self.names((asker, *mentioned(incoming.quotes, incoming.text)))
        incoming = name_people(incoming, names)
        person = self.remembered(asker)
        if person is None:
            return incoming
        alone = incoming.direct or incoming.visibility == "private"
        at_home = person.team == incoming.conversation.workspace.rpartition(":")[2]
        member = person.known and at_home and not (person.guest or person.stranger)
        return replace(incoming, speaker=person.name, locale=person.locale, tz=person.tz, members_only=alone and member)

    def _ask(self, user: str) -> asyncio.Future[Person]:
        """What Slack will say about *user*: one question at a time, for all who wait for it."""
        if user in self._asking:
            return self._asking[user][0]
        asking: asyncio.Future[Person] = asyncio.get_running_loop().create_future()
        if self._tasks is None:
            _fail(asking, _Unconnected())
            return asking
        task = self._tasks.create_task(self._answered(user, asking), name=f"slack person {user}")
        self._asking[user] = asking, task
        if len(self._asking) >= _CROWD and self._clock.monotonic() >= self._list_again_at:
            self._list_again_at = self._clock.monotonic() + _LIST_AGAIN_S
            self._tasks.create_task(self._read_everybody(), name="slack everybody")
        return asking

    async def _read_everybody(self) -> None:
        """Get to know all members, and with them whoever is being asked about. An organisation-wide token would have to
        name a team, and strangers stand on no list: for those everything stays as it was."""
        cursor = ""
        for _ in range(_LIST_PAGES):
            try:
                async with self._api.take(self._api.rate("users.list", _LISTS_PER_MINUTE, _MINUTE_S)):
                    answer = await self._api.writes.users_list(limit=_LIST_PAGE, cursor=cursor, include_locale=True)
            except Foreign as error:
                logger.info("the members could not be read: %s", type(error).__name__)
                return
            for member in answer["members"]:
                self._meet(person_from(member))
            cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor or not self._asking:
                return

    def _meet(self, person: Person) -> None:
        if person.id in self._asking:
            asking, task = self._asking.pop(person.id)
            asking.set_result(person)
            task.cancel()
        elif len(self._kept) >= _KEPT_PEOPLE:
            return
        self._keep(person)

    def _keep(self, person: Person) -> None:
        if len(self._kept) >= _KEPT_PEOPLE:
            del self._kept[next(iter(self._kept))]
        self._kept[person.id] = (self._clock.monotonic() + _KEPT_S, person)

    async def _answered(self, user: str, asking: asyncio.Future[Person]) -> None:
        try:
            async with self._api.take(self._api.rate("users.info", _PER_MINUTE, _MINUTE_S)):
                person = await self._look_up(user)
        except asyncio.CancelledError:
            _fail(asking, _Unconnected())
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            _fail(asking, error)
        else:
            if not asking.done():
                self._keep(person)
                asking.set_result(person)
                await self._store_person(person)
        finally:
            if user in self._asking and self._asking[user][0] is asking:
                del self._asking[user]

    async def _look_up(self, user: str) -> Person:
        try:
            answer = await self._api.writes.users_info(user=user, include_locale=True)
            return person_from(answer["user"])
        except SlackApiError as error:
            if status_of(error) != 200 or code_of(error) in LATER:
                raise
            return Person(user, known=False)


class _Unconnected(aiohttp.ClientError):
    """There is no connection to ask over, or it was just given up."""


def _fail(asking: asyncio.Future[Person], error: Exception) -> None:
    if asking.done():
        return
    asking.set_exception(error)
    asking.exception()  # perhaps nobody waits any more: then it is nobody's, and not reported as forgotten


def mentioned(quotes: Sequence[Quote], text: str = "") -> tuple[str, ...]:
    """Ids that stand in the texts or spoke in the quotes, each once, in order."""
    texts = [text, *(quote.text for quote in quotes)]
    speakers = [quote.speaker_id for quote in quotes if not quote.speaker and quote.speaker_id[:1] in ("U", "W")]
    return tuple(dict.fromkeys([*(user for one in texts for user in _MENTION.findall(one)), *speakers]))


def name_people(incoming: Incoming, names: Mapping[str, str]) -> Incoming:
    """Put names where ids stand: "<@U1>" becomes "@Ada", or "@U1" where the name is not known."""
    return replace(
        incoming,
        text=_name(incoming.text, names),
        quotes=tuple(name_quotes(incoming.quotes, names)),
    )


def name_quotes(quotes: Iterable[Quote], names: Mapping[str, str]) -> list[Quote]:
    return [
        replace(quote, text=_name(quote.text, names), speaker=quote.speaker or names.get(quote.speaker_id, ""))
        for quote in quotes
    ]


def _name(text: str, names: Mapping[str, str]) -> str:
    return _MENTION.sub(lambda found: f"@{names.get(found[1]) or found[1]}", text)
