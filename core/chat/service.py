"""From a message to a request, and from the reply to what is stored. Which model answers is decided behind it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from core.base.clock import Clock
from core.chat.digest import Digest, part_request
from core.chat.personas import Persona, Personas
from core.chat.prompts import FROM_HERE, SHORTER, question, system_prompt
from core.chat.quoting import authors, label, noted, quoted, transcript
from core.chat.recall import Recall, named, used_in
from core.chat.recall import block as memory_block
from core.domain.audience import audience_of
from core.domain.errors import BadRequest, NoModelLeft, NothingRead, Refused
from core.domain.events import Event, Notice, Send
from core.domain.incoming import ConversationKey, Incoming, Quote
from core.domain.memories import Memory
from core.domain.model_spec import Capability
from core.domain.requests import ChatRequest, Image, Part, Reply, Text, Turn
from core.gateway.tokens import TokenScale
from core.ports.gateway import AttachmentReader, Handler
from core.ports.storage import History, NoteStore, Preferences, PreferenceStore, StoredTurn

_THREAD = "the thread"

Context = Callable[[int], Awaitable[Sequence[Quote]]]
"""What the platform has before the question; the number is how many of the channel's own messages to read."""
"""What stands before the question on the platform, oldest first."""


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """Tokens are estimates, corrected by what the answering models reported."""

    history_tokens: int = 4_000
    """What the conversation is trimmed to once it is longer than `history_tokens_most`. Groq's free plan takes 8,000
    tokens a minute, prompt and answer together (facts/groq.md 2)."""
    history_tokens_most: int = 6_000
    history_turns: int = 60
    context_tokens: int = 2_000
    """Of quoted messages."""
    channel_messages: int = 30
    """Of a channel's last messages before a mention in it, at most."""
    summary_tokens: int = 6_000
    """Of quoted messages that are to be summarised: they are the question."""
    noted_above_chars: int = 24_000
    """Messages longer than this together are not cut: those that find no room are read in parts, and notes on them
    stand in their place (core/chat/digest.py)."""
    max_question_chars: int = 60_000


@dataclass(frozen=True, slots=True)
class ReplyFile:
    """A file that belongs to an answer; `comment` is a few words for its reader."""

    name: str
    content: bytes
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a message."""

    reply: Reply
    turns: tuple[tuple[Turn, int], ...]
    """The question's and the answer's turn as they are stored, each with its tokens."""
    files: tuple[ReplyFile, ...] = ()
    """Attached once the last word stands on the screen."""


class Chat(Protocol):
    """What answers a message: `ChatService`, and whatever stands around it for one kind of question."""

    async def answer(
        self,
        run_id: str,
        incoming: Incoming,
        *,
        context: Context,
        send: Send,
        deadline_at: float,
        editable: bool = True,
        allow_local: bool = True,
    ) -> Answered: ...


class ChatService:
    """Answers chat messages through a handler.

    `personas` may be replaced at any time (SIGHUP); running answers keep theirs.
    """

    def __init__(
        self,
        handler: Handler,
        history: History,
        personas: Personas,
        preferences: PreferenceStore,
        scale: TokenScale,
        reader: AttachmentReader | None,
        clock: Clock,
        *,
        settings: ChatSettings = ChatSettings(),
        digest: Digest | None = None,
        notes: NoteStore | None = None,
        recall: Recall | None = None,
    ) -> None:
        """*digest* reads threads that are too long for the question; None cuts them. *notes* remembers which channels
        were told that they are read; None tells nobody. *recall* knows what was asked to be remembered."""
        self.personas = personas
        self._digest = digest
        self._notes = notes
        self._recall = recall
        self._handler = handler
        self._history = history
        self._preferences = preferences
        self._scale = scale
        self._reader = reader
        self._clock = clock
        self._settings = settings
        self._anchors = _Anchors()
        self._overheard = Overheard(clock)

    async def answer(
        self,
        run_id: str,
        incoming: Incoming,
        *,
        context: Context,
        send: Send,
        deadline_at: float,
        editable: bool = True,
        allow_local: bool = True,
    ) -> Answered:
        """Answer *incoming*; text and notices reach *send* as they come.

        Args:
            context: Asked once, where nothing is stored of the conversation.
            deadline_at: Epoch seconds.
            editable: Whether text already sent may be taken back.

        Raises:
            RequestError, NoModelLeft: As the handler; BadRequest also for an empty message or an unknown persona.
            StorageError: If the history cannot be read.
        """
        preferences = await self._preferences.get(incoming.user)
        past, own = await self._past(incoming)
        channel_key = incoming.conversation.channel_key
        channel = self.personas.channel(channel_key)
        persona = self.personas.choose(incoming.options.get("persona", ""), preferences.persona, channel.persona)
        near, far = await self._quotes(incoming, past, context, send)
        around = ""
        if far and self._digest is not None:
            around = await self._noted(self._digest, run_id, incoming, far, send, deadline_at)
        remembered = await self._remembered(incoming)
        quotes = quoted(near, self.personas.bot_name)
        blocks = (memory_block(remembered), around, quotes)
        around = "\n\n".join(block for block in blocks if block)
        asked = await self._asked(incoming, own, send, deadline_at, amid=bool(quotes or past))
        told = self._told(incoming, persona, past, around, asked, own)
        turns = await self._with_pictures(told)
        request = ChatRequest(
            request_id=run_id,
            user=incoming.user,
            turns=turns,
            needs=_needs(asked, past, incoming.reply_to),
            requested_model=_requested_model(incoming, preferences, channel.model, persona.model),
            temperature=persona.temperature,
            effort=persona.effort,
            deadline_at=deadline_at,
            editable=editable,
            fresh=incoming.action in ("regenerate", "shorter"),
            private=incoming.visibility == "private" or incoming.direct or _holds_files(incoming, turns),
            contributors=frozenset({incoming.user})
            | {stored.user for stored in past if stored.user}
            | {memory.owner for memory in remembered}
            | authors((*far, *near), incoming.user.platform, incoming.user.workspace),
            audience=audience_of(incoming),
            channel_key=channel_key,
            conversation=incoming.conversation,
            tz=incoming.tz,
            allow_local=allow_local,
        )
        reply = await self._handler(request, send)
        if self._recall and (used := used_in(reply.text, incoming.text, remembered)):
            await self._recall.note_use(used)
            await send(Notice("memory", {"words": named(used)}))
        answer = Turn("assistant", (Text(reply.text),))
        spoken = reply.usage.output_tokens - reply.usage.reasoning_tokens
        return Answered(
            reply,
            (
                (_storable(asked), self._scale.tokens([asked], reply.model)),
                (answer, spoken if len(reply.attempts) == 1 and spoken > 0 else self._scale.tokens([answer])),
            ),
        )

    def forget(self) -> None:
        """Drop what is kept in memory of other people's messages."""
        self._overheard.clear()

    # --- what the model is given ---

    async def _past(self, incoming: Incoming) -> tuple[Sequence[StoredTurn], Sequence[StoredTurn]]:
        """(turns before this message, this message's own turns from an earlier run), oldest first."""
        most = self._settings.history_tokens_most
        before = incoming.message_id
        turns = await self._history.recent(
            incoming.conversation, max_tokens=most, max_turns=self._settings.history_turns, before=before
        )
        own: Sequence[StoredTurn] = ()
        if incoming.action == "shorter":
            recent = await self._history.recent(incoming.conversation, max_tokens=most, max_turns=20)
            own = [stored for stored in recent if stored.message_id == before]
        return self._anchors.trimmed(incoming.conversation, turns, self._settings), own

    async def _remembered(self, incoming: Incoming) -> tuple[Memory, ...]:
        """What was asked to be remembered, as far as every reader of the answer may read it."""
        if self._recall is None or not self.personas.channel(incoming.conversation.channel_key).memory:
            return ()
        return await self._recall.admitted(incoming)

    async def _around(self, incoming: Incoming, context: Context, send: Send) -> Sequence[Quote]:
        """What the platform has before a conversation's first question, as far as the channel lets it be read."""
        reading = self.personas.channel(incoming.conversation.channel_key).context
        if reading == "off":
            return ()
        room = self._settings.channel_messages if reading == "mention" and _begins_in_channel(incoming) else 0
        quotes = await context(room)
        if room and quotes:
            await self._tell_once(incoming, len(quotes), send)
        return quotes

    async def _tell_once(self, incoming: Incoming, messages: int, send: Send) -> None:
        """Say that the channel is read, under the first answer that did."""
        if self._notes is None:
            return
        key = f"reads-channel:{incoming.conversation.channel_key}:{incoming.conversation.workspace}"
        if await self._notes.get(key) is None:
            await self._notes.set(key, "told")
            await send(Notice("around", {"messages": str(messages)}))

    async def _quotes(
        self, incoming: Incoming, past: Sequence[StoredTurn], context: Context, send: Send
    ) -> tuple[tuple[Quote, ...], tuple[Quote, ...]]:
        """Messages by others that the question points at, or that stand before it; none that the history has.

        Returns those that stand in the prompt as they are, and the older ones that are noted; each oldest first.
        """
        fresh = tuple(await self._around(incoming, context, send)) if not past else ()
        new = (*fresh, *incoming.quotes)
        known = {quote.message_id: quote for quote in (*self._overheard.add(incoming.conversation, new), *new)}
        stored_ids = {stored.message_id for stored in past} | {incoming.message_id}
        answers = [stored.turn.text for stored in past if stored.turn.role == "assistant"]
        left = [
            known[message_id]
            for message_id in sorted(known, key=_age)
            if message_id not in stored_ids
            and not (known[message_id].from_bot and _is_in(answers, known[message_id].text))
        ]
        budget = self._settings.context_tokens
        if incoming.purpose == "summarise":
            budget = self._settings.summary_tokens
        near: list[Quote] = []
        for quote in reversed(left):
            budget -= self._scale.tokens([Turn("user", (Text(quote.text[:4_000]),))])
            if budget < 0 and near:
                break
            near.append(quote)
        far = left[: len(left) - len(near)]
        if sum(len(quote.text) for quote in left) <= self._settings.noted_above_chars or _begins_in_channel(incoming):
            far = []  # few, or only what happened to stand before the question
        return tuple(reversed(near)), tuple(far)

    async def _noted(
        self, digest: Digest, run_id: str, incoming: Incoming, far: Sequence[Quote], send: Send, deadline_at: float
    ) -> str:
        """Notes on messages that find no room; "" where nobody can take them, and the reader is told so."""
        request = part_request(incoming, run_id, deadline_at)
        wanted = question(incoming, incoming.text.strip())
        try:
            notes = await digest.digest(_THREAD, transcript(far, self.personas.bot_name), wanted, request, send)
        except (NoModelLeft, Refused):
            await send(Notice("read", {"name": _THREAD, "detail": f"all but its {len(far):,} oldest messages"}))
            return ""
        await send(Notice("read", {"name": _THREAD, "detail": f"all of it, {len(far):,} messages as notes"}))
        return noted(notes.text)

    async def _asked(
        self, incoming: Incoming, own: Sequence[StoredTurn], send: Send, deadline_at: float, *, amid: bool
    ) -> Turn:
        """The question's own turn. *amid*: something stands before it that it may be about."""
        if stored := next((turn.turn for turn in own if turn.turn.role == "user"), None):
            return stored
        text = incoming.text.strip()
        most = self._settings.max_question_chars
        if len(text) > most:
            await send(Notice("cut", {"kept_chars": str(most), "total_chars": str(len(text))}))
            text = text[:most]
        asked = question(incoming, text)
        parts: list[Part] = [Text(asked)] if asked else []
        if incoming.attachments or any(quote.attachments for quote in incoming.quotes):
            parts += await self._read(incoming, send, deadline_at)
        if not parts and amid and not incoming.quotes:
            parts = [Text(FROM_HERE)]
        if not parts and not incoming.quotes:
            raise BadRequest("the message is empty")
        return Turn("user", tuple(parts))

    async def _read(self, incoming: Incoming, send: Send, deadline_at: float) -> Sequence[Part]:
        """Raises NothingRead where nothing was written and nothing could be read: from what was said before, a model
        would answer a question that nobody asked."""
        declined = 0

        async def counted(event: Event) -> None:
            nonlocal declined
            declined += isinstance(event, Notice) and event.kind == "declined"
            await send(event)

        parts = await self._attached(incoming, counted, deadline_at)
        attached = [*incoming.attachments, *(item for quote in incoming.quotes for item in quote.attachments)]
        wordless = not incoming.text.strip() and not any(quote.text.strip() for quote in incoming.quotes)
        # a file that could not be read has left one part, which says so to the model
        if wordless and declined and all(isinstance(part, Text) for part in parts) and declined >= len(parts):
            raise NothingRead(sound=all(item.kind == "audio" for item in attached))
        return parts

    async def _attached(self, incoming: Incoming, send: Send, deadline_at: float) -> Sequence[Part]:
        if self._reader is not None:
            return await self._reader.read(incoming, send, deadline_at=deadline_at)
        for attachment in incoming.attachments:
            await send(Notice("declined", {"name": attachment.name, "reason": "I cannot read attachments here"}))
        count = len(incoming.attachments)
        return [Text(f"[{count} attached {'file was' if count == 1 else 'files were'} not read.]")] if count else []

    def _told(
        self,
        incoming: Incoming,
        persona: Persona,
        past: Sequence[StoredTurn],
        around: str,
        asked: Turn,
        own: Sequence[StoredTurn],
    ) -> list[Turn]:
        """Everything in the order that the model reads it; what stays equal from turn to turn stands first."""
        name = self.personas.bot_name
        group = not incoming.direct
        told = [Turn("system", (Text(system_prompt(incoming, persona, name, self._clock.now())),))]
        for stored in past:
            by = label(stored.user.user, stored.speaker) if group and stored.user else ""
            told.append(_labelled(stored.turn, by))
        by = label(incoming.user.user, incoming.speaker) if group else ""
        told.append(_labelled(asked, by, around))
        if incoming.action == "shorter":
            answer = next((stored.turn for stored in reversed(own) if stored.turn.role == "assistant"), None)
            told += [answer, Turn("user", (Text(SHORTER),))] if answer else [Turn("user", (Text("Be brief."),))]
        return told

    async def _with_pictures(self, turns: list[Turn]) -> tuple[Turn, ...]:
        if not any(isinstance(part, Image) and not part.data and not part.url for turn in turns for part in turn.parts):
            return tuple(turns)
        if self._reader is not None:
            return await self._reader.load(turns)
        gone = Text("[A picture that is no longer at hand.]")
        return tuple(
            replace(turn, parts=tuple(gone if isinstance(part, Image) else part for part in turn.parts))
            for turn in turns
        )


def _begins_in_channel(incoming: Incoming) -> bool:
    """Whether it is a plain question at the top level of a channel, neither in a thread nor a reply."""
    begins = incoming.conversation.root == incoming.message_id
    return begins and not incoming.direct and incoming.visibility == "public" and incoming.purpose == "ask"


def _age(message_id: str) -> tuple[int, str]:
    """Order of messages: Slack's ts and Discord's snowflakes grow with time, and so does their length."""
    return len(message_id), message_id


def _is_in(answers: Sequence[str], words: str) -> bool:
    return any(words.strip()[:200] in answer for answer in answers)


def _labelled(turn: Turn, by: str, around: str = "") -> Turn:
    """*turn* with its speaker's label and the messages around it in front; both are never stored."""
    if turn.role != "user" or not (by or around):
        return turn
    lead = (f"{around}\n\n" if around else "") + (f"{by}: " if by else "")
    return replace(turn, parts=(Text(lead), *turn.parts))


def _requested_model(incoming: Incoming, preferences: Preferences, channel: str, persona: str) -> str:
    """Whoever is closest to the question decides."""
    chosen = "" if preferences.model == "auto" else preferences.model
    return next(
        (
            requested_model
            for requested_model in (incoming.options.get("model", ""), chosen, channel, persona)
            if requested_model
        ),
        "auto",
    )


def _needs(asked: Turn, past: Sequence[StoredTurn], reply_to: str) -> frozenset[Capability]:
    """Eyes are needed for a picture in this question or in the one it replies to. Those of older turns are a wish only
    (core/gateway/router.py): the conversation goes on although nobody sees them just now."""
    pointed_at = (stored.turn for stored in past if reply_to and stored.message_id == reply_to)
    pictured = any(isinstance(part, Image) for turn in (asked, *pointed_at) for part in turn.parts)
    return frozenset({Capability.VISION}) if pictured else frozenset()


def _holds_files(incoming: Incoming, turns: Sequence[Turn]) -> bool:
    return bool(incoming.attachments) or any(isinstance(part, Image) for turn in turns for part in turn.parts)


def _storable(turn: Turn) -> Turn:
    """*turn* without the bytes of its pictures; their `ref` finds them again."""
    return replace(
        turn, parts=tuple(replace(part, data=b"") if isinstance(part, Image) else part for part in turn.parts)
    )


class _Anchors:
    """Where each conversation's shown history begins, so that it does not move with every turn.

    A prompt whose oldest turn changes each time never hits a provider's prefix cache. So history is trimmed to the
    smaller budget and may then grow to the larger one before it is trimmed again.
    """

    def __init__(self, conversations: int = 1_000) -> None:
        self._first: OrderedDict[ConversationKey, str] = OrderedDict()
        self._conversations = conversations

    def trimmed(
        self, conversation: ConversationKey, turns: Sequence[StoredTurn], settings: ChatSettings
    ) -> Sequence[StoredTurn]:
        known = self._first.get(conversation)
        start = next((index for index, stored in enumerate(turns) if stored.message_id == known), None)
        if start is None:
            start, room = len(turns), settings.history_tokens
            while start and turns[start - 1].tokens <= room:
                start -= 1
                room -= turns[start].tokens
        while start < len(turns) and turns[start].turn.role != "user":
            start += 1  # an answer without its question tells the model nothing
        if start < len(turns):
            self._first[conversation] = turns[start].message_id
            self._first.move_to_end(conversation)
            if len(self._first) > self._conversations:
                self._first.popitem(last=False)
        return turns[start:]


class Overheard:
    """Other people's messages around a conversation, kept for follow-up questions: in memory only, for an hour.

    They are never stored: their authors did not write to the bot, and `forget` could not find their words in somebody
    else's turn.
    """

    def __init__(self, clock: Clock, *, conversations: int = 200, messages: int = 50, keep_s: float = 3_600.0) -> None:
        self._clock = clock
        self._conversations = conversations
        self._messages = messages
        self._keep_s = keep_s
        self._kept: OrderedDict[ConversationKey, tuple[float, tuple[Quote, ...]]] = OrderedDict()

    def add(self, conversation: ConversationKey, quotes: Sequence[Quote]) -> tuple[Quote, ...]:
        """Remember *quotes*; returns all that is remembered of the conversation, each message once, oldest first."""
        now = self._clock.monotonic()
        since, before = self._kept.pop(conversation, (now, ()))
        known = {quote.message_id: quote for quote in (before if now - since < self._keep_s else ())}
        known.update({quote.message_id: quote for quote in quotes})
        kept = tuple(known.values())[-self._messages :]
        if kept:
            self._kept[conversation] = (now, kept)
            if len(self._kept) > self._conversations:
                self._kept.popitem(last=False)
        return kept

    def clear(self) -> None:
        self._kept.clear()
