"""A caller's own JSON Schema (`response_format` in the API, in batches): kept to, or an error that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from core.base.foreign import Malformed, json_value
from core.domain.errors import NoModelLeft, OutputMalformed
from core.domain.events import Event, Send, Started, TextDelta
from core.domain.requests import ChatRequest, Reply, Text, Turn
from core.domain.schema_checks import SchemaChecks
from core.ports.gateway import Handler

REPAIR = "That JSON does not follow the schema. Problems:\n{problems}\n\nAnswer with the corrected JSON object alone."


class SchemaKeeper:
    """Implements Handler around the middleware stack. An answer under a schema is shown once it is known to follow
    it, whole; one that does not is repaired once. A request that brings tools passes, for its answer may be a call."""

    def __init__(self, handler: Handler, checks: SchemaChecks) -> None:
        self._handler = handler
        self._checks = checks

    async def __call__(self, request: ChatRequest, send: Send) -> Reply:
        """Raises as the handler; NoModelLeft with an OutputMalformed also where the repair follows no schema either;
        BadRequest for a schema that is none."""
        schema = request.output_format.schema
        if request.output_format.kind != "json_schema" or schema is None or request.tools:
            return await self._handler(request, send)
        await self._checks.check(schema, of_object=False, owner=request.user)
        reply = await self._handler(request, _discard)
        if wrong := await self._wrong(schema, reply, request):
            complaint = REPAIR.format(problems="\n".join(wrong))
            turns = (*request.turns, Turn("assistant", (Text(reply.text),)), Turn("user", (Text(complaint),)))
            again = replace(request, request_id=f"{request.request_id}.repair", turns=turns, fresh=True)
            repaired = await self._handler(again, _discard)
            if wrong := await self._wrong(schema, repaired, request):
                raise NoModelLeft((OutputMalformed(said="; ".join(wrong), provider=reply.provider, model=reply.model),))
            attempts = reply.attempts + repaired.attempts
            reply = replace(repaired, usage=reply.usage + repaired.usage, attempts=attempts)
        await send(Started(reply.model, reply.provider))
        await send(TextDelta(reply.text))
        return reply

    async def _wrong(self, schema: Mapping[str, Any], reply: Reply, request: ChatRequest) -> list[str]:
        """What of *reply* does not follow *schema*; nothing for one that its caller's own limit cut off."""
        if reply.finish == "length":
            return []
        try:
            value = json_value(reply.text)
        except Malformed as error:
            return [f"$: not JSON ({error})"]
        return await self._checks.problems(schema, value, owner=request.user, size_bytes=len(reply.text))


async def _discard(event: Event) -> None:
    """Half an object is no use to anybody."""
