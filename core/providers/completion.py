"""An unstreamed answer's bytes -> its parts, or the fault they carry. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.base.foreign import Malformed, json_value
from core.domain.requests import Finish, ToolCall
from core.providers.chunks import WireUsage, chunk_of
from core.providers.executed import RanBook
from core.providers.stream import Fault
from core.providers.tool_calls import CallBook
from core.providers.vocabulary import ending_of


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish: Finish | None
    """None where the server names no reason: the answer is whole all the same, if there is one."""
    usage: WireUsage | None
    request_id: str
    ran: RanBook


def read_whole(raw: bytes) -> WholeAnswer | Fault:
    """Read one chat completion; a Fault where it is none, or where a gateway answered an error with status 200."""
    try:
        completion = chunk_of(json_value(raw))
    except Malformed as error:
        return Fault("garbage", str(error))
    if completion is None:
        return Fault("garbage", "no chat completion")
    if completion.complaint is not None:
        return Fault("error_event", completion.complaint)
    if not completion.choices:
        return Fault("garbage", "no choices")
    choice = completion.choices[0]
    ending = ending_of(choice.finish_reason)
    if ending == "broken":
        return Fault("error_event", {"type": "finish_reason"})
    message = choice.message
    ran = RanBook()
    ran.add(message.executed_tools if message else None)
    calls = CallBook()
    for piece in (message.tool_calls if message else None) or ():
        calls.add(piece)
    return WholeAnswer(
        text=(message.content or message.refusal or "") if message else "",
        reasoning=(message.reasoning or "") if message else "",
        tool_calls=calls.calls,
        finish=ending,
        usage=completion.usage,
        request_id=(completion.x_groq.id or "") if completion.x_groq else "",
        ran=ran,
    )
