"""What each API refuses in a chat request, as facts/groq.md 1, 2, 4 and 6 have it. Pure.

`refused(body, flavour)` returns the refusal, or None for a request that may run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.llm_api.refusals import bad_request, decommissioned, error, model_not_found
from tests.fakes.llm_api.scripts import Fail

Flavour = Literal["groq", "openai", "local"]


@dataclass(frozen=True, slots=True)
class FakeModel:
    """A model as its provider serves and lists it."""

    id: str
    context: int
    max_output: int
    sees: bool = False
    schema: bool = True
    efforts: tuple[str, ...] = ()
    reasoning_format: bool = False
    price: Mapping[str, str] = field(default_factory=dict)
    """USD per token, as strings: https://github.com/anomalyco/models.dev/pull/3761"""
    audio: bool = False
    speech: bool = False


GROQ_MODELS = (
    FakeModel(
        "openai/gpt-oss-20b",
        131_072,
        65_536,
        efforts=("low", "medium", "high"),
        price={"prompt": "0.000000075", "completion": "0.0000003", "input_cache_read": "0.0000000375"},
    ),
    FakeModel(
        "openai/gpt-oss-120b",
        131_072,
        65_536,
        efforts=("low", "medium", "high"),
        price={"prompt": "0.00000015", "completion": "0.0000006", "input_cache_read": "0.000000075"},
    ),
    FakeModel(
        "qwen/qwen3.8-27b",
        131_042,
        16_384,
        sees=True,
        schema=False,
        efforts=("none", "default", "low", "medium", "high"),
        reasoning_format=True,
        price={"prompt": "0.0000008", "completion": "0.000004", "input_cache_read": "0.0000004"},
    ),
    FakeModel("openai/gpt-oss-safeguard-20b", 131_072, 65_536, efforts=("low", "medium", "high")),
    FakeModel("allam-2-7b", 4_096, 4_096, schema=False),
    FakeModel("whisper-large-v3-turbo", 448, 448, audio=True),
    FakeModel("whisper-large-v3", 448, 448, audio=True),
    FakeModel("canopylabs/orpheus-v1-english", 4_000, 4_000, speech=True),
)
OPENAI_MODELS = (
    FakeModel("gpt-6-luna", 1_050_000, 128_000, sees=True, efforts=("none", "low", "medium", "high", "xhigh", "max")),
    FakeModel("gpt-transcribe", 16_000, 2_000, audio=True),
)
LOCAL_MODELS = (FakeModel("smollm2-135m-instruct", 8_192, 8_192),)

_NOT_FOUND = {"llama-3.1-8b-instant", "llama-3.3-70b-versatile", "qwen/qwen3.6-27b"}
_DECOMMISSIONED = {
    "meta-llama/llama-4-scout-17b-16e-instruct",
    "qwen/qwen3-32b",
    "groq/compound",
    "groq/compound-mini",
    "moonshotai/kimi-k2-instruct-0905",
}

_COMMON = {
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p"),
    *("stop", "seed", "n", "tools", "tool_choice", "parallel_tool_calls", "response_format", "user"),
    *("frequency_penalty", "presence_penalty", "reasoning_effort", "service_tier"),
}
_PARAMS = {
    "groq": _COMMON | {"reasoning_format", "include_reasoning", "disable_tool_validation", "search_settings"},
    "openai": _COMMON | {"logprobs", "top_logprobs", "logit_bias", "metadata", "store", "safety_identifier"},
    "local": _COMMON | {"logprobs", "cache_prompt", "top_k", "min_p"},
}
_MEGABYTE = 1_000_000


