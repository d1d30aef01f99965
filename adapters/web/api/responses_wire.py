"""Replies and events -> Responses objects and their stream. Pure."""

from __future__ import annotations

from typing import Any

from adapters.web.api.responses_types import ResponsesBody
from adapters.web.api.wire import about, encode
from adapters.web.errors import ApiError
from core.base.text import well_formed
from core.domain.events import ToolCallDelta
from core.domain.requests import Reply, ToolCall, Usage


def response_json(
    body: ResponsesBody, *, response_id: str, created: int, model: str, reply: Reply | None = None
) -> dict[str, Any]:
    """A response: finished with *reply*, in progress without."""
    status, details = _status(reply)
    wanted = body.text.format if body.text and body.text.format else None
    shape: dict[str, Any] = {"type": "text"}
    if wanted and wanted.type != "text":
        shape = {"type": wanted.type}
        if wanted.type == "json_schema":
            shape |= {"name": wanted.name, "schema": wanted.schema, "strict": bool(wanted.strict)}
    made: dict[str, Any] = {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": details,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "model": model,
        "output": output_json(reply, response_id) if reply else [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": body.store is not False,
        "temperature": body.temperature,
        "text": {"format": shape},
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools or [],
        "top_p": body.top_p,
        "truncation": body.truncation or "disabled",
        "usage": _usage(reply.usage) if reply else None,
        "metadata": body.metadata or {},
    }
    return made | ({"completed_at": created, "x_tern": about(reply)} if reply else {})


def output_json(reply: Reply, response_id: str) -> list[dict[str, Any]]:
    """What was thought, said and called, in this order."""
    stem = response_id.removeprefix("resp_")
    items: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": well_formed(reply.reasoning)}]
        items.append({"id": f"rs_{stem}", "type": "reasoning", "summary": summary})
    if reply.text or not reply.tool_calls:
        items.append(_message(f"msg_{stem}", _text_part(reply.text), _item_status(reply)))
    items += [_call(f"fc_{stem}_{number}", call) for number, call in enumerate(reply.tool_calls)]
    return items


class ResponseWriter:
    """Encodes the events of one streamed response; each has a number, from 0."""

    def __init__(self, body: ResponsesBody, *, response_id: str, created: int) -> None:
        self._body = body
        self._response_id = response_id
        self._stem = response_id.removeprefix("resp_")
        self._created = created
        self._model = body.model
        self._number = 0
        self._opened = False
        self._texts: list[str] = []
        self._message_at: int | None = None
        """The message's place in the output, once it has begun."""
        self._calls: dict[int, tuple[int, ToolCall]] = {}
        """A call's index -> (its place in the output, the call so far)."""

    def name_model(self, model: str) -> None:
        self._model = model

    def text(self, text: str) -> bytes:
        text = well_formed(text)
        events = self._open()
        if self._message_at is None:
            self._message_at = len(self._calls)
            item = _message(f"msg_{self._stem}", None, "in_progress")
            events += self._event("response.output_item.added", output_index=self._message_at, item=item)
            events += self._in_message("response.content_part.added", part=_text_part(""))
        self._texts.append(text)
        return events + self._in_message("response.output_text.delta", delta=text, logprobs=[])

    def tool_call(self, delta: ToolCallDelta) -> bytes:
        events = self._open()
        known = self._calls.get(delta.index)
        if known is None:
            place = len(self._calls) + (self._message_at is not None)
            known = (place, ToolCall(delta.id, delta.name, ""))
            item = _call(self._call_id(delta.index), known[1], "in_progress")
            events += self._event("response.output_item.added", output_index=place, item=item)
        place, call = known
        arguments = well_formed(delta.arguments)
        self._calls[delta.index] = (place, ToolCall(call.id, call.name, call.arguments + arguments))
        return events + self._event(
            "response.function_call_arguments.delta",
            item_id=self._call_id(delta.index),
            output_index=place,
            delta=arguments,
        )

    def finish(self, reply: Reply) -> bytes:
        """Ends what has begun, and then the whole."""
        events = self._open()
        if self._message_at is None and not self._calls:
            events += self.text("")
        if self._message_at is not None:
            text = "".join(self._texts)
            events += self._in_message("response.output_text.done", text=text, logprobs=[])
            events += self._in_message("response.content_part.done", part=_text_part(text))
            item = _message(f"msg_{self._stem}", _text_part(text), _item_status(reply))
            events += self._event("response.output_item.done", output_index=self._message_at, item=item)
        for index, (place, call) in self._calls.items():
            item_id = self._call_id(index)
            arguments = {"item_id": item_id, "output_index": place, "name": call.name, "arguments": call.arguments}
            events += self._event("response.function_call_arguments.done", **arguments)
            events += self._event("response.output_item.done", output_index=place, item=_call(item_id, call))
        response = self._response(reply)
        return events + self._event(f"response.{response['status']}", response=response)

    def failure(self, error: ApiError) -> bytes:
        """The stream's end by an error: its fields as documented, and `error`, for which openai's client raises."""
        return self._event("error", code=error.code, message=error.message, param=error.param, **error.body)

    def _open(self) -> bytes:
        if self._opened:
            return b""
        self._opened = True
        events = self._event("response.created", response=self._response())
        return events + self._event("response.in_progress", response=self._response())

    def _response(self, reply: Reply | None = None) -> dict[str, Any]:
        return response_json(
            self._body, response_id=self._response_id, created=self._created, model=self._model, reply=reply
        )

    def _in_message(self, kind: str, **fields: Any) -> bytes:
        at = {"item_id": f"msg_{self._stem}", "output_index": self._message_at, "content_index": 0}
        return self._event(kind, **at, **fields)

    def _call_id(self, index: int) -> str:
        return f"fc_{self._stem}_{index}"

    def _event(self, kind: str, **fields: Any) -> bytes:
        payload = encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + payload + b"\n\n"


def _status(reply: Reply | None) -> tuple[str, dict[str, str] | None]:
    if reply is None:
        return "in_progress", None
    match reply.finish:
        case "length":
            return "incomplete", {"reason": "max_output_tokens"}
        case "content_filter":
            return "incomplete", {"reason": "content_filter"}
        case _:
            return "completed", None


def _item_status(reply: Reply) -> str:
    return _status(reply)[0]


def _message(item_id: str, part: dict[str, Any] | None, status: str) -> dict[str, Any]:
    content = [part] if part else []
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": well_formed(text), "annotations": [], "logprobs": []}


def _call(item_id: str, call: ToolCall, status: str = "completed") -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call.id,
        "name": call.name,
        "arguments": well_formed(call.arguments),
        "status": status,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }
