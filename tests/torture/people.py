"""People who ask, wait for their answer and ask again; some press Stop, edit, delete, or are delivered twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, Protocol

from tests.fakes.discord import Channel, FakeDiscord
from tests.fakes.discord import Message as DiscordMessage
from tests.fakes.discord import Person as DiscordPerson
from tests.fakes.slack import FakeSlack, Place
from tests.fakes.slack import Message as SlackMessage
from tests.fakes.slack import Person as SlackPerson
from tests.torture.hurry import WorldClock
from tests.torture.plan import Plan, mark

THINKS_S = 3.2
"""Between two questions of one person: the inbox takes twenty a minute from each."""

_EDITED = 500_000
"""What an edited question asks instead has a number of its own, which no question has."""

Fate = Literal["", "stop", "edit", "delete"]


@dataclass(eq=False)
class Question:
    """One question as the platform has it, and what became of its asking."""

    number: int
    platform: str
    message_id: str
    channel: str
    thread: str
    """Slack: the root its answer belongs under; Discord: the message its answer replies to."""
    conversation: str
    """Questions of one conversation are answered in their order."""
    message: Any
    fate: Fate = ""
    edited_to: int | None = None
    asked_at: float = 0.0
    ended_at: float | None = None
    refused: bool = False
    """The inbox did not take it, and said so."""

    @property
    def answer_number(self) -> int:
        return self.number if self.edited_to is None else self.edited_to


class Asker(Protocol):
    async def ask(self, number: int) -> Question: ...

    async def stop(self, question: Question) -> None: ...

    async def edit(self, question: Question, number: int) -> None: ...

    async def delete(self, question: Question) -> None: ...

    async def again(self, question: Question) -> None:
        """The platform delivers the question once more."""
        ...


@dataclass(eq=False)
class OnSlack:
    slack: FakeSlack
    clock: WorldClock
    person: SlackPerson
    place: Place
    random: Random
    _root: str = ""
    _last: Question | None = None

    async def ask(self, number: int) -> Question:
        if self._last is not None and self._last.refused:
            self._root = ""  # the bot has no part in that thread, so it would not listen there
        self.slack.world._seconds = self.clock.now()
        self.slack.twins = self.random.choice(("message first", "mention first"))
        follow_up = self._root and self.random.random() < 0.4
        text = f"{mark(number)} what is a tern?"
        if self.place.kind != "im" and not follow_up:
            text = f"<@U0TERN> {text}"
        message = self.slack.say(self.person.id, text, channel=self.place.id, thread=self._root if follow_up else "")
        root = message.thread or message.ts
        self._root = root
        conversation = f"slack {self.place.id} {root}"
        self._last = Question(number, "slack", message.ts, self.place.id, root, conversation, message)
        return self._last

    async def stop(self, question: Question) -> None:
        self.slack.world._seconds = self.clock.now()
        for answer in self.slack.answers(self.place.id, question.thread):
            if "tern_stop" in answer.buttons:
                self.slack.press(self.person.id, answer, "tern_stop")
                return

    async def edit(self, question: Question, number: int) -> None:
        message: SlackMessage = question.message
        self.slack.world._seconds = self.clock.now()
        self.slack.edit(message, message.text.replace(mark(question.number), mark(number)))

    async def delete(self, question: Question) -> None:
        self.slack.delete(question.message)
        if question.message.ts == self._root:
            self._root = ""

    async def again(self, question: Question) -> None:
        if not question.message.deleted and question.fate == "":
            self.slack.announce(question.message)


@dataclass(eq=False)
class OnDiscord:
    discord: FakeDiscord
    person: DiscordPerson
    channel: Channel
    random: Random
    _last: Question | None = None

    async def ask(self, number: int) -> Question:
        text = f"{mark(number)} what is a tern?"
        direct = self.channel.type == 1
        answer = self._standing_answer()
        if direct:
            message = await self.discord.say(self.channel, self.person, text)
            conversation = f"discord {self.channel.id}"
        elif answer is not None and self.random.random() < 0.4:
            message = await self.discord.say(self.channel, self.person, text, reply_to=answer)
            assert self._last is not None
            conversation = self._last.conversation
        else:
            message = await self.discord.say(self.channel, self.person, text, mention=True)
            conversation = f"discord {self.channel.id} {message.id}"
        self._last = Question(
            number, "discord", str(message.id), str(self.channel.id), str(message.id), conversation, message
        )
        return self._last

    def _standing_answer(self) -> DiscordMessage | None:
        if self._last is None or not self._last.ended_at:
            return None
        return next(iter(self._answers(self._last)), None)

    def _answers(self, question: Question) -> list[DiscordMessage]:
        said = self.discord.said(self.channel)
        return [m for m in said if m.reference and m.reference.get("message_id") == question.message_id]

    async def stop(self, question: Question) -> None:
        for answer in self._answers(question):
            if "Stop" in answer.labels:
                await self.discord.press(answer, self.person, "Stop")
                return

    async def edit(self, question: Question, number: int) -> None:
        message: DiscordMessage = question.message
        await self.discord.rewrite(message, message.content.replace(mark(question.number), mark(number)))

    async def delete(self, question: Question) -> None:
        await self.discord.delete(question.message)

    async def again(self, question: Question) -> None:
        if question.fate == "":
            await self.discord.announce(question.message)


@dataclass(eq=False)
class Crowd:
    """Everybody together: each asks, waits for the end, thinks, asks again, until *messages* are asked."""

    plan: Plan
    clock: WorldClock
    askers: list[Asker]
    messages: int
    ended: Callable[[list[Question]], set[str]]
    """Which of these questions' runs have ended: message ids."""
    questions: list[Question] = field(default_factory=list)
    answered_by: Counter[int] = field(default_factory=Counter)
    """Person -> questions that came to an end."""
    _open: set[Question] = field(default_factory=set)

    async def live(self, *, within_s: float) -> None:
        """Raises TimeoutError when somebody still waits at the end; `waiting` says who."""
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            looking = group.create_task(self._look())
            crowd = [group.create_task(self._live(number, asker)) for number, asker in enumerate(self.askers)]
            await asyncio.wait(crowd)
            looking.cancel()

    @property
    def waiting(self) -> list[Question]:
        return sorted(self._open, key=lambda question: question.number)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            if self._open:
                over = self.ended(list(self._open))
                now = self.clock.now()
                for question in [question for question in self._open if question.message_id in over]:
                    question.ended_at = now
                    self._open.discard(question)

    async def _live(self, number: int, asker: Asker) -> None:
        random = self.plan.random("person", number)
        await asyncio.sleep(random.uniform(0, THINKS_S))
        while len(self.questions) < self.messages:
            question = await self._ask(asker)
            if random.random() < 0.1 and len(self.questions) < self.messages:
                await asyncio.sleep(THINKS_S)
                await self._until_ended(await self._ask(asker))  # did not wait for the first
            await self._until_ended(question)
            self.answered_by[number] += not question.refused
            await asyncio.sleep(THINKS_S + random.random())

    async def _ask(self, asker: Asker) -> Question:
        number = len(self.questions)
        troubles = self.plan.troubles
        random = self.plan.random("fate", number)
        # The number is taken at once: asking awaits.
        self.questions.append(None)  # type: ignore[arg-type]
        question = await asker.ask(number)
        question.asked_at = self.clock.now()
        self.questions[number] = question
        self._open.add(question)
        drawn = random.random()
        if drawn < troubles.stop:
            await self._later(random, question, "stop", asker)
        elif drawn < troubles.stop + troubles.edit:
            await self._later(random, question, "edit", asker)
        elif drawn < troubles.stop + troubles.edit + troubles.delete:
            await self._later(random, question, "delete", asker)
        elif drawn > 1 - troubles.redelivery:
            self.plan.fault("redelivery")
            await asyncio.sleep(random.choice((0.0, 0.01, 0.5, 2.0)))
            await asker.again(question)
        return question

    async def _later(self, random: Random, question: Question, fate: Fate, asker: Asker) -> None:
        await asyncio.sleep(random.uniform(0, 2.5))
        self.plan.fault(fate)
        question.fate = fate
        match fate:
            case "stop":
                await asker.stop(question)
            case "edit":
                question.edited_to = _EDITED + question.number
                self._open.add(question)
                question.ended_at = None
                await asker.edit(question, question.edited_to)
            case "delete":
                await asker.delete(question)
                self._open.discard(question)

    async def _until_ended(self, question: Question) -> None:
        while question in self._open:
            await asyncio.sleep(0.25)
