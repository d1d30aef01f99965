"""The embedded model's process: started on need, replaced when it dies, ended with its parent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bot.local import server as local_server
from bot.local.choice import EMBEDDED
from bot.local.model import Endpoint, LocalModel, wanted_start
from core.domain.errors import Overloaded
from core.domain.events import Send, TextDelta
from core.domain.incoming import UserKey
from core.domain.model_spec import ModelSpec
from core.domain.requests import ChatRequest, Reply, Text, Turn, Usage
from tests.fakes.clock import FakeClock

REQUEST = ChatRequest("r1", UserKey("web", "", "u"), (Turn("user", (Text("hi"),)),))

FAKE_CHILD = """
import json, os, sys
start = json.loads(sys.stdin.readline())
assert start["api_key"] and not any(name.endswith("_KEY") for name in os.environ)
if {mode!r} == "dies":
    sys.exit(7)
if {mode!r} == "is deaf":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({{"error": "no such file"}} if {mode!r} == "refuses" else {{"port": 4242}}), flush=True)
sys.stdin.read()
"""
"""Keeps the protocol of local_server.py, and misbehaves as it does."""


class Client:
    """The HTTP client's stand-in: answers with the endpoint it was made for."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.closed = False

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        assert not self.closed
        return Reply(self.endpoint.base_url, model.id, "local", Usage())

    async def close(self) -> None:
        self.closed = True


class Circling(Client):
    """Says one thing for ever."""

    async def __call__(self, request: ChatRequest, model: ModelSpec, send: Send) -> Reply:
        while True:
            await send(TextDelta("Terns nest on gravel.\n"))


async def unheard(event: object) -> None:
    """Nobody reads these events."""


