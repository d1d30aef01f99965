"""What must hold after everything, whatever went wrong. Each check names every case that breaks it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core import wording
from core.gateway.registry import load_registry
from tests.fakes.discord import Message as DiscordMessage
from tests.fakes.slack import Message as SlackMessage
from tests.torture.people import Question
from tests.torture.plan import MARK, answer_text
from tests.torture.world import House, Trial, Worlds, texts

ENDED = frozenset({"answered", "stopped", "failed", "quarantined"})

COST_BOUND = 0.35
"""Where a stream was cut before it could report, our estimate of its tokens lies within this share, plus
`COST_FLOOR`, of what the provider had sent."""
COST_FLOOR_TOKENS = 40
_ON_ITS_WAY_S = 1.0
"""A request that comes so soon after a refusal was let out before it: sixty people at once keep the loop busy."""
_TRIES_WITHIN_S = 3.0
COST_FLOOR_USD = 0.0005
"""The same for what is booked in money, where a request that brought nothing may have been charged for or not."""


@dataclass(frozen=True, slots=True)
class Page:
    """One message of the bot as a reader sees it."""

    platform: str
    channel: str
    ref: str
    under: str
    """Slack: the thread's root; Discord: the message it replies to."""
    text: str
    small: str
    live: bool
    """It still shows a stop button, a status, or an open stream."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One question's reply as the database has it."""

    reply_id: str
    run_id: str
    state: str
    error: str
    tries: int
    starts: int
    facts: Any
    refs: tuple[str, ...]


def bare(text: str) -> str:
    """Letters and figures alone, which no platform's markup may change."""
    return "".join(re.findall(r"[^\W_]+", text))


def spoken(text: str) -> str:
    """*text* without the line above it that says who answers."""
    return re.sub(r"^\W*Answered by \S+, because \S+ cannot just now\.\W*", "", text)


class Evidence:
    """Everything the checks look at, gathered once the house is quiet."""

    def __init__(self, trial: Trial, house: House, questions: Sequence[Question]) -> None:
        self.trial = trial
        self.questions = questions
        self.pages = {(page.platform, page.ref): page for page in _pages(trial.worlds)}
        self.replies = _replies(house)
        self.owners: dict[tuple[str, str], list[str]] = defaultdict(list)
        """Page -> the replies that own it."""
        for reply_id, platform, ref in house.rows("SELECT reply_id, platform, ref FROM pages WHERE ref IS NOT NULL"):
            self.owners[platform, ref].append(reply_id)
        self.usage = {
            row[0]: row[1:]
            for row in house.rows(
                "SELECT request_id, prompt_tokens, output_tokens, cost_usd, estimated, cached_tokens FROM usage"
            )
        }
        self.whole = house.rows("PRAGMA integrity_check") == [("ok",)]

    def reply_of(self, question: Question) -> Reply | None:
        return self.replies.get((question.platform, question.channel, question.message_id))

    def pages_of(self, question: Question, reply: Reply) -> list[Page]:
        found = [self.pages.get((question.platform, ref)) for ref in reply.refs]
        return [page for page in found if page is not None]


def broken(evidence: Evidence) -> list[str]:
    """Every broken invariant, one line each."""
    return [
        f"{check.__name__.removeprefix('_')}: {case}"
        for check in (
            _database_is_whole,
            _one_end_each,
            _nothing_doubled,
            _in_its_own_place,
            _order_holds,
            _says_what_the_model_said,
            _usage_is_true,
            _no_limit_met_twice,
            _refusals_are_waited_out,
            _nobody_pinged,
            _nothing_refused_as_malformed,
            _logs_keep_secrets,
            _logs_keep_words,
        )
        for case in check(evidence)
    ]


def _database_is_whole(evidence: Evidence) -> Iterator[str]:
    if not evidence.whole:
        yield "integrity_check complains"


