"""What Slack lets the app do, learned from its answers: one missing scope turns one ability off, and nothing else.

The next success turns it on again. A refused token is another matter: then nothing works (`shut_out`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from cachetools import TTLCache

from adapters.slack.failures import LACKING, REFUSED, answer_of, code_of
from core.base.clock import Clock

logger = logging.getLogger(__name__)

_ABSENT = LACKING | {"unknown_method", "method_deprecated", "feature_disabled", "not_authorized", "not_agent_app"}
"""Calling that method again soon cannot help: GovSlack has no streams, and not every app is an agent (facts/slack.md
1.1, 1.2)."""

_TRIED_AGAIN_AFTER_S = 3_600.0
_TOLD_AGAIN_AFTER_S = 3_600.0
_METHODS = 200

_ABILITIES: Mapping[str, str] = {
    "files.info": "read files",
    "files.": "send files",
    "users.": "learn who writes",
    "conversations.open": "write direct messages",
    "conversations.info": "look up channels",
    "conversations.members": "look up who is in a channel",
    "conversations.": "read conversations",
    "reactions.": "see reactions",
    "assistant.": "show what I am doing",
    "agents.": "show what I am doing",
    "views.": "show my Home tab",
    "chat.": "write messages",
}
"""Beginning of a method's name -> what it is for, after "I am not allowed to"."""


def ability(method: str) -> str:
    return next((what for start, what in _ABILITIES.items() if method.startswith(start)), f"call {method}")


class Abilities:
    """Hears of every call with the bot's token."""

    def __init__(self, clock: Clock) -> None:
        self._off: dict[str, str] = {}
        """Method -> the scope it needs, or Slack's own word."""
        self._absent: TTLCache[str, bool] = TTLCache(_METHODS, _TRIED_AGAIN_AFTER_S, timer=clock.monotonic)
        self._told: TTLCache[str, bool] = TTLCache(_METHODS, _TOLD_AGAIN_AFTER_S, timer=clock.monotonic)
        self.shut_out = ""
        """Slack's verdict on our token, "" while it is good."""

    @property
    def off(self) -> str:
        """What is turned off, as one line: "send files (needs files:write)"; "" where nothing is."""
        named = {f"{ability(method)} (needs {needed})" for method, needed in self._off.items()}
        return ", ".join(sorted(named))

    def lacks(self, method: str) -> bool:
        """Whether Slack said within the last hour that it has no such method for us."""
        return method in self._absent

    def worked(self, method: str) -> None:
        if self._off.pop(method, ""):
            self._told.pop(method, None)
            logger.warning("Slack lets us %s again", ability(method))
        self._absent.pop(method, None)
        self.shut_out = ""

    def failed(self, method: str, error: BaseException) -> None:
        code = code_of(error)
        if code in REFUSED:
            if self.shut_out != code:
                logger.error("Slack refuses our token: %s", code)
            self.shut_out = code
        elif code:
            self.shut_out = ""  # it looked further than at the token
        if code in _ABSENT:
            self._absent[method] = True
        if code in LACKING:
            self._off[method] = needed = str(answer_of(error).get("needed") or code)
            if method not in self._told:
                self._told[method] = True
                logger.error("Slack does not let us %s: %s needs %s", ability(method), method, needed)


def lacking(error: BaseException) -> tuple[str, str]:
    """(ability, scope that it needs or "") where that is what *error* says; ("", "") otherwise."""
    if code_of(error) not in LACKING:
        return "", ""
    response: Any = getattr(error, "response", None)
    method = str(getattr(response, "api_url", "")).rsplit("/", 1)[-1]
    return ability(method), str(answer_of(error).get("needed") or "")