class House:
    """A LocalModel over fake children, and the clients it made."""

    def __init__(self, clock: FakeClock, mode: str = "works", **kwargs: Any) -> None:
        self.clients: list[Client] = []
        self.model = LocalModel(
            wanted_start("", threads=None, cores=2),
            clock=clock,
            random=Random(1),
            environ={"PATH": os.environ["PATH"]},
            command=(sys.executable, "-S", "-c", FAKE_CHILD.format(mode=mode)),
            **({"keep_warm": False, "connect": self.connect} | kwargs),
        )

    def connect(self, endpoint: Endpoint) -> Client:
        self.clients.append(Client(endpoint))
        return self.clients[-1]

    async def ask(self) -> Reply:
        return await self.model(REQUEST, EMBEDDED, unheard)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[House]:
        task = asyncio.ensure_future(self.model.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def kill(self) -> None:
        process = self.model._process
        assert process is not None
        process.kill()
        await process.wait()


async def test_process_starts_on_first_need(clock: FakeClock) -> None:
    """Nothing runs until the first request; then one process answers all."""
    async with House(clock).open() as house:
        assert not house.model.running

        replies = [await house.ask(), await house.ask()]

        assert [reply.text for reply in replies] == ["http://127.0.0.1:4242/v1"] * 2
        assert len(house.clients) == 1


async def test_a_model_that_goes_round_is_ended(clock: FakeClock) -> None:
    """What stands stays, as a whole answer; the model is not listened to any longer."""
    heard: list[str] = []

    async def hear(event: object) -> None:
        if isinstance(event, TextDelta):
            heard.append(event.text)

    async with House(clock, connect=Circling).open() as house:
        reply = await house.model(REQUEST, EMBEDDED, hear)

    assert (reply.text, reply.finish) == ("Terns nest on gravel.\n" * 3, "stop")
    assert "".join(heard) == reply.text
    assert reply.usage.output_tokens > 0


async def test_requests_at_once_share_one_start(clock: FakeClock) -> None:
    """Five first requests start one process."""
    async with House(clock).open() as house:
        await asyncio.gather(*(house.ask() for _ in range(5)))

        assert len(house.clients) == 1


async def test_every_start_has_its_own_key(clock: FakeClock) -> None:
    """A key that leaked is worth nothing after a restart."""
    async with House(clock).open() as house:
        await house.ask()
        await house.kill()
        with pytest.raises(Overloaded):
            await house.ask()
        await clock.advance(60)
        await house.ask()

        first, second = house.clients
        assert first.endpoint.api_key != second.endpoint.api_key
        assert len(first.endpoint.api_key) >= 32


async def test_death_is_a_provider_failure_that_passes(clock: FakeClock) -> None:
    """After the process died requests fail at once as Overloaded, saying when to come back; then it runs again."""
    async with House(clock).open() as house:
        await house.ask()
        await house.kill()

        with pytest.raises(Overloaded) as caught:
            await house.ask()

        assert caught.value.provider == "local"
        assert 0 < (caught.value.retry_after_s or 0) <= 1.0
        assert house.clients[0].closed
        await clock.advance(1.0)
        assert (await house.ask()).text


@pytest.mark.parametrize(("mode", "reason"), [("refuses", "no such file"), ("dies", "status 7")])
async def test_failed_start_names_its_reason(clock: FakeClock, mode: str, reason: str) -> None:
    """Whether the child says why or just ends, the failure carries the reason."""
    async with House(clock, mode).open() as house:
        with pytest.raises(Overloaded, match=reason):
            await house.ask()

        assert reason in house.model.problem
        assert not house.model.running


async def test_idle_process_is_stopped(clock: FakeClock) -> None:
    """After its idle time the process ends; the next request starts it again."""
    async with House(clock, idle_stop_s=60.0).open() as house:
        await house.ask()
        await clock.advance(61)
        await asyncio.wait_for(until(lambda: not house.model.running), 5)

        assert (await house.ask()).text
        assert len(house.clients) == 2


async def test_starting_process_is_not_idle(clock: FakeClock) -> None:
    """A start that takes longer than the idle time since the last use is waited for, not stopped."""
    async with House(clock, idle_stop_s=60.0).open() as house:
        asking = asyncio.ensure_future(house.ask())
        await asyncio.wait_for(until(lambda: house.model.running), 5)
        await clock.advance(100)

        assert (await asking).text
        assert len(house.clients) == 1


async def test_only_model_is_kept_warm(clock: FakeClock) -> None:
    """Where it is the only model there is, it starts without being asked and never idles away."""
    async with House(clock, keep_warm=True, idle_stop_s=1.0).open() as house:
        await asyncio.wait_for(until(lambda: bool(house.clients)), 5)
        await clock.advance(100)

        assert house.model.running


async def test_leaving_ends_the_process(clock: FakeClock) -> None:
    """When the house closes, no child is left behind."""
    async with House(clock).open() as house:
        await house.ask()
        process = house.model._process

    assert process is not None
    assert process.returncode is not None


async def test_process_that_does_not_end_is_killed(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for a process that ignores the wish that it end."""
    monkeypatch.setattr("bot.local.model._END_WITHIN_S", 0.05)
    house = House(clock, "is deaf")

    async with house.open():
        await house.ask()
        process = house.model._process
        assert process is not None

    assert process.returncode == -9


async def test_stopped_start_is_no_crash(clock: FakeClock) -> None:
    """A user who stops while the model loads does not make the next one wait."""
    async with House(clock).open() as house:
        task = asyncio.ensure_future(house.ask())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        assert (await house.ask()).text


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 3), (64, 4)])
def test_one_core_is_left_to_the_bot(cores: int, threads: int) -> None:
    """The model never takes the last core, and never more than four."""
    assert local_server.threads_for(cores) == threads


def test_text_file_is_not_taken_for_a_model(tmp_path: Path) -> None:
    """A file that is no GGUF is refused by name before llama.cpp sees it."""
    path = tmp_path / "notes.gguf"
    path.write_text("hello")

    with pytest.raises(FileNotFoundError, match="is not a GGUF file"):
        local_server.find_model(str(path))


@pytest.mark.parametrize("content", [b"GGUF and other weights", b"GGUF"])
def test_weights_that_are_not_ours_are_not_loaded(tmp_path: Path, content: bytes) -> None:
    """The embedded model is loaded only where its file is the one that was tried, byte for byte."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    with pytest.raises(FileNotFoundError, match="make setup"):
        local_server.check_embedded(path)
    local_server.check_embedded(path, expected=hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="module")
def real_child() -> Any:
    """The real child process with the real model, and what it reported."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    start = replace(wanted_start("", threads=1, cores=2), api_key="a-random-key")
    child = subprocess.Popen(
        [sys.executable, "-m", "bot", "local-model"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(local_server.as_json(start))
    answer = json.loads(child.stdout.readline())
    yield child, answer
    child.stdin.close()
    child.wait(5)


def ask_real(port: int, key: str) -> Any:
    turns = [
        {"role": "system", "content": "You are a helpful AI assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    body = {"messages": turns, "max_tokens": 20, "temperature": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_embedded_model_really_answers(real_child: Any) -> None:
    """The model from the package answers over loopback with words."""
    _, answer = real_child

    reply = ask_real(answer["port"], "a-random-key")

    assert "Paris" in reply["choices"][0]["message"]["content"]


def test_embedded_model_refuses_other_keys(real_child: Any) -> None:
    """Nobody else on the machine can use it."""
    _, answer = real_child

    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask_real(answer["port"], "another")


def test_child_ends_when_its_parent_is_gone(real_child: Any) -> None:
    """Closing its standard input, as a killed parent does, ends it."""
    child, _ = real_child

    child.stdin.close()

    assert child.wait(10) == 0