def _one_end_each(evidence: Evidence) -> Iterator[str]:
    """One final answer or one clear sentence; nothing left "thinking"; what was deleted is gone."""
    for question in evidence.questions:
        reply = evidence.reply_of(question)
        name = _name(question)
        if question.fate == "delete":
            if reply is not None and reply.state != "stopped":
                yield f"{name} was deleted and stands as {reply.state}"
            continue
        if reply is None:
            yield f"{name} was never accepted"
        elif reply.state not in ENDED:
            yield f"{name} is {reply.state}"
        elif not (pages := evidence.pages_of(question, reply)):
            yield f"{name} is {reply.state} ({reply.error}) and shows nothing"
        elif not any(page.text.strip() or page.small.strip() for page in pages):
            yield f"{name} shows an empty page"
    for page in evidence.pages.values():
        if page.live:
            yield f"{page.platform} {page.ref} is left unfinished: {page.text[:40]!r} {page.small!r}"


def _nothing_doubled(evidence: Evidence) -> Iterator[str]:
    for key, page in evidence.pages.items():
        match evidence.owners.get(key, []):
            case []:
                yield f"{page.platform} {page.ref} belongs to no reply: {page.text[:60]!r} {page.small!r}"
            case [_]:
                pass
            case several:
                yield f"{page.platform} {page.ref} belongs to {len(several)} replies"
    marks = Counter(
        (question.number, text)
        for question in evidence.questions
        if (reply := evidence.reply_of(question)) is not None
        for page in evidence.pages_of(question, reply)
        for text in MARK.findall(page.text)
    )
    for (number, said), count in marks.items():
        if count > 1:
            yield f"question {number} shows the beginning of answer {said} {count} times"


def _in_its_own_place(evidence: Evidence) -> Iterator[str]:
    for question in evidence.questions:
        reply = evidence.reply_of(question)
        for page in evidence.pages_of(question, reply) if reply else ():
            if page.channel != question.channel or page.under != question.thread:
                yield f"{_name(question)} is answered in {page.channel} under {page.under!r}"
            if strangers := {
                number for number in map(int, MARK.findall(page.text)) if number != question.answer_number
            }:
                yield f"{_name(question)} shows answer {sorted(strangers)}"


def _order_holds(evidence: Evidence) -> Iterator[str]:
    """In one conversation the answer to the earlier question stands first, unless that one had to wait."""
    conversations: dict[str, list[Question]] = defaultdict(list)
    for question in evidence.questions:
        conversations[question.conversation].append(question)
    for asked in conversations.values():
        last: tuple[tuple[int, ...], Question] | None = None
        for question in sorted(asked, key=lambda question: _age(question.message_id)):
            reply = evidence.reply_of(question)
            if reply is None or reply.tries or question.fate or not (pages := evidence.pages_of(question, reply)):
                continue
            first = min(_age(page.ref) for page in pages)
            if last is not None and first < last[0]:
                yield f"{_name(question)} is answered before {_name(last[1])}"
            last = (first, question)


def _says_what_the_model_said(evidence: Evidence) -> Iterator[str]:
    for question in evidence.questions:
        reply = evidence.reply_of(question)
        if reply is None or question.fate == "delete":
            continue
        whole = bare(answer_text(evidence.trial.plan.seed, question.answer_number))
        said = bare(spoken("".join(page.text for page in evidence.pages_of(question, reply))))
        if reply.state == "answered":
            if said != whole:
                yield f"{_name(question)} shows {_difference(said, whole)}"
        elif said and not whole.startswith(said) and said not in _SENTENCES_BARE and not _is_sentence(said):
            yield f"{_name(question)} is {reply.state} ({reply.error}) and shows {_difference(said, whole)}"


