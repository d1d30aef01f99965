"""Usage, cache, blobs, choices, notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.domain.api_keys import ApiKey
from core.domain.errors import StorageError, TooLarge, Unreadable
from core.domain.incoming import UserKey
from core.domain.requests import Usage
from core.domain.runs import ReplyCapability
from core.ports.storage import Preferences, Spent
from core.storage import BlobQuota, Storage, open_storage
from core.storage.encryption import Seals, load_key
from tests.core.front_desk import ANN, BOB, message
from tests.core.storage.rows import accepted
from tests.database import url_in
from tests.fakes.clock import FakeClock

MIDNIGHT = 1_800_000_000.0 - 1_800_000_000.0 % 86_400


async def spend(
    storage: Storage, request_id: str, user: UserKey = ANN, *, at: float = MIDNIGHT, cost: float = 0.5
) -> None:
    await storage.usage.add(request_id, user, "discord:c", "fast", Usage(10, 0, 5, cost_usd=cost), at)


# --- usage ---


async def test_spending_adds_up_per_person_workspace_and_all(storage: Storage) -> None:
    """Each scope counts its own; tokens are prompt and output together."""
    slack = UserKey("slack", "E:T", "u")
    await spend(storage, "1")
    await spend(storage, "2", BOB)
    await spend(storage, "3", slack)

    assert await storage.usage.spent(MIDNIGHT, user=ANN) == Spent(1, 15, 0.5)
    assert await storage.usage.spent(MIDNIGHT, workspace="slack:E:T") == Spent(1, 15, 0.5)
    assert await storage.usage.spent(MIDNIGHT) == Spent(3, 45, 1.5)


async def test_row_that_is_written_again_is_counted_once(storage: Storage) -> None:
    """The same request of the same moment replaces its row, and the day's sums follow."""
    await spend(storage, "1", cost=0.5)
    await spend(storage, "1", cost=0.25)

    assert await storage.usage.spent(MIDNIGHT, user=ANN) == Spent(1, 15, 0.25)
    assert await storage.usage.spent(MIDNIGHT - 1, user=ANN) == Spent(1, 15, 0.25)


async def test_what_a_later_try_costs_is_added(storage: Storage) -> None:
    """A run that waited and is tried again is one request that has cost both."""
    await spend(storage, "1", cost=0.5)
    await spend(storage, "1", cost=0.25, at=MIDNIGHT + 60)

    assert await storage.usage.spent(MIDNIGHT, user=ANN) == Spent(1, 30, 0.75)
    assert await storage.usage.spent(MIDNIGHT - 1, user=ANN) == Spent(1, 30, 0.75)


async def test_spending_is_counted_from_any_moment(storage: Storage) -> None:
    """Also from the middle of a day: that day's rows, and the sums of the days after it."""
    for hour in (1, 5, 23, 30):
        await spend(storage, str(hour), at=MIDNIGHT + hour * 3_600)

    assert (await storage.usage.spent(MIDNIGHT)).requests == 4
    assert (await storage.usage.spent(MIDNIGHT + 4 * 3_600)).requests == 3
    assert (await storage.usage.spent(MIDNIGHT + 86_400)).requests == 1


async def test_models_are_listed_dearest_first(storage: Storage) -> None:
    """Each with its share since the given moment."""
    await storage.usage.add("1", ANN, "", "cheap", Usage(1, cost_usd=0.1), MIDNIGHT)
    await storage.usage.add("2", ANN, "", "dear", Usage(1, cost_usd=2), MIDNIGHT)
    await storage.usage.add("3", ANN, "", "old", Usage(1, cost_usd=9), MIDNIGHT - 90_000)

    listed = await storage.usage.by_model(MIDNIGHT, ANN)

    assert [name for name, _ in listed] == ["dear", "cheap"]


# --- cache ---


async def test_cached_answer_lives_until_it_expires(storage: Storage, clock: FakeClock) -> None:
    """Present before its moment, absent from then on."""
    await storage.cache.put("k", b"answer", expires_at=clock.now() + 10, contributors=frozenset({ANN}))
    assert await storage.cache.get("k") == b"answer"

    clock.jump(10)

    assert await storage.cache.get("k") is None
    assert await storage.cache.get("other") is None


# --- blobs ---


async def test_blob_is_named_by_its_content(storage: Storage) -> None:
    """Equal bytes lie there once and come back by their reference."""
    ref = await storage.blobs.put(b"bytes", mime="image/png", owner=ANN)
    again = await storage.blobs.put(b"bytes", mime="image/png", owner=BOB)

    assert ref == again
    assert ref.startswith("blob:")
    assert await storage.blobs.get(ref) == b"bytes"
    assert len([path for path in storage.blobs.folder.rglob("*") if path.is_file()]) == 1


async def test_blob_belongs_to_whoever_handed_it_in(storage: Storage) -> None:
    """Knowing the hash of somebody else's file is not owning it."""
    ref = await storage.blobs.put(b"a secret", mime="text/plain", owner=ANN)

    assert await storage.blobs.owned(ref, ANN)
    assert not await storage.blobs.owned(ref, BOB)
    assert not await storage.blobs.owned("blob:" + "0" * 64, ANN)


