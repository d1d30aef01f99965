"""Streams as servers send them, one a line: what comes over the wire, the text a reader sees, how it ends.

Of our own making, after what facts/groq.md 4, facts/local.md and facts/models-2.md 5 say about each server and what
people reported of others. To add one: a line with a name, the stream, the text, and the finish or the error's class.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from core.domain.errors import (
    CallMalformed,
    ContextTooLong,
    KeyRejected,
    LimitReached,
    ModelBlocked,
    Overloaded,
    ProviderError,
    RequestRejected,
    SpendLimitReached,
    StreamBroken,
    TooLargeForLimit,
)

Ends = str | type[ProviderError]


@dataclass(frozen=True)
class Stream:
    name: str
    raw: bytes
    text: str
    ends: Ends
    """The reply's finish, or the class of the error."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """(name, arguments) of each."""
    more: dict[str, Any] = field(default_factory=dict)
    """Other fields of the reply or the error."""


def s(name: str, raw: bytes, text: str, ends: Ends, *calls: tuple[str, str], **more: Any) -> Stream:
    return Stream(name, raw, text, ends, list(calls), more)


# --- pieces ----------------------------------------------------------------------------------------------------------

DONE = b"data: [DONE]\n\n"


def d(value: Any, end: str = "\n\n") -> bytes:
    """One event."""
    return f"data: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}{end}".encode()


def c(delta: Any = None, finish: Any = None, **more: Any) -> bytes:
    """A chunk as the documentation has it."""
    return d({"id": "c", "object": "chat.completion.chunk", "choices": [choice(delta, finish)], **more})


def choice(delta: Any, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish, **more}


def t(text: Any, finish: Any = None, **more: Any) -> bytes:
    """A chunk with text."""
    return c({"content": text}, finish, **more)


