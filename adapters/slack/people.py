"""Who writes: names, language, time zone, guest or stranger, from users.info, kept for an hour."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slack_sdk.errors import SlackApiError

from adapters.slack.failures import LATER, Foreign, code_of, status_of
from adapters.slack.seen import Me
from adapters.slack.web_api import WebApi
from core.clock import Clock
from core.incoming import Incoming, Quote

logger = logging.getLogger(__name__)

_KEPT_S = 3_600.0
_KEPT_PEOPLE = 10_000
_MOST_NAMES = 20
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


class People:
    def __init__(self, api: WebApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._kept: dict[str, tuple[float, Person]] = {}

    async def get(self, user: str) -> Person:
        """Raises what the SDK raises where asking later may help; `known=False` where Slack has no answer."""
        found = self.remembered(user)
        if found is not None:
            return found
        try:
            answer = await self._api.writes.users_info(user=user, include_locale=True)
            person = person_from(answer["user"])
        except SlackApiError as error:
            if status_of(error) != 200 or code_of(error) in LATER:
                raise
            person = Person(user, known=False)
        if len(self._kept) >= _KEPT_PEOPLE:
            del self._kept[next(iter(self._kept))]
        self._kept[user] = (self._clock.monotonic() + _KEPT_S, person)
        return person

    def remembered(self, user: str) -> Person | None:
        until, person = self._kept.get(user, (0.0, None))
        return person if self._clock.monotonic() < until else None

    async def names(self, users: Iterable[str], *, most: int = _MOST_NAMES) -> dict[str, str]:
        """Names for ids, as far as they are to be had; never fails."""
        names: dict[str, str] = {}
        for user in list(users)[:most]:
            try:
                names[user] = (await self.get(user)).name
            except Foreign:
                break  # a name is not worth a second try while somebody waits
        return names

    async def described(self, incoming: Incoming, *, within_s: float) -> Incoming:
        """*incoming* with the asker's name, language and zone, and names for ids, as far as Slack tells in time."""
        asker = incoming.user.user
        users = (asker, *mentioned(incoming.quotes, incoming.text))
        try:
            async with asyncio.timeout(within_s):
                await self.names(users)
        except TimeoutError:
            logger.info("Slack did not tell a name in time")
        known = {user: person for user in users if (person := self.remembered(user))}
        incoming = name_people(incoming, {user: person.name for user, person in known.items()})
        person = known.get(asker)
        return replace(incoming, speaker=person.name, locale=person.locale, tz=person.tz) if person else incoming


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
