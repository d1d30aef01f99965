"""`python -m bot doctor`: looks at everything that can be wrong from outside and says what to do.

A check is an async function that returns findings and never raises; each part brings its own, and `examine` runs them
side by side. Nothing is changed by looking.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from bot.config import mapping
from bot.config.loading import Loaded
from bot.config.settings import Settings
from bot.config.tern_toml import Config
from bot.local import server as local_server
from bot.local.choice import choice_of
from bot.startup_report import GROQ_KEYS_URL, model_warnings, sunset_warnings
from core.base.clock import Clock
from core.domain.errors import ConnectionFailed, KeyRejected, ProviderError, Unreadable
from core.files.confinement import GUARDS
from core.files.sandbox import Sandbox
from core.files.values import Document, Job, ReadLimits
from core.ports.gateway import Catalogue
from core.ports.platform import Finding as Finding
from core.tools.mcp import McpFailed, offered_tools

MIN_FREE_BYTES = 500 * 2**20
"""Below this the disk is called nearly full: the database, its log and a backup each need room."""

CHECK_WITHIN_S = 20.0

KEY_PAGES = {"groq": GROQ_KEYS_URL, "openai": "https://platform.openai.com/api-keys"}


Check = Callable[[], Awaitable[Sequence[Finding]]]


async def examine(checks: Sequence[Check]) -> list[Finding]:
    """Run every check side by side; a check that breaks or hangs is itself a finding."""

    async def one(check: Check) -> Sequence[Finding]:
        name = getattr(check, "__name__", "check").strip("_").replace("_", " ")
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                return await check()
        except TimeoutError:
            return [
                Finding("bad", name, f"no answer within {CHECK_WITHIN_S:.0f} s", "check the network and HTTPS_PROXY")
            ]
        except Exception as error:  # noqa: BLE001 - a doctor that crashes helps nobody
            return [Finding("bad", name, f"could not be checked: {type(error).__name__}: {error}")]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(check)) for check in checks]
    return [finding for task in tasks for finding in task.result()]


def standard_checks(
    loaded: Loaded, catalogues: Mapping[str, Catalogue], *, database: Path, clock: Clock
) -> list[Check]:
    """The checks that need no platform: keys and model ids, local model, database, disk, exposure."""
    settings = loaded.settings

    async def models() -> list[Finding]:
        warnings = [*model_warnings(loaded.config, loaded.registry), *sunset_warnings(loaded.registry, clock.now())]
        return [Finding("warn", "models", text, "change the id in tern.toml") for text in warnings]

    async def local_model() -> list[Finding]:
        return [check_local_model(settings)]

    async def disk() -> list[Finding]:
        return check_disk(settings.data_dir)

    async def database_file() -> list[Finding]:
        return [check_database(database)]

    async def exposure() -> list[Finding]:
        return check_exposure(settings)

    async def mcp_servers() -> list[Finding]:
        return await check_mcp_servers(loaded.config)

    async def sandbox() -> list[Finding]:
        return await check_sandbox(clock)

    keys = [_check_of_key(name, catalogue, loaded) for name, catalogue in catalogues.items()]
    missing = [] if settings.has_model_key else [_no_key]
    own = (models, local_model, mcp_servers, database_file, disk, exposure, sandbox)
    return [*keys, *missing, *own, _slack(loaded, clock), _discord(loaded)]


def _slack(loaded: Loaded, clock: Clock) -> Check:
    async def slack() -> list[Finding]:
        settings = mapping.slack_settings(loaded.settings, loaded.config)
        if settings is None:
            given = loaded.settings
            if not (given.slack_bot_token or given.slack_app_token or given.slack_signing_secret):
                return [Finding("ok", "Slack", "off: SLACK_BOT_TOKEN is not set")]
            missing = "SLACK_APP_TOKEN or SLACK_SIGNING_SECRET" if given.slack_bot_token else "SLACK_BOT_TOKEN"
            return [Finding("bad", "Slack", f"off: {missing} is not set", "see .env.example")]
        from adapters.slack.checkup import examine_slack

        named = [key.partition(":")[2] for key in loaded.config.channels if key.startswith("slack:")]
        return await examine_slack(settings, clock, channels=named)

    return slack


def _discord(loaded: Loaded) -> Check:
    async def discord() -> list[Finding]:
        settings = mapping.discord_settings(loaded.settings, loaded.config)
        if settings is None:
            return [Finding("ok", "Discord", "off: DISCORD_BOT_TOKEN is not set")]
        from adapters.discord.checkup import examine_discord

        named = [key.partition(":")[2] for key in loaded.config.channels if key.startswith("discord:")]
        return await examine_discord(settings, channels=named)

    return discord


async def check_sandbox(clock: Clock) -> list[Finding]:
    """Start a reader of files and ask it what it has given up on this machine."""
    try:
        async with Sandbox(clock, job_deadline_s=_SANDBOX_S) as sandbox:
            told = await sandbox.run(Job("guards", "", b"", ReadLimits()))
    except Unreadable as error:
        return [Finding("bad", "file reader", f"it does not start: {error.why}", "attachments cannot be read")]
    held = told.text.splitlines() if isinstance(told, Document) else []
    missing = [guard for guard in GUARDS if guard not in held]
    if not missing:
        return [Finding("ok", "file reader", f"holds: {', '.join(held)}")]
    text = f"does not hold here: {', '.join(missing)}; holds: {', '.join(held) or 'nothing'}"
    return [Finding("warn", "file reader", text, "see SECURITY.md for what each means; a newer kernel may allow more")]


_SANDBOX_S = 15.0


async def check_mcp_servers(config: Config) -> list[Finding]:
    """Start each server of `[mcp.servers]` and count its tools."""
    findings = []
    for server in mapping.mcp_servers(config):
        subject = f"mcp {server.name}"
        try:
            async with asyncio.timeout(_MCP_S):
                offered = await offered_tools(server)
        except TimeoutError:
            findings.append(Finding("bad", subject, f"it did not answer within {_MCP_S:.0f} s", _MCP_ADVICE))
        except McpFailed as error:
            findings.append(Finding("bad", subject, str(error), _MCP_ADVICE))
        else:
            missing = sorted((server.tools or server.reads_only | server.acts) - set(offered))
            advice = f"it has no {', '.join(missing)}; it has {', '.join(offered)}" if missing else ""
            findings.append(Finding("warn" if missing else "ok", subject, f"it offers {len(offered)} tools", advice))
    return findings


_MCP_S = 15.0
_MCP_ADVICE = "try its command or url from [mcp.servers] in tern.toml by hand"


async def _no_key() -> list[Finding]:
    advice = f"get a free key at {GROQ_KEYS_URL} and set GROQ_API_KEY"
    return [Finding("warn", "keys", "neither GROQ_API_KEY nor OPENAI_API_KEY is set", advice)]


def _check_of_key(provider: str, catalogue: Catalogue, loaded: Loaded) -> Check:
    named = loaded.config.providers.get(provider)
    variable = named.key.removeprefix("env:") or f"providers.{provider}" if named else f"{provider.upper()}_API_KEY"

    async def key() -> list[Finding]:
        try:
            listed = {model.id for model in await catalogue.models() if model.active is not False}
        except KeyRejected:
            return [Finding("bad", variable, "was rejected", f"make a new key at {KEY_PAGES.get(provider, provider)}")]
        except ConnectionFailed as error:
            return [Finding("bad", provider, f"cannot be reached: {error.detail}", "check the network and HTTPS_PROXY")]
        except ProviderError as error:
            return [Finding("warn", provider, f"did not list its models: {error}", "try again in a minute")]
        ours = [model for model in loaded.registry.all() if model.provider == provider]
        gone = [model.id for model in ours if listed and model.name_there not in listed]
        findings = [Finding("ok", variable, f"works; {provider} lists {len(listed)} models")]
        findings += [
            Finding("warn", provider, f"{model_id} is not in its list", "it is left out until it is listed again")
            for model_id in gone
        ]
        return findings

    key.__name__ = variable
    return key


def check_local_model(settings: Settings) -> Finding:
    if settings.local_model == "off":
        return Finding("ok", "local", "switched off by LOCAL_MODEL=off")
    if settings.local_model.startswith(("http://", "https://")):
        return Finding("ok", "local", f"LOCAL_MODEL is a server: {choice_of(settings.local_model).base_url}")
    try:
        return Finding("ok", "local", f"model file {local_server.find_model(settings.local_model).name}")
    except OSError as error:
        return Finding("warn" if settings.has_model_key else "bad", "local", str(error), "run `make setup`")


def check_disk(data_dir: Path) -> list[Finding]:
    """Whether *data_dir* can be written and has room."""
    existing = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return [Finding("bad", "disk", f"{existing} cannot be written", "give Tern's user the folder, or set DATA_DIR")]
    free = shutil.disk_usage(existing).free
    if free < MIN_FREE_BYTES:
        return [Finding("bad", "disk", f"only {free // 2**20} MB are free in {existing}", "make room")]
    return [Finding("ok", "disk", f"{free / 2**30:.1f} GB free in {existing}")]


def check_database(path: Path) -> Finding:
    """Whether the database file is there and sound, without changing or locking it."""
    import sqlite3

    if not path.exists():
        return Finding("ok", "database", f"{path} will be made on the first start")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding("bad", "database", f"{path}: {error}", "restore a backup: python -m bot restore PATH")
    if verdict != "ok":
        return Finding(
            "bad", "database", f"{path} is damaged: {verdict}", "restore a backup: python -m bot restore PATH"
        )
    if path.stat().st_mode & 0o077:
        return Finding("warn", "database", f"other users of this machine may read {path}", f"chmod 600 {path}")
    return Finding("ok", "database", f"{path}, {path.stat().st_size / 2**20:.1f} MB")


def check_exposure(settings: Settings) -> list[Finding]:
    """Whether strangers could reach, or guess their way to, the page."""
    if settings.loopback_only and not settings.api_keys:
        return [Finding("ok", "page", f"only this machine reaches it (HOST={settings.host})")]
    if not settings.api_keys:
        return [
            Finding("warn", "page", f"is off: HOST={settings.host} is public and API_KEYS is not set", "set API_KEYS")
        ]
    return [Finding("ok", "page", f"open to holders of {len(settings.api_keys)} keys")]


def report(findings: Sequence[Finding]) -> str:
    """One line for each finding, advice below it, and what it comes to."""
    signs = {"ok": "ok  ", "warn": "warn", "bad": "BAD "}
    lines = []
    for finding in findings:
        lines.append(f"{signs[finding.level]}  {finding.subject}: {finding.text}")
        if finding.advice:
            lines.append(f"      -> {finding.advice}")
    bad = sum(finding.level == "bad" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    lines.append(f"{bad} to mend, {warned} to know." if bad or warned else "All well.")
    return "\n".join(lines)