def call(index: Any = 0, called: Any = None, name: Any = None, arguments: Any = None) -> dict[str, Any]:
    """A piece of a call; None leaves a field out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    piece = {key: value for key, value in (("index", index), ("id", called)) if value is not None}
    return {**piece, "type": "function", "function": function}


def k(*pieces: Any, finish: Any = None) -> bytes:
    """A chunk with pieces of calls."""
    return c({"tool_calls": list(pieces)}, finish)


ROLE = c({"role": "assistant", "content": ""})
STOP = c(finish="stop")
END = STOP + DONE
HI = t("Hel") + t("lo.")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
RATE = "Rate limit reached for model m. Please try again in 20s."
LONG = "This model's maximum context length is 4096 tokens. However, your messages resulted in 5120 tokens."
WHOLE = {"object": "chat.completion", "choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}
EMOJI = json.dumps({"choices": [choice({"content": "😀"})]})

STREAMS: list[Stream] = [
    # --- as documented
    s("openai", ROLE + HI + STOP + d({"choices": [], "usage": USAGE}) + DONE, "Hello.", "stop"),
    s("groq", c({"role": "assistant"}, x_groq={"id": "r"}) + HI + c(finish="stop", x_groq={"usage": USAGE}) + DONE,
      "Hello.", "stop", provider_request_id="r"),
    s("llama.cpp: usage beside the last choice", HI + c(finish="stop", usage=USAGE, timings={"n": 1}) + DONE,
      "Hello.", "stop"),
    s("vllm: usage in every chunk", t("Hello.", usage=USAGE) + c(finish="stop", usage=USAGE) + DONE, "Hello.", "stop"),
    s("ollama: everything in one chunk", t("Hello.", "stop") + DONE, "Hello.", "stop"),
    s("openrouter: comments and cost", b": OPENROUTER PROCESSING\n\n" + HI + STOP
      + d({"choices": [], "usage": {**USAGE, "cost": 0.01}}) + DONE, "Hello.", "stop"),
    s("azure: filter results first", d({"choices": [], "prompt_filter_results": [{}]}) + HI + END, "Hello.", "stop"),
    s("azure: null deltas", d({"choices": [{"index": 0, "delta": None, "content_filter_results": {}}]}) + HI + END,
      "Hello.", "stop"),
    s("moderation without choices", HI + d({"moderation": {"input": {}}}) + END, "Hello.", "stop"),
    s("nulls wherever they may be", d({"choices": None, "created": None, "usage": None, "error": None}) + HI + END,
      "Hello.", "stop"),
    # --- finish reasons
    s("absent is an empty word, cut", t("Half an", "") + t(" answer", ""), "Half an answer", StreamBroken),
    s("absent is an empty word, whole", t("Hello", "") + t(".", "") + END, "Hello.", "stop"),
    s("absent is null in quotes, cut", t("Half", "null"), "Half", StreamBroken),
    s("absent is None in quotes, whole", t("Hello.", "None") + END, "Hello.", "stop"),
    s("an error after an empty word counts", t("Half", "") + d({"error": {"message": "no"}}), "Half", StreamBroken),
    s("error", t("Half an") + c(finish="error"), "Half an", StreamBroken),
    s("error, then done", t("Half an") + c(finish="error") + DONE, "Half an", StreamBroken),
    s("abort (vllm, sglang)", t("Half an") + c(finish="abort") + DONE, "Half an", StreamBroken),
    s("cancelled", t("Half an") + c(finish="cancelled") + DONE, "Half an", StreamBroken),
    s("deepseek ran out of machines", t("Half") + c(finish="insufficient_system_resource"), "Half", StreamBroken),
    s("max_tokens", t("Hel", None) + c(finish="max_tokens") + DONE, "Hel", "length"),
    s("MAX_TOKENS", t("Hel") + c(finish="MAX_TOKENS") + DONE, "Hel", "length"),
    s("model_length (mistral)", t("Hel") + c(finish="model_length") + DONE, "Hel", "length"),
    s("max-output-tokens, in another spelling", t("Hel") + c(finish="Max-Output-Tokens") + DONE, "Hel", "length"),
    s("end_turn", t("Hello.") + c(finish="end_turn") + DONE, "Hello.", "stop"),
    s("eos_token", t("Hello.") + c(finish="eos_token") + DONE, "Hello.", "stop"),
    s("STOP", t("Hello.") + c(finish="STOP") + DONE, "Hello.", "stop"),
    s("SAFETY", t("Hel") + c(finish="SAFETY") + DONE, "Hel", "content_filter"),
    s("unknown, then done", t("Hello.") + c(finish="moonrise") + DONE, "Hello.", "stop"),
    s("unknown, then nothing", t("Hello.") + c(finish="moonrise"), "Hello.", StreamBroken),
    s("a number", t("Hello.", 1) + DONE, "Hello.", "stop"),
    s("done without a reason", HI + DONE, "Hello.", "stop"),
    s("done without a word", ROLE + DONE, "", StreamBroken),
    s("nothing at all", b"", "", StreamBroken),
    s("neither reason nor done", HI, "Hello.", StreamBroken),
    s("tool_calls without a call", t("Hello.") + c(finish="tool_calls") + DONE, "Hello.", "stop"),
    s("an error after the reason changes nothing", t("Hello.", "stop") + d({"error": {"message": "late"}}),
      "Hello.", "stop"),
    # --- server-sent events
    s("byte order mark", b"\xef\xbb\xbf" + HI + END, "Hello.", "stop"),
    s("byte order mark before a comment", b"\xef\xbb\xbf: hi\n\n" + HI + END, "Hello.", "stop"),
    s("one event over several lines",
      b'data: {"choices": [\ndata: {"delta": {"content":\ndata:  "Hello."}}]}\n\n' + END, "Hello.", "stop"),
    s("unknown field", b"x-trace: 1\n" + t("Hello.") + b"x-trace: 2\n\n" + END, "Hello.", "stop"),
    s("field without a colon", b"ping\n\n" + HI + END, "Hello.", "stop"),
    s("carriage returns and newlines", (HI + END).replace(b"\n", b"\r\n"), "Hello.", "stop"),
    s("carriage returns alone", (HI + END).replace(b"\n", b"\r"), "Hello.", "stop"),
    s("line ends mixed", HI.replace(b"\n\n", b"\r\n\n") + END.replace(b"\n\n", b"\r\r\n"), "Hello.", "stop"),
    s("no space after the colon", (HI + END).replace(b"data: ", b"data:"), "Hello.", "stop"),
    s("no blank lines", (HI + END).replace(b"\n\n", b"\n"), "Hello.", "stop"),
    s("more blank lines", (HI + END).replace(b"\n\n", b"\n\n\n\n"), "Hello.", "stop"),
    s("no newline at the end", HI + STOP.rstrip(b"\n"), "Hello.", "stop"),
    s("done without a newline", HI + STOP + b"data: [DONE]", "Hello.", "stop"),
    s("done with blanks", HI + STOP + b"data:  [DONE] \n\n", "Hello.", "stop"),
    s("retry, id and event", b"retry: 10\n\nid: 7\nevent: message\n" + HI + END, "Hello.", "stop"),
    s("named events", b"event: completion\n" + HI + b"event: ping\ndata: {}\n\n" + END, "Hello.", "stop"),
    s("empty data", b"data\n\ndata:\n\ndata: \n\n" + HI + END, "Hello.", "stop"),
    s("keep-alive words", b"data: ping\n\ndata: 1\n\n" + HI + b'data: "x"\n\ndata: null\n\n' + END, "Hello.", "stop"),
    s("the type of an error after its data", t("He") + b'data: {"message":"no"}\nevent: error\n\n', "He", StreamBroken),
    s("a type that no data follow is forgotten", b"event: error\n\n" + HI + END, "Hello.", "stop"),
    s("after done nothing counts", HI + END + t(" More."), "Hello.", "stop"),
    # --- no stream at all
    s("a whole answer in one line", json.dumps(WHOLE).encode(), "Hello.", "stop"),
    s("a whole answer over many lines", json.dumps(WHOLE, indent=2).encode(), "Hello.", "stop"),
    s("a whole answer as an event", d(WHOLE) + DONE, "Hello.", "stop"),
    s("delta and message side by side", d({"choices": [choice({"content": "Hel"}, message={"content": "Hel"})]})
      + d({"choices": [choice({"content": "lo."}, "stop", message={"content": "Hello."})]}), "Hello.", "stop"),
    s("bare error in one line", b'{"error": {"message": "no"}}', "", StreamBroken),
    s("bare error over many lines", json.dumps({"error": {"message": RATE}}, indent=1).encode(), "", LimitReached),
    s("a page of HTML", b"<html>\n<body>maintenance</body>\n</html>\n", "", StreamBroken),
    s("a sentence", b"upstream connect error or disconnect/reset before headers", "", StreamBroken),
    s("HTML in mid-answer", t("Half") + b"<html>\n</html>\n", "Half", StreamBroken),
    # --- bytes
    s("a byte that is no UTF-8", t("aXb").replace(b"X", b"\xff") + END, "a\ufffdb", "stop"),
    s("half a character in bytes", t("aX").replace(b"X", b"\xf0\x9f") + t("b") + END, "a\ufffdb", "stop"),
    s("a lone surrogate", t("aX").replace(b"X", b"\\ud83d") + t("b") + END, "a\ufffdb", "stop"),
    s("a surrogate at the end", t("aX").replace(b"X", b"\\ud83d") + END, "a\ufffd", "stop"),
    s("a character in two chunks", t("X").replace(b"X", b"\\ud83d") + t("X").replace(b"X", b"\\ude00") + END,
      "😀", "stop"),
    s("an escaped pair", d(EMOJI) + END, "😀", "stop"),
    s("a control character in a string", t("aXb").replace(b"X", b"\x01") + END, "a\x01b", "stop"),
    s("nested without end", t("a") + b'data: {"x":' + b"[" * 100_000 + b"\n\n", "a", StreamBroken),
    s("nested deep in what nobody needs", t("a") + b'data: {"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}\n\n" + END,
      "a", StreamBroken),
    s("a number of 5,000 digits", b'data: {"created":' + b"9" * 5_000 + b',"choices":[]}\n\n' + HI + END,
      "Hello.", "stop"),
    s("NaN", b'data: {"x":NaN,"choices":[]}\n\n' + HI + END, "Hello.", "stop"),
    s("half a line of JSON", t("a") + b'data: {"choices":[{"ind\n\n' + END, "a", StreamBroken),
    # --- fields that nobody needs
    s("usage with decimals", HI + c(finish="stop", usage={"prompt_tokens": 12.0, "completion_tokens": "3"}) + DONE,
      "Hello.", "stop"),
    s("usage is a list", HI + c(finish="stop", usage=[]) + DONE, "Hello.", "stop"),
    s("usage is a word", HI + c(finish="stop", usage="none") + DONE, "Hello.", "stop"),
    s("details are a number", HI + c(finish="stop", usage={**USAGE, "prompt_tokens_details": 5}) + DONE,
      "Hello.", "stop"),
    s("tool_calls is an empty word", c({"content": "Hello.", "tool_calls": ""}) + END, "Hello.", "stop"),
    s("tool_calls is an empty object", c({"content": "Hello.", "tool_calls": {}}) + END, "Hello.", "stop"),
    s("tool_calls is false", c({"content": "Hello.", "tool_calls": False}) + END, "Hello.", "stop"),
    s("reasoning is an object", c({"content": "Hello.", "reasoning": {"text": ""}}) + END, "Hello.", "stop"),
    s("index is null", d({"choices": [{"index": None, "delta": {"content": "Hello."}}]}) + END, "Hello.", "stop"),
    s("delta is an empty list", d({"choices": [{"delta": []}]}) + HI + END, "Hello.", "stop"),
    s("x_groq is a word", c({"content": "Hello."}, x_groq="r") + END, "Hello.", "stop"),
    s("executed_tools is a word", c({"content": "Hello.", "executed_tools": "none"}) + END, "Hello.", "stop"),
    s("error is an empty object", c({"content": "Hello."}, error={}) + END, "Hello.", "stop"),
    s("error is an object of nulls", c({"content": "Hello."}, error={"message": None, "code": None}) + END,
      "Hello.", "stop"),
    s("error is false", c({"content": "Hello."}, error=False) + END, "Hello.", "stop"),
    s("message beside choices", c({"content": "Hello."}, message="ok", code=0) + END, "Hello.", "stop"),
    # --- text
    s("text in parts", t([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]) + END, "Hello.", "stop"),
    s("thinking in parts (mistral)", t([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}])
      + t([{"type": "text", "text": "Hello."}]) + END, "Hello.", "stop", reasoning="hm"),
    s("one part without a list", t({"type": "text", "text": "Hello."}) + END, "Hello.", "stop"),
    s("parts of an unknown kind", t([{"type": "reference", "ids": [1]}, {"type": "text", "text": "Hello."}]) + END,
      "Hello.", "stop"),
    s("an empty list", t([]) + HI + END, "Hello.", "stop"),
    s("text that is a number", t("a") + t(5) + END, "a", StreamBroken),
    s("choices that are a word", t("a") + d({"choices": "many"}) + END, "a", StreamBroken),
    s("a refusal in its own field", c({"refusal": "I cannot."}) + END, "I cannot.", "stop"),
    s("reasoning in its own field", c({"reasoning": "hm"}) + HI + END, "Hello.", "stop", reasoning="hm"),
    s("reasoning under both names", c({"reasoning": "hm", "reasoning_content": "hm"}) + HI + END, "Hello.", "stop",
      reasoning="hm"),
    s("thinking between tags", t("<th") + t("ink>hm</thi") + t("nk>\n\nHello.") + END, "Hello.", "stop",
      reasoning="hm"),
    s("thinking between other tags", t("[THINK]hm[/THINK]Hello.") + END, "Hello.", "stop", reasoning="hm"),
    s("thinking that is never closed", t("<think>Hello") + t(" there.") + END, "Hello there.", "stop"),
    s("thinking that is never closed, done", t("<think>Hello.") + DONE, "Hello.", "stop"),
    s("thinking that is never closed and cut", t("<think>Well, the") + c(finish="length") + DONE, "", StreamBroken),
    s("a closing tag in an ordinary answer", t("Write </think> here.") + END, "Write </think> here.", "stop"),
    # --- calls
    s("a call in pieces", k(call(0, "a", "f", "")) + k(call(0, arguments='{"x"')) + k(call(0, arguments=":1}"))
      + c(finish="tool_calls") + DONE, "", "tool_calls", ("f", '{"x":1}')),
    s("two calls under one index", k(call(0, "a", "f", '{"path":"a"}')) + k(call(0, "b", "f", '{"path":"b"}'))
      + c(finish="tool_calls") + DONE, "", "tool_calls", ("f", '{"path":"a"}'), ("f", '{"path":"b"}')),
    s("two calls under one index, in pieces", k(call(0, "a", "f", '{"p"')) + k(call(0, arguments=':"a"}'))
      + k(call(0, "b", "g", '{"p"')) + k(call(0, arguments=':"b"}')) + END, "", "tool_calls",
      ("f", '{"p":"a"}'), ("g", '{"p":"b"}')),
    s("no index, the id on every piece", k(call(None, "a", "f", '{"x"')) + k(call(None, "a", None, ":1}")) + END,
      "", "tool_calls", ("f", '{"x":1}')),
    s("id and name on every piece", k(call(0, "a", "f", '{"x"')) + k(call(0, "a", "f", ":1}")) + END,
      "", "tool_calls", ("f", '{"x":1}')),
    s("another id on every piece", k(call(0, "a", "f", '{"x"')) + k(call(0, "b", None, ":1}")) + END,
      "", "tool_calls", ("f", '{"x":1}')),
    s("one id under two indices", k(call(0, "a", "f", '{"x"')) + k(call(1, "a", None, ":1}")) + END,
      "", "tool_calls", ("f", '{"x":1}')),
    s("two calls woven together", k(call(0, "a", "f", "{")) + k(call(1, "b", "g", "{")) + k(call(0, arguments="}"))
      + k(call(1, arguments="}")) + END, "", "tool_calls", ("f", "{}"), ("g", "{}")),
    s("neither index nor id", k(call(None, None, "f", "{}")) + k(call(None, None, "f", '{"x":1}')) + END,
      "", "tool_calls", ("f", "{}"), ("f", '{"x":1}')),
    s("index and id, no id later, same name twice", k(call(0, None, "f", '{"a":1}')) + k(call(0, None, "f", '{"a":2}'))
      + END, "", "tool_calls", ("f", '{"a":1}'), ("f", '{"a":2}')),
    s("an index from 1 on", k(call(1, "a", "f", "{}")) + k(call(2, "b", "g", "{}")) + END, "", "tool_calls",
      ("f", "{}"), ("g", "{}")),
    s("an index in quotes", k(call("0", "a", "f", "{")) + k(call("0", arguments="}")) + END, "", "tool_calls",
      ("f", "{}")),
    s("an id that is a number", k(call(0, 7, "f", "{}")) + END, "", "tool_calls", ("f", "{}")),
    s("the name after the id", k(call(0, "a")) + k(call(0, None, "f", "{}")) + END, "", "tool_calls", ("f", "{}")),
    s("arguments as an object (ollama)", k(call(0, "a", "f", {"x": 1})) + END, "", "tool_calls", ("f", '{"x":1}')),
    s("a call without arguments", k(call(0, "a", "f")) + END, "", "tool_calls", ("f", "")),
    s("one call without a list", c({"tool_calls": call(0, "a", "f", "{}")}) + END, "", "tool_calls", ("f", "{}")),
    s("a call and stop", k(call(0, "a", "f", "{}"), finish="stop") + DONE, "", "tool_calls", ("f", "{}")),
    s("a call and done alone", k(call(0, "a", "f", "{}")) + DONE, "", "tool_calls", ("f", "{}")),
    s("half a call and done alone", k(call(0, "a", "f", '{"x')) + DONE, "", StreamBroken),
    s("a call without a name", k(call(0, "a", None, "{}")) + END, "", StreamBroken),
    s("arguments that are a number", k(call(0, "a", "f", 5)) + END, "", StreamBroken),
    s("text and a call", t("Let me look.") + k(call(0, "a", "f", "{}")) + END, "Let me look.", "tool_calls",
      ("f", "{}")),
    # --- errors after status 200
    s("event: error", t("a") + b'event: error\ndata: {"error":{"message":"no"}}\n\n', "a", StreamBroken),
    s("event: error, in words", t("a") + b"event: error\ndata: out of order\n\n", "a", StreamBroken),
    s("x_groq.error", t("a") + c(x_groq={"error": "over capacity"}), "a", StreamBroken),
    s("a wrong call", b"event: error\n" + d({"error": {"message": "no", "code": "tool_use_failed"}}),
      "", CallMalformed),
    s("429 as a number", t("a") + d({"error": {"code": 429, "message": RATE}}), "a", LimitReached, retry_after_s=20.0),
    s("429 in quotes", d({"error": {"code": "429", "message": "slow down"}}), "", LimitReached),
    s("400 as a number, too long", d({"error": {"code": 400, "message": LONG}}), "", ContextTooLong),
    s("400 as a number, something else", d({"error": {"code": 400, "message": "bad schema"}}), "", RequestRejected),
    s("401 as a number", d({"error": {"code": 401, "message": "No auth"}}), "", KeyRejected),
    s("402 (openrouter)", d({"error": {"code": 402, "message": "Insufficient credits"}}), "", SpendLimitReached),
    s("403 as a number", d({"error": {"code": 403, "message": "flagged"}}), "", ModelBlocked),
    s("502 as a number, with a reason", t("a") + c(finish="error", error={"code": 502, "message": "Provider down"}),
      "a", Overloaded),
    s("too long, without a code", d({"error": {"message": LONG}}), "", ContextTooLong),
    s("too large for the minute",
      d({"error": {"message": "Request too large for model m (TPM): Limit 8, Requested 9"}}),
      "", TooLargeForLimit, limit=8),
    s("rate limit in words", d({"error": RATE}), "", LimitReached),
    s("overloaded_error (anthropic)", d({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
      "", Overloaded),
    s("RESOURCE_EXHAUSTED in a list (gemini)", d([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}]),
      "", LimitReached),
    s("UNAVAILABLE (gemini)", d({"error": {"status": "UNAVAILABLE", "message": "busy"}}), "", Overloaded),
    s("object: error (older vllm)", d({"object": "error", "message": LONG, "code": 400}), "", ContextTooLong),
    s("detail (fastapi)", d({"detail": "Internal error"}), "", StreamBroken),
    s("error is a word", t("a") + d({"error": "boom"}), "a", StreamBroken),
    s("error is a list", t("a") + d({"error": ["boom"]}), "a", StreamBroken),
]  # fmt: skip
