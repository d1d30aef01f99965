"""Whether whoever asks could read what they point at: the bot sees more than they do, and must not read for them."""

from __future__ import annotations

import asyncio
from functools import partial

from adapters.slack.failures import Foreign
from adapters.slack.handlers import Handlers
from adapters.slack.users import is_external
from core.domain.errors import SurfaceError

_WITHIN_S = 10.0
_PAGE = 1_000
_PAGES = 10
"""Ten thousand members; in a larger private channel nobody is looked for."""


async def may_read(handlers: Handlers, user: str, channel: str, *, asked_in: str) -> bool:
    """Whether *user* can read *channel*; what Slack does not tell counts as no.

    Args:
        asked_in: The channel that Slack itself says they asked in: there they are.
    """
    if channel == asked_in:
        return True
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await _may_read(handlers, user, channel)
    except (SurfaceError, *Foreign):
        return False


async def _may_read(handlers: Handlers, user: str, channel: str) -> bool:
    api = handlers.api
    info = (await api.call(lambda: api.reads.conversations_info(channel=channel)))["channel"]
    if info.get("is_im"):
        return bool(info.get("user") == user)
    # On a Grid a public channel is open to its own workspaces, and an organisation's token does not tell which.
    is_public = info.get("is_private") is False and not (info.get("is_mpim") or info.get("is_group"))
    if is_public and not handlers.me.org_install and await _is_colleague(handlers, user):
        return True
    return await _is_member(handlers, user, channel)


async def _is_colleague(handlers: Handlers, user: str) -> bool:
    """Guests and other companies' people see only the channels that they are in."""
    person = await handlers.users.get(user)
    return person.known and not person.guest and not is_external(person, handlers.me)


async def _is_member(handlers: Handlers, user: str, channel: str) -> bool:
    api, cursor = handlers.api, ""
    for _ in range(_PAGES):
        members = partial(api.reads.conversations_members, channel=channel, limit=_PAGE, cursor=cursor or None)
        answer = await api.call(members)
        if user in (answer.get("members") or ()):
            return True
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            break
    return False
