"""What comes over HTTP before anybody believes it: the signature over the raw bytes first, then the body's form."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web
from slack_bolt.request.async_request import AsyncBoltRequest

from core.base.clock import Clock

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 2**20
"""Slack's own are far below: a message has at most 40,000 characters and 50 blocks (facts/slack.md 1.3, 1.4)."""

_GOOD_FOR_S = 300.0
"""Facts/slack.md 1.10."""

_TELL_EVERY_S = 60.0
_STAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


class Nonsense(Exception):
    """Signed, but no request that Slack makes; its text says in a few words why."""


class Signatures:
    """Checks them, and counts what it refuses: a wrong secret refuses everything, and nobody else would say so."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret.encode()
        self._clock = clock
        self._told_at = float("-inf")
        self.refused = 0
        self._mistaken = 0
        """Those among them that are formed as Slack forms them: the secret is ours to doubt."""
        self._any_good = False

    @property
    def trouble(self) -> str:
        """Why nothing is heard, "" where that is not known. One good signature proves the secret: what is refused
        afterwards is somebody else's."""
        if self._any_good or not self._mistaken:
            return ""
        return f"{self._mistaken} requests with a signature that SLACK_SIGNING_SECRET does not make"

    def are_good(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether *body* carries a signature of ours that is younger than five minutes."""
        stamp = headers.get("X-Slack-Request-Timestamp", "")
        given = headers.get("X-Slack-Signature", "")
        if not (_STAMP.fullmatch(stamp) and _SIGNATURE.fullmatch(given)):
            return self._refuse("unsigned")
        if abs(self._clock.now() - int(stamp)) > _GOOD_FOR_S:
            return self._refuse("older than five minutes, or from the future")
        signed = hmac.new(self._secret, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(f"v0={signed}", given):
            self._mistaken += 1
            return self._refuse("not signed with SLACK_SIGNING_SECRET")
        self._any_good = True
        return True

    def _refuse(self, why: str) -> bool:
        self.refused += 1
        now = self._clock.monotonic()
        if now >= self._told_at + _TELL_EVERY_S:
            self._told_at = now
            advice = "; is it the one under Basic Information?" if self.trouble else ""
            logger.warning("a request to Slack's address was refused: %s%s (%d so far)", why, advice, self.refused)
        return False


async def read_body(request: web.Request) -> bytes | None:
    """The raw bytes, None where there are more than Slack ever sends."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def bolt_request(request: web.Request, body: bytes) -> AsyncBoltRequest:
    """Raises Nonsense."""
    try:
        text = body.decode()
        _check_form(text, request.content_type)
        return AsyncBoltRequest(body=text, query=request.query_string, headers=dict(request.headers))
    except Nonsense:
        raise
    except Exception as error:  # Bolt reads ids out of the body at once, and trusts its shape
        raise Nonsense(f"not a body that Slack sends ({type(error).__name__})") from error


def _check_form(text: str, content_type: str) -> None:
    """Raises Nonsense, ValueError (no JSON) or RecursionError (a hundred thousand brackets)."""
    if content_type == "application/json" or text.startswith("{"):
        content = json.loads(text)
    else:
        form = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
        content = json.loads(form["payload"]) if "payload" in form else form
    if not (isinstance(content, dict) and content):
        raise Nonsense("not an object")
