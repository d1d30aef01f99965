"""The whole house over fake providers: it answers, survives what happens to it, and closes in order."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bot.app import build
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from core.domain.errors import SettingsError
from core.domain.incoming import ConversationKey, Incoming, UserKey
from tests.bot.box import CHAT, keyed, models_asked, open_box, until
from tests.fakes.llm_api import KEY, Cut, FakeLlmApi, Say, Stall, rate_limited, unauthorised

SPEED, QUALITY, BACKUP = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "gpt-6-luna"


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


@pytest.fixture
async def openai() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("openai") as api:
        yield api


async def test_message_is_answered(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A question goes through inbox, chat service and stack to Groq, and its answer is stored with its figures."""
    groq.plays(SPEED, Say("Terns fly far."))

    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await box.asks("How far do terns fly?")

    assert (turn.text, turn.state) == ("Terns fly far.", "answered")
    assert turn.facts["model"] == SPEED
    assert "How far do terns fly?" in json.dumps(groq.asked()[0].body)


async def test_history_reaches_the_next_question(tmp_path: Path, groq: FakeLlmApi) -> None:
    """The second question comes with the first one and its answer."""
    groq.plays(SPEED, Say("Your name is Ann."), Say("Ann, as you said."))

    async with open_box(tmp_path, keyed(groq)) as box:
        await box.asks("I am Ann.")
        await box.asks("Who am I?")

    told = [turn["content"] for turn in groq.asked()[1].body["messages"]]
    assert told[1:] == ["I am Ann.", "Your name is Ann.", "Who am I?"]


async def test_history_outlives_a_restart(tmp_path: Path, groq: FakeLlmApi) -> None:
    """What was said before the house closed is known when it opens again."""
    async with open_box(tmp_path, keyed(groq)) as box:
        await box.asks("I am Ann.")
    async with open_box(tmp_path, keyed(groq)) as box:
        await box.asks("Who am I?")

    assert "I am Ann." in json.dumps(groq.asked()[-1].body)


