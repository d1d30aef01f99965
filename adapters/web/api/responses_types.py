"""The body of POST /v1/responses as OpenAI's clients send it (openai 3.54, read 2026-11-30)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from adapters.web.api.types import Probability, Temperature, Tokens


class TextFormat(Struct):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextOptions(Struct):
    format: TextFormat | None = None


class ReasoningOptions(Struct):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: str | None = None


class ResponsesBody(Struct):
    model: Annotated[str, Meta(min_length=1, max_length=200)]
    input: str | Annotated[list[dict[str, Any]], Meta(max_length=4_000)] = ""
    instructions: str | None = None
    previous_response_id: Annotated[str, Meta(max_length=100)] | None = None
    store: bool | None = None
    stream: bool | None = None
    background: bool | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    max_output_tokens: Tokens | None = None
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None
    user: str | None = None
