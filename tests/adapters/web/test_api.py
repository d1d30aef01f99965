"""The API as raw HTTP: what a caller may send and what errors look like."""

from __future__ import annotations

import asyncio
import json

import pytest

from adapters.web import WebSettings
from core.domain.errors import (
    ConnectionFailed,
    ContextTooLong,
    KeyRejected,
    LimitReached,
    NoModelLeft,
    NotAllowed,
    Overloaded,
    QueueFull,
    RequestRejected,
    SpendStopped,
    StorageBusy,
    TooLarge,
)
from core.domain.events import Notice, Restarted, ToolCallDelta
from core.domain.model_spec import Capability
from core.domain.requests import Tool
from tests.adapters.web.house import House, a_house

A_FILE = {"type": "file", "file": {"file_data": "aGk="}}
HI = [{"role": "user", "content": "hi"}]


async def post(house: House, body: object, *, path: str = "/v1/chat/completions", **headers: str):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    async with house.http.post(house.url + path, data=raw, headers=headers) as response:
        text = await response.text()
        return response.status, (json.loads(text) if text.startswith("{") else text), response.headers


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"n": 2, "stream": True}, "n"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "aGk="}}]}]},
            "messages[0].content[0]",
        ),
        ({"logprobs": True}, "logprobs"),
        ({"functions": [{}]}, "functions"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"model": 7}, "model"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it(house, changes, param):
    """A known field of the wrong kind is refused with its path; nothing reaches the stack."""
    status, body, _ = await post(house, {"model": "auto", "messages": HI, **changes})

    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "invalid_request_error", param)
    assert house.handler.requests == []


@pytest.mark.parametrize("changes", [{"image_url": {"url": "file:///etc/passwd"}}, {"image_url": {"url": "data:x"}}])
async def test_an_image_is_https_or_a_data_url(house, changes):
    """Other addresses of pictures are refused here, before any provider sees them."""
    message = {"role": "user", "content": [{"type": "image_url", **changes}]}

    status, body, _ = await post(house, {"model": "auto", "messages": [message]})

    assert (status, body["error"]["param"]) == (400, "messages[0].content[0].image_url.url")


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"model":"auto"}', b'{"model":"\\ud800","messages":[]}', b"[" * 9_000],
)
async def test_broken_json_is_a_400(house, raw):
    """Whatever is not a JSON object of the right shape is a 400 in OpenAI's form."""
    status, body, headers = await post(house, raw)

    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert headers["X-Request-Id"] == house.request_ids[-1]


async def test_unknown_fields_are_ignored(house):
    """Fields that we never heard of, and those that only other servers act on, do no harm."""
    extra = {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "brand_new": {"x": [1]}}

    status, body, _ = await post(house, {"model": "auto", "messages": HI, **extra})

    assert (status, body["choices"][0]["message"]["content"]) == (200, "Hello there.")


