"""Replies and events -> the JSON that OpenAI's clients read. Pure, and cheap: one encode per chunk.

Every chunk of one answer differs in its delta only, so the head is encoded once and the deltas are joined to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.web.errors import ApiError
from core.base.text import well_formed
from core.domain.events import ToolCallDelta
from core.domain.model_spec import ModelSpec
from core.domain.requests import Citation, Finish, Reply, ToolCall, Usage

encode = msgspec.json.encode

DONE = b"data: [DONE]\n\n"


class ChunkWriter:
    """Encodes the chunks of one streamed answer."""

    def __init__(self, request_id: str, *, created: int, model: str, include_usage: bool) -> None:
        self._request_id = request_id
        self._created = created
        self._include_usage = include_usage
        self._opened = False
        self._model = ""
        self._head = b""
        self.name_model(model)

    def name_model(self, model: str) -> None:
        """Say from now on that *model* writes."""
        if model == self._model:
            return
        self._model = model
        head = {
            "id": f"chatcmpl-{self._request_id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + encode(head)[:-1]

    def text(self, text: str) -> bytes:
        try:
            content = encode(text)
        except UnicodeEncodeError:
            content = encode(well_formed(text))
        return self._chunk(b'"content":' + content)

    def tool_call(self, delta: ToolCallDelta) -> bytes:
        call: dict[str, Any] = {"index": delta.index}
        if delta.id:
            call |= {"id": delta.id, "type": "function"}
        call["function"] = {**({"name": delta.name} if delta.name else {}), "arguments": delta.arguments}
        return self._chunk(b'"tool_calls":' + encode([call]))

    def finish(self, reply: Reply) -> bytes:
        """The last chunks and the end mark. Usage stands where openai's client looks, and where groq's does."""
        usage = usage_json(reply.usage)
        last = self._chunk(
            b"",
            finish=finish_reason(reply),
            extra={"x_groq": {"id": self._request_id, "usage": usage}, "x_tern": about(reply)},
        )
        if not self._include_usage:
            return last + DONE
        return last + self._head + b',"choices":[],"usage":' + encode(usage) + b"}\n\n" + DONE

    def failure(self, error: ApiError) -> bytes:
        """Both clients raise it from their loop."""
        return b"data: " + encode(error.body) + b"\n\n"

    def _chunk(self, delta: bytes, *, finish: str | None = None, extra: dict[str, Any] | None = None) -> bytes:
        if not self._opened:
            self._opened = True
            delta = b'"role":"assistant",' + (delta or b'"content":""')
        choice = b',"choices":[{"index":0,"delta":{' + delta + b'},"logprobs":null,"finish_reason":'
        usage = b'}],"usage":null' if self._include_usage else b"}]"
        tail = b"," + encode(extra)[1:] if extra else b"}"
        return b"".join((self._head, choice, encode(finish), usage, tail, b"\n\n"))


def completion(reply: Reply, *, request_id: str, created: int) -> dict[str, Any]:
    """A whole answer, unstreamed."""
    message: dict[str, Any] = {"role": "assistant", "content": well_formed(reply.text), "refusal": None}
    if reply.tool_calls:
        message["content"] = well_formed(reply.text) or None
        message["tool_calls"] = [tool_call_json(call) for call in reply.tool_calls]
    if reply.citations:
        message["annotations"] = [_annotation(one, at) for one in reply.citations for at in one.at]
    return {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": created,
        "model": reply.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(reply)}],
        "usage": usage_json(reply.usage),
        "system_fingerprint": None,
        "x_tern": about(reply),
    }


def _annotation(one: Citation, at: tuple[int, int]) -> dict[str, Any]:
    cited = {"url": one.url, "title": one.title, "start_index": at[0], "end_index": at[1]}
    return {"type": "url_citation", "url_citation": cited}


def joined(made: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several whole answers as one completion with as many choices; what they used is added up."""
    first = made[0]
    if len(made) == 1:
        return first
    choices = [{**one["choices"][0], "index": index} for index, one in enumerate(made)]
    usage = {
        name: sum(one["usage"][name] for one in made) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    return {**first, "choices": choices, "usage": {**first["usage"], **usage}}


def finish_reason(reply: Reply) -> str:
    finish: Finish = reply.finish
    return "stop" if finish == "stopped" else finish


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def about(reply: Reply) -> dict[str, Any]:
    """What OpenAI's form has no place for: who answered, what it cost, whether it was remembered."""
    return {
        "provider": reply.provider,
        "cost_usd": reply.usage.cost_usd,
        "estimated": reply.usage.estimated,
        "from_cache": reply.from_cache,
        "attempts": len(reply.attempts),
    }


def tool_call_json(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": well_formed(call.arguments)},
    }


def models_json(models: Sequence[ModelSpec]) -> dict[str, Any]:
    """What a caller may ask for, the three that are no model in front."""
    tiers = [
        {"id": requested_model, "object": "model", "created": 0, "owned_by": "tern"}
        for requested_model in ("auto", "speed", "quality")
    ]
    return {"object": "list", "data": [*tiers, *(model_json(model) for model in models)]}


def model_json(model: ModelSpec) -> dict[str, Any]:
    """One model; the fields beyond OpenAI's are named as Groq names them (facts/groq.md 1b)."""
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": model.provider,
        "active": model.enabled and model.status not in ("retired", "dead"),
        "context_window": model.context_window,
        "max_completion_tokens": model.max_output,
        "capabilities": sorted(model.capabilities),
        "shutdown_date": model.shutdown_at or None,
    }
