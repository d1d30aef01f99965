"""Groq's provider, over real sockets, against a strict fake of its API."""

from __future__ import annotations

import asyncio

import pytest

from core.domain.errors import (
    CallMalformed,
    ConnectionFailed,
    KeyRejected,
    ProviderError,
    RequestRejected,
    Stalled,
    StreamBroken,
)
from core.domain.events import Event, Started, TextDelta, ToolCallDelta
from core.domain.requests import Image, OutputFormat, Reasoning, Text, Tool, ToolCall, ToolResult, Turn
from core.providers.groq import GroqProvider
from tests.core.providers.conftest import EYES, QUICK, REGISTRY, SMALL, Heard, ask
from tests.fakes.llm_api import (
    KEY,
    Cut,
    Disconnect,
    Fail,
    FakeLlmApi,
    Say,
    Stall,
    Strange,
    over_capacity,
    rate_limited,
    tool_use_failed,
)

MODEL = REGISTRY.get(SMALL)
VISION = REGISTRY.get(EYES)
ANSWER = "The quick brown fox jumps over the lazy dog."
WEATHER = Tool("weather", "Look it up", {"type": "object", "properties": {"place": {"type": "string"}}})


async def test_text_arrives_as_it_is_said(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Started comes before the first text, the pieces join to the reply's text."""
    groq_api.plays(SMALL, Say(ANSWER, tokens_per_s=500))

    reply = await groq(ask(), MODEL, heard.send)

    assert isinstance(heard.events[0], Started)
    assert len([event for event in heard.events if isinstance(event, TextDelta)]) > 1
    assert heard.text == reply.text == ANSWER
    assert (reply.model, reply.provider, reply.finish) == (SMALL, "groq", "stop")


async def test_usage_and_cost_are_the_providers(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Reported tokens, cached ones at their own price."""
    groq_api.plays(SMALL, Say(ANSWER, cached_tokens=2, reasoning="I think so."))

    usage = (await groq(ask("x" * 400), MODEL, heard.send)).usage

    assert (usage.prompt_tokens, usage.cached_tokens, usage.reasoning_tokens) == (104, 2, 2)
    assert usage.output_tokens == 12
    assert usage.cost_usd == pytest.approx((102 * 0.075 + 2 * 0.0375 + 12 * 0.30) / 1e6)
    assert not usage.estimated


async def test_reasoning_stays_out_of_the_answer(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """What the model thought aloud is in the reply's reasoning only."""
    groq_api.plays(SMALL, Say("42", reasoning="Six times seven."))

    reply = await groq(ask(), MODEL, heard.send)

    assert heard.text == "42"
    assert reply.reasoning == "Six times seven."


async def test_think_tags_never_reach_the_reader(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Qwen may write its reasoning into the text itself; it is taken out however it is cut."""
    groq_api.plays(EYES, Say(chunks=["<th", "ink>so ", "many</thi", "nk>\n\n", "Four."]))

    reply = await groq(ask(), VISION, heard.send)

    assert heard.text == reply.text == "Four."
    assert reply.reasoning == "so many"


async def test_tool_calls_are_put_together(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """A call comes as deltas and whole in the reply; the text may be empty then."""
    groq_api.plays(SMALL, Say(calls=[("weather", '{"place": "Bern"}')]))

    reply = await groq(ask(tools=(WEATHER,)), MODEL, heard.send)

    assert heard.events[1:] == [ToolCallDelta(0, "call_0", "weather", '{"place": "Bern"}')]
    assert reply.tool_calls == (ToolCall("call_0", "weather", '{"place": "Bern"}'),)
    assert reply.finish == "tool_calls"


async def test_a_tool_round_goes_back_with_its_reasoning(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """gpt-oss gets its own reasoning back beside its calls; the fake refuses results without calls."""
    call = ToolCall("c1", "weather", "{}")
    turns = (
        Turn("user", (Text("weather?"),)),
        Turn("assistant", (Reasoning("ask the tool", SMALL), call)),
        Turn("tool", (ToolResult("c1", "weather", "sunny"),)),
    )

    await groq(ask(turns=turns, tools=(WEATHER,)), MODEL, heard.send)

    assert groq_api.requests[-1].body["messages"][1]["reasoning"] == "ask the tool"


async def test_pictures_go_as_data_urls(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """A stored picture is sent inline, an address as it is."""
    turn = Turn(
        "user", (Text("what?"), Image("blob:1", "image/png", data=b"png"), Image("", "", url="https://x.test/a"))
    )

    await groq(ask(turns=(turn,)), VISION, heard.send)

    content = groq_api.requests[-1].body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "image_url"]
    assert content[1]["image_url"]["url"] == "data:image/png;base64,cG5n"
    assert content[2]["image_url"]["url"] == "https://x.test/a"


async def test_a_schema_is_asked_unstreamed_and_delivered_as_one_delta(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """Groq refuses a schema while streaming."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    groq_api.plays(SMALL, Say('{"a": 1}'))

    reply = await groq(ask(output_format=OutputFormat("json_schema", schema=schema)), MODEL, heard.send)

    assert groq_api.requests[-1].body["stream"] is False
    assert heard.events == [Started(SMALL, "groq"), TextDelta('{"a": 1}')]
    assert reply.usage.output_tokens > 0


async def test_the_word_json_is_added_where_it_is_missing(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """json_object without the word in any message is a 400."""
    groq_api.plays(SMALL, Say("{}"))

    await groq(ask("an object please", output_format=OutputFormat("json_object")), MODEL, heard.send)

    assert groq_api.requests[-1].status == 200


async def test_an_effort_that_the_model_lacks_becomes_its_nearest(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """ "none" is a 400 for gpt-oss."""
    await groq(ask(effort="none"), MODEL, heard.send)

    assert groq_api.requests[-1].body["reasoning_effort"] == "low"


@pytest.mark.parametrize("suffix", ["", "/", "/openai/v1", "/openai/v1/"])
async def test_the_base_url_may_end_as_groq_documents_it(groq_api: FakeLlmApi, heard: Heard, suffix: str) -> None:
    """People copy the address with /openai/v1, others name the host alone."""
    provider = GroqProvider(KEY, base_url=groq_api.base_url + suffix)

    reply = await provider(ask(), MODEL, heard.send)

    assert reply.text == "All right."
    await provider.close()


async def test_a_provider_does_not_retry(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """One call is one request: retrying is the stack's decision."""
    groq_api.plays(SMALL, over_capacity(), Say("late"))

    with pytest.raises(ProviderError):
        await groq(ask(), MODEL, heard.send)

    assert len(groq_api.requests) == 1


async def test_headers_are_told_for_answers_and_refusals(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """Limits are learned from every reply."""
    groq_api.plays(SMALL, Say("one"), rate_limited())

    await groq(ask(), MODEL, heard.send)
    with pytest.raises(ProviderError):
        await groq(ask(), MODEL, heard.send)

    assert [model for model, _ in heard.headers] == [SMALL, SMALL]
    assert all("x-ratelimit-limit-tokens" in headers for _, headers in heard.headers)
    assert heard.headers[1][1]["retry-after"] == "6"


async def test_the_providers_request_id_is_kept(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """It links our log to Groq's."""
    assert (await groq(ask(), MODEL, heard.send)).provider_request_id.startswith("req_")


# --- streams that break ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("socket", "closed"),
        ("half", "closed"),
        ("clean", "no_finish"),
        ("error_event", "error_event"),
        ("x_groq_error", "x_groq_error"),
        ("garbage", "garbage"),
    ],
)
async def test_each_way_a_stream_breaks_is_told_apart(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard, how: str, kind: str
) -> None:
    """What was said before is handed on, and its estimated usage is in the error."""
    groq_api.plays(SMALL, Cut(ANSWER, after=4, how=how, tokens_per_s=1_000))  # type: ignore[arg-type]

    with pytest.raises(StreamBroken) as caught:
        await groq(ask(), MODEL, heard.send)

    assert caught.value.cause_kind == kind
    assert heard.text == "The quick brown fox"
    assert caught.value.usage is not None
    assert caught.value.usage.estimated


async def test_a_malformed_call_in_mid_stream_keeps_its_class(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """tool_use_failed arrives as an error event after status 200."""
    refusal = tool_use_failed("{bad")
    assert not isinstance(refusal.body, str)
    groq_api.plays(SMALL, Cut("", after=0, how="error_event", error=refusal.body["error"]))

    with pytest.raises(CallMalformed) as caught:
        await groq(ask(tools=(WEATHER,)), MODEL, heard.send)

    assert caught.value.failed_generation == "{bad"


async def test_silence_before_the_first_token_is_a_stall(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """A role alone is no token."""
    groq_api.plays(SMALL, Stall())

    with pytest.raises(Stalled) as caught:
        await groq(ask(), MODEL, heard.send)

    assert caught.value.first
    assert caught.value.silence_s == QUICK.first_token_s


@pytest.mark.parametrize("keepalive", [False, True])
async def test_silence_between_tokens_is_a_stall(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard, keepalive: bool
) -> None:
    """Keep-alive comments are no tokens either."""
    groq_api.plays(SMALL, Stall(ANSWER, after=2, keepalive=keepalive))

    with pytest.raises(Stalled) as caught:
        await groq(ask(), MODEL, heard.send)

    assert not caught.value.first
    assert caught.value.silence_s == QUICK.silence_s
    assert heard.text == "The quick"


async def test_a_slow_reader_is_not_the_models_silence(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """The time that `send` takes does not count."""
    groq_api.plays(SMALL, Say(ANSWER, tokens_per_s=200))

    async def slow(event: Event) -> None:
        await asyncio.sleep(2 * QUICK.silence_s if isinstance(event, Started) else 0)

    assert (await groq(ask(), MODEL, slow)).text == ANSWER


async def test_a_connection_that_breaks_before_the_first_byte_failed(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """Nothing came, so it may be asked again at once."""
    groq_api.plays(SMALL, Disconnect())

    with pytest.raises(ConnectionFailed):
        await groq(ask(), MODEL, heard.send)

    assert heard.events == []


async def test_a_server_that_is_not_there_is_a_failed_connection(heard: Heard) -> None:
    """Port 9 refuses."""
    provider = GroqProvider(KEY, base_url="http://127.0.0.1:9")

    with pytest.raises(ConnectionFailed):
        await provider(ask(), MODEL, heard.send)

    await provider.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "empty"),
        (b": hello\n\n", "empty"),
        (b"data: [DONE]\n\n", "empty"),
        (b"<html>maintenance</html>\n", "garbage"),
        (b'{"error": {"message": "no"}}', "error_event"),
    ],
)
async def test_status_200_with_something_else(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard, body: bytes, kind: str
) -> None:
    """The SDKs give no chunk, no error and no finish reason here."""
    groq_api.plays(SMALL, Strange(body, "text/html"))

    with pytest.raises(StreamBroken) as caught:
        await groq(ask(), MODEL, heard.send)

    assert caught.value.cause_kind == kind


async def test_a_redirect_is_told_and_not_followed(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Neither the key nor people's words go to an address that nobody configured."""
    groq_api.plays(SMALL, Fail(308, "", {"Location": "https://elsewhere.example/v1"}))

    with pytest.raises(RequestRejected, match="moved to https://elsewhere"):
        await groq(ask(), MODEL, heard.send)

    assert len(groq_api.requests) == 1


async def test_an_answer_without_a_word_is_broken(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """Reasoning can use up the whole answer; its usage is booked all the same."""
    groq_api.plays(SMALL, Say("", reasoning="hm " * 40, finish="length"))

    with pytest.raises(StreamBroken) as caught:
        await groq(ask(), MODEL, heard.send)

    assert caught.value.cause_kind == "empty"
    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 30


async def test_usage_is_estimated_where_it_is_not_reported(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """A finish reason is enough for a good answer."""
    groq_api.plays(SMALL, Say(ANSWER, usage=False))

    usage = (await groq(ask("x" * 400), MODEL, heard.send)).usage

    assert usage.estimated
    assert 90 < usage.prompt_tokens < 120
    assert usage.cost_usd > 0


async def test_a_cancelled_request_closes_its_connection(
    groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard
) -> None:
    """The model must not go on writing for nobody."""
    groq_api.plays(SMALL, Say("word " * 5_000, tokens_per_s=200))
    task = asyncio.create_task(groq(ask(), MODEL, heard.send))
    while not heard.text:
        await asyncio.sleep(0.005)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not groq_api.requests[0].hung_up:
        await asyncio.sleep(0.005)

    assert groq_api.requests[0].tokens_sent < 5_000


async def test_connections_are_used_again(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """A body read to its end gives its connection back: no new handshake before the next first word."""
    for _ in range(3):
        await groq(ask(), MODEL, heard.send)

    ports = {request.peer_port for request in groq_api.requests}
    assert len(ports) == 1


async def test_it_says_who_asks(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """By its own name, not by that of the HTTP library beneath."""
    await groq(ask(), MODEL, heard.send)

    assert groq_api.requests[-1].headers["User-Agent"] == "Tern"


async def test_a_wrong_key_is_rejected_without_showing_it(groq_api: FakeLlmApi, heard: Heard) -> None:
    """The error's text holds no key."""
    provider = GroqProvider("gsk_verysecretkey123", base_url=groq_api.base_url)

    with pytest.raises(KeyRejected) as caught:
        await provider(ask(), MODEL, heard.send)

    assert "verysecret" not in str(caught.value)
    await provider.close()


@pytest.mark.parametrize("key", ["", "kéy", "a\nb"])
async def test_a_key_that_no_header_can_carry_is_rejected(groq_api: FakeLlmApi, heard: Heard, key: str) -> None:
    """Copied with a curly quote, say: an ordinary refusal, not a crash."""
    provider = GroqProvider(key, base_url=groq_api.base_url)

    with pytest.raises(KeyRejected):
        await provider(ask(), MODEL, heard.send)


async def test_blanks_around_a_key_do_not_matter(groq_api: FakeLlmApi, heard: Heard) -> None:
    """A file ends in a newline."""
    provider = GroqProvider(f" {KEY}\n", base_url=groq_api.base_url)

    assert (await provider(ask(), MODEL, heard.send)).text == "All right."
    await provider.close()


async def test_its_list_of_models_has_prices_per_million(groq: GroqProvider, groq_api: FakeLlmApi) -> None:
    """Groq lists strings per token."""
    listed = {model.id: model for model in await groq.models()}

    assert listed[SMALL].price_output == 0.3
    assert listed[SMALL].price_cached == 0.0375
    assert listed[SMALL].context_window == 131_072
    assert listed[EYES].max_output == 16_384


async def test_a_list_that_is_refused_is_a_provider_error(groq_api: FakeLlmApi) -> None:
    """Start-up goes on without it."""
    provider = GroqProvider("wrong", base_url=groq_api.base_url)

    with pytest.raises(KeyRejected):
        await provider.models()

    await provider.close()


async def test_the_proxy_is_asked_for_https_addresses(heard: Heard) -> None:
    """Through CONNECT, with the environment left alone; a proxy that refuses is a failed connection."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = GroqProvider(KEY, proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(ConnectionFailed):
            await provider(ask(), MODEL, heard.send)
        await provider.close()

    assert asked == [b"CONNECT api.groq.com:443 HTTP/1.1\r\n"]


async def test_the_fake_refuses_what_groq_refuses(groq: GroqProvider, groq_api: FakeLlmApi, heard: Heard) -> None:
    """A guard on the guard: none of the requests above were refused unscripted, and wrong ones are."""
    groq_api.plays(SMALL, Fail(400, {"error": {"message": "scripted"}}))
    with pytest.raises(ProviderError):
        await groq(ask(), MODEL, heard.send)
    too_hot = ask(temperature=3.0)

    with pytest.raises(ProviderError) as caught:
        await groq(too_hot, MODEL, heard.send)
    assert "between 0 and 2" in caught.value.said
