"""Pictures that an API caller sends inside the request: opened, checked and shrunk like every other picture.

An http(s) address is handed to the provider as it is and never fetched here: the provider's own limits hold for it
(Groq: 20 MB, 33 megapixels; facts/groq.md 2), and this server opens no address for a caller.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Protocol

from core.domain.errors import BadRequest, Unreadable
from core.domain.incoming import UserKey
from core.domain.requests import ChatRequest, Image, Part, Turn
from core.files.values import Job, Picture, PictureLimits, Result


class Reader(Protocol):
    """The sandbox, as far as it is needed here. Raises Unreadable."""

    async def run(self, job: Job, *, deadline_s: float | None = None) -> Result: ...


@dataclass(frozen=True, slots=True)
class Pictures:
    reader: Reader
    limits: PictureLimits = PictureLimits()

    async def prepared(self, request: ChatRequest) -> ChatRequest:
        """Return *request* with every data: picture as the model gets it. Raises BadRequest for one that cannot be."""
        if not any(isinstance(part, Image) and part.url.startswith("data:") for t in request.turns for part in t.parts):
            return request
        return replace(request, turns=tuple([turn async for turn in self._turns(request.turns, request.user)]))

    async def _turns(self, turns: tuple[Turn, ...], owner: UserKey) -> AsyncIterator[Turn]:
        for turn in turns:
            yield replace(turn, parts=tuple([await self._part(part, owner) for part in turn.parts]))

    async def _part(self, part: Part, owner: UserKey) -> Part:
        if not isinstance(part, Image) or not part.url.startswith("data:"):
            return part
        try:
            content = base64.b64decode(part.url.partition(",")[2], validate=True)
            made = await self.reader.run(Job("picture", "the picture", content, self.limits, owner))
        except binascii.Error as error:
            raise BadRequest("the image's data: URL holds no valid base64", param="messages") from error
        except Unreadable as error:
            raise BadRequest(f"the image cannot be used: {error.why}", param="messages") from error
        if not isinstance(made, Picture):
            raise BadRequest("the image is no picture", param="messages")
        return Image("", made.mime, made.width, made.height, made.content)
