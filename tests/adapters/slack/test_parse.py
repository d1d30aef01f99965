"""What Slack's payloads mean. The payloads are data beside this file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.events import (
    AboutMe,
    Asked,
    Chosen,
    CommandGiven,
    Deleted,
    Edited,
    HomeOpened,
    Ignored,
    Me,
    MessagesOpened,
    Pressed,
    Removed,
    Secret,
    Seen,
    ShortcutUsed,
    StopPressed,
)
from adapters.slack.interactions import MessageLink, message_link
from adapters.slack.parse import parse
from adapters.slack.users import name_people
from core.domain.incoming import ConversationKey, Incoming, UserKey
from core.storage.codec import decode_incoming, storable

ME = Me(team="T061EG9R6", enterprise="", user="U0LAN0Z89", bot="B0LAN0Z89")
GRID = Me(team="T0SALES00", enterprise="E0GRID000", user="W0BOT0000", bot="B0BOT0000", org_install=True)
TS = "1784000000.000200"
PAYLOADS = Path(__file__).parent / "payloads"


def payload(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return loaded


def asked(name: str, me: Me = ME) -> Asked:
    seen = parse(payload(name), me)
    assert isinstance(seen, Asked)
    return seen


def incoming_of(name: str, me: Me = ME) -> Incoming:
    return asked(name, me).incoming


def test_a_mention() -> None:
    """An app_mention carries everything but the channel's type."""
    incoming = incoming_of("app_mention")

    assert incoming.text == "is it everything a river should be?"
    assert incoming.user == UserKey("slack", ":T061EG9R6", "U061F7AUR")
    assert incoming.conversation == ConversationKey("slack", ":T061EG9R6", "C0LAN2Q65", "1784000000.000200")
    assert incoming.received_at == 1784000000.0002
    assert incoming.address == {"thread": "1784000000.000200", "team": "T061EG9R6"}


def test_the_twins_of_a_mention_have_one_identity() -> None:
    """Both copies name the same platform, workspace, channel and message."""
    twin = payload("app_mention")
    twin["event"]["type"], twin["event_id"] = "message", "Ev0OTHER"
    first, second = incoming_of("app_mention"), parse(twin, ME)

    assert isinstance(second, Asked)
    assert (first.message_id, first.conversation) == (second.incoming.message_id, second.incoming.conversation)


@pytest.mark.parametrize(
    ("channel_type", "shared", "is_open"),
    [
        ("channel", False, True),
        ("channel", True, False),
        ("channel", None, False),
        ("", False, False),
        ("group", False, False),
    ],
)
def test_a_channel_is_open_only_where_slack_says_so(channel_type: str, shared: bool | None, is_open: bool) -> None:
    """Public and shared with nobody outside, both said in the event; anything unsaid counts as closed."""
    body = payload("message_thread_reply")
    body["event"]["channel_type"] = channel_type
    body["is_ext_shared_channel"] = shared

    seen = parse(body, ME)

    assert isinstance(seen, Asked)
    assert seen.incoming.open_channel is is_open


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "message_rich_text",
            "Please **look** at [this page](https://example.org/a?b=1&c=2) and 🎉 tell <@U2147483697>",
        ),
        (
            "message_lists_and_code",
            "Two things:\n\n1. first\n2. _second_\n    - `nested`\n```\nif a < b:\n    print('&')\n```\n> said\n> so",
        ),
        (
            "message_mrkdwn_only",
            "**bold** _it_ ~~gone~~ `x < y *no*` #general @here @writers bob@example.org https://example.org 2 * 3 * 4 "
            "& more 14 July",
        ),
        ("message_pasted_table", "Which is larger?\n\n| City | People |\n| --- | --- |\n| **Kiel** | 247,000 |\n"
                                 "| Bonn \\| Rhein | 331,000 |"),
        ("message_thread_broadcast", "to all"),
        ("message_me", "waves"),
    ],
)  # fmt: skip
def test_text(name: str, text: str) -> None:
    """Rich text, mrkdwn and pasted tables become Markdown; the bot's own mention is gone, nobody else's."""
    assert incoming_of(name).text == text


def test_a_file_share() -> None:
    """Files come along with their ids; deleted and hidden ones do not."""
    image, notes = incoming_of("message_file_share").attachments

    assert (image.kind, image.mime, image.name, image.size_bytes, image.ref) == (
        "image", "image/heic", "IMG_0042.HEIC", 2_097_152, "F2147483862"
    )  # fmt: skip
    assert (notes.kind, notes.name) == ("text", "notes.md")


