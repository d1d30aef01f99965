"""Every sentence the program itself says to a reader: errors, notices, states. Plain, and what to do next.

Nothing here is said by a model, and no other module words an error. Tables and constants only; no state.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from core.domain import errors as e
from core.domain.events import Notice

# --- the correlation code --------------------------------------------------------------------------------------------

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that reads like a digit. https://www.crockford.com/base32.html, read 2026-11-22."""

REFERENCE_CHARS = 6


def reference(request_id: str) -> str:
    """Return the short code that stands for *request_id* in an error, in the log (`ref=`) and on the phone.

    Six characters are 30 bits: two of 10,000 requests share one with a chance of about one in twenty, and the log
    line's time tells those apart. What follows a dot is a round of the same request and has its code.
    """
    request_id = request_id.partition(".")[0]
    bits = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:4], "big")
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, 5 * REFERENCE_CHARS, 5))


# --- errors ----------------------------------------------------------------------------------------------------------


def sentence_for(error: BaseException, request_id: str = "") -> str:
    """Return what the reader is told about *error*.

    A code such as "(ref 7F3K2M)" is added where an operator must look, which is everything but the asker's own
    mistakes; "" as *request_id* leaves it out. Errors from outside the tree get a general sentence: their text may
    hold anything.
    """
    sentence = _SENTENCES[_nearest(type(error))](error)
    if request_id and not isinstance(error, e.RequestError):
        return f"{sentence} (ref {reference(request_id)})"
    return sentence


def _nearest(kind: type[BaseException]) -> type[BaseException]:
    return next((base for base in kind.__mro__ if base in _SENTENCES), BaseException)


def _bad_request(error: e.BadRequest) -> str:
    where = f" (field `{error.param}`)" if error.param else ""
    return f"I could not use that request: {_clause(error.problem)}{where}. Please change it and send it again."


def _unknown_model(error: e.UnknownModel) -> str:
    return f"I do not know the model `{_quoted(error.wanted)}`. Pick one of: {', '.join(error.known) or 'auto'}."


def _over_limit(error: e.OverLimit) -> str:
    whose = {"user": "your limit", "workspace": "this workspace's limit"}.get(error.scope, "the limit for everybody")
    allowance = f"${error.limit:,.2f} per day" if error.kind == "USD per day" else f"{error.limit:,.0f} {error.kind}"
    return f"You have reached {whose} of {allowance}. {_come_back(error.retry_after_s)}"


def _no_model_left(error: e.NoModelLeft) -> str:
    if error.partial_text:
        return "The answer broke off here and no other model could finish it. Ask me to continue, or regenerate it."
    if error.missing:
        return _NOTHING_CAN.get(error.missing, f"No model I have can do that ({error.missing}).")
    if error.errors and all(isinstance(cause, _LASTING) for cause in error.errors):
        return sentence_for(error.errors[0])
    wait = error.retry_after_s
    return f"No model can answer just now; I tried every one I have. {_come_back(wait if wait is not None else 60.0)}"


def _fields(detail: str) -> str:
    """What our own check of a schema found ("$.items[2].price: ..."); a provider's words stay out."""
    return f" ({_quoted(detail)})" if detail.startswith("$") else ""


_LASTING = (
    e.KeyRejected,
    e.SpendLimitReached,
    e.ModelGone,
    e.ModelBlocked,
    e.TooLargeForLimit,
    e.ContextTooLong,
    e.RequestRejected,
    e.CallMalformed,
    e.OutputMalformed,
)
"""Where nothing else went wrong, waiting does not help: the first one's own sentence says what does."""

_NOTHING_CAN = {
    "text": "No model is set up. Set GROQ_API_KEY (see .env.example), or ask whoever runs me to.",
    "vision": "None of the models I have can see pictures. Describe it in words, or ask without the picture.",
    "audio": "None of the models I have can hear. Please type your message.",
    "tools": "None of the models I have can use tools. Ask again without them.",
    "json": "None of the models I have can promise JSON. Ask for plain text, or pick another model.",
    "json_schema": "None of the models I have can keep to a schema. Ask for plain JSON, or pick another model.",
}

