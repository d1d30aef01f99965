"""Random worlds of people, channels and direct messages, and what each person there can really read.

The worlds know nothing of `core.domain.audience`: who reads what is worked out from memberships alone, so that the law
can be held against them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import strategies as st

from core.domain.audience import Audience, Place, audience_of, narrowest, place_of
from core.domain.incoming import ConversationKey, Incoming, UserKey

Law = Callable[[Audience, Place], bool]


@dataclass(frozen=True)
class Person:
    key: UserKey
    home: str
    """The workspace they belong to."""
    kind: str
    """"member" or "guest" of their home."""


@dataclass(frozen=True)
class Channel:
    platform: str
    workspace: str
    id: str
    kind: str
    """"open", "private", or "shared" with another workspace."""
    readers: frozenset[UserKey]
    """Who is in it now; an open one is read by all members besides."""


@dataclass(frozen=True)
class Said:
    """Something said somewhere, by somebody who was there then."""

    incoming: Incoming


@dataclass(frozen=True)
class World:
    platform: str
    people: tuple[Person, ...]
    channels: tuple[Channel, ...]
    said: tuple[Said, ...]

    def person(self, key: UserKey) -> Person:
        return next(person for person in self.people if person.key == key)

    def channel(self, key: ConversationKey) -> Channel:
        return next(channel for channel in self.channels if channel.id == key.channel)

    def reads_channel(self, person: Person, channel: Channel) -> bool:
        member = person.kind == "member" and person.home == channel.workspace
        return person.key in channel.readers or (channel.kind == "open" and member)

    def may_know(self, person: Person, what: Incoming) -> bool:
        """Whether *person* could read *what* where it stands, today."""
        if what.direct or what.visibility == "private":
            return what.user == person.key
        return self.reads_channel(person, self.channel(what.conversation))

    def readers(self, asked: Incoming) -> Iterator[Person]:
        """Everybody who will read the answer to *asked*."""
        if asked.direct or asked.visibility == "private":
            yield self.person(asked.user)
            return
        channel = self.channel(asked.conversation)
        yield from (person for person in self.people if self.reads_channel(person, channel))

    def granted(self, asked: Incoming) -> frozenset[str]:
        """The channels that the platform would say the asker may read now."""
        asker = self.person(asked.user)
        return frozenset(
            channel.id
            for channel in self.channels
            if channel.workspace == asked.conversation.workspace and self.reads_channel(asker, channel)
        )


def violations(world: World, law: Law) -> list[str]:
    """Everything that *law* would tell to somebody who cannot read it where it was said."""
    found = []
    for asked in (said.incoming for said in world.said):
        if not (asked.direct or world.reads_channel(world.person(asked.user), world.channel(asked.conversation))):
            continue  # who has left a channel cannot ask there
        for granted in (frozenset[str](), world.granted(asked)):
            place = place_of(asked, granted=granted)
            for parts in parts_of(world):
                if not law(narrowest(audience_of(part) for part in parts), place):
                    continue
                found += [
                    f"{reader.key} is told {part.conversation} ({part.visibility}) in {place}"
                    for part in parts
                    for reader in world.readers(asked)
                    if not world.may_know(reader, part) or (part.direct and not asked.direct)
                ]
    return found


def parts_of(world: World) -> Iterator[tuple[Incoming, ...]]:
    """Each thing said by itself, and each two neighbours as one summary."""
    whats = [said.incoming for said in world.said]
    yield from ((what,) for what in whats)
    yield from pairwise(whats)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A platform with two workspaces; people join and leave after things were said."""
    platform = draw(st.sampled_from(["slack", "discord"]))
    homes = ["W1", "W2"]
    people = tuple(
        Person(UserKey(platform, home if platform == "slack" else "", f"U{number}"), home, kind)
        for number, (home, kind) in enumerate(
            draw(
                st.lists(
                    st.tuples(st.sampled_from(homes), st.sampled_from(["member", "guest"])), min_size=2, max_size=5
                )
            )
        )
    )
    keys = [person.key for person in people]
    channels = []
    for number in range(draw(st.integers(1, 4))):
        workspace = draw(st.sampled_from(homes))
        kind = draw(st.sampled_from(["open", "private", "shared"]))
        allowed = [person.key for person in people if kind == "shared" or person.home == workspace]
        readers = draw(st.frozensets(st.sampled_from(allowed))) if allowed else frozenset[UserKey]()
        channels.append(Channel(platform, workspace, f"C{number}", kind, readers))
    world = World(platform, people, tuple(channels), ())
    said = [Said(draw(incomings(world, keys))) for _ in range(draw(st.integers(2, 6)))]
    moved = tuple(
        replace(channel, readers=draw(st.frozensets(st.sampled_from(sorted(channel.readers, key=str)))))
        if channel.readers and draw(st.booleans())
        else channel
        for channel in channels
    )
    return replace(world, said=tuple(said), channels=moved)


@st.composite
def incomings(draw: st.DrawFn, world: World, keys: list[UserKey]) -> Incoming:
    """A question by somebody who may read where they ask, as an adapter would hand it over."""
    user = draw(st.sampled_from(keys))
    person = world.person(user)
    full = person.kind == "member" and draw(st.booleans())  # unknown counts as no
    rooms = [channel for channel in world.channels if world.reads_channel(person, channel)]
    where = draw(st.sampled_from(["direct", *rooms]))
    if isinstance(where, str):
        workspace = person.home if world.platform == "slack" else ""
        at = ConversationKey(world.platform, workspace, f"D-{user.user}", "")
        return Incoming("1", "", user, at, "words", 0.0, direct=True, members_only=full and bool(workspace))
    at = ConversationKey(world.platform, where.workspace, where.id, "1")
    private = draw(st.booleans())
    readers = [p for p in world.people if world.reads_channel(p, where)]
    at_home = full and person.home == where.workspace
    whole = all(p.kind == "member" and p.home == where.workspace for p in readers)
    return Incoming(
        "1",
        "",
        user,
        at,
        "words",
        0.0,
        visibility="private" if private else "public",
        open_channel=where.kind == "open" and draw(st.booleans()),
        members_only=at_home if private else whole and where.kind != "shared" and draw(st.booleans()),
    )
