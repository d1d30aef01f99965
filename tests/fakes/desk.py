"""The desk in memory: what an adapter talks to. Both fakes keep the promises of core/ports/ and record every call.

`FakeIntake` answers nothing by itself: a test that wants an answer opens the adapter's surface and shows one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.domain.errors import StorageError, UnknownModel
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.domain.runs import ReplyCapability
from core.ports.platform import Commands, ControlAction, Intake, Receipt, Said

MessageKey = tuple[str, str, str, str]
"""platform, workspace, channel, message id: what makes a redelivery recognisable."""


def message_key(incoming: Incoming) -> MessageKey:
    at = incoming.conversation
    return (at.platform, at.workspace, at.channel, incoming.message_id)


@dataclass(frozen=True, slots=True)
class Pressed:
    """One call of `press`."""

    reply_id: str
    action: ControlAction
    by: UserKey
    moderator: bool
    capability: ReplyCapability | None
    choice: str = ""


@dataclass
class FakeIntake:
    """An inbox without a database.

    Set `refuse` to a sentence to turn new messages away, `fails` to a StorageError to break every durable call.
    """

    refuse: str = ""
    fails: StorageError | None = None
    accepted: list[Incoming] = field(default_factory=list)
    """Messages taken in, in order; a redelivery is not among them."""
    duplicates: list[Incoming] = field(default_factory=list)
    refused: list[Incoming] = field(default_factory=list)
    revised: list[Incoming] = field(default_factory=list)
    withdrawn: list[MessageKey] = field(default_factory=list)
    pressed: list[Pressed] = field(default_factory=list)
    stopped: list[tuple[ConversationKey, UserKey]] = field(default_factory=list)
    capabilities: dict[str, ReplyCapability] = field(default_factory=dict)
    """Reply id -> the capability that came with its newest message."""
    press_says: dict[ControlAction, str] = field(default_factory=dict)
    """What an allowed press of each control answers; "" by default."""
    forgotten: set[MessageKey] = field(default_factory=set)
    """Tombstones: `seen` says yes, and `accept` takes them for a redelivery."""
    running: set[ConversationKey] = field(default_factory=set)
    """Conversations in which `stop` finds something; `accept` adds, `settle` and `stop` remove."""
    _receipts: dict[MessageKey, Receipt] = field(default_factory=dict)
    _pages: dict[tuple[str, str, str], ConversationKey] = field(default_factory=dict)
    _askers: dict[str, Incoming] = field(default_factory=dict)

    async def accept(self, incoming: Incoming, capability: ReplyCapability | None = None) -> Receipt:
        self._break_if_told()
        key = message_key(incoming)
        if known := self._receipts.get(key):
            self.duplicates.append(incoming)
            return Receipt("duplicate", known.run_id, known.reply_id)
        if key in self.forgotten:
            self.duplicates.append(incoming)
            return Receipt("duplicate")
        if self.refuse:
            self.refused.append(incoming)
            return Receipt("refused", sentence=self.refuse)
        number = len(self.accepted) + 1
        receipt = Receipt("accepted", f"run{number}", f"reply{number}")
        self._receipts[key] = receipt
        self.accepted.append(incoming)
        self._askers[receipt.reply_id] = incoming
        self.running.add(incoming.conversation)
        if capability:
            self.capabilities[receipt.reply_id] = capability
        return receipt

    async def revise(self, incoming: Incoming) -> Receipt:
        self._break_if_told()
        known = self._receipts.get(message_key(incoming))
        if known is None:
            return await self.accept(incoming)
        if self._askers[known.reply_id].text == incoming.text:
            self.duplicates.append(incoming)
            return Receipt("duplicate", known.run_id, known.reply_id)
        self.revised.append(incoming)
        self._askers[known.reply_id] = incoming
        self.running.add(incoming.conversation)
        return Receipt("accepted", f"{known.run_id}.{len(self.revised)}", known.reply_id)

    async def withdraw(
        self, platform: str, workspace: str, channel: str, message_id: str, *, may_come: bool = False
    ) -> None:
        self._break_if_told()
        self.withdrawn.append((platform, workspace, channel, message_id))

    async def press(
        self,
        reply_id: str,
        action: ControlAction,
        by: UserKey,
        *,
        moderator: bool = False,
        capability: ReplyCapability | None = None,
        choice: str = "",
    ) -> str:
        self._break_if_told()
        self.pressed.append(Pressed(reply_id, action, by, moderator, capability, choice))
        asked = self._askers.get(reply_id)
        if asked is None:
            return "That answer is not known here any more."
        if action in ("stop", "regenerate", "shorter") and not (moderator or by == asked.user):
            return "Only the person who asked, or a moderator, can do that."
        if capability:
            self.capabilities[reply_id] = capability
        if action == "stop":
            self.running.discard(asked.conversation)
        return self.press_says.get(action, "")

    async def stop(self, conversation: ConversationKey, by: UserKey) -> bool:
        self._break_if_told()
        self.stopped.append((conversation, by))
        if conversation not in self.running:
            return False
        self.running.discard(conversation)
        return True

    async def stop_here(self, channel: str, by: UserKey) -> bool:
        self._break_if_told()
        mine = {one.conversation for one in self.accepted if one.user == by and one.conversation.channel == channel}
        found = mine & self.running
        self.stopped += [(conversation, by) for conversation in sorted(found, key=str)]
        self.running -= found
        return bool(found)

    async def conversation_of(self, platform: str, channel: str, ref: str) -> ConversationKey | None:
        self._break_if_told()
        for message in self.accepted:
            at = message.conversation
            if (at.platform, at.channel, message.message_id) == (platform, channel, ref):
                return at
        return self._pages.get((platform, channel, ref))

    async def pages_of(self, platform: str, channel: str, message_id: str) -> Sequence[str]:
        self._break_if_told()
        asked = [one for one in self.accepted if one.message_id == message_id]
        return [
            ref
            for (on, where, ref), at in self._pages.items()
            if (on, where) == (platform, channel) and at in [one.conversation for one in asked]
        ]

    async def takes_part(self, conversation: ConversationKey) -> UserKey | None:
        self._break_if_told()
        return next((message.user for message in self.accepted if message.conversation == conversation), None)

    async def active_conversations(self, platform: str, since: float) -> Sequence[tuple[ConversationKey, str]]:
        self._break_if_told()
        newest: dict[ConversationKey, str] = {}
        for message in self.accepted:
            if message.conversation.platform == platform and message.received_at >= since:
                newest[message.conversation] = message.message_id
        return list(newest.items())

    async def seen(self, platform: str, workspace: str, channel: str, message_id: str) -> bool:
        self._break_if_told()
        key = (platform, workspace, channel, message_id)
        return key in self._receipts or key in self.forgotten

    # --- for the test, not part of the port

    def stands(self, reply_id: str, ref: str) -> None:
        """A page of *reply_id* was posted as *ref*: `conversation_of` finds it from now on."""
        at = self._askers[reply_id].conversation
        self._pages[(at.platform, at.channel, ref)] = at

    def settle(self, conversation: ConversationKey) -> None:
        """The answer in *conversation* is complete: there is nothing to stop."""
        self.running.discard(conversation)

    def reply_of(self, message_id: str) -> str:
        """The reply id of an accepted message."""
        return next(r.reply_id for key, r in self._receipts.items() if key[3] == message_id)

    def _break_if_told(self) -> None:
        if self.fails:
            raise self.fails


@dataclass
class FakeCommands:
    """The commands with two models and two personas, choices kept in memory."""

    usage_says: str = "Today: 3 requests, 1,200 tokens, $0.0012."
    fails: Exception | None = None
    """Raised by every command that is awaited: a RequestError or a StorageError."""
    calls: list[tuple[str, UserKey, object]] = field(default_factory=list)
    """(command, who, what was given)."""
    choices: dict[UserKey, tuple[str, str]] = field(default_factory=dict)
    export_file: bytes = json.dumps({"turns": []}).encode()

    async def models(self) -> Sequence[tuple[str, str]]:
        self._break_if_told()
        return [
            ("auto", "chosen for each question"),
            ("speed", "the fastest"),
            ("quality", "the most able"),
            ("openai/gpt-oss-20b", "fast"),
            ("openai/gpt-oss-120b", "able"),
        ]

    async def personas(self) -> Sequence[tuple[str, str]]:
        self._break_if_told()
        return [("default", "a plain helper"), ("pirate", "talks like one")]

    def schemas(self) -> Sequence[tuple[str, str]]:
        return [("to-dos", "who does what"), ("invoice", "name, price")]

    async def choice(self, user: UserKey) -> tuple[str, str]:
        self._break_if_told()
        return self.choices.get(user, ("auto", ""))

    async def set_model(self, user: UserKey, requested_model: str) -> Said:
        self._note("set_model", user, requested_model)
        known = [name for name, _ in await self.models()]
        if requested_model not in known:
            raise UnknownModel(requested_model, known=known)
        self.choices[user] = (requested_model, (await self.choice(user))[1])
        return Said(f"From now on **{requested_model}** answers you.")

    async def set_persona(self, user: UserKey, persona: str) -> Said:
        self._note("set_persona", user, persona)
        self.choices[user] = ((await self.choice(user))[0], persona)
        return Said(f"Your persona is **{persona}**.")

    async def usage(self, user: UserKey) -> Said:
        self._note("usage", user, None)
        return Said(self.usage_says)

    async def forget(self, user: UserKey, conversation: ConversationKey | None = None) -> Said:
        self._note("forget", user, conversation)
        if conversation is None:
            self.choices.pop(user, None)
        return Said("Forgotten: 4 entries." if conversation else "Forgotten: everything about you (9 entries).")

    async def export(self, user: UserKey, conversation: ConversationKey | None = None) -> Said:
        self._note("export", user, conversation)
        return Said("Here is what is stored.", "tern-export.json", self.export_file)

    async def stop(self, user: UserKey, *, channel: str = "", conversation: ConversationKey | None = None) -> Said:
        self._note("stop", user, conversation or channel)
        return Said("I stop.")

    def help(self, platform: str, orders: Sequence[str]) -> Said:
        return Said(f"Ask me anything on {platform}. {', '.join(orders)}.")

    def _note(self, command: str, user: UserKey, given: object) -> None:
        self._break_if_told()
        self.calls.append((command, user, given))

    def _break_if_told(self) -> None:
        if self.fails:
            raise self.fails


_intake: type[Intake] = FakeIntake
_commands: type[Commands] = FakeCommands
"""The type checker compares the fakes with their ports here."""