_SENTENCES: Mapping[type[BaseException], Callable[[Any], str]] = {
    BaseException: lambda _: "Something went wrong on my side; it has been written down. Please try again.",
    # The asker can mend it.
    e.RequestError: lambda _: "I could not use that request. Please change it and send it again.",
    e.BadRequest: _bad_request,
    e.UnknownModel: _unknown_model,
    e.TooLarge: lambda x: (
        f"{_capital(x.what)} is larger than {x.allowed}, the most I can take. Please send less, or in parts."
    ),
    e.Unreadable: lambda x: f"I cannot read `{_quoted(x.name)}`: {_clause(x.why)}. Please send it in another form.",
    e.NothingRead: lambda x: (
        "I did not hear anything I could answer. Please record it again, or type it."
        if x.sound
        else "I could read nothing of this, so there is nothing I can answer. Please send it in another form, or write "
        "what you want to know."
    ),
    e.Unfetchable: lambda x: (
        f"I could not fetch anything from {_quoted(x.where)}: {_clause(x.why)}. Paste the text here instead."
    ),
    e.Refused: lambda x: f"I cannot answer this now. {_come_back(x.retry_after_s)}",
    e.OverLimit: _over_limit,
    e.SpendStopped: lambda x: (
        f"I have spent what I am allowed to spend today (${x.limit_usd:,.2f}). {_come_back(x.retry_after_s)}"
    ),
    e.QueueFull: lambda x: f"Too many messages are waiting ({x.waiting}). Please try again in a few minutes.",
    e.NotAllowed: lambda x: f"I may not answer here: {_clause(x.why)}. Ask whoever runs me for access.",
    # The provider's doing.
    e.ProviderError: lambda _: "The model failed to answer. Please try again.",
    e.KeyRejected: lambda x: (
        f"{_capital(_provider(x))} does not accept my API key. "
        f"Whoever runs me must set a valid {_key_name(x)} and restart me."
    ),
    e.SpendLimitReached: lambda x: (
        f"The spend limit of my {_provider(x)} account is used up. Whoever runs me can raise it there."
    ),
    e.ModelGone: lambda x: f"The model{_named(x)} is no longer offered. Pick another, or `auto`.",
    e.ModelBlocked: lambda x: f"My account may not use the model{_named(x)}. Pick another, or `auto`.",
    e.LimitReached: lambda x: f"The model{_named(x)} is at its rate limit. {_come_back(x.retry_after_s)}",
    e.TooLargeForLimit: lambda x: (
        f"This is more than the model{_named(x)} takes in one minute"
        f"{f' ({x.limit:,} tokens)' if x.limit else ''}. Send less at once, or pick another model."
    ),
    e.ContextTooLong: lambda _: "This is longer than the models I have can read at once. Send less, or in parts.",
    e.CallMalformed: lambda _: "The model tried to use a tool and garbled the call. Please try again.",
    e.OutputMalformed: lambda x: (
        f"The model did not keep to the form that was asked for{_fields(x.said)}. Try again, or ask for less."
    ),
    e.Unprocessable: lambda _: "The model could not make sense of the request. Try again in other words.",
    e.RequestRejected: lambda x: f"The model{_named(x)} did not accept the request. Pick another model, or `auto`.",
    e.Overloaded: lambda x: f"{_capital(_provider(x))} is overloaded. {_come_back(x.retry_after_s or 30.0)}",
    e.ConnectionFailed: lambda x: f"I cannot reach {_provider(x)}. Please try again in a minute.",
    e.StreamBroken: lambda _: "The answer broke off here. Ask me to continue, or regenerate it.",
    e.Stalled: lambda _: "The model fell silent in the middle of its work. Please try again.",
    e.NoModelLeft: _no_model_left,
    # The platform's doing.
    e.SurfaceError: lambda _: "I have an answer but could not show it here. Please try again.",
    e.SurfaceGone: lambda _: "The place this answer was meant for is gone, so I cannot show it.",
    e.SurfaceForbidden: lambda x: (
        f"I am not allowed to {x.ability} here."
        + (f" Whoever runs me can give me the right `{x.needs}`." if x.needs else " Whoever runs me can allow it.")
    ),
    e.SurfaceBusy: lambda x: f"The chat platform is not taking my messages. {_come_back(x.retry_after_s)}",
    e.SurfaceRejected: lambda _: "The chat platform refused the answer's form. Ask for it shorter or plainer.",
    # Ours.
    e.StorageError: lambda _: "I could not save that, so I did not start on it. Please send it again.",
    e.StorageBusy: lambda _: "My database is busy, so I did not start on that. Please send it again in a moment.",
    e.StorageFull: lambda _: (
        "My disk is full or read-only, so I cannot take new messages. Whoever runs me must free some space."
    ),
    e.StorageCorrupt: lambda _: (
        "My database is damaged, so I cannot take messages. Whoever runs me must restore a backup."
    ),
    e.StorageTooNew: lambda _: (
        "My database was written by a newer version of me. Whoever runs me must install that version or newer."
    ),
    e.StaleFence: lambda _: "Another copy of me has taken this answer over; it appears there.",
    e.SettingsError: lambda x: "My settings cannot be used:\n" + "\n".join(f"- {problem}" for problem in x.problems),
    e.TernError: lambda _: "Something went wrong on my side; it has been written down. Please try again.",
}


