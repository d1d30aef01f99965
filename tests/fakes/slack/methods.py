"""The Web API's methods, each as strict as the real one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.fakes.slack.checks import Refused, check_blocks, check_view, parts_of, pings_in
from tests.fakes.slack.world import JSON, Message, Person, Place, Stream

if TYPE_CHECKING:
    from tests.fakes.slack.server import FakeSlack

ARGUMENTS: dict[str, set[str]] = {
    "auth.test": set(),
    "apps.connections.open": set(),
    "chat.postMessage": {
        "channel", "text", "blocks", "thread_ts", "metadata", "unfurl_links", "unfurl_media", "markdown_text",
        "link_names", "parse", "reply_broadcast", "mrkdwn",
    },
    "chat.update": {"channel", "ts", "text", "blocks", "metadata", "markdown_text", "link_names", "parse"},
    "chat.delete": {"channel", "ts"},
    "chat.postEphemeral": {"channel", "user", "text", "blocks", "thread_ts"},
    "chat.startStream": {
        "channel", "thread_ts", "markdown_text", "recipient_team_id", "recipient_user_id", "chunks",
        "task_display_mode",
    },
    "chat.appendStream": {"channel", "ts", "markdown_text", "chunks"},
    "chat.stopStream": {"channel", "ts", "markdown_text", "chunks", "blocks", "metadata", "session_status"},
    "conversations.info": {"channel"},
    "conversations.members": {"channel", "limit", "cursor"},
    "conversations.open": {"users"},
    "conversations.replies": {
        "channel", "ts", "oldest", "latest", "inclusive", "limit", "cursor", "include_all_metadata",
    },
    "conversations.history": {"channel", "oldest", "latest", "inclusive", "limit", "cursor", "include_all_metadata"},
    "bots.info": {"bot", "team_id"},
    "users.info": {"user", "include_locale"},
    "users.list": {"limit", "cursor", "include_locale", "team_id"},
    "files.info": {"file"},
    "files.getUploadURLExternal": {"filename", "length"},
    "files.completeUploadExternal": {"files", "channel_id", "thread_ts", "initial_comment"},
    "views.publish": {"user_id", "view", "hash"},
    "assistant.threads.setStatus": {"channel_id", "thread_ts", "status", "loading_messages"},
    "assistant.threads.setSuggestedPrompts": {"channel_id", "prompts", "title", "thread_ts"},
    "assistant.threads.setTitle": {"channel_id", "thread_ts", "title"},
    "agents.sessions.setStatus": {"channel_id", "thread_ts", "status", "title"},
    "agents.sessions.rename": {"channel_id", "thread_ts", "title"},
}  # fmt: skip
"""What each method may be given. Slack ignores the rest in silence; here it is a violation."""

_READ = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}
_SCOPES: dict[str, str] = {
    "chat.": "chat:write",
    "conversations.info": "KIND:read",
    "conversations.members": "KIND:read",
    "conversations.replies": "KIND:history",
    "conversations.history": "KIND:history",
    "conversations.open": "im:write",
    "users.": "users:read",
    "bots.": "users:read",
    "files.info": "files:read",
    "files.": "files:write",
    "reactions.": "reactions:write",
    "assistant.threads.setStatus": "chat:write",
    "assistant.": "assistant:write",
    "canvases.": "canvases:write",
    "conversations.canvases.": "canvases:write",
}
"""Beginning of a method's name -> the scope it needs (facts/slack.md 1.1, 1.12, facts/slack-2.md 5.3)."""

MAX_TEXT = 40_000
MAX_UPDATE_TEXT = 4_000
MAX_MARKDOWN = 12_000