async def test_broken_answer_is_continued_by_another_model(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A stream that breaks in mid-sentence is finished by the next model; the reader sees one answer."""
    groq.plays(SPEED, Cut("Terns fly from pole to pole.", after=3))
    groq.plays(QUALITY, Say(" pole to pole."))

    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await box.asks("How far do terns fly?")

    assert turn.text == "Terns fly from pole to pole."
    assert turn.facts["continued"]


async def test_rejected_key_leaves_the_question_to_others(tmp_path: Path, groq: FakeLlmApi, openai: FakeLlmApi) -> None:
    """A key that Groq rejects is noticed at start; the first question goes straight to OpenAI."""
    environ = keyed(groq, openai) | {"GROQ_API_KEY": "gsk_wrong"}

    async with open_box(tmp_path, environ) as box:
        await until(lambda: box.app.registry.get(SPEED) and groq.requests and _rests(box.app, SPEED))
        turn = await box.asks("Hello?")

    assert turn.facts["provider"] == "openai"
    assert models_asked(groq) == []


async def test_model_that_is_not_listed_is_routed_around(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A model that GET /models does not show any more is never asked."""
    groq.dead.add(SPEED)

    async with open_box(tmp_path, keyed(groq)) as box:
        await until(lambda: box.app.registry.get(SPEED).status == "dead")
        turn = await box.asks("Hello?")

    assert turn.facts["model"] == QUALITY
    assert models_asked(groq) == [QUALITY]


async def test_unreachable_providers_do_not_fail_the_start(tmp_path: Path) -> None:
    """With no network at all the house opens, is ready, and keeps the message for later."""
    environ = {"GROQ_API_KEY": "gsk_x", "GROQ_BASE_URL": "http://127.0.0.1:9"}

    async with open_box(tmp_path, environ) as box:
        status, body = await box.get("/readyz")
        receipt = await box.says("Hello?")
        async with asyncio.timeout(20):
            while (turn := await box.turn(receipt.reply_id)) is None or turn.state != "waiting":
                await asyncio.sleep(0.02)

    assert (status, body["ready"]) == (200, True)


async def test_closing_lets_the_answer_finish(tmp_path: Path, groq: FakeLlmApi) -> None:
    """An answer that is being written when the house is told to close is finished first."""
    groq.plays(SPEED, Say("One two three four five six seven eight nine ten.", tokens_per_s=40))

    async with open_box(tmp_path, keyed(groq)) as box:
        receipt = await box.says("Count.")
        await until(lambda: groq.asked() and groq.asked()[0].tokens_sent > 2)
    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await box.turn(receipt.reply_id)

    assert turn is not None
    assert (turn.state, turn.text) == ("answered", "One two three four five six seven eight nine ten.")


async def test_closing_twice_does_not_wait(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A second signal cuts the drain short; the message is answered at the next start, once."""
    groq.plays(SPEED, Stall("Well, let me", after=2))

    async with open_box(tmp_path, keyed(groq)) as box:
        receipt = await box.says("Count.")
        await until(lambda: groq.asked() and groq.asked()[0].tokens_sent >= 2)
        box.app.stop()
        async with asyncio.timeout(10):
            box.app.stop()
    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await box.answer(receipt.reply_id)

    assert turn.state == "answered"


async def test_message_taken_in_while_closing_is_answered_later(tmp_path: Path, groq: FakeLlmApi) -> None:
    """What is accepted while the house closes is stored, and answered when it opens again."""
    async with open_box(tmp_path, keyed(groq)) as box:
        box.app.stop()
        receipt = await box.says("Hello?")
    async with open_box(tmp_path, keyed(groq)) as box:
        turn = await box.answer(receipt.reply_id)

    assert turn.state == "answered"


async def test_port_in_use_is_a_settings_problem(tmp_path: Path) -> None:
    """A port that somebody else has stops the start with a sentence that names PORT."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings.from_env({"DATA_DIR": str(tmp_path), "PORT": str(port), "LOCAL_MODEL": "off"})

        with pytest.raises(SettingsError, match=f"PORT: {port} is in use"):
            async with build(settings, Config()):
                pass


async def test_settings_that_reach_storage_too_late_are_still_sentences(tmp_path: Path) -> None:
    """A database of a kind that is not built is told at start."""
    settings = Settings.from_env({"DATA_DIR": str(tmp_path), "DATABASE_URL": "postgresql://db/tern"})

    with pytest.raises(SettingsError, match="DATABASE_URL"):
        async with build(settings, Config()):
            pass


async def test_reload_takes_new_personas_at_once(tmp_path: Path, groq: FakeLlmApi) -> None:
    """After SIGHUP a persona of the edited tern.toml answers."""
    async with open_box(tmp_path, keyed(groq)) as box:
        (tmp_path / "tern.toml").write_text('[personas.default]\nprompt = "Talk like a pirate."\n')
        box.app.reload()
        await box.asks("Hello?")

    assert "Talk like a pirate." in groq.asked()[0].body["messages"][0]["content"]


async def test_reload_of_a_broken_file_changes_nothing(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A mistake in the edited tern.toml leaves the former one in force."""
    async with open_box(tmp_path, keyed(groq), '[personas.default]\nprompt = "Be kind."\n') as box:
        (tmp_path / "tern.toml").write_text("[personas.default]\nprompt = 3\n")
        box.app.reload()
        await box.asks("Hello?")

    assert "Be kind." in groq.asked()[0].body["messages"][0]["content"]


async def test_limits_of_the_config_hold(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A ceiling from tern.toml refuses with a sentence, and 0 lifts one."""
    async with open_box(tmp_path, keyed(groq), "[limits]\nrequests_per_minute = 1\ntokens_per_day = 0\n") as box:
        first, second = await box.asks("One."), await box.asks("Two.")

    assert (first.state, second.state) == ("answered", "failed")
    assert second.facts["outcome"] == "OverLimit"


async def test_daily_spend_stops_the_whole_bot(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Once the day's money is spent the next question is refused in words, and costs nothing."""
    groq.plays(SPEED, Say("tern " * 3_000, burst=1_000))  # 3,000 tokens at 0.30 USD a million

    async with open_box(tmp_path, keyed(groq), "[bot]\ndaily_spend_usd = 0.001\n") as box:
        first, second = await box.asks("One."), await box.asks("Two.")

    assert (first.state, second.facts["outcome"]) == ("answered", "SpendStopped")
    assert second.facts["sentence"]
    assert len(models_asked(groq)) == 1


async def test_bot_leaves_the_terminals_messages_alone(tmp_path: Path, groq: FakeLlmApi) -> None:
    """What a crash of `python -m bot chat` left behind waits for the next chat: the bot has no screen for it."""
    key = ConversationKey("terminal", "", "terminal", "t1")
    incoming = Incoming("t-1", "t-1", UserKey("terminal", "", "local"), key, "Hello?", 1.0, direct=True)

    async with open_box(tmp_path, keyed(groq)) as box:
        await box.app.storage.inbox.accept(incoming, None, "run00000000000001", "reply0000000000001", claim=False)
        await box.asks("Is anybody there?")

    assert "Hello?" not in json.dumps([request.body for request in groq.asked()])


async def test_public_address_without_keys_keeps_the_page_shut(tmp_path: Path) -> None:
    """Bound to every address without API_KEYS, page and API are off and say why; health answers."""
    async with open_box(tmp_path, {"HOST": "0.0.0.0"}) as box:
        models, why = await box.get("/v1/models")
        health, _ = await box.get("/healthz")

    assert (models, health) == (403, 200)
    assert "API_KEYS" in json.dumps(why)


async def test_readiness_falls_while_closing(tmp_path: Path, groq: FakeLlmApi) -> None:
    """From the moment it is told to close the house is not ready, while it still answers what it began."""
    groq.plays(SPEED, Say("One two three four five six seven eight.", tokens_per_s=20))

    async with open_box(tmp_path, keyed(groq)) as box:
        await box.says("Count.")
        await until(lambda: groq.asked() and groq.asked()[0].tokens_sent > 1)
        box.app.stop()
        await until(lambda: not box.app.inbox.open)
        status, body = await box.get("/readyz")

    assert (status, body["intake_open"]) == (503, False)


async def test_api_streams_through_the_same_stack(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A POST to /v1/chat/completions is answered by the models, and counted where messages are."""
    groq.plays(SPEED, Say("Hello from Groq."))
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}

    async with open_box(tmp_path, keyed(groq)) as box, aiohttp.ClientSession() as session:
        async with session.post(f"{box.app.url}/v1/chat/completions", json=body) as response:
            reply = await response.json()
        async with session.get(f"{box.app.url}/metrics") as response:
            metrics = await response.text()

    assert reply["choices"][0]["message"]["content"] == "Hello from Groq."
    assert f'tern_requests_total{{kind="chat",model="{SPEED}",outcome="ok"}} 1.0' in metrics


async def test_used_up_day_is_remembered_over_a_restart(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A model whose day is used up is not asked again by the next process."""
    groq.plays(SPEED, rate_limited("TPD", model=SPEED, limit=200_000, used=200_000, wait="2h0m0s"))

    async with open_box(tmp_path, keyed(groq)) as box:
        await box.asks("One.")
    async with open_box(tmp_path, keyed(groq)) as box:
        await box.asks("Two.")

    assert models_asked(groq) == [SPEED, QUALITY, QUALITY]


async def test_local_server_is_asked_what_it_serves(tmp_path: Path) -> None:
    """LOCAL_MODEL as a URL without a model's name: the server's own list decides, and its model answers."""
    async with FakeLlmApi("local") as server:
        server.default = Say("Local and fine.")
        async with open_box(tmp_path, {"LOCAL_MODEL": server.base_url.replace("//", f"//:{KEY}@")}) as box:
            await until(lambda: any(model.provider == "local" for model in box.app.registry.usable()))
            turn = await box.asks("Hello?")

    assert turn.text == "Local and fine."
    assert turn.facts["provider"] == "local"


async def test_forgotten_conversation_is_gone_everywhere(tmp_path: Path, groq: FakeLlmApi) -> None:
    """After forget the conversation is neither listed nor told to a model."""
    async with open_box(tmp_path, keyed(groq)) as box:
        await box.asks("My secret is a puffin.")
        await box.app.commands.forget(UserKey("web", "", "local"), CHAT)
        await box.asks("What is my secret?")

    assert "puffin" not in json.dumps(groq.asked()[-1].body)


async def test_wrong_key_in_mid_life_is_told_in_words(tmp_path: Path, groq: FakeLlmApi) -> None:
    """A key that is revoked while the bot runs, with nobody to stand in, leaves a waiting message, not a traceback."""
    groq.answers(lambda body: unauthorised())

    async with open_box(tmp_path, keyed(groq)) as box:
        receipt = await box.says("Hello?")
        async with asyncio.timeout(20):
            while (turn := await box.turn(receipt.reply_id)) is None or turn.state == "running":
                await asyncio.sleep(0.02)

    assert turn.state in ("waiting", "failed")
    assert turn.facts.get("sentence")


def _rests(app: object, model_id: str) -> bool:
    from bot.app import App

    assert isinstance(app, App)
    return app._stack.breaker.resting(app.registry.get(model_id)) is not None
