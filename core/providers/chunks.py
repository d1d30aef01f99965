"""One chunk of a streamed answer, from JSON to values: fast for what everybody sends, lenient for what some do. Pure.

What nobody needs counts as absent where it is not understood. Strict are the text, the names and arguments of calls,
and their carriers: what is lost there would be lost for the reader.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from core.base.foreign import Malformed, count, json_value, whole_text


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct, gc=False):
    """As it was sent: any number may be a lie."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None  # llama.cpp's name for it
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None
    executed_tools: Any = None


class Choice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    message: Delta | None = None
    """The whole answer in one chunk, from servers that do not stream this request."""
    finish_reason: str | None = None


class XGroq(msgspec.Struct, gc=False):
    usage: WireUsage | None = None
    error: Any = None
    id: str | None = None


class Chunk(msgspec.Struct, gc=False):
    """Only what is needed: what is not named here is skipped without becoming an object."""

    choices: list[Choice] | None = None
    usage: WireUsage | None = None
    x_groq: XGroq | None = None
    error: Any = None
    message: Any = None
    detail: Any = None
    code: Any = None
    status: Any = None

    @property
    def complaint(self) -> Any:
        """The error that this chunk is instead of a piece of the answer, None where it is none."""
        if not _blank(self.error):
            return self.error
        if self.choices is not None or self.usage is not None:
            return None
        # Older vLLM, FastAPI and cloud gateways put the error's fields where a chunk has its own.
        said = self.message or self.detail
        return None if _blank(said) else {"message": said, "code": self.code or self.status}


DECODER: Final = msgspec.json.Decoder(Chunk)


def careful_chunk(payload: bytes) -> Chunk | None:
    """Read what the fast decoder refused; None where it says nothing. Raises Malformed."""
    bracket = payload.lstrip()[:1]
    if bracket not in (b"{", b"["):
        return None  # a keep-alive, a number, a word
    return chunk_of(json_value(payload, halves=True))


def chunk_of(value: Any) -> Chunk | None:
    """Read a decoded chunk, or whole answer. Raises Malformed."""
    if isinstance(value, list):  # Gemini wraps its errors so
        value = next((one for one in value if isinstance(one, dict)), None)
    if not isinstance(value, dict):
        return None
    choices = _list(value.get("choices"), "choices")
    return Chunk(
        choices=None if choices is None else [_choice(one) for one in choices if one is not None],
        usage=_usage(value.get("usage")),
        x_groq=_x_groq(value.get("x_groq")),
        error=value.get("error"),
        message=value.get("message"),
        detail=value.get("detail"),
        code=value.get("code"),
        status=value.get("status"),
    )


def _choice(value: Any) -> Choice:
    if not isinstance(value, dict):
        raise Malformed("a choice that is no object")
    finish = value.get("finish_reason")
    return Choice(
        delta=_delta(value.get("delta")),
        message=_delta(value.get("message")),
        finish_reason=finish if isinstance(finish, str) else None,
    )


def _delta(value: Any) -> Delta | None:
    if not value:
        return None
    if not isinstance(value, dict):
        raise Malformed("a delta that is no object")
    text, thought = _content(value.get("content"))
    calls = value.get("tool_calls")
    pieces = _list([calls] if isinstance(calls, dict) and calls else calls, "tool_calls")
    return Delta(
        content=text,
        reasoning=thought or _thought(value.get("reasoning")) or _thought(value.get("reasoning_content")),
        refusal=_text(value.get("refusal")),
        tool_calls=None if pieces is None else [_call(one) for one in pieces if one is not None],
        executed_tools=value.get("executed_tools"),
    )


def _content(value: Any) -> tuple[str, str]:
    """(text, thought): a string, or parts as Mistral sends them (facts/models-2.md 5.5)."""
    if value is None or isinstance(value, str):
        return value or "", ""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise Malformed("content that is no text")
    texts: list[str] = []
    thoughts: list[str] = []
    for part in value:
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict):
            raise Malformed("a part of the content that is no text")
        elif part.get("type") in ("thinking", "reasoning"):
            thoughts.append(_thought(part.get("thinking") or part.get("reasoning") or part.get("text")))
        elif part.get("type") in ("text", "output_text", "refusal", None):
            said = part.get("text", part.get("refusal"))
            if said is not None and not isinstance(said, str):
                raise Malformed("a part of the content that is no text")
            texts.append(said or "")
    return "".join(texts), "".join(thoughts)


def _thought(value: Any) -> str:
    """Never shown, so whatever is readable is enough."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, dict):
        return _text(value.get("text")) or _text(value.get("content")) or ""
    if isinstance(value, list):
        return "".join(_thought(one) for one in value)
    return ""


def _call(value: Any) -> CallPiece:
    if not isinstance(value, dict):
        raise Malformed("a call that is no object")
    function = value.get("function")
    if function is not None and not isinstance(function, dict):
        raise Malformed("a call whose function is no object")
    function = function or {}
    name, arguments = function.get("name"), function.get("arguments")
    if isinstance(arguments, dict):  # a value where its JSON text belongs, as Ollama's own API has it
        arguments = msgspec.json.encode(arguments).decode()
    if not isinstance(name, str | None) or not isinstance(arguments, str | None):
        raise Malformed("a call whose name or arguments are no text")
    called = value.get("id")
    return CallPiece(
        index=count(value.get("index")),
        id=str(called) if isinstance(called, int) and not isinstance(called, bool) else _text(called),
        function=Function(name, arguments),
    )


def _usage(value: Any) -> WireUsage | None:
    if not isinstance(value, dict):
        return None
    return WireUsage(
        prompt_tokens=count(value.get("prompt_tokens")),
        completion_tokens=count(value.get("completion_tokens")),
        prompt_tokens_details=_details(value.get("prompt_tokens_details")),
        completion_tokens_details=_details(value.get("completion_tokens_details")),
    )


def _details(value: Any) -> _Details | None:
    if not isinstance(value, dict):
        return None
    return _Details(count(value.get("cached_tokens")), count(value.get("reasoning_tokens")))


def _x_groq(value: Any) -> XGroq | None:
    if not isinstance(value, dict):
        return None
    return XGroq(_usage(value.get("usage")), value.get("error"), _text(value.get("id")))


def _list(value: Any, name: str) -> list[Any] | None:
    """None where there is nothing; a value that is no list carried something that nobody can read."""
    if not value:
        return [] if isinstance(value, list) else None
    if not isinstance(value, list):
        raise Malformed(f"{name} that is no list")
    return value


def _text(value: Any) -> str | None:
    return whole_text(value) if isinstance(value, str) else None


def _blank(value: Any) -> bool:
    """Absence written as a value."""
    if isinstance(value, str):
        return value.strip().casefold() in ("", "null", "none")
    if isinstance(value, dict):
        return all(_blank(one) for one in value.values())
    return not value
