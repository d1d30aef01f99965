"""Every name that Slack and this adapter agree on: the command, callback ids, action ids, subscribed events, scopes.

manifest.yaml spells the same names; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from core.domain.incoming import Action
from core.ports.platform import ControlAction

COMMAND: Final = "/tern"
SUBCOMMANDS: Final = ("ask", "model", "persona", "usage", "forget", "export", "transcribe", "extract", "stop", "help")

SHORTCUTS: Final[dict[str, Action]] = {
    "tern_summarise": "summarise",
    "tern_explain": "explain",
    "tern_draft_reply": "draft_reply",
    "tern_transcribe": "transcribe",
    "tern_extract": "extract",
}
"""Message shortcuts' callback ids."""

CONTROLS: Final[dict[str, ControlAction]] = {
    "tern_stop": "stop",
    "tern_regenerate": "regenerate",
    "tern_shorter": "shorter",
    "tern_confirm": "confirm",
    "tern_decline": "decline",
}
"""Action ids of the buttons under an answer; their value is the reply id, so that they work after a restart."""

FEEDBACK: Final = "tern_feedback"
FEEDBACK_VALUES: Final[dict[str, ControlAction]] = {"up": "thumbs_up", "down": "thumbs_down"}
"""Action id of the thumbs, and the first half of their value "up:REPLY_ID"."""

EXTRACT: Final = "tern_extract_as"
"""Action id of the choices after "Extract ..."; "#NUMBER" follows, for ids in one row must differ. The value is
"REPLY_ID|SCHEMA"."""

CHOOSE_MODEL: Final = "tern_choose_model"
CHOOSE_PERSONA: Final = "tern_choose_persona"
FORGET_ME: Final = "tern_forget_me"
EXPORT_ME: Final = "tern_export_me"

EVENTS: Final = (
    "agent_session_stopped",
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "reaction_added",
    "tokens_revoked",
)

SCOPES: Final = (
    "app_mentions:read",
    "assistant:write",  # suggested prompts, title
    "channels:history",
    "channels:read",  # conversations.info: is the bot a member, where a command was given
    "chat:write",
    "commands",
    "files:read",
    "files:write",  # the rest of a very long answer, and exports
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",  # an export goes to the asker's direct messages
    "mpim:history",
    "mpim:read",
    "reactions:read",  # reactions as commands, where a channel wants them
    "users:read",  # names, language, time zone, guest or not
)

METADATA_EVENT: Final = "tern_reply"
"""`metadata.event_type` of every message we post; the payload carries the nonce that `find` looks for."""