def _usage_is_true(evidence: Evidence) -> Iterator[str]:
    """What is booked is what the provider reported; where a stream was cut, it is near what was sent."""
    registry = load_registry()
    sent: dict[int, list[tuple[Any, bool]]] = defaultdict(list)
    worlds = evidence.trial.worlds
    for api in (worlds.groq, worlds.openai):
        for record in api.asked():
            if record.status == 200 and (found := _asked_about(record.body)) is not None:
                sent[found].append((record, record.reported))
    for question in evidence.questions:
        reply = evidence.reply_of(question)
        if reply is None or question.fate or reply.tries:
            continue
        requests = sent.get(question.number, [])
        booked = evidence.usage.get(reply.run_id)
        if booked is None:
            if any(reported for _, reported in requests):
                yield f"{_name(question)} was paid for and is not booked"
            continue
        prompt, output, cost, estimated, _ = booked
        exact = [record for record, reported in requests if reported]
        true_output = sum(record.tokens_sent for record, _ in requests)
        if not estimated:
            reported_prompt = sum(record.prompt_tokens for record in exact)
            reported_output = sum(record.tokens_sent for record in exact)
            true_cost = sum(
                registry.get(record.model).cost_usd(record.prompt_tokens, 0, record.tokens_sent) for record in exact
            )
            if (prompt, output) != (reported_prompt, reported_output):
                yield f"{_name(question)} books {prompt}+{output} tokens, reported {reported_prompt}+{reported_output}"
            elif abs(cost - true_cost) > 1e-9:
                yield f"{_name(question)} books ${cost:.9f}, reported ${true_cost:.9f}"
            continue
        if abs(output - true_output) > COST_BOUND * true_output + COST_FLOOR_TOKENS:
            yield f"{_name(question)} books about {output} output tokens, sent were {true_output}"
        costs = [
            (registry.get(record.model).cost_usd(record.prompt_tokens, 0, record.tokens_sent), record.tokens_sent > 0)
            for record, _ in requests
        ]
        most = sum(usd for usd, _ in costs) * (1 + COST_BOUND) + COST_FLOOR_USD
        least = sum(usd for usd, brought in costs if brought) * (1 - COST_BOUND) - COST_FLOOR_USD
        if not least <= cost <= most:
            yield f"{_name(question)} books about ${cost:.6f}, not between ${least:.6f} and ${most:.6f}"


def _no_limit_met_twice(evidence: Evidence) -> Iterator[str]:
    worlds = evidence.trial.worlds
    kinds: Counter[str] = Counter()
    for api in (worlds.groq, worlds.openai):
        for record in api.asked():
            if record.status == 429 and record.refusal:
                kind = re.search(r"\((\w+)\)", record.refusal)
                kinds[f"{record.model} {kind[1] if kind else '?'}"] += 1
    kinds.update(f"slack {bucket}" for bucket, _ in worlds.slack.rates.refused)
    for refusal in worlds.discord.refusals:
        method, path, scope = (*refusal.split(" "), "")[:3]
        if scope:  # the planned ones have none
            kinds[f"discord {method} {path.split('/')[4:6]} {scope}"] += 1
    for kind, count in kinds.items():
        if count > 1:
            yield f"{kind}: {count} times"


def _refusals_are_waited_out(evidence: Evidence) -> Iterator[str]:
    """Who was told "not before N seconds" does not ask that model again before. The newest word on a limit counts; what
    was on its way when it came does not."""
    worlds = evidence.trial.worlds
    for api in (worlds.groq, worlds.openai):
        asked = sorted(api.asked(), key=lambda record: record.began_at)
        refusals = sorted(
            (record for record in asked if record.refused_at and record.refused_for),
            key=lambda refusal: refusal.refused_at,
        )
        for record in asked:
            told = {
                refusal.refused_for: refusal.refused_at + refusal.wait_s
                for refusal in refusals
                if refusal.model == record.model and refusal.refused_at + _ON_ITS_WAY_S < record.began_at
            }
            # retry-after counts in whole seconds, what the text says may be up to one less
            early = {kind: until for kind, until in told.items() if record.began_at < until - 1.0}
            if early and not _is_second_try(record, asked):
                for kind, until in early.items():
                    yield f"{record.model} is asked {until - record.began_at:.2f} s before its {kind} are free again"


def _is_second_try(record: Any, asked: Sequence[Any]) -> bool:
    """Whether *record* repeats a request that was let out a moment before, as after a 500: it needs no new leave."""
    about = _asked_about(record.body)
    return any(
        record.began_at - _TRIES_WITHIN_S < other.began_at < record.began_at
        for other in asked
        if other.model == record.model and _asked_about(other.body) == about
    )


def _nobody_pinged(evidence: Evidence) -> Iterator[str]:
    worlds = evidence.trial.worlds
    yield from map(str, worlds.slack.pings)
    yield from map(str, worlds.discord.pings)