# --- notices ---------------------------------------------------------------------------------------------------------


def notice_line(notice: Notice) -> str:
    """Return one short line for *notice*; facts that a notice lacks are left out of it."""
    facts = notice.facts
    match notice.kind:
        case "queued":
            return queued(int(facts.get("place", "1")))
        case "trimmed":
            count = int(facts.get("turns", "0"))
            what = {0: "Older messages were", 1: "The oldest message was"}.get(
                count, f"The {count} oldest messages were"
            )
            return f"{what} left out: the conversation is longer than the model can read."
        case "cut":
            if "kept_chars" in facts and "total_chars" in facts:
                kept, total = int(facts["kept_chars"]), int(facts["total_chars"])
                return f"Your message was too long; I read {kept:,} of its {total:,} characters."
            return "Your message was too long; I read only a part of it."
        case "continued":
            return f"Continued by {facts.get('model', 'another model')}: the first one broke off."
        case "local" if facts.get("wanted"):
            return f"A small model on this computer answers{_instead_of(facts)}; it is often wrong."
        case "fallback":
            return f"Answered by {facts.get('model', 'another model')}{_instead_of(facts)}."
        case "retired":
            wanted, model = facts.get("wanted", "That model"), facts.get("model", "its successor")
            return f"{wanted} has been retired; {model} answers instead."
        case "local":
            return LOCAL_MODEL
        case "tool":
            return f"{facts.get('label', 'Working')} ..."
        case "heard":
            language = f" ({facts['language']})" if facts.get("language") else ""
            return f"I heard{language}: {facts.get('text') or 'no words'}"
        case "read":
            detail = f": {facts['detail']}" if facts.get("detail") else ""
            return f"Read {_quoted(facts.get('name', 'the file'))}{detail}."
        case "around":
            return (
                f"I read the last {facts.get('messages', 'few')} messages of this channel to answer; "
                'an operator can end that (context = "thread").'
            )
        case "memory":
            return f"From memory: {facts.get('words', '')}."
        case "declined":
            reason = f": {_clause(facts['reason'])}" if facts.get("reason") else ""
            return f"I did not read {_quoted(facts.get('name', 'the attachment'))}{reason}."
        case "waiting":
            until = f" until {facts['until']}" if facts.get("until") else ""
            return f"{NO_MODEL} I keep trying{until}."


def _instead_of(facts: Mapping[str, str]) -> str:
    return f", because {facts['wanted']} cannot just now" if facts.get("wanted") else ""


# --- states ----------------------------------------------------------------------------------------------------------

NO_MODEL = "No model can answer just now."
LOCAL_MODEL = "A small model on this computer answers. Set GROQ_API_KEY for much better and faster answers."
THINKING = "Thinking ..."
STOPPED = "Stopped."
STOPPED_BEFORE_TEXT = "Stopped before I had written anything."
NOTHING_TO_STOP = "Nothing is running here."
NOT_YOURS = "Only the person who asked can decide this."
NOTHING_ASKED = "There is nothing to decide here any more."
WHICH_SCHEMA = "What shall I make of it?"
DECLINED = "All right, I leave it."
NOT_CONFIRMED_IN_TIME = "Nobody agreed in time, so I did not do it. Ask me again if you still want it."
FORGOTTEN_QUESTION = "I no longer have what this was about. Please ask me again."


MAX_SHOWN_CHARS = 1_500
"""Of one call's arguments: longer ones cannot be agreed to, for nobody would see to what."""