async def test_every_parameter_reaches_the_stack(house):
    """What a caller may set arrives in the request, under our names."""
    await post(
        house,
        {
            "model": "speed",
            "messages": [*HI, {"role": "system", "content": "late"}],
            "temperature": 0.3,
            "top_p": 0.9,
            "max_tokens": 5,
            "max_completion_tokens": 6,
            "stop": "END",
            "seed": 42,
            "reasoning_effort": "minimal",
            "response_format": {"type": "json_object"},
            "tools": [{"type": "browser_search"}, {"type": "function", "function": {"name": "f", "description": "d"}}],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
        },
    )

    request = house.handler.last
    assert (request.requested_model, request.temperature, request.top_p, request.seed) == ("speed", 0.3, 0.9, 42)
    assert (request.max_output_tokens, request.stop, request.effort) == (6, ("END",), "low")
    assert request.tools == (Tool("browser_search", builtin=True), Tool("f", "d"))
    assert (request.tool_choice, request.parallel_tool_calls) == ("auto", False)
    assert request.output_format.kind == "json_object"
    assert request.needs == {Capability.TOOLS, Capability.JSON}
    assert [turn.role for turn in request.turns] == ["system", "user"]
    assert (request.editable, request.channel_key, request.user.platform) == (False, "", "api")
    assert request.request_id == house.request_ids[-1]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TooLarge("the prompt", limit=5, unit="characters"), 413, "request_too_large"),
        (NotAllowed("not here"), 403, "not_allowed"),
        (SpendStopped(limit_usd=5, retry_after_s=60), 429, "insufficient_quota"),
        (QueueFull(100), 429, "rate_limit_exceeded"),
        (NoModelLeft([Overloaded()]), 503, "no_model_left"),
        (NoModelLeft([ContextTooLong(), ContextTooLong()]), 400, "context_length_exceeded"),
        (NoModelLeft(missing="vision"), 400, "unsupported_capability"),
        (StorageBusy(), 503, "storage_unavailable"),
        (TimeoutError(), 504, "deadline_exceeded"),
    ],
)
async def test_each_error_has_its_status_and_code(house, error, status, code):
    """The same table holds with and without streaming, as long as nothing was said yet."""
    house.handler.steps = [error]

    for stream in (False, True):
        got, body, _ = await post(house, {"model": "auto", "messages": HI, "stream": stream})

        assert (got, body["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("errors", "retry_after"),
    [
        ([Overloaded()], "2"),
        ([ConnectionFailed(), Overloaded()], "2"),
        ([LimitReached("minute", retry_after_s=17.0)], "17"),
        ([KeyRejected("401")], None),
        ([], "2"),
    ],
)
async def test_while_nobody_answers_clients_are_told_when_to_come_back(house, errors, retry_after):
    """A provider that rests is tried by the next request, so a retry soon is worth it; a rejected key is not."""
    house.handler.steps = [NoModelLeft(errors)]

    status, _, headers = await post(house, {"model": "auto", "messages": HI})

    assert (status, headers.get("Retry-After")) == (503, retry_after)


@pytest.mark.parametrize("stands_in", [True, False])
async def test_the_local_model_stands_in_over_the_api_only_where_it_may(stands_in):
    """With a provider's key set, a caller gets a 503 and may try again, not the words of a toy."""
    async with a_house(local_stands_in=stands_in) as house:
        await post(house, {"model": "auto", "messages": HI})

        assert house.handler.last.allow_local is stands_in


async def test_what_every_model_rejects_is_the_callers_400(house):
    """A request that every provider refuses is a 400 with the provider's reason: retrying it cannot help."""
    house.handler.steps = [NoModelLeft([RequestRejected("schema is not valid"), RequestRejected("schema is odd")])]

    status, body, _ = await post(house, {"model": "auto", "messages": HI})

    assert (status, body["error"]["message"]) == (400, "schema is not valid")


async def test_a_bug_says_nothing_about_the_inside(house):
    """An unexpected error is a 500 with a reference, without its text."""
    house.handler.steps = [RuntimeError("secret detail")]

    status, body, _ = await post(house, {"model": "auto", "messages": HI})

    assert status == 500
    assert "secret" not in json.dumps(body)
    assert "(ref " in body["error"]["message"]


async def test_a_bug_in_mid_stream_is_an_error_event(house):
    """After the first words the same sentence arrives in band, and the stream ends without its end mark."""
    house.handler.steps = ["Hel", RuntimeError("secret detail")]

    status, text, _ = await post(house, {"model": "auto", "messages": HI, "stream": True})
    last = json.loads(text.strip().split("\n\n")[-1].removeprefix("data: "))

    assert status == 200
    assert last["error"]["type"] == "server_error"
    assert "secret" not in text
    assert "[DONE]" not in text


async def test_continuing_is_seamless_and_restarting_is_not_possible(house):
    """Another model may go on after every word that was sent; text that was sent cannot be taken back."""
    house.handler.steps = ["Hello", Restarted("b", 5), Notice("continued"), " world"]
    _, text, _ = await post(house, {"model": "auto", "messages": HI, "stream": True})
    assert '"content":"Hello' in text
    assert "world" in text
    assert "[DONE]" in text

    house.handler.steps = ["Hello", Restarted("b", 2), "p!"]
    _, text, _ = await post(house, {"model": "auto", "messages": HI, "stream": True})
    assert '"error"' in text
    assert "[DONE]" not in text


async def test_silence_is_broken_by_comments():
    """While no word has come for a while, a comment line keeps proxies from cutting the stream."""
    async with a_house(WebSettings(keepalive_s=0.02)) as house:
        gate = asyncio.Event()
        house.handler.steps = [gate, "late"]
        body = {"model": "auto", "messages": HI, "stream": True}
        async with house.http.post(f"{house.url}/v1/chat/completions", json=body) as response:
            assert await response.content.readline() == b": waiting\n"
            gate.set()
            rest = await response.text()

    assert '"content":"late"' in rest


async def test_lone_surrogates_do_not_break_a_stream(house):
    """A character that UTF-8 cannot carry is replaced, streaming and not."""
    house.handler.steps = ["a\ud800b"]

    for stream in (False, True):
        status, body, _ = await post(house, {"model": "auto", "messages": HI, "stream": stream})

        assert (status, "a?b" in json.dumps(body)) == (200, True)


async def test_a_model_that_only_calls_tools_streams_its_calls(house):
    """Pieces of two calls keep their indexes; the finish reason is tool_calls."""
    pieces = [(0, "a", "f", "{"), (1, "b", "g", "{}"), (0, "", "", "}")]
    house.handler.steps = [ToolCallDelta(*piece) for piece in pieces]

    _, text, _ = await post(house, {"model": "auto", "messages": HI, "stream": True})
    chunks = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ())]

    assert [(call["index"], call["function"].get("name")) for call in calls] == [(0, "f"), (1, "g"), (0, None)]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_caller_may_hold_only_so_many_answers_at_once():
    """Beyond the bound of one caller the next request is a 429, and a finished one makes room."""
    async with a_house(WebSettings(max_streams_per_key=1)) as house:
        gate = asyncio.Event()
        house.handler.steps = [gate, "done"]
        first = asyncio.create_task(post(house, {"model": "auto", "messages": HI}))
        async with asyncio.timeout(5):
            while not house.handler.running:
                await asyncio.sleep(0.005)

        refused, _, headers = await post(house, {"model": "auto", "messages": HI})
        gate.set()
        done, _, _ = await first
        again, _, _ = await post(house, {"model": "auto", "messages": HI})

    assert (refused, headers["Retry-After"], done, again) == (429, "1", 200, 200)


