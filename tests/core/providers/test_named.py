"""Servers by name, against a strict fake of each flavour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.domain.errors import KeyRejected, Overloaded, RequestRejected
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import OutputFormat, Text, Tool, ToolCall, ToolResult, Turn
from core.providers.flavours import FLAVOURS, shaped
from core.providers.named import NamedProvider
from core.providers.wire import chat_body
from tests.core.providers.conftest import QUICK, Heard, ask
from tests.core.providers.streams import DONE, c, d, t
from tests.fakes.other_apis import KEY, other_api, refusal

MODEL = ModelSpec(
    "elsewhere/their/model", "elsewhere", "quality", 32_000, 4_000,
    frozenset({Capability.TEXT, Capability.TOOLS, Capability.JSON, Capability.JSON_SCHEMA}),
)  # fmt: skip
WEATHER = Tool("weather", "Look it up", {"type": "object", "properties": {}}, strict=True)
RICH = ask(
    turns=(
        Turn("user", (Text("weather?"),)),
        Turn("assistant", ()),
        Turn("assistant", (ToolCall("c1", "weather", "{}"),)),
        Turn("tool", (ToolResult("c1", "weather", "sunny"),)),
        Turn("user", (Text("and now?"),)),
    ),
    tools=(WEATHER,),
    tool_choice="required",
    parallel_tool_calls=False,
    max_output_tokens=100,
    temperature=0.5,
    seed=7,
    stop=("\n",),
)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_everything_we_can_ask_is_fit_for_each(flavour: str) -> None:
    """Tools, choices, seeds and limits, in the words that each of them takes."""
    schema = OutputFormat("json_schema", schema={"type": "object", "properties": {}})
    for request in (RICH, replace(RICH, tools=(), tool_choice=None, output_format=schema)):
        body = chat_body(request, MODEL, "other")

        assert refusal(flavour, shaped(body, FLAVOURS[flavour])) == ""


@pytest.mark.parametrize("flavour", ["compatible", "openrouter", "azure", "mistral", "vllm"])
async def test_an_answer_from_elsewhere(flavour: str, heard: Heard) -> None:
    """With its own key and its own name for the model."""
    async with other_api(flavour, [t("Hel"), t("lo."), c(finish="stop"), DONE]) as api:
        provider = NamedProvider("elsewhere", FLAVOURS[flavour], base_url=api.base_url, key=KEY, timeouts=QUICK)
        reply = await provider(ask(), MODEL, heard.send)
        await provider.close()

    assert (reply.text, reply.provider, reply.model) == ("Hello.", "elsewhere", MODEL.id)
    assert api.bodies[0]["model"] == "their/model"


async def test_an_error_in_mid_stream_is_told_by_its_number(heard: Heard) -> None:
    """OpenRouter: status 200, comments, then an error whose code is a status."""
    broken = d({"error": {"code": 502, "message": "Provider disconnected"}, "choices": [{"finish_reason": "error"}]})
    async with other_api("openrouter", [b": OPENROUTER PROCESSING\n\n", t("Half"), broken]) as api:
        provider = NamedProvider("elsewhere", FLAVOURS["openrouter"], base_url=api.base_url, key=KEY, timeouts=QUICK)
        with pytest.raises(Overloaded):
            await provider(ask(), MODEL, heard.send)
        await provider.close()

    assert heard.text == "Half"


async def test_a_wrong_key_and_a_refusal(heard: Heard) -> None:
    """As from any provider."""
    async with other_api("mistral", []) as api:
        wrong = NamedProvider("elsewhere", FLAVOURS["mistral"], base_url=api.base_url, key="x", timeouts=QUICK)
        unfit = NamedProvider("elsewhere", FLAVOURS["vllm"], base_url=api.base_url, key=KEY, timeouts=QUICK)
        with pytest.raises(KeyRejected):
            await wrong(ask(), MODEL, heard.send)
        with pytest.raises(RequestRejected):
            await unfit(ask(seed=1), MODEL, heard.send)
        await wrong.close()
        await unfit.close()


async def test_a_list_that_says_nothing_is_not_asked_for(heard: Heard) -> None:
    """Azure lists what exists, not what was deployed: every model would be taken for dead."""
    async with other_api("vllm", []) as api:
        lists = NamedProvider("elsewhere", FLAVOURS["vllm"], base_url=api.base_url, key=KEY)
        mute = NamedProvider("elsewhere", FLAVOURS["azure"], base_url=api.base_url, key=KEY)
        assert [model.id for model in await lists.models()] == ["their/model"]
        assert list(await mute.models()) == []
        await lists.close()
        await mute.close()
