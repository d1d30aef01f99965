"""`python -m bot batch` and `extract` over the strict fake: as a person calls them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.bot.box import keyed
from tests.bot.test_cli import Command, command
from tests.fakes.llm_api import KEY, Fail, FakeLlmApi, Say, bad_request, over_capacity

__all__ = ["command"]


@pytest.fixture
async def groq() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as api:
        yield api


async def tern(
    folder: Path, groq: FakeLlmApi | None, *arguments: str, stdin: bytes = b"", **more: str
) -> tuple[int, str, str]:
    """Run a command to its end: (status, standard output, standard error)."""
    process = await started(folder, groq, *arguments, **more)
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def started(folder: Path, groq: FakeLlmApi | None, *arguments: str, **more: str) -> asyncio.subprocess.Process:
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "LOCAL_MODEL": "off", **keyed(groq), **more}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, env=environ, stdin=pipe, stdout=pipe, stderr=pipe
    )


def prompts(folder: Path, count: int) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"custom_id": f"q{n}", "prompt": f"number {n}"}) + "\n" for n in range(count)))
    return path


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def echo(body: dict[str, Any]) -> Say:
    return Say("I heard " + body["messages"][-1]["content"])


async def test_every_line_is_answered_with_its_id(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Each prompt has one answer that names it, whatever form its line has."""
    groq.answers(echo)
    source, target = tmp_path / "in", tmp_path / "out"
    whole = {"custom_id": "b", "method": "POST", "url": "/v1/chat/completions",
             "body": {"model": "speed", "messages": [{"role": "user", "content": "beta"}]}}  # fmt: skip
    source.write_text("alpha\n" + json.dumps(whole) + '\n\n{"no": 1}\n')

    status, _, err = await tern(tmp_path, groq, "batch", str(source), "-o", str(target))

    found = {one["custom_id"]: one for one in answers(target)}
    assert status == 1, err
    assert found["line-1"]["response"]["body"]["choices"][0]["message"]["content"] == "I heard alpha"
    assert found["b"]["response"]["body"]["choices"][0]["message"]["content"] == "I heard beta"
    assert "prompt" in found["line-4"]["error"]["message"]


async def test_killed_batch_goes_on_where_it_stopped(tmp_path: Path, groq: FakeLlmApi) -> None:
    """300 lines with faults, killed twice without warning: in the end every id stands there once."""
    asked = 0

    def faulty(body: dict[str, Any]) -> Say | Fail:
        nonlocal asked
        asked += 1
        return over_capacity() if asked % 20 == 0 else Say("fine", first_after_s=0.01)

    groq.answers(faulty)
    source, target = prompts(tmp_path, 300), tmp_path / "out.jsonl"
    command = ("batch", str(source), "-o", str(target))
    for enough in (60, 160):
        process = await started(tmp_path, groq, *command)
        async with asyncio.timeout(60):
            while not target.exists() or target.read_bytes().count(b"\n") < enough:
                await asyncio.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        await process.communicate()

    status, _, err = await tern(tmp_path, groq, *command)

    found = answers(target)
    assert status == 0, err
    assert sorted(one["custom_id"] for one in found) == sorted(f"q{n}" for n in range(300))
    assert all(one["response"]["status_code"] == 200 for one in found)


