"""Kinds are judged by content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.files.kinds import sniff
from tests.core.files import samples


@pytest.mark.parametrize(
    ("content", "family", "extension"),
    [
        (samples.picture("JPEG"), "image", "jpg"),
        (samples.picture("PNG"), "image", "png"),
        (samples.picture("WEBP"), "image", "webp"),
        (samples.animation(), "image", "gif"),
        (samples.tone(0.1), "audio", "wav"),
        (samples.recoded(samples.tone(0.1), "ogg", "libopus"), "audio", "ogg"),
        (samples.recoded(samples.tone(0.1), "mp4", "aac"), "audio", "m4a"),
        (samples.recoded(samples.tone(0.1), "webm", "libopus"), "audio", "webm"),
        (samples.pdf("hello"), "pdf", "pdf"),
        (b"\r\njunk\r\n" + samples.pdf("hello"), "pdf", "pdf"),
        (samples.word("hello"), "docx", "docx"),
        (b"name,age\nAda,36\n", "text", "txt"),
        ("Grüße".encode("latin-1") + b" an alle", "text", "txt"),
        ("naïve ☕".encode(), "text", "txt"),
        ("\ufeffhello".encode("utf-16"), "text", "txt"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text", "svg"),
        (b"<!DOCTYPE html><title>Sign in</title>", "text", "html"),
        (b"", "other", ""),
        (b"\x7fELF\x02\x01", "other", "elf"),
        (b"PK\x03\x04rest", "other", "zip"),
        (bytes(range(256)) * 20, "other", "bin"),
    ],
)
def test_kind_by_content(content: bytes, family: str, extension: str) -> None:
    """The first bytes tell the kind, whatever the file is called."""
    kind = sniff(content)

    assert (kind.family, kind.extension) == (family, extension)


@given(st.binary(max_size=6000))
def test_any_bytes_have_a_kind(content: bytes) -> None:
    """No content makes the judge fail."""
    assert sniff(content).label


@given(st.text(min_size=1, max_size=5000).filter(lambda text: not any(ord(c) < 32 for c in text)))
def test_text_is_not_cut_into_nonsense_at_the_edge(text: str) -> None:
    """A character that straddles the edge of what is looked at does not turn text into something else."""
    content = b"plain words first, " + text.encode()

    assert sniff(content).family == "text"
