"""What a file is, judged by its content. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Family = Literal["image", "audio", "text", "pdf", "docx", "other"]


@dataclass(frozen=True, slots=True)
class Kind:
    family: Family
    mime: str
    extension: str
    """Without the dot; transcription services guess the format by it."""
    label: str
    """For the reader: "a PDF", "a ZIP archive"."""


_TEXT = Kind("text", "text/plain", "txt", "a text file")
_LEGACY = Kind("text", "text/plain", "txt", "a text file")
_UNKNOWN = Kind("other", "application/octet-stream", "bin", "a file of a kind I do not know")

_SIGNATURES: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\xff\xd8\xff", Kind("image", "image/jpeg", "jpg", "a JPEG picture")),
    (0, b"\x89PNG\r\n\x1a\n", Kind("image", "image/png", "png", "a PNG picture")),
    (0, b"GIF87a", Kind("image", "image/gif", "gif", "a GIF picture")),
    (0, b"GIF89a", Kind("image", "image/gif", "gif", "a GIF picture")),
    (0, b"BM", Kind("image", "image/bmp", "bmp", "a BMP picture")),
    (0, b"II*\x00", Kind("image", "image/tiff", "tif", "a TIFF picture")),
    (0, b"MM\x00*", Kind("image", "image/tiff", "tif", "a TIFF picture")),
    (0, b"OggS", Kind("audio", "audio/ogg", "ogg", "an Ogg recording")),
    (0, b"fLaC", Kind("audio", "audio/flac", "flac", "a FLAC recording")),
    (0, b"ID3", Kind("audio", "audio/mpeg", "mp3", "an MP3 recording")),
    (0, b"\x1a\x45\xdf\xa3", Kind("audio", "audio/webm", "webm", "a WebM recording")),
    (0, b"%!PS", Kind("other", "application/postscript", "ps", "a PostScript file")),
    (0, b"PK\x05\x06", Kind("other", "application/zip", "zip", "an empty ZIP archive")),
    (0, b"\x1f\x8b", Kind("other", "application/gzip", "gz", "a gzip archive")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("other", "application/x-7z-compressed", "7z", "a 7-Zip archive")),
    (0, b"Rar!\x1a\x07", Kind("other", "application/vnd.rar", "rar", "a RAR archive")),
    (0, b"MZ", Kind("other", "application/x-msdownload", "exe", "a Windows program")),
    (0, b"\x7fELF", Kind("other", "application/x-executable", "elf", "a program")),
    (0, b"SQLite format 3\x00", Kind("other", "application/vnd.sqlite3", "db", "a database")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("other", "application/x-ole-storage", "doc", "an old Office file")),
)
"""Offset, first bytes, kind. Source: the formats' own specifications."""

_WEBP = Kind("image", "image/webp", "webp", "a WebP picture")
_WAV = Kind("audio", "audio/wav", "wav", "a WAV recording")
_MP3 = Kind("audio", "audio/mpeg", "mp3", "an MP3 recording")
_HEIC = Kind("image", "image/heic", "heic", "a HEIC picture")
_AVIF = Kind("image", "image/avif", "avif", "an AVIF picture")
# Slack's voice clips are MP4 with AAC and are declared audio/mp4 or video/mp4; a service that guesses by the extension
# fails on any other name (facts/slack.md 1.7).
_M4A = Kind("audio", "audio/mp4", "m4a", "an MP4 recording")
_PDF = Kind("pdf", "application/pdf", "pdf", "a PDF")
_DOCX = Kind(
    "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", "a Word document"
)
_ZIP = Kind("other", "application/zip", "zip", "a ZIP archive")
_SVG = Kind("text", "image/svg+xml", "svg", "an SVG drawing (its source)")
_HTML = Kind("text", "text/html", "html", "an HTML page (its source)")

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_SNIFF_BYTES = 4096


