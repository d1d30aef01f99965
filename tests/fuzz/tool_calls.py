"""2,000 tool calls as models write them and as nobody should: each ends in a result, and the answer comes."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from core.domain.errors import Unfetchable
from core.domain.events import Event, Send
from core.domain.incoming import ConversationKey
from core.domain.requests import ChatRequest, Reply, Text, ToolCall, ToolResult, Turn, Usage
from core.net.guarded_fetch import Fetched, FetchPolicy, _check, _parse
from core.ports.storage import StoredTurn
from core.tools.loop import ToolLoop
from core.tools.toolbox import Services, Toolbox, ToolRules, load_kit
from tests.core.voice.hearing import USER, DirectReader
from tests.fakes.clock import FakeClock

COUNT = 2_000
NAMES = ("calculate", "current_time", "read_page", "search_history", "rm", "", "read_page\x00", "calculate" * 50)
VALUES: tuple[object, ...] = (
    "1,5 * 2", "1 000 + 1", "2**2**2", "1/0", "٣ * ٤", "x" * 400, "5 km to kg", "(" * 200, "1,234", "",
    "http://[::1", "//host/x", "http://xn--/", "https://a.example/\x00", "https://[your-domain].com/", "http://\ud800/",
    "https://a.example/page", "Europe/Berlin", "../../etc/passwd", "Mars/Olympus", "\u202eabc", "tea", "%", "'\"--",
    None, True, 0, -1, 10**30, 1.5, [], {}, [[[[]]]], {"a": {"a": {}}},
)  # fmt: skip
ODD = ("[" * 5_000, '{"a":' * 200, "NaN", "null", "[]", '"x"', "{}{}", '{"expression": 1' + "0" * 900)
FIELDS = ("expression", "url", "zone", "words", "other", "", "\u200b")


class Model:
    """Calls what it is told to, once, and answers then."""

    def __init__(self, calls: tuple[ToolCall, ...]) -> None:
        self.calls = calls
        self.results: list[ToolResult] = []

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        self.results = [part for turn in request.turns for part in turn.parts if isinstance(part, ToolResult)]
        calls, self.calls = self.calls, ()
        return Reply("" if calls else "done", "m", "groq", Usage(), "tool_calls" if calls else "stop", calls)


class Web:
    """Looks at addresses as the real one does, and finds nothing."""

    async def fetch(self, url: str, policy: FetchPolicy, *, headers: Mapping[str, str] | None = None) -> Fetched:
        raise Unfetchable(_check(_parse(url), policy), "nothing is there")


class Past:
    async def recent(self, *args: object, **kwargs: object) -> Sequence[StoredTurn]:
        return []

    async def search(self, conversations: Sequence[ConversationKey], words: str, *, limit: int) -> Sequence[StoredTurn]:
        return []


async def check(rng: random.Random) -> None:
    clock = FakeClock()
    kit = load_kit(Services(clock, DirectReader(), DirectReader(), Web(), Past()))  # type: ignore[arg-type]
    calls = tuple(ToolCall(f"c{n}", rng.choice(NAMES), written(rng)) for n in range(rng.randint(1, 6)))
    model = Model(calls)
    toolbox = Toolbox(kit, ToolRules(frozenset(tool.name for tool in kit)))
    request = ChatRequest("r", USER, (Turn("user", (Text("see https://a.example/page"),)),))

    reply = await ToolLoop(model, toolbox, clock)(request, unheard)

    assert reply.text == "done", "the answer is lost"
    assert [result.call_id for result in model.results] == [call.id for call in calls], "a call without a result"
    for result in model.results:
        assert "nobody foresaw" not in result.content, f"a defect: {calls}"
        result.content.encode()


def written(rng: random.Random) -> str:
    fields = {rng.choice(FIELDS): rng.choice(VALUES) for _ in range(rng.randint(0, 3))}
    text = json.dumps(fields, ensure_ascii=rng.random() < 0.5)
    match rng.randrange(8):
        case 0:
            return text[: rng.randrange(len(text) + 1)]
        case 1:
            return text[:-1] + f', "{rng.choice(FIELDS)}": 1, "{rng.choice(FIELDS)}": 2}}'
        case 2:
            return rng.choice(ODD)
        case _:
            return text


async def unheard(event: Event) -> None:
    """What is shown meanwhile is not looked at."""