def _nothing_refused_as_malformed(evidence: Evidence) -> Iterator[str]:
    worlds = evidence.trial.worlds
    gone = {message.ts for message in worlds.slack.world.messages if message.deleted}
    for violation in worlds.slack.violations:
        if not (violation.startswith("posted into the thread") and gone & set(re.findall(r"[\d.]{17}", violation))):
            yield violation
    for error in worlds.discord.errors:
        if " 400 " in error and " 40060 " not in error:  # an interaction that was delivered twice
            yield error
    for api in (worlds.groq, worlds.openai):
        for record in api.asked():
            if record.status in (400, 422) and record.refusal:
                yield f"{record.model}: {record.refusal}"


def _logs_keep_secrets(evidence: Evidence) -> Iterator[str]:
    for line in evidence.trial.log.lines:
        for secret in evidence.trial.worlds.secrets:
            if secret in line:
                yield line.replace(secret, "(secret)")[:200]


def _logs_keep_words(evidence: Evidence) -> Iterator[str]:
    """Neither questions nor answers, above the debug level."""
    for line in evidence.trial.log.lines:
        if '"level": "debug"' not in line and (MARK.search(line) or "what is a tern" in line):
            yield line[:300]


# --- gathering ---


def _pages(worlds: Worlds) -> Iterator[Page]:
    for message in worlds.slack.world.messages:
        if message.bot and not message.deleted and not message.ephemeral_for:
            yield _slack_page(message)
    for channel in worlds.discord.channels.values():
        for said in worlds.discord.said(channel):
            yield _discord_page(said)


def _slack_page(message: SlackMessage) -> Page:
    small = message.small_print
    live = message.stream is not None or "tern_stop" in message.buttons or wording.THINKING in small
    return Page("slack", message.channel, message.ts, message.thread, message.shown, small, live)


def _discord_page(message: DiscordMessage) -> Page:
    text, _, small = (
        message.content.rpartition("-# ") if "\n-# " in f"\n{message.content}" else (message.content, "", "")
    )
    live = "Stop" in message.labels or wording.THINKING in small or wording.THINKING in text
    under = str((message.reference or {}).get("message_id", ""))
    return Page("discord", str(message.channel.id), str(message.id), under, text, small, live)


def _replies(house: House) -> dict[tuple[str, str, str], Reply]:
    refs: dict[str, list[str]] = defaultdict(list)
    for reply_id, ref in house.rows("SELECT reply_id, ref FROM pages WHERE ref IS NOT NULL ORDER BY page"):
        refs[reply_id].append(ref)
    facts = {reply_id: texts(body) for reply_id, body in house.rows("SELECT reply_id, facts FROM replies")}
    found = {}
    for platform, channel, message_id, reply_id, run_id, state, error, tries, starts in house.rows(
        "SELECT platform, channel, message_id, runs.reply_id, run_id, state, error, tries, starts "
        "FROM runs JOIN messages ON messages.seq = message_seq ORDER BY runs.seq"
    ):
        found[platform, channel, message_id] = Reply(
            reply_id, run_id, state, error, tries, starts, facts.get(reply_id, {}), tuple(refs[reply_id])
        )
    return found


def _asked_about(body: Any) -> int | None:
    asked = [turn["content"] for turn in body.get("messages", ()) if turn["role"] == "user"]
    marks = [number for text in asked if isinstance(text, str) for number in MARK.findall(text)]
    return int(marks[-1]) if marks else None


_SENTENCES_BARE = {
    bare(sentence)
    for sentence in (
        wording.STOPPED, wording.STOPPED_BEFORE_TEXT, wording.QUARANTINED, wording.DEADLINE_PASSED,
        wording.SHUTTING_DOWN,
    )
}  # fmt: skip


def _is_sentence(said: str) -> bool:
    """A sentence of ours and nothing of an answer."""
    return not MARK.search(said) and not re.search(r"z\d+", said)


def _difference(said: str, whole: str) -> str:
    at = next((at for at, (a, b) in enumerate(zip(said, whole, strict=False)) if a != b), min(len(said), len(whole)))
    return f"{len(said)} of {len(whole)} letters, differing at {at}: {said[at : at + 40]!r} for {whole[at : at + 40]!r}"


def _age(message_id: str) -> tuple[int, ...]:
    """Sorts the ids of one platform as they were made."""
    return tuple(map(int, message_id.split(".")))


def _name(question: Question) -> str:
    return f"{question.platform} q{question.number:06d}" + (f" ({question.fate})" if question.fate else "")
