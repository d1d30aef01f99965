"""The words of recordings and nothing else: what "Transcribe" on a message asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.chat.service import Answered, Context, ReplyFile
from core.domain.errors import BadRequest, Unreadable
from core.domain.events import Send, Started, TextDelta
from core.domain.incoming import Attachment, Incoming
from core.domain.requests import Reply, Text, Transcript, Turn, Usage
from core.files.attachments import everything_attached, request_id_of
from core.gateway.tokens import estimate_tokens

SHOWN_CHARS = 3_000
"""Of a longer transcript only the beginning is shown, two pages on Discord, and the whole is attached as a file."""

FILE_NAME = "transcript.txt"
NO_WORDS = "I heard no words in it."
NO_RECORDING = "that message has no voice clip"


class Ears(Protocol):
    """`Attachments.hear`."""

    async def hear(
        self, item: Attachment, request_id: str, incoming: Incoming, *, deadline_at: float, times: bool = False
    ) -> Transcript: ...


@dataclass(frozen=True, slots=True)
class _Heard:
    name: str
    transcript: Transcript


class Transcripts:
    """Implements `Chat` for the action "transcribe".

    The option "verbose" adds the time of each stretch of speech.
    """

    def __init__(self, ears: Ears) -> None:
        self._ears = ears

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
        """Raises BadRequest where nothing can be heard, and NoModelLeft."""
        verbose = "verbose" in incoming.options
        heard = await self._hear(incoming, deadline_at, verbose=verbose)
        text = written(heard, verbose=verbose)
        shown, files = _shortened(text)
        last = heard[-1].transcript
        await send(Started(last.model, last.provider))
        await send(TextDelta(shown))
        usage = sum((one.transcript.usage for one in heard), Usage())
        asked = Turn("user", (Text(f"Transcribe {', '.join(one.name for one in heard)}."),))
        answer = Turn("assistant", (Text(text),))
        return Answered(
            Reply(text, last.model, last.provider, usage, from_cache=all(one.transcript.from_cache for one in heard)),
            tuple((turn, estimate_tokens(turn.text)) for turn in (asked, answer)),
            files,
        )

    async def _hear(self, incoming: Incoming, deadline_at: float, *, verbose: bool) -> list[_Heard]:
        """One after the other, as one recording keeps every audio model busy enough. What is none is passed by."""
        heard: list[_Heard] = []
        for number, item in enumerate(everything_attached(incoming)):
            name = request_id_of(incoming, number)
            try:
                transcript = await self._ears.hear(item, name, incoming, deadline_at=deadline_at, times=verbose)
            except Unreadable:
                continue
            heard.append(_Heard(item.name, transcript))
        if not heard:
            raise BadRequest(NO_RECORDING)
        return heard


def written(heard: Sequence[_Heard], *, verbose: bool) -> str:
    """All transcripts as Markdown; names stand above them where there is more than one."""
    texts = [_timed(one.transcript) if verbose else one.transcript.text for one in heard]
    if len(heard) == 1:
        return texts[0] or NO_WORDS
    return "\n\n".join(f"**{one.name}**\n\n{text or NO_WORDS}" for one, text in zip(heard, texts, strict=True))


def _timed(transcript: Transcript) -> str:
    """A line for each stretch: "`1:05` What was said."; the plain text where the model gave no times."""
    lines = [f"`{_clock(segment.start_s)}` {segment.text.strip()}" for segment in transcript.segments]
    return "\n".join(lines) or transcript.text


def _clock(at_s: float) -> str:
    hours, minutes, seconds = int(at_s) // 3600, int(at_s) // 60 % 60, int(at_s) % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _shortened(text: str) -> tuple[str, tuple[ReplyFile, ...]]:
    if len(text) <= SHOWN_CHARS:
        return text, ()
    beginning = text[:SHOWN_CHARS]
    cut = max(beginning.rfind("\n"), beginning.rfind(" "))
    file = ReplyFile(FILE_NAME, text.encode("utf-8", "replace"), "The whole transcript.")
    return f"{beginning[:cut].rstrip()} …", (file,)
