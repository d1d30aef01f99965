"""The readers, called in this process: what they take out of good files and how they decline bad ones."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageOps

from core.domain.errors import Unreadable
from core.files import documents, pictures, sound
from core.files.kinds import sniff
from core.files.values import PictureLimits, ReadLimits, SoundLimits
from tests.core.files import samples


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_and_tell_nothing(orientation: int, form: str) -> None:
    """A phone's rotation is carried out, and every trace of the phone is gone."""
    original = samples.picture(form, size=(400, 200), orientation=orientation)

    made = pictures.prepare("photo", original, PictureLimits())

    with Image.open(io.BytesIO(original)) as turned, Image.open(io.BytesIO(made.content)) as image:
        upright = ImageOps.exif_transpose(turned).convert("RGB")
        assert image.size == upright.size
        for corner in ((20, 20), (image.width - 20, 20), (20, image.height - 20)):
            assert image.getpixel(corner) == pytest.approx(upright.getpixel(corner), abs=8)
        assert not image.getexif()
    assert b"SecretPhoneMaker" not in made.content


def test_pictures_of_sixteen_bits_keep_their_greys() -> None:
    """A scan with 65,536 levels is no white sheet."""
    buffer = io.BytesIO()
    Image.new("I;16", (40, 30), 32_768).save(buffer, "PNG")

    made = pictures.prepare("scan.png", buffer.getvalue(), PictureLimits())

    with Image.open(io.BytesIO(made.content)) as image:
        assert image.getpixel((20, 15)) == pytest.approx((128, 128, 128), abs=2)


def test_shrinking_in_tiles_leaves_no_seams() -> None:
    """A large picture of few colours is averaged, not sampled, and looks as if it had been shrunk whole."""
    lines = Image.new("P", (5_000, 3_001), 1)
    lines.putpalette([0, 0, 0, 255, 255, 255])
    for row in range(0, lines.height, 2):
        lines.paste(0, (0, row, lines.width, row + 1))
    buffer = io.BytesIO()
    lines.save(buffer, "PNG")

    made = pictures.prepare("lines.png", buffer.getvalue(), PictureLimits(max_side=1_000))

    with Image.open(io.BytesIO(made.content)) as image:
        assert image.size == (1_000, 600)
        column = [image.getpixel((500, row))[0] for row in range(5, 595)]
    assert max(column) - min(column) < 60


def test_large_pictures_shrink_to_the_limits() -> None:
    """Side and bytes both hold afterwards, however large the picture was."""
    limits = PictureLimits(max_side=300, max_bytes=4_000)
    noise = Image.effect_noise((1200, 900), 90).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")

    made = pictures.prepare("noise.png", buffer.getvalue(), limits)

    assert max(made.width, made.height) <= 300
    assert len(made.content) <= 4_000


def test_only_the_first_frame_of_an_animation_is_kept() -> None:
    """An animation becomes one picture, and its frames are counted."""
    made = pictures.prepare("dance.gif", samples.animation(3), PictureLimits())

    assert (made.mime, made.frames) == ("image/jpeg", 3)


def test_transparent_pictures_lie_on_white_paper() -> None:
    """A drawing on a transparent ground is still legible."""
    buffer = io.BytesIO()
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(buffer, "PNG")

    made = pictures.prepare("line.png", buffer.getvalue(), PictureLimits())

    with Image.open(io.BytesIO(made.content)) as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)


def test_heic_is_read() -> None:
    """The iPhone's own format opens like any other."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "blue").save(buffer, "HEIF")

    made = pictures.prepare("IMG_1.HEIC", buffer.getvalue(), PictureLimits())

    assert sniff(buffer.getvalue()).extension == "heic"
    assert (made.width, made.height) == (64, 48)


@pytest.mark.parametrize(
    "content", [samples.bomb(), samples.picture()[:200], b"", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_bad_pictures_are_declined(content: bytes) -> None:
    """Bombs, stumps and formats that run programs end in one error."""
    with pytest.raises(Unreadable):
        pictures.prepare("x", content, PictureLimits())


def test_pdf_text_by_page() -> None:
    """Every page's text comes with its number."""
    read = documents.read_pdf("a.pdf", samples.pdf("first", "second"), ReadLimits())

    assert read.text == "[page 1]\nfirst\n\n[page 2]\nsecond"
    assert read.complete


