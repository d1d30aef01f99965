"""Stored turns: what fits, in order, and found by their words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.domain.incoming import Attachment, ConversationKey, Incoming, Quote, UserKey
from core.domain.requests import Image, Reasoning, Text, ToolCall, ToolResult, Turn
from core.domain.runs import Settlement
from core.storage import Storage
from core.storage.codec import decode_incoming, encode, turn_columns, turn_from
from core.storage.sqlite.dialect import matches
from tests.core.front_desk import ANN, BOB, conversation, message
from tests.core.storage.rows import accepted, said


async def words(storage: Storage, root: str = "root", **limits: int | str) -> list[str]:
    given = {"max_tokens": 1_000, "max_turns": 100} | limits
    turns = await storage.history.recent(conversation(root), **given)  # type: ignore[arg-type]
    return [turn.turn.text for turn in turns]


async def test_turns_come_back_oldest_first(storage: Storage) -> None:
    """A conversation reads as it was said; others are not in it."""
    await said(storage, "one", "ONE")
    await said(storage, "else", "ELSE", root="other")
    await said(storage, "two", "TWO")

    assert await words(storage) == ["one", "ONE", "two", "TWO"]


async def test_budget_takes_the_newest_whole_answers(storage: Storage) -> None:
    """What does not fit is left out from the oldest, never half an exchange."""
    for number in range(4):
        await said(storage, f"q{number}", f"a{number}", tokens=10)

    assert await words(storage, max_tokens=45) == ["q2", "a2", "q3", "a3"]
    assert await words(storage, max_turns=3) == ["q3", "a3"]
    assert await words(storage, max_tokens=5) == []


async def test_before_leaves_out_a_message_and_what_came_later(storage: Storage) -> None:
    """For an answer given again the history ends before its question."""
    await said(storage, "one", "ONE")
    claim = await said(storage, "two", "TWO")
    await said(storage, "three", "THREE")

    assert await words(storage, before=claim.incoming.message_id) == ["one", "ONE"]
    assert len(await words(storage, before="unknown")) == 6


async def test_turns_know_who_asked(storage: Storage) -> None:
    """The question carries its asker, the bot's own turn nobody."""
    claim = await said(storage, "one", "ONE", user=BOB)

    [question, answer] = await storage.history.recent(conversation(), max_tokens=100, max_turns=9)

    assert (question.user, question.message_id, question.tokens) == (BOB, claim.incoming.message_id, 5)
    assert (answer.user, answer.speaker) == (None, "")


async def test_every_kind_of_part_survives(storage: Storage) -> None:
    """Tool calls, results, reasoning and pictures come back as they were, pictures without their bytes."""
    parts = (
        Text("look"),
        Image("blob:x", "image/png", 3, 4, b"bytes"),
        ToolCall("1", "f", '{"a": 1}'),
        ToolResult("1", "f", "done", is_error=True),
        Reasoning("hm", "model"),
    )
    await said(storage, "one", parts)

    [_, answer] = await storage.history.recent(conversation(), max_tokens=100, max_turns=9)

    assert answer.turn.parts == (parts[0], Image("blob:x", "image/png", 3, 4), *parts[2:])


async def test_search_finds_all_words(storage: Storage) -> None:
    """Every word has to be there, the last may be a beginning; case and accents do not matter."""
    await said(storage, "Où vit le moineau?", "Sparrows live in cities.")
    await said(storage, "And terns?", "Terns live on coasts.", root="b")
    both = [conversation(), conversation("b")]

    async def found(query: str) -> list[str]:
        return [turn.turn.text for turn in await storage.history.search(both, query, limit=5)]

    assert await found("live") == ["Terns live on coasts.", "Sparrows live in cities."]
    assert await found("LIVE cit") == ["Sparrows live in cities."]
    assert await found("ou moineau") == ["Où vit le moineau?"]
    assert await found("penguin") == []
    assert await found("  ") == []


