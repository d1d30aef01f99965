"""OpenAI's request body -> ChatRequest. Pure; every refusal is a RequestError that names the field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from adapters.web.api.types import (
    AudioPart,
    Call,
    ChatBody,
    ChosenTool,
    FilePart,
    ImagePart,
    Message,
    RefusalPart,
    TextPart,
)
from core.domain.audience import own_audience
from core.domain.errors import BadRequest
from core.domain.incoming import UserKey
from core.domain.model_spec import Capability
from core.domain.requests import (
    ChatRequest,
    Effort,
    Image,
    OutputFormat,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)

_EFFORTS: dict[str, Effort | None] = {
    "none": "none",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
    "default": None,
}
_DATA_IMAGE = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)
_DECODER = msgspec.json.Decoder(ChatBody)


def parse_body(body: bytes) -> ChatBody:
    """Decode *body*. Raises BadRequest with the field's path where there is one."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(error) from error


def refused(error: Exception, *, renamed: Mapping[str, str] | None = None) -> BadRequest:
    """What msgspec says of a body, with the field's path. *renamed*: fields that the caller knows by another name."""
    if not isinstance(error, msgspec.ValidationError):
        return BadRequest(f"The body is not valid JSON: {error}")
    problem, _, path = str(error).partition(" - at `$")
    param = path.rstrip("`").lstrip(".") or _missing_field(problem)
    field = re.match(r"\w+", param or "")
    if field and field.group() in (renamed or {}):
        param = (renamed or {})[field.group()]
    return BadRequest(problem, param=param)


def chat_request(body: ChatBody, *, request_id: str, user: UserKey, deadline_at: float) -> ChatRequest:
    """What *body* asks of a model. Raises BadRequest."""
    _refuse_unsupported(body)
    turns = _system_first(tuple(_turns(body.messages)))
    tools = tuple(_tools(body))
    return ChatRequest(
        request_id=request_id,
        user=user,
        turns=turns,
        needs=_needs(turns, tools, body),
        requested_model=body.model,
        max_output_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        tools=tools,
        tool_choice=_tool_choice(body, tools),
        parallel_tool_calls=body.parallel_tool_calls if tools else None,
        output_format=_output_format(body),
        effort=_EFFORTS[body.reasoning_effort] if body.reasoning_effort else None,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        seed=body.seed,
        deadline_at=deadline_at,
        editable=False,
        contributors=frozenset({user}),
        audience=own_audience(user),
    )


def _refuse_unsupported(body: ChatBody) -> None:
    """What would be ignored in silence otherwise, although the caller counts on it."""
    if body.stream and body.n not in (None, 1):
        raise BadRequest("Only one answer can be streamed: n must be 1.", param="n")
    if body.logprobs:
        raise BadRequest("Log probabilities are not available.", param="logprobs")
    if body.logit_bias:
        raise BadRequest("logit_bias is not supported.", param="logit_bias")
    if body.functions:
        raise BadRequest("`functions` was replaced by `tools`.", param="functions")
    if body.modalities and body.modalities != ["text"]:
        raise BadRequest("Only text can be answered here.", param="modalities")


def _turns(messages: Sequence[Message]) -> Iterator[Turn]:
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        match message.role:
            case "tool":
                if not message.tool_call_id:
                    raise BadRequest("A tool message needs the tool_call_id it answers.", param=f"{where}.tool_call_id")
                call_id = message.tool_call_id
                text = "".join(part.text for part in _parts(message, where) if isinstance(part, Text))
                yield Turn("tool", (ToolResult(call_id, names.get(call_id, ""), text),))
            case "assistant":
                names |= {call.id: call.function.name for call in message.tool_calls or ()}
                yield Turn("assistant", (*_parts(message, where), *map(_tool_call, message.tool_calls or ())))
            case "user":
                yield Turn("user", _parts(message, where))
            case "system" | "developer":
                yield Turn("system", _parts(message, where))


def _parts(message: Message, where: str) -> tuple[Part, ...]:
    if message.content is None:
        if message.role == "assistant":
            return ()
        raise BadRequest(f"A {message.role} message needs content.", param=f"{where}.content")
    if isinstance(message.content, str):
        return (Text(message.content),) if message.content else ()
    return tuple(_part(part, f"{where}.content[{number}]") for number, part in enumerate(message.content))


def _part(part: TextPart | ImagePart | RefusalPart | AudioPart | FilePart, where: str) -> Part:
    match part:
        case TextPart(text=text):
            return Text(text)
        case RefusalPart(refusal=text):
            return Text(text)
        case ImagePart(image_url=image):
            if found := _DATA_IMAGE.match(image.url):
                return Image(ref="", mime=found.group(1).lower(), url=image.url)
            if image.url.startswith(("https://", "http://")):
                return Image(ref="", mime="", url=image.url)  # the provider fetches it, never we
            raise BadRequest(
                "An image is an https address or a data:image/...;base64 URL.", param=f"{where}.image_url.url"
            )
        case AudioPart() | FilePart():  # heard and read before (parts.py), where somebody can
            raise BadRequest("Recordings and files inside messages are not taken here.", param=where)


def _tool_call(call: Call) -> ToolCall:
    return ToolCall(call.id, call.function.name, call.function.arguments)


def _system_first(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """System turns in front, each group in its order: trimming a long history keeps what stands in front."""
    return tuple(sorted(turns, key=lambda turn: turn.role != "system"))


def _tools(body: ChatBody) -> Iterator[Tool]:
    for index, entry in enumerate(body.tools or ()):
        if entry.type != "function":
            yield Tool(entry.type, builtin=True)
        elif entry.function is None:
            raise BadRequest("A function tool needs its function.", param=f"tools[{index}].function")
        else:
            function = entry.function
            yield Tool(function.name, function.description or "", function.parameters or {}, function.strict)


def _tool_choice(body: ChatBody, tools: tuple[Tool, ...]) -> str | None:
    match body.tool_choice:
        case None:
            return None
        case ChosenTool(function=function):
            if function.name not in {tool.name for tool in tools}:
                raise BadRequest(f"tool_choice names {function.name!r}, which is not in tools.", param="tool_choice")
            return function.name
        case word:
            if word == "required" and not tools:
                raise BadRequest("tool_choice is required, but there are no tools.", param="tool_choice")
            return word if tools else None


def _output_format(body: ChatBody) -> OutputFormat:
    wanted = body.response_format
    if wanted is None or wanted.type != "json_schema":
        return OutputFormat(wanted.type if wanted else "text")
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        raise BadRequest("response_format json_schema needs its schema.", param="response_format.json_schema.schema")
    schema = wanted.json_schema
    return OutputFormat("json_schema", schema.name, schema.schema, strict=bool(schema.strict))


def _needs(turns: tuple[Turn, ...], tools: tuple[Tool, ...], body: ChatBody) -> frozenset[Capability]:
    needs: set[Capability] = set()
    if any(isinstance(part, Image) for turn in turns for part in turn.parts):
        needs.add(Capability.VISION)
    if tools:
        needs.add(Capability.TOOLS)
    match body.response_format:
        case None:
            pass
        case wanted if wanted.type == "json_object":
            needs.add(Capability.JSON)
        case wanted if wanted.type == "json_schema":
            needs.add(Capability.JSON_SCHEMA)
    return frozenset(needs)


def _missing_field(problem: str) -> str | None:
    found = re.search(r"missing required field `([^`]+)`", problem)
    return found.group(1) if found else None
