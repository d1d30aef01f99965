"""One reply on a platform, against a strict fake of one."""

from __future__ import annotations

from core.events import TextDelta
from core.streaming.live_reply import LiveReply
from core.streaming.pacer import Pacer
from tests.fakes.clock import LoopClock
from tests.fakes.surface import FakeLedger, FakePlatform, FakeSurface


def test_an_answer_is_shown_whole(run_virtual, loop_clock: LoopClock):
    """What the model said stands on the screen when `finish` returns."""

    async def scene() -> list[str]:
        surface = FakeSurface(FakePlatform(loop_clock, latency_s=0.04))
        async with LiveReply(
            surface,
            FakeLedger(),
            Pacer(loop_clock),
            loop_clock,
            reply_id="r1",
            request_id="q1",
            platform="fake",
            asked_at=loop_clock.now(),
        ) as live:
            for word in ("Hello", " ", "world"):
                await live.send(TextDelta(word))
            await live.finish()
        return surface.pages

    assert run_virtual(scene()) == ["Hello world"]
