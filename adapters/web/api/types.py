"""The body of POST /v1/chat/completions as OpenAI's clients send it (openai 3.54, groq 1.7; read 2026-11-22).

msgspec checks the types and names the offending field by its path; what the fields mean is parse.py's business.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Role = Literal["system", "developer", "user", "assistant", "tool"]
Probability = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]


class TextPart(Struct, tag_field="type", tag="text"):
    text: str


class RefusalPart(Struct, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(Struct):
    url: str
    detail: str | None = None


class ImagePart(Struct, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class Sound(Struct):
    data: str
    format: Annotated[str, Meta(max_length=32)] = ""


class AudioPart(Struct, tag_field="type", tag="input_audio"):
    input_audio: Sound


class FileData(Struct):
    file_data: str | None = None
    filename: Annotated[str, Meta(max_length=255)] | None = None
    file_id: str | None = None


class FilePart(Struct, tag_field="type", tag="file"):
    file: FileData


class FunctionCall(Struct):
    name: str
    arguments: str = ""


class Call(Struct):
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Message(Struct):
    role: Role
    content: str | list[TextPart | ImagePart | RefusalPart | AudioPart | FilePart] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class Function(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolEntry(Struct):
    """A function, or a tool that the provider runs itself: {"type": "browser_search"}."""

    type: Annotated[str, Meta(max_length=64)] = "function"
    function: Function | None = None


class ChosenFunction(Struct):
    name: str


class ChosenTool(Struct):
    function: ChosenFunction
    type: Literal["function"] = "function"


class JsonSchema(Struct):
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


class ChatBody(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[list[Message], Meta(min_length=1, max_length=4_000)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[ToolEntry], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "default"] | None = None
    n: Annotated[int, Meta(ge=1, le=8)] | None = None
    logprobs: bool | None = None
    logit_bias: dict[str, float] | None = None
    functions: list[dict[str, Any]] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    """Ours: whether a prompt that is too long for every model may be cut; "disabled" where it is absent."""
    modalities: list[str] | None = None
