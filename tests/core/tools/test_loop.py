"""The tool loop ends in an answer whatever the model does, and shows text but never calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from core.domain.errors import Unreadable
from core.domain.events import Event, Notice, Restarted, Send, TextDelta, ToolCallDelta
from core.domain.requests import ChatRequest, Reasoning, Reply, Text, Tool, ToolCall, ToolResult, Turn, Usage
from core.tools.loop import LoopLimits, ToolLoop
from core.tools.toolbox import Caller, Toolbox, ToolRules, ToolSpec
from tests.core.voice.hearing import USER
from tests.fakes.clock import FakeClock

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


def calls(*numbers: int, name: str = "double", text: str = "", arguments: str | None = None) -> Reply:
    made = tuple(ToolCall(f"c{n}", name, arguments if arguments is not None else json.dumps({"n": n})) for n in numbers)
    return Reply(text, "m", "groq", Usage(output_tokens=1, cost_usd=0.001), "tool_calls", made, reasoning="hm")


class Model:
    """Plays replies in order, the last for ever; text is sent as a delta, calls as call deltas."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[ChatRequest] = []

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.text:
            await send(TextDelta(reply.text))
        if request.tool_choice == "none":
            return Reply(reply.text or "done", "m", "groq", reply.usage)
        for call in reply.tool_calls:
            await send(ToolCallDelta(0, call.id, call.name, call.arguments))
        return reply


ANSWER = Reply("The answer.", "m", "groq", Usage(output_tokens=3))


class Kit:
    def __init__(self, **changes: Any) -> None:
        self.ran: list[int] = []
        self.under_way = self.most = 0
        self.fails: Exception | None = None
        self.spec = ToolSpec(
            Tool("double", "doubles", SCHEMA), self.run, lambda arguments: f"Doubling {arguments['n']}", **changes
        )

    async def run(self, arguments: Mapping[str, Any], caller: Caller) -> str:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.fails:
            raise self.fails
        self.ran.append(arguments["n"])
        return str(arguments["n"] * 2)


class Talk:
    def __init__(self, clock: FakeClock, model: Model, kit: Kit, **limits: Any) -> None:
        self.events: list[Event] = []
        self.model, self.kit = model, kit
        self.loop = ToolLoop(model, Toolbox([kit.spec]), clock, limits=LoopLimits(**limits))

    async def send(self, event: Event) -> None:
        self.events.append(event)

    async def ask(self, **changes: Any) -> Reply:
        return await self.loop(ChatRequest("r1", USER, (Turn("user", (Text("?"),)),), **changes), self.send)

    def results(self, round_number: int = 1) -> list[ToolResult]:
        turns = self.model.asked[round_number].turns
        return [part for turn in turns for part in turn.parts if isinstance(part, ToolResult)]


async def test_tools_run_and_the_answer_streams(clock: FakeClock) -> None:
    """Calls run, their results go back, and the reader sees a label and then the answer."""
    talk = Talk(clock, Model(calls(1, 2), ANSWER), Kit())

    reply = await talk.ask()

    assert reply.text == "The answer."
    assert [(result.call_id, result.content) for result in talk.results()] == [("c1", "2"), ("c2", "4")]
    assert talk.events == [
        Notice("tool", {"label": "Doubling 1"}),
        Notice("tool", {"label": "Doubling 2"}),
        TextDelta("The answer."),
    ]
    assert reply.usage.output_tokens == 4


async def test_calls_of_one_round_run_side_by_side(clock: FakeClock) -> None:
    """Two calls are under way at once."""
    talk = Talk(clock, Model(calls(1, 2), ANSWER), Kit())

    await talk.ask()

    assert talk.kit.most == 2


async def test_reasoning_goes_back_beside_its_calls(clock: FakeClock) -> None:
    """The model gets its own thoughts back in the next round."""
    talk = Talk(clock, Model(calls(1), ANSWER), Kit())

    await talk.ask()

    assert Reasoning("hm", "m") in talk.model.asked[1].turns[1].parts


async def test_text_before_a_call_stays_in_the_answer(clock: FakeClock) -> None:
    """What the model says before it calls is part of what was shown, and of the reply."""
    talk = Talk(clock, Model(calls(1, text="Let me see."), ANSWER), Kit())

    reply = await talk.ask()

    assert reply.text == "Let me see.\n\nThe answer."
    shown = "".join(event.text for event in talk.events if isinstance(event, TextDelta))
    assert shown == reply.text


