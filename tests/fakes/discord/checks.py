"""What Discord refuses in a message's payload (facts/discord.md 1.3, 1.6, 1.8)."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.discord.errors import ApiError, invalid

SUPPRESS_EMBEDS = 1 << 2
EPHEMERAL = 1 << 6
LOADING = 1 << 7
SUPPRESS_NOTIFICATIONS = 1 << 12
VOICE = 1 << 13

POST_KEYS = {
    "content",
    "tts",
    "nonce",
    "enforce_nonce",
    "allowed_mentions",
    "message_reference",
    "components",
    "flags",
    "attachments",
    "embeds",
}
EDIT_KEYS = {"content", "tts", "allowed_mentions", "components", "flags", "attachments", "embeds"}
MAX_CONTENT = 2_000
MAX_FILE_BYTES = 10 * 2**20
MAX_REQUEST_BYTES = 25 * 2**20


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_message(payload: dict[str, Any], keys: set[str], *, files: int = 0, new: bool = True) -> None:
    """Raise what Discord would say; returns nothing when the payload may stand."""
    if strange := set(payload) - keys:
        raise invalid(min(strange), "This field is not known here.")
    content = payload.get("content")
    if content is not None and not isinstance(content, str):
        raise invalid("content", "Could not interpret as string.")
    if content and units(content) > MAX_CONTENT:
        raise invalid("content", "Must be 2000 or fewer in length.", "BASE_TYPE_MAX_LENGTH")
    empty = not (content or "").strip()
    touches_content = new or "content" in payload
    if empty and touches_content and not files and not payload.get("embeds") and not payload.get("attachments"):
        raise ApiError(400, 50006, "Cannot send an empty message")
    nonce = payload.get("nonce")
    if nonce is not None and len(str(nonce)) > 25:
        raise invalid("nonce", "Must be 25 or fewer in length.", "BASE_TYPE_MAX_LENGTH")
    _check_mentions(payload.get("allowed_mentions"))
    _check_components(payload.get("components") or [])


def _check_mentions(allowed: Any) -> None:
    if allowed is None:
        return
    if set(allowed) - {"parse", "users", "roles", "replied_user"}:
        raise invalid("allowed_mentions", "Unknown field.")
    if set(allowed.get("parse", [])) - {"users", "roles", "everyone"}:
        raise invalid("allowed_mentions.parse", "Value must be one of users, roles, everyone.")


def _check_components(rows: list[dict[str, Any]]) -> None:
    if len(rows) > 5:
        raise invalid("components", "Must be 5 or fewer in length.")
    seen: set[str] = set()
    for row in rows:
        buttons = row.get("components", [])
        if row.get("type") != 1 or not 1 <= len(buttons) <= 5:
            raise invalid("components", "A row holds one to five components.")
        for button in buttons:
            custom_id = button.get("custom_id", "")
            if button.get("type") != 2 or button.get("style") not in (1, 2, 3, 4):
                raise invalid("components", "Value must be one of (1, 2, 3, 4).")
            if not 1 <= len(custom_id) <= 100 or custom_id in seen:
                raise invalid("components.custom_id", "Must be unique and between 1 and 100 in length.")
            if not (button.get("label") or button.get("emoji")) or len(button.get("label") or "") > 80:
                raise invalid("components.label", "Must be between 1 and 80 in length.")
            seen.add(custom_id)


def pings(content: str, allowed: dict[str, Any] | None) -> set[str]:
    """Whom a text would notify; without `allowed_mentions` that is everybody it names."""
    found = {f"user:{user}" for user in re.findall(r"<@!?(\d+)>", content)}
    found |= {f"role:{role}" for role in re.findall(r"<@&(\d+)>", content)}
    found |= {word for word in ("@everyone", "@here") if word in content}
    if allowed is None:
        return found
    parse = set(allowed.get("parse", []))
    kept = {ping for ping in found if ping.startswith("user:") and "users" in parse}
    kept |= {ping for ping in found if ping.startswith("role:") and "roles" in parse}
    kept |= {ping for ping in found if ping.startswith("@") and "everyone" in parse}
    kept |= {f"user:{user}" for user in allowed.get("users", []) if f"user:{user}" in found}
    return kept


def check_commands(payload: list[dict[str, Any]]) -> None:
    """The whole list of global commands (facts/discord.md 1.5)."""
    menus = [command for command in payload if command.get("type", 1) == 3]
    chat = [command for command in payload if command.get("type", 1) == 1]
    if len(chat) > 100 or len(menus) > 15:
        raise ApiError(400, 30032, "Maximum number of application commands reached")
    for command in payload:
        kind = command.get("type", 1)
        name = command["name"]
        if kind == 1 and not re.fullmatch(r"[-_\w]{1,32}", name):
            raise invalid("name", "Command name is invalid", "APPLICATION_COMMAND_INVALID_NAME")
        if kind == 3 and (not 1 <= len(name) <= 32 or command.get("description")):
            raise invalid("name", "A context menu has a name of 1 to 32 and no description.")
        if kind == 1 and not 1 <= len(command.get("description", "")) <= 100:
            raise invalid("description", "Must be between 1 and 100 in length.")
        options = command.get("options") or []
        if len(options) > 25:
            raise invalid("options", "Must be 25 or fewer in length.")
        required_over = False
        size = len(name) + len(command.get("description") or "")
        for option in options:
            if not re.fullmatch(r"[-_a-z0-9]{1,32}", option["name"]) or not 1 <= len(option["description"]) <= 100:
                raise invalid("options", "An option needs a lowercase name and a description of 1 to 100.")
            if option.get("required") and required_over:
                raise invalid("options", "Required options must be placed before non-required options")
            required_over = required_over or not option.get("required")
            if len(option.get("choices") or []) > 25 or (option.get("choices") and option.get("autocomplete")):
                raise invalid("options", "At most 25 choices, and none beside autocomplete.")
            size += len(option["name"]) + len(option["description"])
        if size > 8000:
            raise invalid("options", "Command exceeds maximum size (8000)")