class Methods:
    def __init__(self, slack: FakeSlack) -> None:
        self._slack = slack
        self._world = slack.world

    def call(self, method: str, given: JSON) -> JSON:
        """Do *method*. Raises Refused with Slack's error."""
        if method not in ARGUMENTS or method in self._slack.absent_methods:
            raise Refused("unknown_method")
        if unknown := set(given) - ARGUMENTS[method]:
            self._slack.violations.append(f"{method} was given {', '.join(sorted(unknown))}")
        if given.get("link_names") or given.get("parse") == "full":
            self._slack.violations.append(f"{method} lets bare @names ping")
        self._needs_scope(method, given)
        act: Callable[[JSON], JSON] = getattr(self, "_" + method.replace(".", "_"))
        return {"ok": True, **act(given)}

    def _needs_scope(self, method: str, given: JSON) -> None:
        """Granted at the installation, not declared: an app may have fewer than its manifest (facts/slack-2.md 6.1)."""
        found = sorted((start for start in _SCOPES if method.startswith(start)), key=len)
        if not found:
            return
        place = self._world.places.get(given.get("channel", ""))
        needed = _SCOPES[found[-1]].replace("KIND", _READ[place.kind] if place else "channels")
        if needed not in self._slack.scopes:
            raise Refused("missing_scope", needed=needed, provided=",".join(sorted(self._slack.scopes)))

    # --- messages ---

    def _chat_postMessage(self, given: JSON) -> JSON:  # noqa: N802
        place = self._place(given)
        self._needs_membership(place)
        self._needs_leave(place)
        self._check_content(given, MAX_TEXT)
        if given.get("unfurl_links") is not False or given.get("unfurl_media") is not False:
            self._slack.violations.append("chat.postMessage lets link previews unfold")
        message = self._new(given, place)
        self._fill(message, given)
        self._slack.on_own(message)
        return {"channel": place.id, "ts": message.ts, "message": message.as_json()}

    def _chat_update(self, given: JSON) -> JSON:
        place, message = self._own(given)
        if message.stream:
            raise Refused("streaming_state_conflict")  # facts/slack.md 1.2
        self._check_content(given, MAX_UPDATE_TEXT)
        old = message.as_json()
        self._fill(message, given)
        message.edits += 1
        self._slack.on_own_changed(message, old)
        return {"channel": place.id, "ts": message.ts, "text": message.text}

    def _chat_delete(self, given: JSON) -> JSON:
        place, message = self._own(given)
        message.deleted = True
        return {"channel": place.id, "ts": message.ts}

    def _chat_postEphemeral(self, given: JSON) -> JSON:  # noqa: N802
        place = self._place(given)
        self._needs_membership(place)
        self._needs_leave(place)
        if given["user"] not in self._world.people:
            raise Refused("user_not_in_channel")
        self._check_content(given, MAX_TEXT)
        message = self._new(given, place)
        message.ephemeral_for = given["user"]
        self._fill(message, given)
        return {"message_ts": message.ts}

    # --- streams: facts/slack.md 1.2 ---

    def _chat_startStream(self, given: JSON) -> JSON:  # noqa: N802
        place = self._place(given)
        self._needs_membership(place)
        user, team = given.get("recipient_user_id"), given.get("recipient_team_id")
        if place.kind != "im":
            if not team:
                raise Refused("missing_recipient_team_id")
            if not user:
                raise Refused("missing_recipient_user_id")
        if user and (user not in self._world.people or self._world.people[user].team != self._world.team):
            raise Refused("user_not_found")  # Slack Connect recipients
        self._check_stream_text(given)
        now = self._slack.now()
        message = self._new(given, place)
        message.stream = Stream(now, now, given.get("thread_ts", ""))
        message.was_streamed = True
        self._append(message, given.get("markdown_text", ""))
        self._slack.session(place.id, given.get("thread_ts", ""), "processing")
        return {"channel": place.id, "ts": message.ts}

    def _chat_appendStream(self, given: JSON) -> JSON:  # noqa: N802
        place, message = self._own(given)
        self._check_stream_text(given)
        stream = self._streaming(message)
        if stream.stopped_by_user:
            raise Refused("stopped_by_user")
        self._append(message, given.get("markdown_text", ""))
        stream.last_append_at = self._slack.now()
        return {"channel": place.id, "ts": message.ts}

    def _chat_stopStream(self, given: JSON) -> JSON:  # noqa: N802
        place, message = self._own(given)
        self._check_stream_text(given)
        stream = self._streaming(message)
        if "blocks" in given:
            check_blocks(given["blocks"])
        self._append(message, given.get("markdown_text", ""))
        message.blocks = list(given.get("blocks", ()))
        message.metadata = given.get("metadata", {})
        message.stream = None
        self._look_for_pings(*parts_of(message.blocks))
        self._slack.session(place.id, stream.thread, given.get("session_status", "active"))
        self._slack.on_own(message)
        return {"channel": place.id, "ts": message.ts, "message": message.as_json()}

    def _streaming(self, message: Message) -> Stream:
        stream = message.stream
        if stream is not None:
            # Undocumented; reports differ on total or idle (facts/slack.md 1.2 and 5.1): both readings can be had.
            since = stream.started_at if self._slack.stream_lifetime == "total" else stream.last_append_at
            if self._slack.now() - since >= self._slack.stream_lifetime_s:
                message.stream = stream = None
        if stream is None:
            raise Refused("message_not_in_streaming_state")
        return stream

    def _check_stream_text(self, given: JSON) -> None:
        if "chunks" in given:
            self._slack.violations.append("structured chunks need agent features")
        if len(given.get("markdown_text", "")) > MAX_MARKDOWN:
            raise Refused("msg_too_long")

    def _append(self, message: Message, text: str) -> None:
        grown = message.markdown + text
        # Undocumented; 12,000 characters or about 11 KB of UTF-8 by third-party measurements (facts/slack.md 1.2, 5.1).
        too_long = len(grown) > 12_000 if self._slack.stream_cap == "chars" else len(grown.encode()) > 11_000
        if too_long:
            raise Refused("msg_too_long")
        message.markdown = grown
        self._look_for_pings(grown)
        self._note(message)

    # --- reading ---

    def _conversations_info(self, given: JSON) -> JSON:
        place = self._place(given)
        if not place.bot_is_member and place.kind != "channel":
            raise Refused("channel_not_found")
        kinds = {"is_im": "im", "is_mpim": "mpim", "is_group": "group", "is_channel": "channel"}
        info = {"id": place.id, "name": place.name, **{flag: place.kind == kind for flag, kind in kinds.items()}}
        if place.kind == "im":  # a direct message has no is_member
            info["user"] = next(iter(place.members or ()), "")
        else:
            info["is_archived"] = place.archived
            info |= {"is_member": place.bot_is_member, "is_private": place.kind != "channel"}
        return {"channel": info}

    def _conversations_members(self, given: JSON) -> JSON:
        """Pages of at most 1,000, of conversations that the app is in (docs.slack.dev/reference/methods
        /conversations.members)."""
        place = self._place(given)
        self._needs_membership(place)
        members = sorted(self._world.people if place.members is None else place.members)
        start, limit = int(given.get("cursor") or 0), int(given.get("limit") or 100)
        if not 0 < limit <= 1_000:
            raise Refused("invalid_limit")
        limit = min(limit, self._slack.page_size)
        more = start + limit < len(members)
        return {
            "members": members[start : start + limit],
            "response_metadata": {"next_cursor": str(start + limit) if more else ""},
        }

    def _conversations_open(self, given: JSON) -> JSON:
        return {"channel": {"id": self._slack.dm_of(given["users"]).id}}

    def _conversations_replies(self, given: JSON) -> JSON:
        place = self._place(given)
        self._needs_membership(place)
        asked = self._world.message(place.id, given["ts"])  # a reply's own ts will do too (facts/slack-2.md 3)
        found = list(self._world.thread(place.id, asked.thread if asked and asked.thread else given["ts"]))
        if not found:
            raise Refused("thread_not_found")
        root, replies = found[0], self._between(found[1:], given)
        return self._page([root, *replies], given)

    def _conversations_history(self, given: JSON) -> JSON:
        place = self._place(given)
        self._needs_membership(place)
        found = self._between(list(self._world.top_level(place.id)), given)
        return self._page(found[::-1], given)

    def _between(self, messages: list[Message], given: JSON) -> list[Message]:
        oldest, latest = float(given.get("oldest") or 0), float(given.get("latest") or "inf")
        inclusive = str(given.get("inclusive", "")).lower() in {"true", "1"}
        return [
            m for m in messages
            if (oldest <= float(m.ts) <= latest if inclusive else oldest < float(m.ts) < latest)
        ]  # fmt: skip

    def _page(self, messages: list[Message], given: JSON) -> JSON:
        start, limit = int(given.get("cursor") or 0), min(int(given.get("limit") or 100), self._slack.page_size)
        with_metadata = str(given.get("include_all_metadata", "")).lower() in {"true", "1"}
        page = messages[start : start + limit]
        more = start + limit < len(messages)
        return {
            "messages": [message.as_json(with_metadata=with_metadata) for message in page],
            "has_more": more,
            "response_metadata": {"next_cursor": str(start + limit) if more else ""},
        }

    def _users_info(self, given: JSON) -> JSON:
        person = self._world.people.get(given["user"])
        if person is None:
            raise Refused("user_not_found")
        return {"user": self._user(person)}

    def _bots_info(self, given: JSON) -> JSON:
        if given["bot"] != "B0TERN":
            raise Refused("bot_not_found")
        return {"bot": {"id": "B0TERN", "app_id": "A0TERN", "name": "tern"}}

    def _users_list(self, given: JSON) -> JSON:
        """Members of the workspace, strangers not among them. Pages of at most 999, and a team for an organisation's
        token: docs.slack.dev/reference/methods/users.list, read 2026-11-28."""
        if self._slack.org_install and not given.get("team_id"):
            raise Refused("missing_argument")
        start, limit = int(given.get("cursor") or 0), int(given.get("limit") or 0)
        members = [person for person in self._world.people.values() if person.team == self._world.team]
        if not 0 < limit <= 999:
            self._slack.violations.append(f"users.list was given the limit {limit}")
        more = start + limit < len(members)
        return {
            "members": [self._user(person) for person in members[start : start + limit]],
            "response_metadata": {"next_cursor": str(start + limit) if more else ""},
        }

    def _user(self, person: Person) -> JSON:
        user: JSON = {
            "id": person.id, "team_id": person.team, "name": person.name.lower(), "real_name": person.name,
            "tz": person.tz, "locale": person.locale, "is_bot": person.bot, "is_admin": person.admin,
            "is_restricted": person.guest, "is_ultra_restricted": False,
            "is_stranger": person.team != self._world.team and not person.enterprise,
            "profile": {"display_name": person.name, "real_name": person.name},
        }  # fmt: skip
        if person.enterprise:
            user["enterprise_user"] = {"id": person.id, "enterprise_id": person.enterprise, "teams": [person.team]}
        return user

    # --- files: facts/slack.md 1.7 ---

    def _files_info(self, given: JSON) -> JSON:
        file = self._slack.files.get(given["file"])
        if file is None:
            raise Refused("file_not_found")
        return {"file": file.as_json(self._slack.origin)}

    def _files_getUploadURLExternal(self, given: JSON) -> JSON:  # noqa: N802
        return self._slack.new_upload(given["filename"], int(given["length"]))

    def _files_completeUploadExternal(self, given: JSON) -> JSON:  # noqa: N802
        place = self._place({"channel": given["channel_id"]})
        self._needs_membership(place)
        message = self._new({"thread_ts": given.get("thread_ts", "")}, place)
        message.text = given.get("initial_comment", "")
        message.files = [{"id": file["id"], "name": self._slack.uploads[file["id"]].name} for file in given["files"]]
        return {"files": [{"id": file["id"]} for file in given["files"]]}

    # --- surfaces around the conversation: facts/slack.md 1.1, 1.6 ---

    def _views_publish(self, given: JSON) -> JSON:
        check_view(given["view"])
        self._slack.homes[given["user_id"]] = given["view"]
        return {"view": given["view"]}

    def _assistant_threads_setStatus(self, given: JSON) -> JSON:  # noqa: N802
        if len(given.get("loading_messages", ())) > 10:
            raise Refused("invalid_arguments")
        self._slack.statuses.append((given["channel_id"], given["thread_ts"], given["status"]))
        return {}

    def _assistant_threads_setSuggestedPrompts(self, given: JSON) -> JSON:  # noqa: N802
        if not self._slack.is_agent:
            raise Refused("not_agent_app")
        if given.get("thread_ts"):
            return {}  # for an agent app this fails in silence
        if not 0 < len(given["prompts"]) <= 4:
            raise Refused("invalid_arguments")
        self._slack.prompts[given["channel_id"]] = given["prompts"]
        return {}

    def _assistant_threads_setTitle(self, given: JSON) -> JSON:  # noqa: N802
        self._slack.titles[(given["channel_id"], given["thread_ts"])] = given["title"]
        return {}

    def _agents_sessions_setStatus(self, given: JSON) -> JSON:  # noqa: N802
        self._needs_agent(given)
        if given["status"] not in {"active", "processing", "suspended", "closed"}:
            raise Refused("invalid_arguments")
        self._slack.session(given["channel_id"], given["thread_ts"], given["status"])
        return {}

    def _agents_sessions_rename(self, given: JSON) -> JSON:
        self._needs_agent(given)
        self._slack.titles[(given["channel_id"], given["thread_ts"])] = given["title"]
        return {}

    def _needs_agent(self, given: JSON) -> None:
        if not self._slack.is_agent:
            raise Refused("not_authorized")
        if not given.get("thread_ts"):
            raise Refused("thread_ts_required")

    # --- who and where ---

    def _auth_test(self, given: JSON) -> JSON:
        team, enterprise = self._world.team, self._world.enterprise
        answer: JSON = {
            "url": "https://terns.slack.com/", "team": "Terns", "user": "tern", "team_id": team, "user_id": "U0TERN",
            "bot_id": "B0TERN", "is_enterprise_install": self._slack.org_install,
        }  # fmt: skip
        return answer | ({"enterprise_id": enterprise} if enterprise else {})

    def _apps_connections_open(self, given: JSON) -> JSON:
        return {"url": self._slack.new_socket_url()}

    # --- what all of them share ---

    def _place(self, given: JSON) -> Place:
        place = self._world.places.get(given.get("channel", ""))
        if place is None:
            raise Refused("channel_not_found")
        return place

    def _needs_membership(self, place: Place) -> None:
        if not place.bot_is_member:
            raise Refused("not_in_channel" if place.kind == "channel" else "channel_not_found")
        if place.archived:
            raise Refused("is_archived")

    def _needs_leave(self, place: Place) -> None:
        if place.read_only:  # facts/slack.md 2: restricted_action*
            raise Refused("restricted_action_read_only_channel")

    def _own(self, given: JSON) -> tuple[Place, Message]:
        place = self._place(given)
        message = self._world.message(place.id, given["ts"])
        if message is None:
            raise Refused("message_not_found")
        if not message.bot:
            raise Refused("cant_update_message")
        return place, message

    def _check_content(self, given: JSON, max_text: int) -> None:
        if "markdown_text" in given and ("text" in given or "blocks" in given):
            raise Refused("markdown_text_conflict")  # facts/slack.md 1.3
        if len(given.get("markdown_text", "")) > MAX_MARKDOWN:
            raise Refused("msg_too_long")
        if not any(given.get(key) for key in ("text", "blocks", "markdown_text")):
            raise Refused("no_text")
        if max_text == MAX_UPDATE_TEXT and len(given.get("text", "")) > max_text:
            raise Refused("msg_too_long")  # facts/slack.md 1.3
        if "blocks" in given:
            check_blocks(given["blocks"])
            if not given.get("text"):
                self._slack.violations.append("blocks without text: the notification is empty")
        if metadata := given.get("metadata"):
            _check_metadata(metadata)

    def _new(self, given: JSON, place: Place) -> Message:
        thread = given.get("thread_ts") or ""
        if thread and self._world.message(place.id, thread) is None:
            self._slack.violations.append(f"posted into the thread {thread}, which does not exist")
        message = Message(place.id, self._slack.next_ts(), user="U0TERN", bot=True, thread=thread)
        self._world.messages.append(message)
        return message

    def _fill(self, message: Message, given: JSON) -> None:
        message.text = given.get("text", "")[:MAX_TEXT]
        message.blocks = list(given.get("blocks", ()))
        message.markdown = given.get("markdown_text", "")
        if "metadata" in given:
            message.metadata = given["metadata"]
        self._look_for_pings(*parts_of(message.blocks, message.text, message.markdown))
        self._note(message)

    def _look_for_pings(self, *parts: str) -> None:
        for part in parts:
            self._slack.pings += pings_in(part)

    def _note(self, message: Message) -> None:
        message.history.append((self._slack.now(), message.shown))


def _check_metadata(metadata: Any) -> None:
    name_is_right = isinstance(metadata.get("event_type"), str) and re.fullmatch(r"[\w.]+", metadata["event_type"])
    if not name_is_right or not isinstance(metadata.get("event_payload"), dict):
        raise Refused("invalid_metadata_format")