async def test_ctrl_c_finishes_what_is_under_way(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Interrupted once, it writes the answers it waits for, says what is left and how to go on."""
    groq.answers(lambda body: Say("fine", first_after_s=0.2))
    source, target = prompts(tmp_path, 200), tmp_path / "out.jsonl"
    process = await started(tmp_path, groq, "batch", str(source), "-o", str(target))
    async with asyncio.timeout(60):
        while not target.exists() or not target.read_bytes():
            await asyncio.sleep(0.02)

    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 30)

    done = len(answers(target))
    assert process.returncode == 3
    assert f"{200 - done} lines are left" in err.decode()
    assert len(groq.asked()) == done


async def test_a_second_ctrl_c_breaks_off_and_still_says_how_far_it_came(tmp_path: Path, groq: FakeLlmApi) -> None:
    """The lines under way are left for the next run; the summary and the exit status are as after the first."""
    groq.answers(lambda body: Say("fine", first_after_s=0.0 if body["messages"][-1]["content"] == "number 0" else 60.0))
    source, target = prompts(tmp_path, 20), tmp_path / "out.jsonl"
    process = await started(tmp_path, groq, "batch", str(source), "-o", str(target))
    async with asyncio.timeout(60):
        while not target.exists() or not target.read_bytes():
            await asyncio.sleep(0.02)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while b"Ctrl-C again" not in await process.stderr.readline():
            pass
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 3
    assert "1 of 20 lines are answered" in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_refused_key_is_said_and_nothing_is_lost(tmp_path: Path, groq: FakeLlmApi) -> None:
    """It stops at once, the file of answers holds no error, and with a good key the same command answers all."""
    groq.answers(echo)
    source, target = prompts(tmp_path, 50), tmp_path / "out.jsonl"
    command = ("batch", str(source), "-o", str(target))

    status, _, err = await tern(tmp_path, groq, *command, GROQ_API_KEY="gsk_wrong")

    assert status == 3
    assert "Nothing more was asked: Groq does not accept my API key" in err
    assert target.read_bytes() == b""
    assert (await tern(tmp_path, groq, *command))[0] == 0
    assert len(answers(target)) == 50


async def test_errors_show_in_the_exit_status(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Lines that are wrong themselves end with an error each; the commonest is named."""
    groq.answers(echo)
    source, target = tmp_path / "prompts", tmp_path / "out"
    source.write_text('{"no": 1}\n{"no": 2}\n"fine"\n')

    status, _, err = await tern(tmp_path, groq, "batch", str(source), "-o", str(target))

    assert status == 1
    assert 'The commonest error, 2 of 2: neither "body" nor "prompt" is there' in err


async def test_dry_run_asks_nobody(tmp_path: Path, groq: FakeLlmApi) -> None:
    """It prints tokens and price, and neither calls a model nor writes a file."""
    source, target = prompts(tmp_path, 3), tmp_path / "out"

    status, out, _ = await tern(tmp_path, groq, "batch", str(source), "-o", str(target), "--dry-run")

    assert status == 0
    assert "3 lines" in out
    assert "openai/gpt-oss-20b: 3 lines" in out
    assert not target.exists()
    assert not groq.asked()


async def test_provider_batch_is_fetched_by_the_next_call(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Stopped while Groq works, the same command later fetches the same batch: one upload, each id once."""
    groq.answers(lambda body: bad_request("no") if "number 2" in str(body["messages"]) else echo(body))
    groq.batches.looks = 1
    source, target = prompts(tmp_path, 5), tmp_path / "out.jsonl"
    command = ("batch", str(source), "-o", str(target), "--provider-batch")
    process = await started(tmp_path, groq, *command)
    async with asyncio.timeout(60):
        while not any("/batches/" in one.path for one in groq.requests):
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 3

    status, _, err = await tern(tmp_path, groq, *command)

    found = {one["custom_id"]: one for one in answers(target)}
    assert status == 1, err
    assert len(groq.batches.made) == 1
    assert sorted(found) == [f"q{n}" for n in range(5)]
    assert found["q2"]["error"]["status_code"] == 400
    assert found["q0"]["response"]["body"]["choices"][0]["message"]["content"] == "I heard number 0"
    assert not (tmp_path / "out.jsonl.batch").exists()


async def test_extract_writes_one_valid_line_a_file(tmp_path: Path, groq: FakeLlmApi) -> None:
    """Each file becomes one object that follows the schema; what cannot be read is named in its place."""
    groq.answers(lambda body: Say('{"name": "Ann", "price": 3.5}'))
    (tmp_path / "a.txt").write_text("Ann paid 3.50")
    (tmp_path / "b.bin").write_bytes(bytes(range(256)))

    status, out, err = await tern(
        tmp_path, groq, "extract", "--schema", "name, price:number", str(tmp_path / "a.txt"), str(tmp_path / "b.bin")
    )

    first, second = [json.loads(line) for line in out.splitlines()]
    assert first["data"] == {"name": "Ann", "price": 3.5}, err
    assert "cannot read" in second["error"]
    assert status == 1


async def test_extract_reads_rows_from_standard_input(tmp_path: Path, groq: FakeLlmApi) -> None:
    """With --rows and no file, standard input becomes one line an object."""
    groq.answers(lambda body: Say('{"items": [{"who": "Ann"}, {"who": "Bob"}]}'))

    _, out, _ = await tern(tmp_path, groq, "extract", "--schema", "who", "--rows", stdin=b"Ann and Bob")

    assert [json.loads(line)["data"]["who"] for line in out.splitlines()] == ["Ann", "Bob"]


async def test_without_a_model_nothing_is_answered(tmp_path: Path) -> None:
    """A file is not filled with errors because the key was forgotten; extraction says the same."""
    source, target = prompts(tmp_path, 3), tmp_path / "out"

    batch = await tern(tmp_path, None, "batch", str(source), "-o", str(target))
    extract = await tern(tmp_path, None, "extract", "--schema", "name", str(source))

    assert not target.exists()
    for status, _, err in (batch, extract):
        assert status == 2
        assert "GROQ_API_KEY" in err


async def test_local_server_is_asked_what_it_serves(tmp_path: Path, groq: FakeLlmApi) -> None:
    """LOCAL_MODEL as a bare URL answers a batch with the first model of its list."""
    groq.answers(echo)
    target = tmp_path / "out"
    url = groq.base_url.replace("http://", f"http://:{groq.key}@") + "/openai/v1"

    status, _, err = await tern(tmp_path, None, "batch", str(prompts(tmp_path, 1)), "-o", str(target), LOCAL_MODEL=url)

    assert status == 0, err
    assert answers(target)[0]["error"] is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("batch", "gone.jsonl", "-o", "out"), "there is no file gone.jsonl"),
        (("batch", ".", "-o", "out"), ". is a folder, not a file"),
        (("batch", "prompts.jsonl", "-o", "prompts.jsonl"), "cannot go into the file of prompts"),
        (("batch", "prompts.jsonl", "-o", "."), "-o: . is a folder"),
        (("batch", "broken.jsonl", "-o", "out"), "line 2: broken JSON"),
        (("batch", "prompts.jsonl", "-o", "nowhere/out"), "-o: no folder nowhere"),
        (("batch", "prompts.jsonl", "-o", "notes.txt"), "notes.txt is no file of answers"),
        (("batch", "prompts.jsonl", "-o", "out", "--model", "gpt-9"), "unknown model 'gpt-9'"),
        (("extract", "--schema", "fields.json", "prompts.jsonl"), "--schema: there is no file fields.json"),
        (("extract", "--schema", '{"type": "string"}', "prompts.jsonl"), "must describe an object"),
        (("extract", "--schema", "name", "--model", "gpt-9", "prompts.jsonl"), "--model: unknown model"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_wrong_use_is_a_sentence(command: Command, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """Paths, schemas and models that cannot be: named on standard error, exit status 2, nothing written."""
    prompts(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("mine\n")
    (tmp_path / "broken.jsonl").write_text('"fine"\n{"prompt": \n')

    status, _, err = command(*arguments, DATA_DIR=str(tmp_path), LOCAL_MODEL="off", GROQ_API_KEY=KEY)

    assert status == 2
    assert says in err
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine\n"