@pytest.mark.parametrize("ref", ["blob:" + "0" * 64, "blob:../../secret.key", "../tern.db", "", "blob:" + "g" * 64])
async def test_unknown_reference_reads_nothing(storage: Storage, ref: str) -> None:
    """What is no hash never becomes a path."""
    with pytest.raises(Unreadable):
        await storage.blobs.get(ref)


async def test_quota_is_kept(folder: Path, clock: FakeClock) -> None:
    """Above one person's share or the whole store's a file is refused; what lies there already costs nothing."""
    quota = BlobQuota(total_bytes=25, owner_bytes=15)
    async with await open_storage(url_in(folder), folder, clock, b"key", "me", quota=quota) as storage:
        await storage.blobs.put(b"x" * 10, mime="", owner=ANN)
        await storage.blobs.put(b"x" * 10, mime="", owner=ANN)

        with pytest.raises(TooLarge, match="15"):
            await storage.blobs.put(b"y" * 10, mime="", owner=ANN)
        await storage.blobs.put(b"z" * 10, mime="", owner=BOB)
        with pytest.raises(TooLarge, match="25"):
            await storage.blobs.put(b"y" * 10, mime="", owner=UserKey("web", "", "c"))


# --- choices and notes ---


async def test_choices_are_kept_per_person(storage: Storage) -> None:
    """Defaults until somebody chooses; the newest choice counts."""
    await storage.preferences.set(ANN, Preferences("quality", "pirate"))
    await storage.preferences.set(ANN, Preferences("speed", ""))

    assert await storage.preferences.get(ANN) == Preferences("speed", "")
    assert await storage.preferences.get(BOB) == Preferences()


async def test_notes_are_kept(storage: Storage) -> None:
    """An adapter finds what it noted."""
    await storage.notes.set("cursor", "1")
    await storage.notes.set("cursor", "2")

    assert await storage.notes.get("cursor") == "2"
    assert await storage.notes.get("other") is None


# --- secrets ---


async def test_capability_is_stored_unreadable(storage: Storage, folder: Path) -> None:
    """The token comes back whole and stands nowhere on the disk in clear."""
    right = ReplyCapability("https://hooks.example/very-secret-token", 1_800_000_900.0)

    claim = await accepted(storage, message(), right)
    await storage.inbox.release(claim)

    [again] = await storage.inbox.claim([claim.run_id])
    assert claim.capability == again.capability == right
    for path in folder.glob("tern.db*"):
        assert b"very-secret-token" not in path.read_bytes()


def test_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Without SECRET_KEY a key file is made, mode 0600, and used again."""
    key = load_key(tmp_path / "data", b"")

    assert load_key(tmp_path / "data", b"") == key
    assert len(key) == 32
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert load_key(tmp_path / "data", b"given") == b"given"


def test_other_key_opens_nothing() -> None:
    """After SECRET_KEY changed an old capability is as good as expired."""
    sealed = Seals(b"one").seal("token")

    assert Seals(b"two").open(sealed) is None
    assert Seals(b"one").open(sealed) == "token"


def test_marks_are_opaque_and_equal_for_equals() -> None:
    """A mark tells nothing without the key, and names do not run into each other."""
    seals = Seals(b"key")

    assert seals.mark("a", "b") == seals.mark("a", "b")
    assert seals.mark("ab", "") != seals.mark("a", "b")
    assert seals.mark("a") != Seals(b"other").mark("a")
    assert b"a person's name" not in seals.mark("a person's name")


@pytest.mark.parametrize("content", [b"", b"0123456789"])
def test_key_that_was_cut_off_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty key would seal under what everybody knows; the sentence names the file."""
    (tmp_path / "secret.key").write_bytes(content)

    with pytest.raises(StorageError, match=r"secret\.key is cut off"):
        load_key(tmp_path, b"")


def test_two_that_make_the_key_at_once_use_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one's key gives way, whatever it saw when it looked; nothing unfinished stays."""
    first = load_key(tmp_path, b"")
    monkeypatch.setattr(Path, "exists", lambda path: False)

    second = load_key(tmp_path, b"")

    assert second == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


async def test_a_response_is_its_owners_alone(storage: Storage) -> None:
    """Read and removed by its owner only, and gone when they are forgotten."""
    await storage.responses.save("resp_1", ANN, b"{}")

    assert await storage.responses.load("resp_1", BOB) is None
    assert not await storage.responses.delete("resp_1", BOB)
    assert await storage.responses.load("resp_1", ANN) == b"{}"
    await storage.archive.forget(user=ANN)
    assert await storage.responses.load("resp_1", ANN) is None


async def test_keys_with_names_are_kept_as_they_are(storage: Storage) -> None:
    """One of the same name is replaced; a revoked one is gone."""
    first, second = ApiKey("ann", b"1", 1.0), ApiKey("ann", b"2", 2.0, 10, None, 0, 1.5)
    await storage.api_keys.put(first)
    await storage.api_keys.put(second)

    assert list(await storage.api_keys.all()) == [second]
    assert await storage.api_keys.revoke("ann")
    assert not await storage.api_keys.revoke("ann")