def test_a_voice_clip() -> None:
    """A clip is MP4 with AAC whatever it is called, and transcription services go by the ending."""
    (clip,) = incoming_of("message_voice_clip").attachments

    assert (clip.kind, clip.mime, clip.name, clip.duration_s) == ("audio", "audio/mp4", "audio_message.m4a", 4.2)


def test_a_slack_connect_file() -> None:
    """A file of unknown kind keeps its id; the author's own team is known."""
    seen = asked("message_connect_file")

    assert seen.incoming.attachments[0].ref == "F0CONNECT"
    assert seen.team == "T0OTHER00"
    assert seen.incoming.conversation.workspace == ":T061EG9R6"


def test_a_forwarded_message() -> None:
    """Somebody else's words come as a quote with their author."""
    (quote,) = incoming_of("message_forwarded").quotes

    assert (quote.message_id, quote.speaker_id, quote.speaker) == ("1783990000.000100", "U2147483697", "Bo")
    assert quote.text == "We **ship** on [Friday](https://example.org)"


def test_a_thread_reply() -> None:
    """A reply belongs to its root's conversation; unaddressed it is only perhaps for the bot."""
    seen = asked("message_thread_reply")

    assert seen.incoming.conversation.root == "1783999000.000100"
    assert (seen.addressed, seen.in_thread) == (False, True)


def test_a_missing_channel_type_is_inferred() -> None:
    """D... is a direct message."""
    assert incoming_of("message_no_channel_type").direct


def test_grid_ids() -> None:
    """W-ids, a null team and an enterprise: one key for the organisation, the author's team beside it."""
    seen = asked("message_grid", GRID)

    assert seen.incoming.user == UserKey("slack", "E0GRID000:", "W0ADA0000")
    assert seen.incoming.text == "hello <@W0BOB0000>"
    assert seen.incoming.address["team"] == "T0SALES00"


def test_an_edit() -> None:
    """A changed text with a new mention; it counts from the moment of the edit."""
    seen = parse(payload("message_changed"), ME)

    assert isinstance(seen, Edited)
    assert seen.newly_addressed
    assert seen.asked.incoming.text == "and 2+3?"
    assert seen.asked.incoming.message_id == "1784000000.000200"
    assert seen.asked.incoming.received_at == 1784000100.0003


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("message_changed_by_unfurl", Ignored("unchanged")),
        ("message_deleted", Deleted("C0LAN2Q65", "1784000000.000200")),
        ("message_deleted_with_replies", Deleted("C0LAN2Q65", "1784000000.000200")),
        ("message_bot", Ignored("bot")),
        ("message_app_as_user", Ignored("bot")),
        ("message_slackbot", Ignored("system")),
        ("message_channel_join", Ignored("subtype")),
        ("app_home_opened_home", HomeOpened("U061F7AUR")),
        ("app_home_opened_messages", MessagesOpened("U061F7AUR", "D0LAN2Q65")),
        ("agent_session_stopped", StopPressed("D0LAN2Q65", "1784000000.000200", "U061F7AUR")),
        ("tokens_revoked", Removed("the bot token was revoked")),
        ("tokens_revoked_user", Ignored("other")),
        ("app_uninstalled", Removed("the app was uninstalled")),
        (
            "block_action_button",
            Pressed("r-17", "regenerate", "U061F7AUR", "C0LAN2Q65",
                    Secret("https://hooks.slack.com/actions/T061EG9R6/1/secret")),
        ),
        (
            "block_action_feedback",
            Pressed("r-17", "thumbs_down", "U061F7AUR", "D0LAN2Q65",
                    Secret("https://hooks.slack.com/actions/T061EG9R6/1/secret")),
        ),
        ("block_action_home_select", Chosen("U061F7AUR", "model", "quality")),
    ],
)  # fmt: skip
def test_other_payloads(name: str, seen: Seen) -> None:
    """Everything else means exactly one thing."""
    assert parse(payload(name), ME) == seen


def test_a_command() -> None:
    """A command is a conversation of its own; its trigger and response_url are rights and stand in no Incoming."""
    seen = parse(payload("slash_command"), ME)

    assert isinstance(seen, CommandGiven)
    assert (seen.verb, seen.incoming.text) == ("ask", "what is **this**?")
    assert seen.incoming.conversation.root == seen.incoming.message_id
    assert "13345224609" not in repr(seen.incoming)
    assert "secret" not in repr(seen)


