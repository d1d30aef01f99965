"""A ChatRequest -> the JSON body that one model accepts. Pure.

Each provider refuses other things; what a model refuses beyond that stands in its ModelSpec. Sources: facts/groq.md
2 to 6, https://console.groq.com/docs/api-reference , https://console.groq.com/docs/openai (read 2026-11-22).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Final, Literal

from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import ChatRequest, Image, Reasoning, Text, Tool, ToolCall, ToolResult, Turn

Flavour = Literal["groq", "openai", "local", "other"]

MAX_STOPS: Final = 4
"""Stop sequences a request may have (https://console.groq.com/docs/api-reference)."""

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_JSON_HINT: Final = "Answer with a JSON object."
_PICTURE: Final = "[a picture that this model was not shown]\n"


def chat_body(request: ChatRequest, model: ModelSpec, flavour: Flavour) -> dict[str, Any]:
    """Return the body of POST /chat/completions, streamed wherever *model* can stream this request.

    What the model does not accept is left out or said in another way: temperature beside reasoning, tools it cannot
    call, pictures it cannot see, an effort it does not have.
    """
    tools = [_tool(tool) for tool in request.tools if _has(model, tool)]
    body: dict[str, Any] = {
        "model": model.name_there,
        "messages": _messages(request, model, flavour),
        "stream": streams(request, model),
    }
    if request.max_output_tokens is not None:
        name = "max_tokens" if flavour in ("local", "other") else "max_completion_tokens"
        body[name] = min(request.max_output_tokens, model.max_output)
    if body["stream"]:
        body["stream_options"] = {"include_usage": True}
    effort = _effort(request, model)
    if effort is not None:
        body["reasoning_effort"] = effort
        if flavour == "groq" and "reasoning_format" not in model.refuses:
            body["reasoning_format"] = "parsed"
    if effort in (None, "none") or "temperature+effort" not in model.refuses:
        _put(body, temperature=request.temperature, top_p=request.top_p)
    _put(body, seed=request.seed, stop=list(request.stop[:MAX_STOPS]) or None)
    if tools:
        body["tools"] = tools
        _put(body, tool_choice=_tool_choice(request.tool_choice))
        if "parallel_tools" not in model.refuses:
            _put(body, parallel_tool_calls=request.parallel_tool_calls)
    _put(body, response_format=_response_format(request))
    return body


def streams(request: ChatRequest, model: ModelSpec) -> bool:
    """Whether *model* can stream the answer to *request*."""
    return not (request.output_format.kind == "json_schema" and "schema+stream" in model.refuses)


def _put(body: dict[str, Any], **values: Any) -> None:
    """Set what is not None: a null is refused by some models (https://github.com/langchain-ai/langchain/issues/32765)."""
    body.update({name: value for name, value in values.items() if value is not None})


def _effort(request: ChatRequest, model: ModelSpec) -> str | None:
    """The effort to ask for: the wished one, or the model's nearest; None where it takes no such parameter."""
    if not model.efforts:
        return None
    if request.tools and "tools+effort" in model.refuses:
        return "none"
    wanted = request.effort or model.default_effort
    if wanted is None or wanted in model.efforts:
        return wanted
    known = [effort for effort in model.efforts if effort in _EFFORTS]
    return min(known, key=lambda effort: abs(_EFFORTS.index(effort) - _EFFORTS.index(wanted)), default=None)


def _has(model: ModelSpec, tool: Tool) -> bool:
    return tool.name in model.builtin_tools if tool.builtin else Capability.TOOLS in model.capabilities


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.builtin:
        return {"type": tool.name}
    function: dict[str, Any] = {"name": tool.name, "parameters": dict(tool.parameters)}
    _put(function, description=tool.description or None, strict=tool.strict)
    return {"type": "function", "function": function}


def _tool_choice(choice: str | None) -> Any:
    if choice in (None, "auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(request: ChatRequest) -> dict[str, Any] | None:
    wanted = request.output_format
    match wanted.kind:
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            schema = dict(wanted.schema or {})
            strict = wanted.strict and _may_be_strict(schema)
            return {"type": "json_schema", "json_schema": {"name": wanted.name, "schema": schema, "strict": strict}}


def _may_be_strict(schema: Any) -> bool:
    """Constrained decoding wants every property required and no others; it answers 400 to anything looser.

    Source: https://console.groq.com/docs/structured-outputs ; OpenAI's rule is the same (read 2026-11-22).
    """
    if isinstance(schema, list):
        return all(_may_be_strict(entry) for entry in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required", ())) != set(schema.get("properties", {})):
            return False
    return all(_may_be_strict(value) for value in schema.values())


# --- messages --------------------------------------------------------------------------------------------------------


def _messages(request: ChatRequest, model: ModelSpec, flavour: Flavour) -> list[dict[str, Any]]:
    can_call = Capability.TOOLS in model.capabilities
    turns: Iterable[Turn] = request.turns if can_call else _told_in_words(request.turns)
    messages = [message for turn in turns for message in _of_turn(turn, model, flavour)]
    # Groq and OpenAI answer 400 unless some message contains the word (https://github.com/vercel/ai/issues/7303).
    if request.output_format.kind == "json_object" and not any(_says_json(turn) for turn in request.turns):
        messages.insert(0, {"role": "system", "content": _JSON_HINT})
    return _joined(messages) if flavour == "local" else messages


def _of_turn(turn: Turn, model: ModelSpec, flavour: Flavour) -> list[dict[str, Any]]:
    match turn.role:
        case "system":
            return [{"role": "system", "content": turn.text}]
        case "user":
            return [{"role": "user", "content": _user_content(turn, model)}]
        case "tool":
            return [
                {"role": "tool", "tool_call_id": part.call_id, "content": part.content}
                for part in turn.parts
                if isinstance(part, ToolResult)
            ]
        case "assistant":
            return _of_assistant(turn, model, flavour)


def _of_assistant(turn: Turn, model: ModelSpec, flavour: Flavour) -> list[dict[str, Any]]:
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {"role": "assistant"}
    if turn.text or not calls:
        message["content"] = turn.text
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in calls
        ]
        # A model's reasoning belongs to its own calls only; others answer 400 (https://github.com/vercel/ai/issues/8056).
        thoughts = "".join(part.text for part in turn.parts if isinstance(part, Reasoning) and part.model == model.id)
        if thoughts and flavour == "groq" and model.efforts:
            message["reasoning"] = thoughts
    return [message]


def _user_content(turn: Turn, model: ModelSpec) -> str | list[dict[str, Any]]:
    """A plain string wherever there is no picture: text models refuse a list (facts/groq.md 2, "history trap")."""
    sees = Capability.VISION in model.capabilities
    if not (sees and any(isinstance(part, Image) for part in turn.parts)):
        return "".join(_PICTURE if isinstance(part, Image) else part.text for part in _visible(turn))
    return [
        {"type": "text", "text": part.text}
        if isinstance(part, Text)
        else {"type": "image_url", "image_url": {"url": part.url or _data_url(part)}}
        for part in _visible(turn)
    ]


def _visible(turn: Turn) -> list[Text | Image]:
    return [part for part in turn.parts if isinstance(part, Text | Image)]


def _data_url(image: Image) -> str:
    return f"data:{image.mime};base64,{base64.b64encode(image.data).decode()}"


def _told_in_words(turns: Iterable[Turn]) -> Iterable[Turn]:
    """Tool rounds for a model that knows no tools: the calls go, what they brought is told as text."""
    for turn in turns:
        if turn.role == "tool":
            results = [part for part in turn.parts if isinstance(part, ToolResult)]
            yield Turn("user", tuple(Text(f"[{part.name}] {part.content}") for part in results))
        elif turn.text or turn.role != "assistant":
            yield turn


def _says_json(turn: Turn) -> bool:
    return "json" in turn.text.lower()


def _joined(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of one role as one message: many local chat templates insist on taking turns."""
    joined: list[dict[str, Any]] = []
    for message in messages:
        last = joined[-1] if joined else {}
        both = (last.get("content"), message.get("content"))
        plain = all(isinstance(content, str) for content in both) and message.keys() == {"role", "content"}
        if plain and last.get("role") == message["role"]:
            last["content"] = f"{both[0]}\n\n{both[1]}"
        else:
            joined.append(message)
    return joined