def may_i(calls: Sequence[tuple[str, object]]) -> str:
    """The question before acting tools: (name, arguments) of each call, as they will be run.

    The arguments are somebody else's words (a model wrote them), so they stand in a fence that they cannot close.
    """
    asked = []
    for name, arguments in calls:
        shown = shown_arguments(arguments)
        fence = "`" * max(3, max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
        asked.append(f"`{name.replace('`', '')}` with\n\n{fence}\n{shown}\n{fence}")
    return "**May I use** " + "\n\nand ".join(asked) + "\n\nConfirm or decline below."


def shown_arguments(arguments: object) -> str:
    """*arguments* one a line, whole; control, direction and other invisible characters as their numbers."""
    return "\n".join(map(_visible, _leaves("", arguments)))


def _leaves(path: str, value: object) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for name, one in value.items() for line in _leaves(f"{path}.{name}" if path else str(name), one)]
    if isinstance(value, list) and value:
        return [line for number, one in enumerate(value, 1) for line in _leaves(f"{path}[{number}]", one)]
    # JSON's own way of writing keeps a value on its line and tells "1" from 1.
    written = json.dumps(value, ensure_ascii=False)
    return [f"{path}: {written}" if path else written]


def _visible(line: str) -> str:
    if line.isascii() and line.isprintable():
        return line
    return "".join(one if one.isprintable() and one not in _UNSEEN else f"\\u{{{ord(one):x}}}" for one in line)


_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(one) for one in range(0xFE00, 0xFE10)}
"""Fillers, joiners and variation selectors: they show nothing, and Python calls them printable."""


def not_there_yet(tools: Sequence[str]) -> str:
    """You agreed, but the tool's server is not up; the question follows once more."""
    names = ", ".join(f"`{_quoted(tool)}`" for tool in tools)
    return f"You agreed, but {names} is not there just now, so nothing was done. You can try again in a moment."


NOT_YOURS_TO_STOP = "Only the person who asked, or a moderator, can do that."
STILL_WRITING = "I am still at it; the answer appears above."
FORGOTTEN_REPLY = "I do not remember that answer any more. Please ask again."
QUARANTINED = (
    "This message made me crash more than once, so I have stopped trying. "
    "Please ask in other words, or without the attachment."
)
UNDELIVERABLE = (
    "My private answer came too late: the platform no longer lets me show it to you alone, and I will not post it "
    "for everybody. Please ask again."
)
DEADLINE_PASSED = "I ran out of time for this one. Please ask again."
SHUTTING_DOWN = "I am restarting; your message is safe and I will answer it in a moment."
EMPTY_QUESTION = (
    'Hi! Ask me something, for example "what is 15 % of 240?" or, in a thread, "summarise this". '
    "A picture, a file or a voice clip will do too."
)
STOPPING = "I stop."
NOTHING_RUNS = "Nothing that you asked for here is being answered."
PART_REFUSED = "(The chat platform refused this part of the answer. Ask for it in other words.)"
REST_REFUSED = "(The chat platform refused what comes next here. Ask for it in other words.)"
NAME_ME_ITSELF = (
    "You called my role, and Discord does not let me read such a message. Pick me from the list of members instead "
    "and send it again."
)
FROM_CACHE = "Same question, same answer: taken from memory. Regenerate for a fresh one."
THANKS = "Thank you for telling me."
STILL_SHOWN = (
    "The messages themselves still stand here until somebody deletes them; I do not read those from before again, "
    "unless you point me at one."
)
FORGOTTEN_NOTHING = "I had nothing stored about that."


NEEDS_MESSAGE_CONTENT = (
    "I cannot read what other people wrote here: that needs the message content intent, which whoever runs me can "
    "switch on. In a direct message with me it works without."
)


def not_stored_yet(error: e.StorageError) -> str:
    """For a message that is kept in mind and tried again, on platforms that can be read back."""
    why, who = "I cannot save anything just now", ""
    if isinstance(error, e.StorageBusy):
        why = "My database is busy just now"
    elif isinstance(error, e.StorageFull):
        why, who = "My disk is full or read-only just now", " Whoever runs me must free some space."
    return (
        f"{why}. I have seen your message and will answer it as soon as I can; there is no need to send it again.{who}"
    )


def may_not_write(place: str, right: str) -> str:
    """Said in private to somebody who asked where the bot can read but not write; *place* is the channel as a link,
    *right* what the platform calls the permission that is missing."""
    return (
        f"I read your question in {place}, but I am not allowed to answer there. "
        f"Somebody who manages the server can give me the permission **{right}**."
    )