async def test_a_body_beyond_the_bound_is_a_413():
    """A large body is refused in OpenAI's form, whether its length was announced or not."""
    async with a_house(WebSettings(max_body_bytes=1_000)) as house:

        async def drip():
            for _ in range(20):
                yield b"x" * 100

        whole, body, _ = await post(house, b"x" * 2_000)
        async with house.http.post(
            f"{house.url}/v1/chat/completions", data=drip(), headers={"Content-Type": "application/json"}
        ) as response:
            dripped = response.status

    assert (whole, body["error"]["code"], dripped) == (413, "request_too_large", 413)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405)]
)
async def test_unknown_routes_answer_in_openais_form(house, method, path, status):
    """A wrong path or method under /v1 is an error that OpenAI's clients can read."""
    async with house.http.request(method, house.url + path) as response:
        assert response.status == status
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_deadline_is_stated_and_kept():
    """A request that takes too long is a 504, and the answer is cancelled."""
    async with a_house(WebSettings(api_deadline_s=0.05)) as house:
        house.handler.steps = [asyncio.Event()]

        status, body, _ = await post(house, {"model": "auto", "messages": HI})

        assert (status, body["error"]["code"], house.handler.cancelled) == (504, "deadline_exceeded", 1)
        assert house.handler.last.deadline_at is not None


async def test_several_answers_to_one_question(house):
    """n answers are n requests, the further ones past the cache; their usage is added up."""
    status, body, _ = await post(house, {"model": "auto", "messages": HI, "n": 3})

    assert status == 200
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {"Hello there."}
    assert body["usage"]["completion_tokens"] == 21
    assert [request.fresh for request in house.handler.requests] == [False, True, True]


async def test_one_of_several_that_fails_fails_them_all(house):
    """The error is that of a single answer."""
    house.handler.steps = [NoModelLeft([Overloaded()])]

    status, body, _ = await post(house, {"model": "auto", "messages": HI, "n": 2})

    assert (status, body["error"]["code"]) == (503, "no_model_left")
