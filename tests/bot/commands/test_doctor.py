"""The doctor finds what is wrong from outside, and says what to do about it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.commands.doctor import (
    Finding,
    check_database,
    check_disk,
    check_exposure,
    check_mcp_servers,
    examine,
    report,
    standard_checks,
)
from bot.config.loading import Loaded
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from core.domain.errors import ConnectionFailed, KeyRejected, ProviderError
from core.gateway.registry import load_registry
from core.ports.gateway import RemoteModel
from tests.fakes.clock import FakeClock


class Listing:
    """A provider's list of models, or its refusal."""

    def __init__(self, answer: Sequence[str] | ProviderError) -> None:
        self.answer = answer

    async def models(self) -> Sequence[RemoteModel]:
        if isinstance(self.answer, ProviderError):
            raise self.answer
        return [RemoteModel(model_id) for model_id in self.answer]


async def examined(tmp_path: Path, listing: Listing | None = None, config: str = "", **environ: str) -> list[Finding]:
    read = Config.read(config)
    settings = Settings.from_env({"DATA_DIR": str(tmp_path), **environ})
    loaded = Loaded(settings, read, load_registry(read.models))
    catalogues = {"groq": listing} if listing else {}
    return await examine(standard_checks(loaded, catalogues, database=tmp_path / "tern.db", clock=FakeClock()))


async def test_rejected_key_is_bad_and_says_where_to_get_one(tmp_path: Path) -> None:
    """A wrong key is named by its variable, with the page where a new one is made."""
    found = await examined(tmp_path, Listing(KeyRejected("invalid", provider="groq", status=401)), GROQ_API_KEY="gsk_x")

    (key,) = [finding for finding in found if finding.subject == "GROQ_API_KEY"]
    assert key.level == "bad"
    assert "console.groq.com/keys" in key.advice


async def test_unreachable_provider_is_not_a_wrong_key(tmp_path: Path) -> None:
    """No connection points at the network, not at the key."""
    found = await examined(tmp_path, Listing(ConnectionFailed("refused", provider="groq")), GROQ_API_KEY="gsk_x")

    assert any("HTTPS_PROXY" in finding.advice for finding in found if finding.level == "bad")


async def test_model_missing_from_the_list_is_named(tmp_path: Path) -> None:
    """An id that the provider does not list any more is told; the ones it lists are not."""
    listed = ["openai/gpt-oss-20b", "qwen/qwen3.8-27b", "whisper-large-v3", "whisper-large-v3-turbo"]

    found = await examined(tmp_path, Listing(listed), GROQ_API_KEY="gsk_x")

    texts = " ".join(finding.text for finding in found if finding.level == "warn")
    assert "openai/gpt-oss-120b is not in its list" in texts
    assert "openai/gpt-oss-20b" not in texts


async def test_no_key_at_all_is_worth_knowing(tmp_path: Path) -> None:
    """Without a key it warns and says where one is free."""
    found = await examined(tmp_path)

    assert any(finding.subject == "keys" and finding.level == "warn" for finding in found)


async def test_retired_model_in_the_config_is_found(tmp_path: Path) -> None:
    """A retired id in tern.toml is found here as well as at start."""
    found = await examined(tmp_path, config='[personas.a]\nprompt = "x"\nmodel = "llama-3.1-8b-instant"')

    assert any("retired" in finding.text for finding in found)


async def test_broken_check_is_a_finding() -> None:
    """A check that crashes does not take the doctor down."""

    async def moon_phase() -> Sequence[Finding]:
        raise RuntimeError("new moon")

    (finding,) = await examine([moon_phase])

    assert finding.level == "bad"
    assert "new moon" in finding.text


async def test_hanging_check_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that gets no answer ends, with advice."""
    monkeypatch.setattr("bot.commands.doctor.CHECK_WITHIN_S", 0.01)

    async def never() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    (finding,) = await examine([never])

    assert "no answer" in finding.text


def test_absent_database_is_fine(tmp_path: Path) -> None:
    """Before the first start there is none."""
    assert check_database(tmp_path / "tern.db").level == "ok"


def test_damaged_database_is_bad(tmp_path: Path) -> None:
    """A file that is no database is bad, and restore is the advice."""
    path = tmp_path / "tern.db"
    path.write_bytes(b"not a database at all" * 100)

    finding = check_database(path)

    assert finding.level == "bad"
    assert "restore" in finding.advice


def test_looking_at_a_database_changes_nothing(tmp_path: Path) -> None:
    """The doctor reads; it makes no file beside the database and leaves its bytes alone."""
    path = tmp_path / "tern.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    path.chmod(0o600)
    before = path.read_bytes()

    assert check_database(path).level == "ok"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_missing_data_dir_is_judged_by_its_parent(tmp_path: Path) -> None:
    """A data directory that is not there yet is fine where it can be made."""
    (finding,) = check_disk(tmp_path / "not" / "yet")

    assert finding.level == "ok"


def test_full_disk_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room is told in megabytes."""
    monkeypatch.setattr("bot.commands.doctor.MIN_FREE_BYTES", 2**63)

    (finding,) = check_disk(tmp_path)

    assert finding.level == "bad"


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({}, "ok"),
        ({"HOST": "0.0.0.0"}, "warn"),
        ({"API_KEYS": "long-and-random-enough"}, "ok"),
        ({"HOST": "0.0.0.0", "API_KEYS": "long-and-random-enough"}, "ok"),
    ],
)
def test_exposure(environ: dict[str, str], level: str) -> None:
    """A public address without good keys is worth a warning."""
    (finding,) = check_exposure(Settings.from_env(environ))

    assert finding.level == level


def test_report_counts_and_advises() -> None:
    """The report shows each finding, its advice below it, and the sum."""
    text = report([Finding("ok", "disk", "fine"), Finding("bad", "GROQ_API_KEY", "was rejected", "make a new one")])

    assert text.splitlines() == [
        "ok    disk: fine",
        "BAD   GROQ_API_KEY: was rejected",
        "      -> make a new one",
        "1 to mend, 0 to know.",
    ]


async def test_mcp_servers_are_tried() -> None:
    """A server that answers is counted, with the tools of tern.toml that it lacks; one that does not start is bad."""
    command = json.dumps([sys.executable, "-m", "mcp_server_time"])
    config = Config.read(
        f'[mcp.servers.time]\ncommand = {command}\nreads_only = ["fly"]\n'
        '[mcp.servers.gone]\ncommand = ["no-such-program"]\n'
    )

    time, gone = await check_mcp_servers(config)

    assert (time.level, time.text) == ("warn", "it offers 2 tools")
    assert "it has no fly" in time.advice
    assert gone.level == "bad"


def test_database_that_others_can_read_is_named(tmp_path: Path) -> None:
    """Everybody's messages stand in it."""
    path = tmp_path / "tern.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    path.chmod(0o644)

    finding = check_database(path)

    assert (finding.level, finding.advice) == ("warn", f"chmod 600 {path}")
