"""No disguise of an order to ping survives, and ordinary text does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.slack.mention_guard import disarm, held_back
from adapters.slack.render import escape, to_mrkdwn
from tests.fakes.slack.checks import pings_in

DISGUISES = [
    "<!channel>", "<!here>", "<!everyone>", "<!here|here>", "<!channel|hello>", "<@U1>", "<@W1>", "<@U1|ada>",
    "<!subteam^S123>", "<!subteam^S123|@team>", "<#C1|general>", "<!group>",
    "&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;", "&amp;amp;lt;@U1>", "&#60;!here&#62;", "&#0060;!here>",
    "&#x3c;@U1&#x3e;", "&LT;!here&GT;", "&lt!here>", "<&#33;here>", "<!h&#101;re>", "<&commat;U1>",
    "<\u200b!channel>", "<!\u200bchan\u2060nel>", "<!chan\u00adnel>", "<@\u200dU1>", "<\ufeff@U1>", "<\ufe0f!here>",
    "<\\!here>", "\\<!here>", "<!her\\e>", "<**!channel**>", "<!chan**nel**>", "<_@U1_>", "<~~!here~~>", "<`!here`>",
    "`<!channel>`", "```\n<!here>\n```", "    <!here>", "> <!here>", "| <!here> |",
    "[click](<!channel>)", "[<@U1>](https://example.org)", "<https://example.org|<!here>>", "![<!here>](x)",
    "<!CHANNEL>", "<!Here>", "< !channel>", "<! channel>", "<<!channel>>", "<!channel",
]  # fmt: skip


@pytest.mark.parametrize("ping", DISGUISES)
def test_disguises(ping: str) -> None:
    """Read in the strictest way, with entities decoded and everything invisible taken out, nothing pings any more."""
    for text in (disarm(f"a {ping} b"), escape(f"a {ping} b"), to_mrkdwn(f"a {ping} b")):
        assert pings_in(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "a < b and b > c", "<!DOCTYPE html><p>", "<!-- here we go -->", "vector<int>", "x <- y",
        "List<@NonNull String>",
        "ada@example.org", "#general", "AT&T &amp; co", "<https://example.org|label>", "if (a<!b)", "a@b", "@property",
        "**bold** `code` [link](https://example.org)", "U1 and W1", "<#include>", "< here >",
    ],
)  # fmt: skip
def test_ordinary_text_is_untouched(text: str) -> None:
    """HTML, code, comparisons and addresses come out as they went in."""
    assert disarm(text) == text


@pytest.mark.parametrize("word", ["@channel", "@here", "@everyone", "@Channel", "&#64;here"])
def test_bare_words_are_split(word: str) -> None:
    """ "@here" pings only where names are linked, which we never ask for; a joiner inside makes sure."""
    assert word.replace("&#64;", "@") not in disarm(f"hello {word}!")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*"<>!@#|^&;\\*_`~ ", "\u200b", "&lt;", "&amp;", "channel", "here", "U1", "subteam", "x"]))
)
def test_any_mixture(parts: list[str]) -> None:
    """Whatever is put together from the pieces of orders does not ping."""
    assert pings_in(disarm("".join(parts))) == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*"<>!@ ", "&lt;", "\u200b", "channel", "U1", "text ", "a<b "])), st.integers(1, 6))
def test_a_stream_only_grows(parts: list[str], step: int) -> None:
    """What was sent of a growing text stands unchanged in the whole: a stream never has to take anything back."""
    text = "".join(parts)
    whole = disarm(text)
    for end in range(0, len(text), step):
        assert whole.startswith(disarm(held_back(text[:end])))


@pytest.mark.parametrize(
    "text", ["Look: <", "Look: <!", "Look: <!chan", "Look: <@U1", "Look: &lt", "Look: &", "Look: @her"]
)
def test_an_unfinished_order_is_held_back(text: str) -> None:
    """The end of a growing text waits until it can be told what it is."""
    assert held_back(text) == "Look: "


@pytest.mark.parametrize("text", ["a < b", "no mark", "<!DOCTYPE html>", "5 > 3", "", "mail ada@example.org now"])
def test_finished_text_is_not_held_back(text: str) -> None:
    """Nothing waits without need."""
    assert held_back(text) == text