def sniff(content: bytes) -> Kind:
    """Name a file's kind by its first bytes; anything that decodes as text without control bytes is text.

    Where all of the beginning is text, it is text: signatures of letters alone ("BM", "MZ", "ID3") begin words as well.
    """
    head = content[:_SNIFF_BYTES]
    as_text = _textual(head, whole=len(content) <= _SNIFF_BYTES)
    is_text = as_text.family == "text"
    for offset, signature, kind in _SIGNATURES:
        if head.startswith(signature, offset) and not (is_text and _is_word(signature)):
            return kind if signature != b"BM" or _is_bitmap(head) else _UNKNOWN
    if b"%PDF-" in head[:1024] and (not is_text or _PDF_LINE.search(head[:1024])):
        return _PDF  # readers accept leading junk, ISO 32000-2 annex; so do senders
    if head[:4] == b"PK\x03\x04":
        return _DOCX if b"word/" in content[:65536] or b"word/document.xml" in content[-65536:] else _ZIP
    if is_text:
        return as_text if as_text is not _LEGACY or not _is_mp3(content) else _MP3
    if head[:4] == b"RIFF":
        return {b"WEBP": _WEBP, b"WAVE": _WAV}.get(head[8:12], _UNKNOWN)
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    return _MP3 if _is_mp3(content) else as_text


_PDF_LINE = re.compile(rb"(?:\A|[\r\n\xbf])%PDF-\d")
"""In a text, a header of its own; a sentence about PDFs has it in its middle."""


def _is_word(signature: bytes) -> bool:
    return signature.isalnum()


def _is_bitmap(head: bytes) -> bool:
    """Whether what follows "BM" is a bitmap's header: the size of the next header is one of seven."""
    return int.from_bytes(head[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124)


_MP3_KBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1 layer III
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
_MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _is_mp3(content: bytes) -> bool:
    """Whether an MPEG layer III frame begins here and, where the file is long enough, another right behind it.

    Two bytes alone would take a word in a Cyrillic encoding for music.
    """
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE6 != 0xE2:
        return False
    version, rate, bits = content[1] >> 3 & 3, content[2] >> 2 & 3, content[2] >> 4
    if version == 1 or rate == 3 or bits in (0, 15):
        return False
    first = version == 3
    size = (144_000 if first else 72_000) * _MP3_KBITS[0 if first else 1][bits] // _MP3_RATES[version][rate]
    after = content[size + (content[2] >> 1 & 1) :][:2]
    return len(after) < 2 or (after[0] == 0xFF and after[1] & 0xE0 == 0xE0)


def _iso_media(head: bytes) -> Kind:
    size = min(int.from_bytes(head[:4], "big"), 256)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return _AVIF
    if brands & _HEIF_BRANDS:
        return _HEIC
    return _M4A


def _textual(head: bytes, *, whole: bool) -> Kind:
    if not head:
        return Kind("other", "application/x-empty", "", "an empty file")
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return _TEXT
    if wide_encoding(head):
        return _TEXT
    if b"\x00" in head or sum(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in head) > len(head) // 100:
        return _UNKNOWN
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if whole or error.start < len(head) - 4:
            return _LEGACY if _is_writing(head) else _UNKNOWN
        text = head[: error.start].decode("utf-8")
    start = text.lstrip("\ufeff \t\r\n")[:256].lower()
    if start.startswith("<svg") or (start.startswith("<?xml") and "<svg" in text.lower()):
        return _SVG
    if start.startswith(("<!doctype html", "<html")):
        return _HTML
    return _TEXT


_LONG_ENOUGH = 400


def _is_writing(head: bytes) -> bool:
    """Whether bytes that are no UTF-8 and hold next to no control bytes are a text in an older encoding.

    Packed and encrypted bytes are control bytes in one of ten cases, so of a few hundred without any none is left; of
    fewer, charset-normalizer has to find a language in them.
    """
    if len(head) >= _LONG_ENOUGH or sum(9 <= byte < 127 for byte in head) > len(head) * 0.7:
        return True
    from charset_normalizer import from_bytes

    return from_bytes(head).best() is not None


def wide_encoding(head: bytes) -> str:
    """Which UTF-16 without a mark *head* is; "" for none. Its other bytes are zero wherever people write ASCII."""
    if len(head) < 4 or b"\x00" not in head:
        return ""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if zeros > half * 0.4 and others == 0:
            text = head[: half * 2].decode(encoding, "ignore")
            if all(one.isprintable() or one.isspace() for one in text):
                return encoding
    return ""
