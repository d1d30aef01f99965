"""The scenes are played under the limits that the adapters really have."""

from __future__ import annotations

from typing import Any, cast

import pytest

from adapters.discord.settings import DiscordSettings
from adapters.discord.surface import ChannelSurface
from adapters.slack.stream import StreamedSurface, Streaming
from adapters.slack.surface import EditedSurface
from adapters.slack.target import Target
from benchmarks.screen.scene import LIMITS
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.ports.platform import Rate, SurfaceLimits
from tests.fakes.clock import FakeClock

UNUSED = cast("Any", None)
"""What a surface is handed and does not look at before its first call."""

PLACE = Target("T1", "C1", "1.0", "1.0", "U1", "T1")


def discord() -> SurfaceLimits:
    asker = UserKey("discord", "1", "2")
    incoming = Incoming("3", "3", asker, ConversationKey("discord", "1", "4", "3"), "hi", 0.0)
    return ChannelSurface(UNUSED, DiscordSettings(token="t"), incoming, "r", forbidden=lambda _: None).limits


def slack() -> SurfaceLimits:
    return EditedSurface(UNUSED, PLACE).limits


def slack_dm() -> SurfaceLimits:
    streaming = Streaming(UNUSED, FakeClock(), enabled=True)
    return StreamedSurface(UNUSED, PLACE, streaming, may_start=True, on_user_stop=UNUSED, is_ours=UNUSED).limits


def figures(rates: tuple[Rate, ...] | None) -> list[tuple[int, float]] | None:
    return None if rates is None else [(rate.capacity, rate.per_s) for rate in rates]


@pytest.mark.parametrize(("played", "real"), [
    (LIMITS["Discord"], discord()),
    (LIMITS["Slack"], slack()),
    (LIMITS["Slack DM"], slack_dm()),
])  # fmt: skip
def test_scenes_are_played_under_the_adapters_limits(played: SurfaceLimits, real: SurfaceLimits) -> None:
    """Buckets for posts, edits and last words, the size of a page and the least pause are the adapter's."""
    assert figures(played.post) == figures(real.post)
    assert figures(played.edit) == figures(real.edit)
    assert figures(played.finish) == figures(real.finish)
    assert (played.max_chars, played.min_interval_s, played.max_edits) == (
        real.max_chars,
        real.min_interval_s,
        real.max_edits,
    )
