"""An unstreamed answer's bytes -> its parts, or the fault they carry. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from core.domain.requests import Finish, ToolCall
from core.providers.stream import FINISHES, Fault, WireUsage


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish: Finish | None
    usage: WireUsage | None
    request_id: str


class _Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _XGroq(msgspec.Struct, gc=False):
    id: str = ""


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice] = []
    usage: WireUsage | None = None
    x_groq: _XGroq | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Completion)


def read_whole(raw: bytes) -> WholeAnswer | Fault:
    """Read one chat completion; a Fault where it is none, or where a gateway answered an error with status 200."""
    try:
        completion = _DECODER.decode(raw)
    except msgspec.MsgspecError:
        return Fault("garbage", raw[:200].decode("utf-8", "replace"))
    if completion.error:
        return Fault("error_event", completion.error)
    if not completion.choices:
        return Fault("garbage", "no choices")
    choice = completion.choices[0]
    message = choice.message
    calls = tuple(
        ToolCall(call.id or f"call_{index}", call.function.name, call.function.arguments)
        for index, call in enumerate(message.tool_calls or ())
    )
    return WholeAnswer(
        text=message.content or "",
        reasoning=message.reasoning or message.reasoning_content or "",
        tool_calls=calls,
        finish=FINISHES.get(choice.finish_reason, "stop") if choice.finish_reason else None,
        usage=completion.usage,
        request_id=completion.x_groq.id if completion.x_groq else "",
    )