async def test_restart_counts_the_text_of_earlier_rounds(clock: FakeClock) -> None:
    """A model that takes over in the second round keeps the first round's words."""

    class Breaking(Model):
        async def __call__(self, request: ChatRequest, send: Send) -> Reply:
            if len(self.asked) == 1:
                await send(Restarted("other", 0))
            return await super().__call__(request, send)

    talk = Talk(clock, Breaking(calls(1, text="Hm."), ANSWER), Kit())

    await talk.ask()

    assert Restarted("other", len("Hm.\n\n")) in talk.events


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (calls(1, name="rm"), "no tool 'rm'"),
        (calls(1, arguments='{"n": '), "not valid JSON"),
        (calls(1, arguments='{"n": "one"}'), "$.n"),
        (calls(1, arguments="{}"), "'n' is a required property"),
        (calls(1, arguments="[]"), "not of type 'object'"),
    ],
)
async def test_wrong_calls_get_an_error_back(clock: FakeClock, reply: Reply, why: str) -> None:
    """Unknown names and broken arguments are told to the model, which may then answer."""
    talk = Talk(clock, Model(reply, ANSWER), Kit())

    answer = await talk.ask()

    assert answer.text == "The answer."
    assert talk.results()[0].is_error
    assert why in talk.results()[0].content
    assert talk.kit.ran == []


async def test_tool_that_fails_or_hangs_costs_only_its_result(clock: FakeClock) -> None:
    """A tool's own error reaches the model as text."""
    kit = Kit()
    kit.fails = Unreadable("x", "it is damaged")
    talk = Talk(clock, Model(calls(1), ANSWER), kit)

    await talk.ask()

    assert "damaged" in talk.results()[0].content


async def test_deadline_of_a_tool(clock: FakeClock) -> None:
    """A tool that never returns is left."""

    async def hang(arguments: Mapping[str, Any], caller: Caller) -> str:
        await asyncio.Event().wait()
        return ""

    kit = Kit()
    kit.spec = ToolSpec(kit.spec.tool, hang, kit.spec.label, deadline_s=0.01)
    talk = Talk(clock, Model(calls(1), ANSWER), kit)

    await talk.ask()

    assert "longer than" in talk.results()[0].content


async def test_ten_calls_at_once_are_bounded(clock: FakeClock) -> None:
    """Only so many calls of one round run; the others are told so."""
    talk = Talk(clock, Model(calls(*range(10)), ANSWER), Kit(), calls_per_round=4)

    await talk.ask()

    assert talk.kit.ran == [0, 1, 2, 3]
    assert [result.is_error for result in talk.results()] == [False] * 4 + [True] * 6


async def test_model_that_calls_for_ever_is_ended(clock: FakeClock) -> None:
    """After the last round the model must answer without tools."""
    talk = Talk(clock, Model(calls(1)), Kit(), rounds=3)

    reply = await talk.ask()

    assert reply.text == "done"
    assert [request.tool_choice for request in talk.model.asked] == ["auto", "auto", "auto", "none"]


async def test_cost_ends_the_loop(clock: FakeClock) -> None:
    """Past the cost of one answer no further tools are offered."""
    talk = Talk(clock, Model(calls(1)), Kit(), cost_usd=0.0015)

    await talk.ask()

    assert len(talk.model.asked) == 3


async def test_every_round_has_an_id_of_its_own(clock: FakeClock) -> None:
    """The guard books each round once."""
    talk = Talk(clock, Model(calls(1), calls(2), ANSWER), Kit())

    await talk.ask()

    assert [request.request_id for request in talk.model.asked] == ["r1", "r1.2", "r1.3"]


async def test_results_are_cut_and_marked(clock: FakeClock) -> None:
    """Long results are cut to their budget and other people's words are marked as material."""

    async def long(arguments: Mapping[str, Any], caller: Caller) -> str:
        return "x" * 100

    kit = Kit(max_result_chars=10, untrusted=True)
    kit.spec = ToolSpec(kit.spec.tool, long, kit.spec.label, max_result_chars=10, untrusted=True)
    talk = Talk(clock, Model(calls(1), ANSWER), kit)

    await talk.ask()

    content = talk.results()[0].content
    assert content.startswith("[Material from outside")
    assert "x" * 11 not in content
    assert "90 characters longer" in content


async def test_callers_own_tools_pass_through(clock: FakeClock) -> None:
    """An API caller who brings tools runs them himself."""
    talk = Talk(clock, Model(calls(1)), Kit())
    own = (Tool("mine", "", SCHEMA),)

    reply = await talk.ask(tools=own)

    assert reply.tool_calls
    assert talk.model.asked[0].tools == own


@pytest.mark.parametrize(
    ("changes", "rules", "channel_key", "allowed"),
    [
        ({}, ToolRules(), "slack:C1", True),
        ({"reaches_outside": True}, ToolRules(), "slack:C1", False),
        ({"acts": True}, ToolRules(), "slack:C1", False),
        ({"reaches_outside": True}, ToolRules(by_channel={"slack:C1": frozenset({"double"})}), "slack:C1", True),
        ({"reaches_outside": True}, ToolRules(by_channel={"slack:C1": frozenset({"double"})}), "slack:C2", False),
        ({}, ToolRules(everywhere=frozenset()), "slack:C1", False),
    ],
)
def test_places_decide_what_is_allowed(
    changes: dict[str, Any], rules: ToolRules, channel_key: str, allowed: bool
) -> None:
    """Harmless tools are there; those that reach out or act are off until a place switches them on."""
    toolbox = Toolbox([Kit(**changes).spec], rules)

    request = ChatRequest("r1", USER, (), channel_key=channel_key)

    assert bool(toolbox.allowed(request)) is allowed
