"""Recordings and files that an API caller sends inside a message: heard and read before a model is asked.

A recording becomes its words and a file its text, as on every other way in; a picture sent as a file becomes a picture.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from adapters.web.api.audio import Listener
from adapters.web.api.pictures import Reader
from adapters.web.api.types import AudioPart, ChatBody, FilePart, ImagePart, ImageUrl, Message, TextPart
from core.domain.errors import BadRequest, Unreadable
from core.domain.incoming import UserKey
from core.domain.requests import TranscribeRequest
from core.files.kinds import sniff
from core.files.values import Document, Job, ReadLimits

_DATA_URL = re.compile(r"data:[^,]{0,200},")
_NAME_CHARS = 80


@dataclass(frozen=True, slots=True)
class Parts:
    listener: Listener | None
    reader: Reader | None
    limits: ReadLimits = ReadLimits()

    async def taken_in(self, body: ChatBody, user: UserKey, request_id: str, deadline_at: float) -> None:
        """Put what was heard and read in the place of *body*'s recordings and files. Raises TernError."""
        for number, message in enumerate(body.messages):
            if isinstance(message.content, list):
                await self._take_in(message, f"messages[{number}]", user, f"{request_id}.{number}", deadline_at)

    async def _take_in(self, message: Message, where: str, user: UserKey, request_id: str, deadline_at: float) -> None:
        taken: list[TextPart | ImagePart] = []
        for number, part in enumerate(message.content or ()):
            at = f"{where}.content[{number}]"
            match part:
                case AudioPart(input_audio=sound):
                    content = _decoded(sound.data, f"{at}.input_audio.data")
                    taken.append(
                        await self._heard(content, sound.format, at, user, f"{request_id}-{number}", deadline_at)
                    )
                case FilePart():
                    taken.append(await self._read(part, at, user, f"{request_id}-{number}", deadline_at))
                case _:
                    taken.append(part)  # type: ignore[arg-type]  # the other kinds pass as they are
        message.content = taken  # type: ignore[assignment]

    async def _heard(
        self, content: bytes, mime: str, at: str, user: UserKey, request_id: str, deadline_at: float
    ) -> TextPart:
        if self.listener is None:
            raise BadRequest("Nobody here can hear.", param=at)
        wanted = TranscribeRequest(
            request_id=request_id,
            user=user,
            audio=content,
            mime=mime,
            duration_s=0.0,
            language=None,
            deadline_at=deadline_at,
        )
        return TextPart((await self.listener.transcribe(wanted)).text)

    async def _read(
        self, part: FilePart, at: str, user: UserKey, request_id: str, deadline_at: float
    ) -> TextPart | ImagePart:
        if not part.file.file_data:
            raise BadRequest("A file is sent as its file_data; ids of files are not known here.", param=f"{at}.file")
        content = _decoded(part.file.file_data, f"{at}.file.file_data")
        name = _name(part.file.filename or "the file")
        kind = sniff(content)
        match kind.family:
            case "audio":
                return await self._heard(content, "", at, user, request_id, deadline_at)
            case "image":
                mime = "image/png"  # whoever opens it looks at its bytes
                return ImagePart(ImageUrl(f"data:{mime};base64,{base64.b64encode(content).decode()}"))
            case "text" | "pdf" | "docx" if self.reader is not None:
                try:
                    read = await self.reader.run(Job(kind.family, name, content, self.limits, user))
                except Unreadable as error:
                    raise BadRequest(f"the file cannot be used: {error.why}", param=f"{at}.file") from error
                if isinstance(read, Document):
                    text = read.text.replace("</file>", "< /file>")
                    return TextPart(f'<file name="{name}">\n{text}\n</file>')
        raise BadRequest(f"the file is {kind.label}, which cannot be read", param=f"{at}.file")


def _decoded(data: str, param: str) -> bytes:
    """The bytes of *data*, base64 with or without "data:...;base64," before it."""
    found = _DATA_URL.match(data)
    try:
        return base64.b64decode(data[found.end() :] if found else data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("This is no valid base64.", param=param) from error


def _name(name: str) -> str:
    return "".join(char for char in name if char.isprintable() and char not in '"<>&')[:_NAME_CHARS] or "file"