def refused(body: Any, flavour: Flavour, models: Mapping[str, FakeModel]) -> Fail | None:
    """Return what the API answers instead of running *body*; the first rule that it breaks decides."""
    if not isinstance(body, dict):
        return bad_request("Invalid request body: expected a JSON object")
    name = body.get("model")
    if not isinstance(name, str) or not name:
        return bad_request("property 'model' is missing", param="model")
    model = models.get(name)
    if flavour == "groq" and name in _DECOMMISSIONED:
        return decommissioned(name)
    if model is None or model.audio or model.speech:
        return model_not_found(name) if flavour != "local" else None
    unknown = sorted(set(body) - _PARAMS[flavour])
    if unknown:
        return bad_request(f"property '{unknown[0]}' is unsupported", param=unknown[0])
    for param, value in body.items():  # optional parameters sent as null (facts/groq.md 7.7)
        if value is None:
            return bad_request(f"'{param}' : value must not be null", param=param)
    return (
        _bad_messages(body, model, flavour)
        or _bad_numbers(body, model)
        or _bad_tools(body, model, flavour)
        or _bad_format(body, model, flavour)
        or _bad_reasoning(body, model, flavour)
        or _too_long(body, model, flavour)
    )


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Count the prompt as this fake's tokenizer does: four characters a token, 1,361 a picture (facts/groq.md 2)."""
    count = 0
    for message in body.get("messages", ()):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        for part in parts:
            count += 1_361 if part.get("type") == "image_url" else len(part.get("text", "")) // 4 + 4
        count += len(json.dumps(message.get("tool_calls", ""))) // 4
    return count + len(json.dumps(body.get("tools", ""))) // 4


def output_tokens(body: Mapping[str, Any], model: FakeModel) -> int:
    """The most the answer may be, which admission counts."""
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or min(1_024, model.max_output))


def _bad_messages(body: Mapping[str, Any], model: FakeModel, flavour: Flavour) -> Fail | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return bad_request("'messages' : minimum number of items is 1", param="messages")
    open_calls: set[str] = set()
    images = 0
    base64_bytes = 0
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = message.get("role")
        if role not in ("system", "user", "assistant", "tool", "developer"):
            return bad_request(f"'{where}.role' : value is not one of the allowed values", param="messages")
        if flavour == "groq" and "name" in message:
            return bad_request(f"'{where}.name' is unsupported", param="messages")
        if flavour == "groq" and "reasoning" in message and not model.efforts:
            return bad_request(f"'{where}.reasoning' : reasoning is not supported with this model", param="messages")
        if flavour != "groq" and "reasoning" in message:
            return bad_request(f"Unknown parameter: '{where}.reasoning'.", param="messages")
        content = message.get("content")
        if content is None and not (role == "assistant" and message.get("tool_calls")):
            return bad_request(f"'{where}.content' is required", param="messages")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "image_url":
                url = part["image_url"]["url"]
                images += 1
                base64_bytes += len(url) if url.startswith("data:") else 0
        if isinstance(content, list) and not model.sees:
            if flavour == "local":
                return Fail(500, error("image input is not supported - hint: provide the mmproj", "server_error"))
            return bad_request(f"{where}.content must be a string", param="messages")  # facts/groq.md 2
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return bad_request(f"'{where}' : tool_call_id does not answer a call", param="messages")
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return bad_request("tool calls must be followed by their results", param="messages")
        open_calls |= {call["id"] for call in message.get("tool_calls", ())}
    if flavour == "groq" and images > 3:
        return bad_request("Too many images provided. This model supports up to 3 images")
    if flavour == "groq" and base64_bytes > 4 * _MEGABYTE:
        return Fail(413, error("Request Entity Too Large", "invalid_request_error", "request_too_large"))
    return None


def _bad_numbers(body: Mapping[str, Any], model: FakeModel) -> Fail | None:
    for param in ("max_completion_tokens", "max_tokens"):
        if param in body and not 0 < body[param] <= model.max_output:
            return bad_request(f"`{param}` must be less than or equal to `{model.max_output}`", param=param)
    if not 0 <= body.get("temperature", 1) <= 2:
        return bad_request("'temperature' : must be between 0 and 2", param="temperature")
    if body.get("n", 1) != 1:
        return bad_request("'n' : number must be at most 1", param="n")
    stop = body.get("stop", ())
    if isinstance(stop, list) and len(stop) > 4:
        return bad_request("'stop' : maximum number of items is 4", param="stop")
    if "stream_options" in body and not body.get("stream"):
        return bad_request("'stream_options' : only allowed when stream is true", param="stream_options")
    return None