def left_out(chars: int) -> str:
    """Under the last page of an answer that found room neither on its pages nor in a file."""
    return f"The last {chars:,} characters found no room here. Ask me to go on, or for less."


def file_refused(name: str) -> str:
    """Below an answer whose file is missing."""
    return f"The file `{_quoted(name)}` belongs here, but the chat platform refused it: I may lack the right to attach."


def file_not_sent(name: str, size_bytes: int, limit_bytes: int) -> str:
    """A file that the platform does not take, with what to do."""
    size, limit = size_bytes / 2**20, limit_bytes / 2**20
    return (
        f"I could not send you `{_quoted(name)}` ({size:,.1f} MB): Discord takes files of up to {limit:,.0f} MB here. "
        "Whoever runs me can hand it to you."
        if size_bytes > limit_bytes
        else f"Discord did not take the file `{_quoted(name)}`. Please try again later."
    )


def queued(place: int) -> str:
    """*place* counts from 1."""
    if place <= 1:
        return "Queued: you are next."
    return f"Queued: {place - 1} {'message is' if place == 2 else 'messages are'} before yours."


def waiting(until_at: float, tz: str = "") -> str:
    """No model is reachable; *until_at* is the deadline, epoch seconds, told in the reader's zone or in UTC."""
    return f"{NO_MODEL} Your message is safe: I keep trying until {clock_time(until_at, tz)} and answer right here."


def gave_up(since_at: float, tz: str = "") -> str:
    """The deadline of a waiting message has passed."""
    return f"I have tried since {clock_time(since_at, tz)} and no model could answer. Please ask again later."


def backlog(messages: int) -> str:
    """The one apology for messages that came while the bot was away."""
    if messages == 1:
        return "I was away and missed a message here. If you still need an answer, please ask again."
    return f"I was away and missed {messages} messages here. If you still need an answer, please ask again."


def forgotten(count: int, *, still_shown: bool = False) -> str:
    """*count* is how many stored things went; *still_shown*: the platform goes on showing what was said."""
    if not count:
        return FORGOTTEN_NOTHING
    said = f"Forgotten: {count:,} stored {'item is' if count == 1 else 'items are'} gone for good."
    return f"{said} {STILL_SHOWN}" if still_shown else said


# --- parts of sentences ----------------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Round *seconds* up to what a person would say: "8 seconds", "3 minutes", "about 2 hours"."""
    if seconds <= 90:
        return _count(max(1, math.ceil(seconds)), "second")
    if seconds <= 90 * 60:
        return _count(math.ceil(seconds / 60), "minute")
    return f"about {_count(math.ceil(seconds / 3600), 'hour')}"


def clock_time(at: float, tz: str = "") -> str:
    """*at* (epoch seconds) as "14:05" in the IANA zone *tz*, or as "14:05 UTC" where that is unknown."""
    zone: tzinfo = UTC
    label = " UTC"
    try:
        if tz:
            zone, label = ZoneInfo(tz), ""
    except (KeyError, ValueError, OSError):
        pass  # the platform sent a zone this machine does not know; UTC is still true
    return f"{datetime.fromtimestamp(at, zone):%H:%M}{label}"


def _come_back(wait_s: float | None) -> str:
    return "Please try again later." if wait_s is None else f"Please try again in {duration(wait_s)}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _clause(text: str) -> str:
    return text.strip().rstrip(".")


def _quoted(text: str) -> str:
    """A name somebody else chose, made safe to stand in a line of ours: short, one line, no marks that end a quote."""
    line = " ".join(text.replace("`", "'").split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def _named(error: e.ProviderError) -> str:
    return f" {error.model}" if error.model else ""


def _provider(error: e.ProviderError) -> str:
    names = {"groq": "Groq", "openai": "OpenAI", "local": "the local model"}
    return names.get(error.provider, error.provider) or "the model's provider"


def _key_name(error: e.ProviderError) -> str:
    return f"{error.provider.upper()}_API_KEY" if error.provider in {"groq", "openai"} else "key"


def cannot_write_there(why: str) -> str:
    """For the asker, elsewhere. *why* is half a sentence about the place, e.g. "it is archived"."""
    return f"I cannot write where you just asked me: {why}. Ask me here, or in another channel."
