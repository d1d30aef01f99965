"""Schemas and values checked within a deadline: at once where that is quick, in another process otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from core.domain import json_schema
from core.domain.errors import BadRequest, Unreadable
from core.domain.incoming import UserKey

Elsewhere: TypeAlias = Callable[[bytes, UserKey | None, float], Awaitable[bytes]]
"""`json_schema.answer` in a process of its own: what is asked, for whom, within how many seconds. Raises Unreadable."""


class SchemaChecks:
    """Without *elsewhere* everything is checked at once: for commands that check what their operator wrote."""

    def __init__(self, elsewhere: Elsewhere | None = None, *, within_s: float = 5.0) -> None:
        self._elsewhere = elsewhere
        self._within_s = within_s

    async def check(self, schema: Mapping[str, Any], *, of_object: bool = True, owner: UserKey | None = None) -> None:
        """Raises BadRequest when *schema* is none, is too large, refers to other places, or takes too long to check."""
        json_schema.bound(schema)
        if self._elsewhere is None or json_schema.is_light(schema):
            json_schema.check(schema, of_object=of_object)
            return
        await self._ask(self._elsewhere, {"schema": schema, "of_object": of_object}, owner)

    async def problems(
        self, schema: Mapping[str, Any], value: object, *, owner: UserKey | None = None, size_bytes: int = 0
    ) -> list[str]:
        """What is wrong with *value*, as `json_schema.problems`; *size_bytes* is about how large it is.

        Raises:
            BadRequest: The schema takes too long to check against.
        """
        if self._elsewhere is None or json_schema.is_light(schema, size_bytes):
            return json_schema.problems(schema, value)
        return await self._ask(self._elsewhere, {"schema": schema, "value": value}, owner)

    async def _ask(self, elsewhere: Elsewhere, asked: Mapping[str, object], owner: UserKey | None) -> list[str]:
        try:
            found = await elsewhere(msgspec.json.encode(asked), owner, self._within_s)
        except Unreadable as error:
            raise BadRequest(f"the schema cannot be used: {error.why}", param="schema") from error
        return msgspec.json.decode(found, type=list[str])