def _bad_tools(body: Mapping[str, Any], model: FakeModel, flavour: Flavour) -> Fail | None:
    tools = body.get("tools")
    if tools is None:
        return None if "tool_choice" not in body else bad_request("tool_choice without tools", param="tool_choice")
    if flavour == "local":  # the small model makes no calls (facts/local.md)
        return Fail(500, error("tools param requires --jinja flag", "server_error"))
    if len(tools) > 128:
        return bad_request("'tools' : maximum number of items is 128", param="tools")
    builtin = {"browser_search", "code_interpreter"} if flavour == "groq" and "gpt-oss" in model.id else set()
    for tool in tools:
        if tool.get("type") not in {"function"} | builtin:
            return bad_request(f"'tools' : unknown type {tool.get('type')}", param="tools")
        if tool["type"] == "function" and not tool["function"]["name"].replace("_", "").replace("-", "").isalnum():
            return bad_request("'tools.function.name' : invalid characters", param="tools")
    if flavour == "openai" and body.get("reasoning_effort", "medium") != "none":
        message = f"Function tools with reasoning_effort are not supported for {model.id} in /v1/chat/completions."
        return bad_request(message, param="reasoning_effort")
    return None


def _bad_format(body: Mapping[str, Any], model: FakeModel, flavour: Flavour) -> Fail | None:
    kind = body.get("response_format", {}).get("type", "text")
    if kind == "json_object" and flavour != "local":
        said = json.dumps(body["messages"]).lower().replace('"type": "json', "")
        if "json" not in said:  # https://github.com/vercel/ai/issues/7303
            return bad_request("'messages' must contain the word 'json' in some form, to use 'response_format'")
    if kind != "json_schema":
        return None
    if not model.schema:  # https://github.com/plune-ai/cairn/pull/36
        return bad_request("This model does not support response format `json_schema`.", param="response_format")
    if flavour == "groq" and body.get("stream"):
        return bad_request("json_schema response format is not supported with streaming", param="response_format")
    if flavour == "groq" and body.get("tools"):
        return bad_request("json_schema response format is not supported with tools", param="response_format")
    asked = body["response_format"]["json_schema"]
    if not asked.get("name"):
        return bad_request("'response_format.json_schema.name' is required", param="response_format")
    if flavour != "local" and asked.get("strict") and not _strict_enough(asked.get("schema", {})):
        message = "invalid JSON schema: every property must be required and additionalProperties must be false"
        return bad_request(message, param="response_format")
    return None


def _strict_enough(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(map(_strict_enough, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object":
        names = set(schema.get("properties", {}))
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != names:
            return False
    return all(map(_strict_enough, schema.values()))


def _bad_reasoning(body: Mapping[str, Any], model: FakeModel, flavour: Flavour) -> Fail | None:
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in model.efforts:
        # "none" for gpt-oss: https://github.com/DataTalksClub/llm-zoomcamp/issues/183
        return bad_request("`reasoning_effort` is not one of the allowed values", param="reasoning_effort")
    style = body.get("reasoning_format")
    if style is not None and not model.reasoning_format:
        return bad_request("reasoning_format is not supported with this model", param="reasoning_format")
    if style is not None and "include_reasoning" in body:
        return bad_request("reasoning_format and include_reasoning are mutually exclusive", param="reasoning_format")
    if style == "raw" and (body.get("tools") or body.get("response_format", {}).get("type", "text") != "text"):
        return bad_request("reasoning_format raw cannot be used with tools or JSON mode", param="reasoning_format")
    if flavour == "openai":
        if "max_tokens" in body:
            return bad_request("Use 'max_completion_tokens' instead of 'max_tokens'.", param="max_tokens")
        if (effort or "medium") != "none" and ("temperature" in body or "top_p" in body):
            return bad_request("'temperature' is only supported with reasoning_effort none.", param="temperature")
    return None


def _too_long(body: Mapping[str, Any], model: FakeModel, flavour: Flavour) -> Fail | None:
    prompt = prompt_tokens(body)
    if prompt < model.context:
        return None
    if flavour == "local":
        message = f"request ({prompt} tokens) exceeds the available context size ({model.context} tokens)"
        inner = {"code": 400, "message": message, "type": "exceed_context_size_error"}
        return Fail(400, {"error": {**inner, "n_prompt_tokens": prompt, "n_ctx": model.context}})
    message = "Please reduce the length of the messages or completion."
    return bad_request(message, code="context_length_exceeded", param="messages")
