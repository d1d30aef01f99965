"""What a file is, judged by its content. Pure."""

from __future__ import annotations

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
    (0, b"MZ", Kind("other", "application/x-msdownload", "exe", "a SlidingWindows program")),
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
    """Name a file's kind by its first bytes; anything that decodes as text without control bytes is text."""
    head = content[:_SNIFF_BYTES]
    for offset, signature, kind in _SIGNATURES:
        if head.startswith(signature, offset):
            return kind
    if head[:4] == b"RIFF":
        return {b"WEBP": _WEBP, b"WAVE": _WAV}.get(head[8:12], _UNKNOWN)
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[:4] == b"PK\x03\x04":
        return _DOCX if b"word/" in content[:65536] or b"word/document.xml" in content[-65536:] else _ZIP
    if b"%PDF-" in head[:1024]:  # readers accept leading junk, ISO 32000-2 annex; so do senders
        return _PDF
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:  # MPEG audio frame sync, layer III
        return _MP3
    return _textual(head, whole=len(content) <= _SNIFF_BYTES)


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
    if b"\x00" in head or sum(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in head) > len(head) // 100:
        return _UNKNOWN
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if whole or error.start < len(head) - 4:
            return _TEXT if _mostly_letters(head) else _UNKNOWN
        text = head[: error.start].decode("utf-8")
    start = text.lstrip("\ufeff \t\r\n")[:256].lower()
    if start.startswith("<svg") or (start.startswith("<?xml") and "<svg" in text.lower()):
        return _SVG
    if start.startswith(("<!doctype html", "<html")):
        return _HTML
    return _TEXT


def _mostly_letters(head: bytes) -> bool:
    # A legacy 8-bit encoding: real text has far more ASCII than not, packed or encrypted bytes do not.
    return sum(9 <= byte < 127 for byte in head) > len(head) * 0.7