def test_long_pdf_says_how_much_was_read() -> None:
    """A page limit is told, not hidden."""
    read = documents.read_pdf("a.pdf", samples.pdf("a", "b", "c"), ReadLimits(max_pages=2))

    assert (read.read, read.complete) == ("pages 1-2 of 3", False)


@pytest.mark.parametrize("content", [samples.pdf("x")[:100], b"%PDF-1.7\n" + b"\xff" * 500, samples.pdf("")])
def test_bad_pdfs_are_declined(content: bytes) -> None:
    """Stumps, garbage and scans without text end in one error."""
    with pytest.raises(Unreadable):
        documents.read_pdf("a.pdf", content, ReadLimits())


def test_word_keeps_paragraphs_and_tables_in_order() -> None:
    """Tables stand where they stood, one line a row."""
    read = documents.read_docx("a.docx", samples.word("Prices", table=[["Tea", "2"], ["Cake", "4"]]), ReadLimits())

    assert read.text.strip() == "Prices\nTea | 2\nCake | 4"


@pytest.mark.parametrize("content", [samples.zip_bomb(), samples.word("x")[:500], b"PK\x03\x04"])
def test_bad_word_files_are_declined(content: bytes) -> None:
    """Zip bombs and stumps end in one error, before anything is unpacked."""
    with pytest.raises(Unreadable):
        documents.read_docx("a.docx", content, ReadLimits())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_text_in_any_encoding(encoding: str) -> None:
    """Old encodings are recognised."""
    text = "Die Straße über den Fluß führt nach Süden, wo die schönen Gärten blühen. " * 5

    assert documents.read_text("a.txt", text.encode(encoding), ReadLimits()).text == text


def test_long_text_is_cut_and_says_so() -> None:
    """The reader learns how much was read."""
    read = documents.read_text("a.txt", b"x" * 50, ReadLimits(max_chars=20))

    assert (len(read.text), read.read) == (20, "the first 20 of 50 characters")


@pytest.mark.parametrize(("container", "codec"), [("ogg", "libopus"), ("mp4", "aac"), ("webm", "libopus")])
def test_clips_of_every_platform_are_measured(container: str, codec: str) -> None:
    """Slack's MP4, Discord's Ogg and a browser's WebM all have a true duration."""
    clip = samples.recoded(samples.tone(2.0), container, codec)

    heard = sound.prepare("clip", clip, SoundLimits())

    assert heard.duration_s == pytest.approx(2.0, abs=0.1)
    assert heard.loud_s > 1.5
    assert len(heard.parts) == 1


def test_silence_is_known_before_anything_is_paid() -> None:
    """A silent clip has no loud second."""
    assert sound.prepare("clip", samples.tone(3.0, amplitude=0), SoundLimits()).loud_s == 0


def test_long_recordings_are_cut_in_the_pauses() -> None:
    """Parts touch, none is long or short, and each border lies where nobody speaks."""
    limits = SoundLimits(part_s=20, min_part_s=10)

    heard = sound.prepare("talk", samples.bursts(65, every_s=3.0, pause_s=0.5), limits)

    borders = [part.start_s for part in heard.parts] + [heard.parts[-1].end_s]
    assert borders[0] == 0
    assert borders[-1] == pytest.approx(65)
    assert all(10 <= part.end_s - part.start_s <= 20 for part in heard.parts)
    assert all(border % 3.0 >= 2.5 for border in borders[1:-1])


@pytest.mark.parametrize("length_s", [20.1, 29.0, 30.0, 41.0, 59.9, 61.0])
def test_no_part_is_shorter_than_what_is_billed(length_s: float) -> None:
    """However the length falls, no part is below the billed minimum or above the longest."""
    limits = SoundLimits(part_s=20, min_part_s=5)

    heard = sound.prepare("talk", samples.bursts(length_s, every_s=2.0, pause_s=0.3), limits)

    assert all(5 <= part.end_s - part.start_s <= 20.01 for part in heard.parts)


@pytest.mark.parametrize("content", [b"", b"OggS", samples.tone(1.0)[:20], samples.picture()])
def test_bad_sound_is_declined(content: bytes) -> None:
    """Stumps and pictures are not played."""
    with pytest.raises(Unreadable):
        sound.prepare("clip", content, SoundLimits())


def test_clip_that_breaks_off_is_heard_as_far_as_it_goes() -> None:
    """A lost tail does not cost the whole message."""
    clip = samples.recoded(samples.tone(4.0), "ogg", "libopus")

    assert sound.prepare("clip", clip[: len(clip) * 2 // 3], SoundLimits()).duration_s > 1
