"""Who may read what: the one law that decides which words may go into a request for a place. Pure.

Everything that is told to a model carries an `Audience`: where it was said, and so who reads there. A request is built
for a `Place`; an item goes in only if every reader of that place may read it. What was left out is counted, not named.

    direct message       its person, in direct messages with the bot and nowhere else
    private answer       its person alone
    channel              that channel; where the platform says that it is open to the whole workspace, every place of
                         that workspace whose readers all belong to it (no guests, nobody from outside)
    page or API key      that key

Whatever is not known for certain (guests in a channel, whether it is open) counts as the narrower case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from core.domain.incoming import ConversationKey, Incoming, UserKey

Reach = Literal["direct", "private", "channel", "open", "key"]
"""How far words reach where they are said; "open" is a channel that everybody of the workspace may read."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """One place in which words were said. `user` is set for direct, private and key, `channel` for channel and open."""

    reach: Reach
    platform: str
    workspace: str = ""
    """The workspace of the channel (Discord: the guild), never that of the person."""
    channel: str = ""
    user: UserKey | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may read something: whoever may read *every* scope in `of`. Made of nothing, it is anybody's."""

    of: frozenset[Scope] = frozenset()

    def __and__(self, other: Audience) -> Audience:
        """The audience of something made from both: the narrower of the two, exactly."""
        return Audience(self.of | other.of)


ANYBODY = Audience()
"""What the program itself says."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request's answer will be read."""

    reach: Literal["direct", "private", "channel", "key"]
    platform: str
    workspace: str = ""
    channel: str = ""
    reader: UserKey | None = None
    """The only person who reads there; None where several may."""
    members_only: bool = False
    """Whether all its readers are full members of `workspace`. False where that is not known."""
    granted: frozenset[str] = frozenset()
    """Channels of `workspace` that the platform, asked for this very request, says the only reader may read now."""


def may_read(audience: Audience, place: Place) -> bool:
    """Whether every reader of *place* may read what *audience* is the audience of."""
    return all(_reads(scope, place) for scope in audience.of)


def _reads(scope: Scope, place: Place) -> bool:
    if scope.platform != place.platform:
        return False
    match scope.reach:
        case "direct" | "key":
            return place.reach == scope.reach and _is_reader(scope, place)
        case "private":
            return place.reach in ("direct", "private") and _is_reader(scope, place)
        case "channel" | "open":
            if scope.workspace != place.workspace:
                return False
            same = place.reach in ("channel", "private") and scope.channel == place.channel
            granted = place.reader is not None and scope.channel in place.granted
            return same or granted or (scope.reach == "open" and place.members_only)


def _is_reader(scope: Scope, place: Place) -> bool:
    return scope.user is not None and scope.user == place.reader


def narrowest(audiences: Iterable[Audience]) -> Audience:
    """The audience of a summary: whoever may read all of its parts."""
    return Audience(frozenset(scope for audience in audiences for scope in audience.of))


def admitted(items: Iterable[T], audience_of: Callable[[T], Audience], place: Place) -> tuple[tuple[T, ...], int]:
    """Those of *items* that every reader of *place* may read, in order, and how many were left out."""
    all_items = tuple(items)
    kept = tuple(item for item in all_items if may_read(audience_of(item), place))
    return kept, len(all_items) - len(kept)


def place_of(incoming: Incoming, *, granted: frozenset[str] = frozenset()) -> Place:
    """Where the answer to *incoming* will be read.

    Args:
        granted: See `Place.granted`; used only where one person reads the answer.
    """
    at, user = incoming.conversation, incoming.user
    if at.platform not in _CHATS:
        return Place("key", at.platform, reader=user)
    if incoming.direct:
        return Place("direct", at.platform, at.workspace, at.channel, user, incoming.members_only, granted)
    if incoming.visibility == "private":
        return Place("private", at.platform, at.workspace, at.channel, user, incoming.members_only, granted)
    return Place("channel", at.platform, at.workspace, at.channel, None, incoming.members_only)


def audience_of(incoming: Incoming) -> Audience:
    """Who may read what is said in the conversation of *incoming*, question and answer alike."""
    place = place_of(incoming)
    if place.reach == "channel":
        reach: Reach = "open" if incoming.open_channel else "channel"
        return Audience(frozenset({Scope(reach, place.platform, place.workspace, place.channel)}))
    return Audience(frozenset({Scope(place.reach, place.platform, user=incoming.user)}))


def own_audience(user: UserKey) -> Audience:
    """Who may read what an API key or a page's owner handed in."""
    return Audience(frozenset({Scope("key", user.platform, user=user)}))


def channel_audience(key: ConversationKey, *, is_open: bool) -> Audience:
    """Who may read what was said in a channel, whoever asks for it."""
    return Audience(frozenset({Scope("open" if is_open else "channel", key.platform, key.workspace, key.channel)}))


_CHATS = frozenset({"slack", "discord"})
"""Where several people may read; a page, a terminal and an API key have one reader."""
