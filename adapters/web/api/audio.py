"""POST /v1/audio/transcriptions and /v1/audio/translations, in OpenAI's form."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from adapters.web.api.transcripts import FORMATS, Format, written
from adapters.web.auth import REQUEST_ID, Auth
from adapters.web.concurrency import Concurrency
from adapters.web.errors import ApiError, TurnedAway
from adapters.web.settings import WebSettings
from core.base.clock import Clock
from core.domain.errors import BadRequest, TooLarge
from core.domain.incoming import UserKey
from core.domain.requests import TranscribeRequest, Transcript

MAX_FIELD_BYTES = 64 * 1024
"""Of one form field that is not the recording."""
MAX_FIELDS = 64
MAX_BESIDE_BYTES = 1024 * 1024
"""Of a form beside the recording: fields, their heads, the lines between them."""
FIELDS = frozenset(
    (
        "model",
        "language",
        "prompt",
        "response_format",
        "temperature",
        "timestamp_granularities",
        "stream",
        "url",
    )
)
"""What is looked at; other fields are read over."""

_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*")
_CHUNK_BYTES = 256 * 1024


class Listener(Protocol):
    """core/voice/transcription.py. Raises RequestError and NoModelLeft."""

    async def transcribe(self, request: TranscribeRequest, *, name: str = ...) -> Transcript: ...


@dataclass(slots=True)
class Form:
    """A multipart form: the recording and everything else, each field with its values in order."""

    audio: bytes | None = None
    name: str = "the recording"
    mime: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)

    def one(self, name: str) -> str:
        return self.fields.get(name, [""])[-1].strip()


@dataclass(frozen=True, slots=True)
class Audio:
    settings: WebSettings
    auth: Auth
    slots: Concurrency
    listener: Listener
    clock: Clock

    def routes(self, prefix: str) -> list[web.RouteDef]:
        return [
            web.post(f"{prefix}/audio/transcriptions", self.transcribe),
            web.post(f"{prefix}/audio/translations", self.translate),
        ]

    async def transcribe(self, request: web.Request) -> web.Response:
        return await self._hear(request, translate=False)

    async def translate(self, request: web.Request) -> web.Response:
        """Into English; turbo models do not translate, so the larger one is asked."""
        return await self._hear(request, translate=True)

    async def _hear(self, request: web.Request, *, translate: bool) -> web.Response:
        user = UserKey("api", "", await self.auth.enter(request))
        with self.slots.hold(f"api:{user.user}"):
            form = await self._form(request)
            deadline_at = self.clock.now() + self.settings.audio_deadline_s
            wanted = transcribe_request(
                form, request_id=request[REQUEST_ID], user=user, translate=translate, deadline_at=deadline_at
            )
            shape = wanted_format(form)
            transcript = await self.listener.transcribe(wanted, name=form.name)
        body, mime = written(transcript, shape, task="translate" if translate else "transcribe", words=_words(form))
        return web.Response(body=body, content_type=mime, charset="utf-8")

    async def _form(self, request: web.Request) -> Form:
        """Read the form as it arrives; the recording's limit holds before the rest of it is taken."""
        if request.content_type != "multipart/form-data":
            raise TurnedAway(
                ApiError(
                    415, "The body must be multipart/form-data.", "invalid_request_error", "unsupported_media_type"
                )
            )
        limit = self.settings.max_audio_bytes
        too_large = TooLarge("the recording", limit=limit // 2**20, unit="MB")
        if (request.content_length or 0) > limit + MAX_BESIDE_BYTES:
            raise too_large
        form = Form()
        try:
            async with asyncio.timeout(self.settings.upload_timeout_s):
                parts = 0
                reader = MultipartReader(
                    request.headers, cast(StreamReader, _Bounded(request.content, limit + MAX_BESIDE_BYTES, too_large))
                )
                async for part in reader:
                    parts += 1
                    if parts > MAX_FIELDS:
                        raise BadRequest(f"A form has at most {MAX_FIELDS} fields.")
                    if not isinstance(part, BodyPartReader):
                        raise BadRequest("a form must not hold another form")
                    await self._take(part, form)
        except TimeoutError as error:
            raise TurnedAway(
                ApiError(408, "The body took too long to arrive.", "invalid_request_error", "timeout")
            ) from error
        except (ValueError, HttpProcessingError, RuntimeError) as error:
            # aiohttp's own, for a form without boundary, with a broken part or with heads that do not end; they repeat
            # what was sent
            raise BadRequest("The form is malformed.") from error
        return form

    async def _take(self, part: BodyPartReader, form: Form) -> None:
        if part.name == "file":
            limit = self.settings.max_audio_bytes
            form.audio = await _read(part, limit, TooLarge("the recording", limit=limit // 2**20, unit="MB"))
            form.name = (part.filename or "the recording")[:255]
            form.mime = part.headers.get("Content-Type", "")
            return
        name = (part.name or "").removesuffix("[]")
        if name not in FIELDS:
            name = ""
        too_long = BadRequest(f"{name or 'a field'} is too long", param=name or None)
        raw = await _read(part, MAX_FIELD_BYTES, too_long)
        if name:
            form.fields.setdefault(name, []).append(raw.decode("utf-8", "replace"))


class _Bounded:
    """As much of a StreamReader as a MultipartReader needs; counts every byte, whatever it turns out to be."""

    def __init__(self, content: StreamReader, limit: int, too_large: Exception) -> None:
        self._content = content
        self._limit = limit
        self._too_large = too_large

    async def read(self, n: int = -1) -> bytes:
        self._count()
        return await self._content.read(n)

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        self._count()
        return await self._content.readline(max_line_length=max_line_length)

    def unread_data(self, content: bytes) -> None:
        self._content.unread_data(content)

    def at_eof(self) -> bool:
        return self._content.at_eof()

    def _count(self) -> None:
        if self._content.total_bytes > self._limit:
            raise self._too_large


async def _read(part: BodyPartReader, limit: int, too_large: Exception) -> bytes:
    content = bytearray()
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        content += chunk
        if len(content) > limit:
            raise too_large
    return bytes(content)


def transcribe_request(
    form: Form, *, request_id: str, user: UserKey, translate: bool, deadline_at: float
) -> TranscribeRequest:
    """What *form* asks for. Raises BadRequest, naming the field; what could not be given is refused, not ignored."""
    if form.audio is None:
        why = (
            "Send the recording itself as `file`; addresses are not fetched."
            if form.one("url")
            else "`file` is missing."
        )
        raise BadRequest(why, param="file")
    if not form.audio:
        raise BadRequest("The recording is empty.", param="file")
    if not form.one("model"):
        raise BadRequest("`model` is missing; auto lets me choose.", param="model")
    if form.one("stream") in ("true", "1"):
        raise BadRequest("A transcript cannot be streamed.", param="stream")
    if form.one("temperature") not in ("", "0", "0.0"):
        raise BadRequest("Recordings are heard at temperature 0 only.", param="temperature")
    spoken = _LANGUAGE.fullmatch(form.one("language"))
    if form.one("language") and spoken is None:
        raise BadRequest("`language` is an ISO 639-1 code such as en or de.", param="language")
    return TranscribeRequest(
        request_id=request_id,
        user=user,
        audio=form.audio,
        mime=form.mime,
        duration_s=0.0,
        language=spoken.group(1).lower() if spoken else None,
        prompt=form.one("prompt"),
        translate=translate,
        requested_model=form.one("model"),
        deadline_at=deadline_at,
        times=_times(form),
    )


def wanted_format(form: Form) -> Format:
    """Raises BadRequest."""
    asked = form.one("response_format") or "json"
    for known in FORMATS:
        if asked == known:
            return known
    raise BadRequest(f"response_format is one of {', '.join(FORMATS)}.", param="response_format")


def _times(form: Form) -> Literal["none", "segments", "words"]:
    shape = wanted_format(form)
    granularities = [each.strip() for each in form.fields.get("timestamp_granularities", [])]
    if any(each not in ("segment", "word") for each in granularities):
        raise BadRequest("timestamp_granularities are segment and word.", param="timestamp_granularities")
    if granularities and shape != "verbose_json":
        raise BadRequest("timestamp_granularities need response_format verbose_json.", param="timestamp_granularities")
    if _words(form):
        return "words"
    return "segments" if shape in ("verbose_json", "srt", "vtt") else "none"


def _words(form: Form) -> bool:
    return "word" in (each.strip() for each in form.fields.get("timestamp_granularities", []))
