"""The composition root: everything is made here, opened in order, and closed in reverse.

Read `App._open` from top to bottom for what depends on what. Nothing here decides anything about a message.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog
from prometheus_client import CollectorRegistry

from adapters.web import Readiness, WebAdapter, WebServer, build_web_app
from bot.config import mapping
from bot.config.loading import registry_of
from bot.config.settings import Settings, child_environment
from bot.config.tern_toml import Config
from bot.duties.housekeeping import announce_sunsets, check_catalogues, learn_local_models
from bot.duties.limits import keep_limits, recall_limits
from bot.duties.probing import Prober
from bot.local.choice import LocalChoice, choice_of
from bot.local.model import LocalModel, usable_cores, wanted_start
from bot.local.server import embedded_is_here
from bot.startup_report import page_banner
from bot.supervise import Supervisor
from bot.wiring.api_keys import KnownKeys
from bot.wiring.providers import cloud_providers, named_providers, speakers
from bot.wiring.reading import fetch_voice, letters_are_read, local_voice
from core.base.clock import Clock, SystemClock
from core.chat.actions import Actions
from core.chat.approvals import Approvals
from core.chat.commands import ChatCommands
from core.chat.digest import Digest
from core.chat.forgotten import Forgotten
from core.chat.memory import Remembering, wish_of
from core.chat.prompts import system_prompt
from core.chat.recall import Recall
from core.chat.service import ChatService
from core.delivery.pacing.pacer import Pacer
from core.domain.errors import KeyRejected, ProviderError, SettingsError
from core.domain.incoming import Action, Attachment, ConversationKey, Incoming, UserKey
from core.domain.model_spec import Capability, ModelSpec
from core.domain.requests import ChatRequest, ExtractRequest, Text, Turn
from core.domain.schema_checks import SchemaChecks
from core.extraction.extraction import Extraction
from core.extraction.in_chat import READ_CHARS, Extracting, wanted
from core.extraction.rows import NAME as ROWS
from core.extraction.rows import RowLimits, Rows
from core.extraction.rows import wanted as wants_rows
from core.extraction.schema_keeper import SchemaKeeper
from core.files.attachments import AttachmentLimits, Attachments
from core.files.sandbox import Sandbox, check_schema, decode_text
from core.files.values import ReadLimits
from core.gateway.context_window import fit
from core.gateway.fallback import Signals
from core.gateway.rate_limits import RateLimits
from core.gateway.registry import Registry
from core.gateway.router import Router
from core.gateway.stack import Parts, build_stack
from core.gateway.tokens import TokenScale
from core.inbox.inbox import Inbox, new_id
from core.inbox.runner import Runner
from core.net.guarded_fetch import GuardedFetcher
from core.observers.log import LogObserver
from core.observers.metrics import MetricsObserver
from core.observers.usage import UsageObserver
from core.ports.gateway import Catalogue, Observer, Provider, SpeechToText
from core.ports.platform import Adapter, AdapterHealth
from core.providers import local_speech
from core.providers.local import LocalProvider
from core.schedules.reminders import Reminders
from core.schedules.service import NAME as SCHEDULE
from core.schedules.service import Scheduling, asks_for
from core.schedules.ticker import Ticker
from core.storage import Storage, open_storage
from core.tools.builtin import BUILTIN
from core.tools.loop import ToolLoop
from core.tools.mcp import McpTools
from core.tools.toolbox import Services, Toolbox, load_kit
from core.voice.route import audio_route
from core.voice.speaking import Speaking, SpeakingSettings
from core.voice.transcription import Transcription
from core.voice.transcripts import Transcripts

if TYPE_CHECKING:
    from adapters.slack.adapter import SlackAdapter

log: Any = structlog.get_logger(__name__)

MakeAdapter = Callable[[Storage], Adapter]

_READING_S = 240.0
"""How long files of one person may keep the reader busy within ten minutes: forty long documents."""


def build(
    settings: Settings,
    config: Config,
    *,
    registry: Registry | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
    instead: MakeAdapter | None = None,
) -> App:
    """Return the whole house, still closed: `async with build(...) as app: await app.run()`.

    Args:
        registry: The models with tern.toml's laid over them, where the caller has read them already.
        instead: Makes the only adapter there shall be, in place of the page, Slack and Discord: the terminal's.

    Raises:
        SettingsError: If tern.toml's `[models]` cannot be used.
    """
    registry = registry or registry_of(config, settings.tern_config)
    return App(settings, config, registry, clock or SystemClock(), random or Random(), instead)


class App:
    """The house. Entering opens storage, providers and the page's socket; `run` answers until `stop`.

    After `stop` nothing more is taken in, replies in flight get `[bot] drain_s`, and `run` returns.
    """

    def __init__(
        self,
        settings: Settings,
        config: Config,
        registry: Registry,
        clock: Clock,
        random: Random,
        instead: MakeAdapter | None,
    ) -> None:
        self.settings = settings
        self.config = config
        self.registry = registry
        self.clock = clock
        self.url = ""
        """Where the page is, once entered; "" without one."""
        self.adapters: dict[str, Adapter] = {}
        self.inbox: Inbox
        self._random = random
        self._instead = instead
        self._duties: dict[str, Supervisor] = {}
        self._slack: SlackAdapter | None = None
        self.metrics = CollectorRegistry()
        self._opened = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._opened.__aenter__()
        try:
            await self._open()
        except BaseException:
            await self._opened.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    # --- opening ---

    async def _open(self) -> None:
        settings, config, clock = self.settings, self.config, self.clock
        self.storage = storage = await self._opened.enter_async_context(
            await open_storage(
                settings.database_url,
                settings.data_dir,
                clock,
                settings.secret_key.encode(),
                owner_id(),
                rules=mapping.run_rules(config),
                retention=mapping.retention(config),
            )
        )
        self._duty("sweeper", storage.keep_swept)
        await self._open_models(storage)
        await self._open_desk(storage)
        if self._instead is None:
            await self._open_page(storage)

    async def _open_models(self, storage: Storage) -> None:
        """Providers, and the stack around them."""
        settings, config, clock = self.settings, self.config, self.clock
        self._scale = TokenScale()
        admission = RateLimits(clock)
        await recall_limits(admission, storage.notes)
        self._duty("limits", partial(keep_limits, admission, storage.notes, clock))
        self._cloud = cloud_providers(settings, admission.read_headers)
        named = named_providers(settings, config, admission.read_headers)
        for each in (*self._cloud.values(), *named.values()):
            self._opened.push_async_callback(each.close)
        self._providers = providers = {**dict[str, Provider](self._cloud), **named}
        if local := self._open_local(choice_of(settings.local_model)):
            providers["local"] = local
        self._voice = local_voice(config.voice, settings.data_dir)
        if self._voice:
            self._add_unless_known(local_speech.local_speech_model())
        self.registry.serve({*providers, local_speech.NAME} if self._voice else providers)
        usage = UsageObserver(storage.usage, clock)
        lines = LogObserver()
        self._signals = Signals(alert=lines.alert, mark_dead=self.registry.mark_dead)
        self._duty("usage", usage.run)
        self._observers: tuple[Observer, ...] = (lines, MetricsObserver(self.metrics), usage)
        self._stack = build_stack(
            Parts(
                routing=Router(self.registry, self._scale),
                providers=providers,
                admission=admission,
                fit=fit,
                scale=self._scale,
                cache_store=storage.cache,
                usage_store=storage.usage,
                observers=self._observers,
                clock=clock,
                random=self._random.random,
                limits=mapping.guard_limits(config),
                cache=mapping.cache_settings(config),
                signals=self._signals,
            )
        )
        lists = {**dict[str, Catalogue](self._cloud), **named}
        self._duty("catalogues", partial(check_catalogues, self.registry, lists, clock, self._key_rejected))
        self._duty("sunsets", partial(announce_sunsets, self.registry, clock))

    def _open_local(self, choice: LocalChoice) -> Provider | None:
        """The last link of the chain: a process of ours, or somebody's server."""
        if choice.kind == "embedded" and not embedded_is_here():
            return None  # announced, each question would end in its absence
        if choice.spec is not None:
            self._add_unless_known(choice.spec)
        if choice.kind == "server":
            server = LocalProvider(choice.base_url, choice.api_key)
            self._opened.push_async_callback(server.close)
            if choice.spec is None:
                self._duty("local models", partial(learn_local_models, self.registry, server, self.clock))
            return server
        if choice.kind == "off":
            return None
        local = LocalModel(
            wanted_start(choice.path, threads=self.config.local.threads, cores=usable_cores()),
            connect=lambda endpoint: LocalProvider(endpoint.base_url, endpoint.api_key),
            clock=self.clock,
            random=self._random,
            environ=child_environment(),
            keep_warm=not self.settings.has_model_key,
            idle_stop_s=self.config.local.idle_stop_s,
            preamble=self._preamble,
        )
        self._duty("local model", local.run)
        return local

    async def _open_desk(self, storage: Storage) -> None:
        """The adapters, and between them and the stack: the inbox, and what answers its runs."""
        config, clock = self.config, self.clock
        pacers: dict[str, Pacer] = {}
        for adapter in self._make_adapters(storage, pacers):
            self.adapters[adapter.name] = adapter
            pacers.setdefault(adapter.name, Pacer(clock))
        reader = await self._open_reader(storage)
        tools = await self._open_tools(storage)
        self.chat = ChatService(
            tools,
            storage.history,
            mapping.personas(config),
            storage.preferences,
            self._scale,
            reader,
            clock,
            digest=Digest(self._stack),
            notes=storage.notes,
            recall=Recall(storage.memories, clock),
        )
        leave_s = config.tools.confirm_minutes * 60.0
        rows = Rows(
            self._stack,
            self._fetch,
            partial(decode_text, self._sandbox),
            storage.blobs,
            storage.suspensions,
            self._scale,
            clock,
            limits=RowLimits(ask_above_usd=config.tools.rows_ask_above_usd),
            leave_s=leave_s,
        )
        scheduling = Scheduling(
            self._understood, storage.schedules, storage.suspensions, clock, new_id, approval_s=leave_s
        )
        approvals = Approvals(
            tools, storage.suspensions, storage.history, reader, self._scale, {ROWS: rows, SCHEDULE: scheduling}
        )
        self._schemas = mapping.schemas(config)
        self._extracting = Extracting(
            Extraction(self._stack, self._schema_checks), lambda: self._schemas, self._whole_reader, self._scale
        )
        prober = Prober(
            self.registry.usable, self._providers, self._stack.breaker, lambda: self.inbox.retry_waiting(), clock
        )
        self._duty("prober", prober.run)
        forgotten = Forgotten(storage.notes, clock)
        runner = Runner(
            Actions(
                self.chat,
                {
                    "confirm": approvals,
                    "decline": approvals,
                    "expired": approvals,
                    "transcribe": Transcripts(reader),
                    "schedule": scheduling,
                    "remind": Reminders(),
                    "remember": Remembering(storage.memories, clock, new_id, self._purge, self._remembers),
                    "extract": self._extracting,
                    "batch": rows,
                },
                read=self._action_of,
            ),
            storage.inbox,
            self.adapters,
            pacers,
            clock,
            self._observers,
            mapping.answering_settings(config, local_on_page=self._local_on_page()),
            on_waiting=prober.wanted,
            voice=self._open_voice(),
            forgotten=forgotten,
        )
        self.inbox = Inbox(
            storage.inbox, runner, clock, mapping.inbox_limits(config), platforms=frozenset(self.adapters)
        )
        self._duty("inbox", self.inbox.run)
        self._duty("questions", self.inbox.watch_questions)
        self._duty("schedules", Ticker(storage.schedules, self.inbox.accept, clock).run)
        self.commands = ChatCommands(
            self.registry,
            lambda: self.chat.personas,
            storage.preferences,
            storage.usage,
            storage.archive,
            self.inbox,
            clock,
            self._purge,
            self._extracting.choices,
            forgotten,
        )
        for adapter in self.adapters.values():
            self._duty(adapter.name, partial(adapter.run, self.inbox, self.commands))

    async def _open_reader(self, storage: Storage) -> Attachments:
        """What reads files, pictures and recordings: in a process that owns nothing, started by the first of them."""
        sandbox = partial(Sandbox, self.clock)
        self._sandbox = await self._opened.enter_async_context(sandbox(owner_budget_s=_READING_S))
        self._quick = await self._opened.enter_async_context(sandbox(fresh=False))
        self._schema_checks = SchemaChecks(partial(check_schema, self._quick))
        engines: dict[str, SpeechToText] = dict(self._cloud)
        if self._voice:
            # A sandbox of its own: a long recording must not keep a picture waiting. What it hears was decoded and
            # made anew by the other one, and loading its model takes seconds, so it stays from person to person.
            hears = sandbox(idle_s=600.0, fresh=False, reads=(self._voice.readable,))
            ears = await self._opened.enter_async_context(hears)
            engines[local_speech.NAME] = local_speech.LocalSpeech(ears, str(self._voice.folder), threads=usable_cores())
            self._duty("speech model", partial(fetch_voice, self._voice, child_environment()))
        self.listening = Transcription(
            engines,
            partial(audio_route, self.registry),
            self._sandbox,
            storage.cache,
            self.clock,
            guard=self._stack.guard.recordings,
            breaker=self._stack.breaker,
            signals=self._signals,
            observers=self._observers,
        )
        reader = partial(
            Attachments,
            self._fetch,
            self._sandbox,
            self.listening,
            storage.blobs,
            self.clock,
            sees=self._sees,
            letters=letters_are_read(),
            captions=self._captions,
        )
        self._whole_reader = reader(limits=AttachmentLimits(text=ReadLimits(max_chars=READ_CHARS)))
        return reader(digest=Digest(self._stack))

    def _open_voice(self) -> Speaking | None:
        """Who answers voice clips aloud; None unless that is wished."""
        if not self.config.voice.voice_replies:
            return None
        return Speaking(
            speakers(self._cloud),
            lambda: [model for model in self.registry.usable() if model.tier == "speech"],
            self.clock,
            guard=self._stack.guard.recordings,
            observers=self._observers,
            settings=SpeakingSettings(voice=self.config.voice.voice),
        )

    async def _open_tools(self, storage: Storage) -> ToolLoop:
        """Around the stack for chats; the API's callers bring tools of their own or none."""
        fetcher = await self._opened.enter_async_context(GuardedFetcher(proxy=self.settings.https_proxy))
        services = Services(self.clock, self._sandbox, self._quick, fetcher, storage.history)
        self._toolbox = Toolbox([*load_kit(services), *BUILTIN], mapping.tool_rules(self.config))
        if servers := mapping.mcp_servers(self.config):
            self._duty("mcp", McpTools(servers, self._toolbox, self.clock, report=_report_mcp).run)
        self._tools = ToolLoop(
            self._stack,
            self._toolbox,
            self.clock,
            limits=mapping.loop_limits(self.config),
            suspensions=storage.suspensions,
            leave_s=self.config.tools.confirm_minutes * 60.0,
            checks=self._schema_checks,
        )
        return self._tools

    def _make_adapters(self, storage: Storage, pacers: dict[str, Pacer]) -> Iterator[Adapter]:
        """Each platform that is switched on. Their SDKs take half a second and more to import, so only then."""
        if self._instead is not None:
            yield self._instead(storage)
            return
        self._page = WebAdapter(clock=self.clock, conversations=storage.conversations, blobs=storage.blobs)
        yield self._page
        if slack := mapping.slack_settings(self.settings, self.config):
            from adapters.slack.adapter import SlackAdapter

            pacer = pacers["slack"] = Pacer(self.clock)
            self._slack = SlackAdapter(
                *(slack, self.clock, storage.notes, pacer),
                installations=storage.installations,
                own_settings=storage.workspace_settings,
                people=storage.people,
            )
            yield self._slack
        if discord := mapping.discord_settings(self.settings, self.config):
            from adapters.discord.adapter import DiscordAdapter

            pacer = pacers["discord"] = Pacer(self.clock)
            yield DiscordAdapter(discord, self.clock, storage.notes, pacer)

    async def _open_page(self, storage: Storage) -> None:
        """Page, API, health and metrics on one socket, which is taken here so that a port in use stops the start."""
        web = mapping.web_settings(self.settings, self.config)
        held = self.config.limits.requests_per_minute is not None
        keys = KnownKeys(storage.api_keys, hold_this_machine=held)
        self._stack.guard.own_ceilings = keys.ceilings
        application = build_web_app(
            web,
            adapter=self._page,
            handler=SchemaKeeper(self._stack, self._schema_checks),
            models=self._chat_models,
            readiness=Readiness(
                intake_open=lambda: self.inbox.open,
                database_writable=self._database_writable,
                adapters=self.health,
                sunsets=lambda: self.registry.sunsets(self.clock.now()),
            ),
            metrics=self.metrics,
            clock=self.clock,
            banner=lambda: page_banner(self.settings, self._rejected_keys(), local_is_here="local" in self._providers),
            local_stands_in=self._local_on_page(),
            keys=keys,
            responses=storage.responses,
            extra_routes=self._slack.routes() if self._slack else (),
            listener=self.listening,
            reader=self._sandbox,
        )
        try:
            server = await self._opened.enter_async_context(WebServer(application, web, self.clock))
        except OSError as error:
            raise SettingsError([_cannot_listen(error, web.host, web.port)]) from error
        self.url = server.url

    # --- life ---

    async def run(self, *, until: str = "") -> None:
        """Answer until `stop`. A part that crashes is started again, and never takes the others down.

        Args:
            until: A platform whose end is the house's end as well: the terminal, when the person leaves.
        """
        async with asyncio.TaskGroup() as house:
            duties = {name: house.create_task(duty.keep_running(), name=name) for name, duty in self._duties.items()}
            if until:
                duties[until].add_done_callback(lambda _: self._stopping.set())
            await self._stopping.wait()
            await self._drain()
            for duty in duties.values():
                duty.cancel()

    def stop(self) -> None:
        """Take nothing more, finish what is being answered, and let `run` return. Asked twice: finish at once."""
        if self._stopping.is_set():
            self._hurrying.set()
        log.info("closing; replies in flight may finish", running=self.inbox.running)
        self._stopping.set()

    async def _drain(self) -> None:
        for adapter in self.adapters.values():
            await adapter.close_intake()
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(self.inbox.drain(self.config.bot.drain_s))
            hurrying = group.create_task(self._hurrying.wait())
            await asyncio.wait((draining, hurrying), return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()
            hurrying.cancel()
        if self._hurrying.is_set():
            await self.inbox.drain(0.0)  # interrupts what is left, so that it is free for the next start

    def reload(self) -> None:
        """Read tern.toml again: personas, channels, limits and models hold at once, the rest from the next start.

        A file with a mistake changes nothing; the log names the mistake.
        """
        try:
            config = Config.load(self.settings.tern_config)
            self.registry.override(config.models)
        except SettingsError as error:
            log.error("tern.toml has mistakes; the former one stays in force", problems=list(error.problems))
            return
        self.chat.personas = mapping.personas(config)
        self._stack.guard.limits = mapping.guard_limits(config)
        self._schemas = mapping.schemas(config)
        self._toolbox.change(mapping.tool_rules(config))
        self._tools.limits = mapping.loop_limits(config)
        later = [name for name in _FROM_THE_NEXT_START if getattr(config, name) != getattr(self.config, name)]
        if any(mapping.people_by_channel(config, on) != mapping.people_by_channel(self.config, on) for on in PLATFORMS):
            later.append("channels.allow")
        self.config = config
        log.info("tern.toml was read again", from_the_next_start=later)

    def health(self) -> Mapping[str, AdapterHealth]:
        """Every platform as it is now; one that waits for its restart says why."""
        return {name: self._health(name, adapter) for name, adapter in self.adapters.items()}

    def _health(self, name: str, adapter: Adapter) -> AdapterHealth:
        supervisor = self._duties[name]
        seen = adapter.health()
        return replace(seen, state="down", detail=supervisor.problem) if supervisor.problem else seen

    def _duty(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self._duties[name] = Supervisor(name, run, clock=self.clock, random=self._random)

    # --- small answers for the parts ---

    def _preamble(self) -> ChatRequest:
        """What every question on the page begins with: the chat service's own system prompt."""
        asker = UserKey("web", "", "")
        page = Incoming("", "", asker, ConversationKey("web", "", "", ""), "Hello", self.clock.now(), direct=True)
        personas = mapping.personas(self.config)
        prompt = system_prompt(page, personas.choose(), personas.bot_name, self.clock.now())
        turns = (Turn("system", (Text(prompt),)), Turn("user", (Text(page.text),)))
        return ChatRequest("warm-up", asker, turns, max_output_tokens=1)

    async def _understood(self, request: ExtractRequest) -> Mapping[str, Any]:
        return (await Extraction(self._stack, self._schema_checks).extract(request)).value

    def _remembers(self, incoming: Incoming) -> bool:
        return self.chat.personas.channel(incoming.conversation.channel_key).memory

    def _action_of(self, incoming: Incoming) -> Action:
        if incoming.action == "ask" and wish_of(incoming.text) is not None:
            return "remember"
        if incoming.action == "ask" and asks_for(incoming.text) and not incoming.message_id.startswith("schedule:"):
            return "schedule"
        if wants_rows(incoming):
            return "batch"
        return "extract" if wanted(incoming, self._schemas) is not None else incoming.action

    def _local_on_page(self) -> bool:
        """Whether the local model answers on the page and over the API while nobody else does."""
        of_ones_own = self.settings.local_model not in ("", "off")
        others = any(model.tier != "local" for model in self._chat_models())
        return self.config.local.for_page or of_ones_own or not others

    def _rejected_keys(self) -> list[KeyRejected]:
        """One refusal for each provider that rests because of its key."""
        why = {model.provider: self._stack.breaker.resting(model) for model in self.registry.usable()}
        return [error for error in why.values() if isinstance(error, KeyRejected)]

    def _chat_models(self) -> list[ModelSpec]:
        return [model for model in self.registry.usable() if Capability.TEXT in model.capabilities]

    def _sees(self) -> bool:
        return any(Capability.VISION in model.capabilities for model in self.registry.usable())

    def _add_unless_known(self, spec: ModelSpec) -> None:
        """What tern.toml says of a local model is better than what we assume."""
        if spec.id not in self.registry.ids():
            self.registry.add(spec)

    async def _database_writable(self) -> bool:
        await self.storage.check_writable()
        return True

    async def _purge(self) -> None:
        """What is kept of anybody in memory alone."""
        self.chat.forget()
        self._stack.cache.clear()

    def _key_rejected(self, error: ProviderError) -> None:
        """Leave the provider in peace before the first question runs into the same refusal."""
        for model in self.registry.all():
            if model.provider == error.provider:
                self._stack.breaker.rest_provider(model, error)
                return

    async def _captions(self, attachment: Attachment, incoming: Incoming) -> str:
        on_slack = incoming.conversation.platform == "slack"
        return await self._slack.captions(attachment, incoming) if on_slack and self._slack else ""

    def _fetch(self, attachment: Attachment, incoming: Incoming) -> AsyncGenerator[bytes, None]:
        return self.adapters[incoming.conversation.platform].fetch(attachment, incoming)


PLATFORMS = ("slack", "discord")
_FROM_THE_NEXT_START = ("bot", "retention", "slack", "discord", "local", "cache", "voice", "mcp")
"""Sections whose parts are made once."""


def _report_mcp(server: str, what: str) -> None:
    log.info("mcp server", server=server, what=what)


def owner_id() -> str:
    """A name for this process in leases that no other process has, also over time."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"


def _cannot_listen(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"PORT: {port} is in use on {host}; stop what listens there, or set another PORT (0 takes a free one)"
    return f"HOST, PORT: cannot listen on {host}:{port}: {error.strerror or error}"