@pytest.mark.parametrize(
    ("text", "verb", "argument"),
    [
        ("", "help", ""),
        ("   ", "help", ""),
        ("ask", "help", ""),
        ("model", "model", ""),
        ("MODEL quality", "model", "quality"),
        ("what is it?", "ask", "what is it?"),
        ("models are nice", "ask", "models are nice"),
        ("forget https://x.slack.com/archives/C1/p1", "forget", "https://x.slack.com/archives/C1/p1"),
    ],
)
def test_subcommands(text: str, verb: str, argument: str) -> None:
    """A known first word is a subcommand; anything else is a question; nothing asks for help."""
    seen = parse(payload("slash_command") | {"text": text}, ME)

    assert isinstance(seen, CommandGiven)
    assert (seen.verb, seen.argument) == (verb, argument)


def test_a_message_shortcut() -> None:
    """The incoming quotes the message the shortcut was used on."""
    seen = parse(payload("message_action"), ME)

    assert isinstance(seen, ShortcutUsed)
    assert (seen.incoming.action, seen.incoming.visibility) == ("explain", "private")
    assert seen.incoming.address["thread"] == "1783999000.000100"
    assert [(quote.speaker_id, quote.text) for quote in seen.incoming.quotes] == [
        ("U2147483697", "our **SLO** is 99.9")
    ]


def test_about_me_from_the_home_tab() -> None:
    """A button on Home has no channel and no response_url."""
    body = payload("block_action_home_select")
    body["actions"] = [{"type": "button", "action_id": "tern_forget_me", "value": "forget"}]

    assert parse(body, ME) == AboutMe("U061F7AUR", "forget", Secret())


ODD: tuple[Any, ...] = (
    *(None, True, 7, -1, 10**30, 1e308, float("inf"), float("nan"), "", "x", "1e999", "\u0661", "9" * 5_000),
    *("\ud800", "\0", "<@U0>", [], [[]], {}, {"type": "rich_text"}, [None], [{"a": 1}]),
)


@pytest.mark.parametrize("name", sorted(path.stem for path in PAYLOADS.glob("*.json")))
def test_nothing_breaks_the_parser(name: str) -> None:
    """Whatever field is missing or of another type, the parser answers instead of raising, and what it takes for a
    question can be stored and read again."""
    whole = json.dumps(payload(name))
    for path in list(paths(json.loads(whole))):
        for put in ODD:
            damaged = json.loads(whole)
            replace_at(damaged, path, put)
            seen = parse(damaged, ME)
            asked = seen.asked if isinstance(seen, Edited) else seen
            if incoming := getattr(asked, "incoming", None):
                kept, body = storable(incoming)
                assert decode_incoming(body) == kept


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(("rich_text", "rich_text_list", "rich_text_section", "text", "user", "table", "emoji", "d83d")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(("type", "text", "elements", "style", "indent", "offset", "rows", "unicode", "user_id")),
        inner, max_size=5,
    ), max_leaves=30,
))  # fmt: skip
def test_no_block_breaks_the_parser(block: Any) -> None:
    """Blocks of any shape, lone surrogates and infinite numbers among them."""
    body = payload("message_rich_text")
    body["event"]["blocks"] = [block, {"type": "rich_text", "elements": [block]}]

    parse(body, ME)


def test_a_list_of_enormous_depth_costs_nothing() -> None:
    """Depth is a number in the payload, and would be four spaces for each."""
    body = payload("message_rich_text")
    line = {"type": "rich_text_section", "elements": [{"type": "text", "text": "deep"}]}
    listed = {"type": "rich_text_list", "indent": 10**12, "style": "bullet", "elements": [line]}
    body["event"]["blocks"] = [{"type": "rich_text", "elements": [listed]}]

    seen = parse(body, ME)

    assert isinstance(seen, Asked)
    assert len(seen.incoming.text) < 100


def paths(node: Any, at: tuple[Any, ...] = ()) -> Any:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from paths(value, (*at, key))


def replace_at(node: Any, path: tuple[Any, ...], put: Any) -> None:
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = put


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://terns.slack.com/archives/C1/p1784000000000200", MessageLink("C1", TS, TS)),
        (
            "<https://terns.slack.com/archives/C1/p1784000000000200?thread_ts=1783999000.000100&cid=C1>",
            MessageLink("C1", TS, "1783999000.000100"),
        ),
        ("https://terns.enterprise.slack.com/archives/G1/p1784000000000200 please", MessageLink("G1", TS, TS)),
        ("https://terns.slack.com/archives/C1", None),
        ("C1 1784000000.000200", None),
    ],
)
def test_message_links(text: str, link: MessageLink | None) -> None:
    """ "Copy link" of a message, in a thread or not."""
    assert message_link(text) == link


def test_names_stand_for_ids() -> None:
    """Known people get their names, unknown ones keep their id without the brackets."""
    incoming = replace(incoming_of("app_mention"), text="<@U1> and <@U2>")

    assert name_people(incoming, {"U1": "Ada"}).text == "@Ada and @U2"