async def test_search_stays_in_its_conversations(storage: Storage) -> None:
    """What was said elsewhere is not found."""
    await said(storage, "secret", "ok", root="elsewhere")

    assert not await storage.history.search([conversation()], "secret", limit=5)
    assert not await storage.history.search([], "secret", limit=5)


@given(st.text())
def test_search_words_are_no_query_language(query: str) -> None:
    """Quotes, operators and the like in the words are only words (the statement at least can be built)."""
    matches(query or "x").compile()


async def test_hostile_search_words_are_harmless(storage: Storage) -> None:
    """FTS5's operators do not reach the engine as such."""
    await said(storage, "one", "two")

    for query in ['"', "NOT", "a OR", "near(a b)", "*", "^", "a:b", "-", "(", "\x00", "x' OR 1=1 --"]:
        assert not await storage.history.search([conversation()], query, limit=5)


async def test_new_answer_replaces_the_turns_in_the_search_too(storage: Storage) -> None:
    """A word of an answer that was regenerated is not found any more."""
    claim = await said(storage, "one", "aardvark")
    taken = await storage.inbox.repeat(claim.reply_id, "regenerate", None, "again")
    [again] = await storage.inbox.claim([taken.run_id])
    await storage.inbox.settle(again, Settlement("answered", turns=((Turn("assistant", (Text("bee"),)), 1),)))

    assert not await storage.history.search([conversation()], "aardvark", limit=5)
    assert await storage.history.search([conversation()], "bee", limit=5)


# --- conversations as a page lists them ---


async def test_conversations_are_listed_newest_first(storage: Storage) -> None:
    """Each with the first words of its first question; other people's are not among them."""
    await said(storage, "first   question\nof many words " + "x" * 100, "A", root="a")
    await said(storage, "more", "A", root="a")
    await said(storage, "other", "B", root="b", user=BOB)

    listed = await storage.conversations.conversations(ANN)

    assert [(one.key, one.title) for one in listed] == [(conversation("a"), "first question of many words ...")]


async def test_page_lists_questions_and_answers(storage: Storage) -> None:
    """Newest last, each answer with its figures, an unanswered question by itself."""
    await said(storage, "one", "ONE")
    await accepted(storage, message("two"))

    shown = await storage.conversations.messages(conversation())

    assert [(turn.role, turn.text, turn.state) for turn in shown] == [
        ("user", "one", "answered"),
        ("assistant", "ONE", "answered"),
        ("user", "two", "running"),
    ]
    assert shown[1].facts == {"model": "fast"}
    assert [turn.text for turn in await storage.conversations.messages(conversation(), limit=1)] == ["two"]


# --- the stored form ---

_text = st.text(max_size=20)
_users = st.builds(UserKey, _text, _text, _text)
_attachments = st.builds(
    Attachment,
    st.sampled_from(["image", "file"]),
    _text,
    _text,
    st.integers(0, 10**9),
    _text,
    st.none() | st.floats(0, 1e6),
)
_quotes = st.builds(Quote, _text, _text, _text, _text, st.tuples(_attachments), st.booleans())
_incoming = st.builds(
    Incoming,
    _text,
    _text,
    _users,
    st.builds(ConversationKey, _text, _text, _text, _text),
    _text,
    st.floats(0, 4e9),
    attachments=st.lists(_attachments, max_size=2).map(tuple),
    quotes=st.lists(_quotes, max_size=2).map(tuple),
    options=st.dictionaries(_text, _text, max_size=2),
    address=st.dictionaries(_text, _text, max_size=2),
)


@given(_incoming)
def test_stored_message_comes_back_whole(incoming: Incoming) -> None:
    """decode(encode(message)) is the message."""
    assert decode_incoming(encode(incoming)) == incoming


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_can_be_stored(broken: str) -> None:
    """Lone surrogates become question marks; everything else stays."""
    row = turn_columns(Turn("user", (Text(broken), Text(broken))))
    turn = turn_from(row["role"], row["words"], row["parts"])

    assert turn.text == (broken * 2).encode("utf-8", "replace").decode()
