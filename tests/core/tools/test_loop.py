"""The tool loop ends in an answer whatever the model does, and shows text but never calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from core.domain.errors import Unreadable
from core.domain.events import Event, Notice, Restarted, Send, TextDelta, ToolCallDelta
from core.domain.requests import ChatRequest, Reasoning, Reply, Text, Tool, ToolCall, ToolResult, Turn, Usage
from core.ports.storage import Suspended
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


ODD_ARGUMENTS = [
    '{"n": 1, "n": 2}',
    '{"n": {"a": 1, "a": 2}}',
    "[" * 100_000,
    '{"n": ' * 300 + "1" + "}" * 300,
    '{"n": "\\ud800"}',
    '{"n": NaN}',
    '{"n": 1' + "0" * 5_000 + "}",
    "null",
    "not JSON",
    '"\x00"',
    '{"n": 1} {"n": 2}',
    "[1]",
    '{"": ""}',
    "x" * 300_000,
]


@pytest.mark.parametrize("arguments", ODD_ARGUMENTS)
async def test_arguments_that_are_none_are_told_to_the_model(clock: FakeClock, arguments: str) -> None:
    """Whatever a model writes for arguments, doubled names too, ends in a result that says so and in an answer."""
    talk = Talk(clock, Model(calls(1, arguments=arguments), ANSWER), Kit())

    reply = await talk.ask()

    assert reply.text == "The answer."
    assert [result.is_error for result in talk.results()] == [True]
    assert talk.kit.ran == []


@pytest.mark.parametrize("error", [ValueError("secret words"), KeyError("x"), RecursionError(), UnicodeError("x")])
async def test_defect_of_a_tool_is_told_and_logged(
    clock: FakeClock, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What escapes from a tool costs that call alone; the log names it without anybody's words."""
    logged: list[dict[str, object]] = []
    monkeypatch.setattr("core.tools.loop.log.error", lambda what, **more: logged.append(more), raising=False)
    talk = Talk(clock, Model(calls(1), ANSWER), Kit())
    talk.kit.fails = error

    reply = await talk.ask()

    assert reply.text == "The answer."
    assert talk.results()[0].is_error
    assert logged[0]["defect"] == type(error).__name__
    assert "secret" not in str(logged) + talk.results()[0].content


async def test_label_that_cannot_be_made_is_the_tools_name(clock: FakeClock) -> None:
    """A label is made from what a model wrote: where that fails, the tool runs all the same."""
    kit = Kit()
    kit.spec = replace(kit.spec, label=lambda arguments: arguments["missing"])
    talk = Talk(clock, Model(calls(1), ANSWER), kit)

    await talk.ask()

    assert talk.events[0] == Notice("tool", {"label": "Using double"})
    assert talk.kit.ran == [1]


class Questions:
    """Keeps what waits for an answer."""

    def __init__(self) -> None:
        self.kept: list[Suspended] = []

    async def suspend(self, suspended: Suspended) -> None:
        self.kept.append(suspended)


async def agreed_to(clock: FakeClock, arguments: str, **changes: Any) -> tuple[Reply, Questions, Talk]:
    schema = {"type": "object", "properties": {"to": {}, "text": {}}}
    kit, questions = Kit(**changes), Questions()
    kit.spec = replace(kit.spec, tool=Tool("double", "", schema), label=lambda arguments: "x")
    talk = Talk(clock, Model(calls(1, arguments=arguments), ANSWER), kit)
    talk.loop = ToolLoop(
        talk.model, Toolbox([kit.spec], ToolRules(frozenset({"double"}))), clock, suspensions=questions
    )  # type: ignore[arg-type]
    return await talk.ask(), questions, talk


async def test_what_is_shown_is_what_runs(clock: FakeClock) -> None:
    """The arguments stand one a line, decoded, with direction and control characters as their numbers."""
    reply, questions, _ = await agreed_to(
        clock, '{"to": "team@ours", "text": "a\\u202eb\\u0007\\n\\u200b\\u3164", "more": {"n": [1, "1"]}}', acts=True
    )

    assert len(questions.kept) == 1
    lines = reply.text.split("```")[1].strip().splitlines()
    assert lines == [
        'to: "team@ours"',
        r'text: "a\u{202e}b\u0007\n\u{200b}\u{3164}"',
        "more.n[1]: 1",
        'more.n[2]: "1"',
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"to": "team@ours", ' + " " * 1_600 + ' "to": "everyone@press"}',
        json.dumps({"to": "team@ours", "text": "x" * 1_600}),
        json.dumps({"to": "team@ours", "text": "\u200b" * 300}),
    ],
)
async def test_what_cannot_be_shown_whole_is_not_asked(clock: FakeClock, arguments: str) -> None:
    """Doubled names and arguments too long for one look are refused, and the model is told why."""
    reply, questions, talk = await agreed_to(clock, arguments, acts=True)

    assert (reply.text, questions.kept, talk.kit.ran) == ("The answer.", [], [])
    assert talk.results()[0].is_error


@pytest.mark.parametrize("asks", [True, False])
async def test_tool_may_ask_about_a_single_call(clock: FakeClock, asks: bool) -> None:
    """A tool that acts on nothing can still want leave for this call, by its arguments."""
    _, questions, _ = await agreed_to(clock, '{"to": "x"}', asks_about=lambda arguments, turns: asks)

    assert bool(questions.kept) is asks
