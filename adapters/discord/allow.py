"""The allow-list: who may ask, decided by ids alone: names are anybody's to choose (facts/discord.md 2.3). Pure."""

from __future__ import annotations

from adapters.discord.settings import DiscordSettings


def allows(
    settings: DiscordSettings,
    *,
    user: int,
    roles: frozenset[int] = frozenset(),
    guild: int | None = None,
    channel: int | None = None,
    parent: int | None = None,
    bot: bool = False,
) -> bool:
    """Whether this person may ask here; a *bot* that the operator listed is asked for places alone.

    Every list that is set must agree, a channel's own too; `allow_users` and `allow_roles` are one list of people. In
    a direct message there are no roles and channels, so `allow_dms` decides alone.
    """
    if guild is None:
        match settings.allow_dms:
            case "nobody":
                return False
            case "listed":
                return user in settings.allow_users
            case "everyone":
                return True
    if settings.allow_guilds and guild not in settings.allow_guilds:
        return False
    if settings.allow_channels and not settings.allow_channels & {channel, parent}:
        return False
    if bot:
        return True
    here = (people for at, people in settings.allow_by_channel.items() if at in (channel, parent))
    if not all(people & {user, *roles} for people in here):
        return False
    if settings.allow_users or settings.allow_roles:
        return user in settings.allow_users or bool(settings.allow_roles & roles)
    return True
