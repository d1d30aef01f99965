"""A Responses body -> the body of a chat completion, which means the same. Pure; refusals are BadRequest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from adapters.web.api.parse import refused
from adapters.web.api.responses_types import ResponsesBody
from adapters.web.api.types import ChatBody
from core.domain.errors import BadRequest

_DECODER = msgspec.json.Decoder(ResponsesBody)

Message = dict[str, Any]
"""A chat message as it stands in JSON."""

_TEXTS = ("input_text", "output_text", "text", "summary_text")
_PASSED_OVER = frozenset({"reasoning", "web_search_call", "code_interpreter_call"})
"""Output items that a caller hands back with the history: what a model thought or a provider ran is not told again."""
_WEB_SEARCH = "web_search"


def parse_responses(body: bytes) -> ResponsesBody:
    """Decode *body*. Raises BadRequest with the field's path where there is one."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(error) from error


def own_messages(body: ResponsesBody) -> list[Message]:
    """What *body* brings itself: neither its instructions nor what came before it."""
    if isinstance(body.input, str):
        return [{"role": "user", "content": body.input}] if body.input else []
    return list(_messages(body.input))


def chat_body(body: ResponsesBody, past: Sequence[Message], own: Sequence[Message]) -> ChatBody:
    """*past*: the messages of the responses before. Raises BadRequest."""
    if body.background:
        raise BadRequest("Responses are not made in the background here.", param="background")
    system = [{"role": "system", "content": body.instructions}] if body.instructions else []
    messages = [*system, *past, *own]
    if not any(message["role"] != "system" for message in messages):
        raise BadRequest("`input` is missing.", param="input")
    wanted = {
        "model": body.model,
        "messages": messages,
        "stream": body.stream,
        "tools": [_tool(tool, f"tools[{number}]") for number, tool in enumerate(body.tools or ())] or None,
        "tool_choice": _tool_choice(body.tool_choice),
        "parallel_tool_calls": body.parallel_tool_calls,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_completion_tokens": body.max_output_tokens,
        "reasoning_effort": body.reasoning.effort if body.reasoning else None,
        "response_format": _format(body),
        "truncation": body.truncation or "disabled",
    }
    try:
        return msgspec.convert(wanted, ChatBody)
    except msgspec.ValidationError as error:
        raise refused(error, renamed={"messages": "input"}) from error


def said(output: Iterable[Mapping[str, Any]]) -> list[Message]:
    """The messages that a response's output stands for, for the response after it."""
    return list(_messages([dict(item) for item in output]))


def _messages(items: Sequence[dict[str, Any]]) -> Iterator[Message]:
    calls: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        where = f"input[{number}]"
        kind = item.get("type", "message")
        if kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments", "")}
            calls.append({"id": item.get("call_id"), "type": "function", "function": function})
            continue
        if calls and kind not in _PASSED_OVER:
            yield {"role": "assistant", "content": None, "tool_calls": calls}
            calls = []
        match kind:
            case "message":
                yield _message(item, where)
            case "function_call_output":
                output = item.get("output", "")
                content = output if isinstance(output, str) else _content(output, f"{where}.output")
                yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
            case str() if kind in _PASSED_OVER:
                pass
            case "item_reference":
                raise BadRequest("Items are not kept by themselves; use previous_response_id.", param=where)
            case _:
                raise BadRequest(f"Input of the type {str(kind)[:40]!r} is not taken.", param=f"{where}.type")
    if calls:
        yield {"role": "assistant", "content": None, "tool_calls": calls}


def _message(item: dict[str, Any], where: str) -> Message:
    content = item.get("content")
    if not isinstance(content, str):
        content = _content(content, f"{where}.content")
    return {"role": item.get("role"), "content": content}


def _content(parts: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(parts, list):
        raise BadRequest("Content is a text or a list of parts.", param=where)
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(parts)]


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case str() if kind in _TEXTS:
            return {"type": "text", "text": part.get("text")}
        case "refusal":
            return {"type": "refusal", "refusal": part.get("refusal")}
        case "input_image":
            if not part.get("image_url"):
                raise BadRequest("An image is given by its image_url.", param=where)
            return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part.get("detail")}}
        case "input_file":
            return {"type": "file", "file": {name: part.get(name) for name in ("file_data", "filename", "file_id")}}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
        case _:
            raise BadRequest(f"A part of the type {str(kind)[:40]!r} is not taken.", param=f"{where}.type")


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    kind = str(tool.get("type", ""))
    if kind == "function":
        function = {name: tool.get(name) for name in ("name", "description", "parameters", "strict")}
        return {"type": "function", "function": function}
    if kind.startswith(_WEB_SEARCH):  # "web_search", "web_search_preview", "web_search_2025_08_26"
        return {"type": "browser_search"}
    if kind == "code_interpreter":
        return {"type": "code_interpreter"}
    raise BadRequest(f"A tool of the type {kind[:40]!r} is not there.", param=f"{where}.type")


def _tool_choice(choice: str | dict[str, Any] | None) -> Any:
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return "auto"  # a provider's own tool cannot be forced


def _format(body: ResponsesBody) -> dict[str, Any] | None:
    wanted = body.text.format if body.text else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}
