"""discord.py's errors -> ours, in one table. Nothing of the library's travels further inward."""

from __future__ import annotations

import aiohttp
import discord

from core.domain.errors import SettingsError, SurfaceBusy, SurfaceError, SurfaceGone, SurfaceRejected

# Discord's JSON error codes, docs.discord.com/developers/topics/opcodes-and-status-codes#json, read 2026-11-22.
UNKNOWN_CHANNEL = 10003
UNKNOWN_MESSAGE = 10008
UNKNOWN_WEBHOOK = 10015
UNKNOWN_INTERACTION = 10062
OLD_MESSAGE_EDITS = 30046
TOO_LARGE = 40005
ALREADY_ACKNOWLEDGED = 40060
MISSING_ACCESS = 50001
CANNOT_MESSAGE_USER = 50007
MISSING_PERMISSIONS = 50013
INVALID_TOKEN = 50027
INVALID_FORM = 50035
ARCHIVED_THREAD = 50083
CANNOT_REPLY = 160002
THREAD_EXISTS = 160004
LOCKED_THREAD = 160005

GONE = frozenset(
    {
        UNKNOWN_CHANNEL,
        10004,  # unknown guild
        UNKNOWN_MESSAGE,
        50005,  # cannot edit another user's message
        CANNOT_MESSAGE_USER,
        LOCKED_THREAD,
    }
)
TOKEN_GONE = frozenset({UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION, INVALID_TOKEN})


CALL_ERRORS = (discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError)
"""Everything that a call of the library raises, beside bugs: its own, a connection that broke (aiohttp's errors are not
all OSErrors), and "Session is closed" (facts/discord.md 1.12)."""


class Forbidden(SurfaceGone):
    """The bot may not write here, though the place exists."""


class NotSeen(Forbidden):
    """The bot may not even see the place."""


class TokenGone(SurfaceGone):
    """The interaction is over, or was never acknowledged; its messages may still stand."""


class ReplyRefused(SurfaceRejected):
    """The message may stand, but not as a reply to the question: post it again without."""


class ThreadExists(SurfaceRejected):
    """The message has its thread already (facts/discord-2.md 2.1)."""


class ThreadArchived(SurfaceGone):
    """Writable again once somebody, or the bot, opens the thread (facts/discord.md 1.4)."""


def surface_error(error: Exception, *, posting: bool) -> SurfaceError:
    """Translate what a write raised.

    Args:
        posting: Whether the call creates a message: then a lost response leaves it open whether it stands.
    """
    match error:
        case SurfaceError():
            return error
        case discord.RateLimited():
            return SurfaceBusy("rate limited", retry_after_s=error.retry_after, too_many=True)
        case discord.HTTPException():
            return _http_error(error, posting=posting)
        case aiohttp.ClientError() | OSError():
            # discord.py repeats neither a reset on Linux nor a closed connection (facts/discord.md 1.11).
            return SurfaceBusy(f"connection to Discord failed: {type(error).__name__}", unsure=posting)
        case RuntimeError():
            # "Session is closed": the client went away under the call (facts/discord.md 1.12).
            return SurfaceBusy("not connected to Discord", retry_after_s=5.0, unsure=posting)
    return SurfaceRejected(f"{type(error).__name__} while writing to Discord")


def _http_error(error: discord.HTTPException, *, posting: bool) -> SurfaceError:
    why = f"Discord answered {error.status} (code {error.code})"
    if error.code == THREAD_EXISTS:
        return ThreadExists(why)
    if error.code == ARCHIVED_THREAD:
        return ThreadArchived(why)
    if error.code == MISSING_ACCESS:
        return NotSeen(why)
    if error.code == MISSING_PERMISSIONS:
        return Forbidden(why)
    if error.code in TOKEN_GONE:
        return TokenGone(why)
    if error.code in GONE or error.status in (401, 404):
        return SurfaceGone(why)
    if error.code == OLD_MESSAGE_EDITS:
        # Messages older than an hour have an extra, undocumented limit (facts/discord.md 1.11).
        return SurfaceBusy(why, retry_after_s=30.0)
    if error.status == 429:
        # Only Cloudflare's own refusal gets here, without Via (facts/discord.md 1.11); asking on makes it worse.
        return SurfaceBusy(why, retry_after_s=_retry_after(error), too_many=True)
    if error.status >= 500:
        return SurfaceBusy(why, retry_after_s=1.0, unsure=posting)
    if error.code == CANNOT_REPLY or (error.code == INVALID_FORM and "message_reference" in error.text):
        return ReplyRefused(why)
    too_long = error.code == TOO_LARGE or "BASE_TYPE_MAX_LENGTH" in error.text or error.status == 413
    if error.code == INVALID_FORM and "or fewer in length" in error.text:
        too_long = True  # the library keeps the sentence and drops the name
    return SurfaceRejected(why, too_long=too_long)


def _retry_after(error: discord.HTTPException) -> float:
    try:
        return float(error.response.headers.get("Retry-After", ""))
    except ValueError:
        return 60.0


def fatal(error: BaseException) -> SettingsError | None:
    """The failures that no new attempt mends: each names what to change. None for everything else."""
    match error:
        case discord.LoginFailure():
            return SettingsError(
                ["DISCORD_BOT_TOKEN is refused by Discord (401): copy it again from the portal's Bot page"]
            )
        case discord.PrivilegedIntentsRequired():
            return SettingsError(
                [
                    "Discord refuses the message content intent (4014): switch it on in the portal (Bot page), "
                    "or unset DISCORD_MESSAGE_CONTENT"
                ]
            )
        case discord.ConnectionClosed(code=4004):
            return SettingsError(
                ["DISCORD_BOT_TOKEN is refused by Discord's gateway (4004): it was reset in the portal"]
            )
        case discord.ConnectionClosed(code=4010 | 4011):
            return SettingsError(
                ["Discord refuses the shards (4010/4011): check shard_ids and shard_count in tern.toml, or remove both"]
            )
        case discord.ConnectionClosed(code=4012 | 4013 as code):
            return SettingsError([f"Discord refuses this version of the bot ({code}): update it"])
    return None
