"""Takes the text out of text files, PDF and DOCX. Runs in the worker."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from core.domain.errors import Unreadable
from core.files.kinds import wide_encoding
from core.files.values import Document, ReadLimits

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of one DOCX: its parts together, and each PDF stream by pypdf's own limits."""


def read_text(name: str, content: bytes, limits: ReadLimits) -> Document:
    """Decode a text file of whatever encoding; what cannot be decoded becomes U+FFFD."""
    return _bounded(decoded(content).replace("\x00", ""), limits)


def decoded(content: bytes) -> str:
    """The text of *content*: by its mark, as UTF-8, or in the encoding that charset-normalizer takes it for."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace").removeprefix("\ufeff")
    if wide := wide_encoding(content[:4_096]):
        return content.decode(wide, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        # One bad byte in a long text is damage, not another encoding.
        sound = content.decode("utf-8", "ignore")
        if len(sound.encode()) >= len(content) * 0.99 and not sound.isascii() and error.start > 0:
            return content.decode("utf-8", "replace")
    from charset_normalizer import from_bytes

    best = from_bytes(content[:200_000]).best()
    return content.decode(best.encoding if best else "cp1252", "replace")


_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


def read_pdf(name: str, content: bytes, limits: ReadLimits) -> Document:
    """Take the text layer out of a PDF, page by page.

    Raises:
        Unreadable: Damaged, locked by a password, or without any text (a scan).
    """
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable(name, "it is locked with a password")
        total = len(reader.pages)
        taken: list[str] = []
        length = 0
        lost: list[int] = []
        for number in range(min(total, limits.max_pages)):
            try:
                text = reader.pages[number].extract_text() or ""
            except Exception:  # noqa: BLE001 - a filter that pypdf does not know, or whatever a broken page trips it over
                lost.append(number + 1)
                taken.append(f"[page {number + 1}: it could not be read]")
                continue
            taken.append(f"[page {number + 1}]\n{text.strip()}")
            length += len(text)
            if length > limits.max_chars:
                break
    except Unreadable:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        # pypdf raises whatever a broken object tree makes it trip over.
        raise Unreadable(name, "the PDF is damaged") from error
    if not length and lost:
        raise Unreadable(name, "its pages are made in a way that I cannot read")
    if not length:
        raise Unreadable(name, "the PDF holds no text, only pictures of pages")
    document = _bounded("\n\n".join(taken), limits)
    if len(taken) == total and not lost:
        return document
    without = f" without {', '.join(map(str, lost[:10]))}{' and more' if len(lost) > 10 else ''}" if lost else ""
    return Document(document.text, f"pages 1-{len(taken)} of {total}{without}", complete=False)


def read_docx(name: str, content: bytes, limits: ReadLimits) -> Document:
    """Take paragraphs, tables, text boxes and notes out of a Word document, in their order; changes that are tracked
    count as accepted.

    Raises:
        Unreadable: Damaged, or unpacks to more than MAX_UNPACKED_BYTES.
    """
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from docx.oxml import parse_xml
    from lxml.etree import LxmlError

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise Unreadable(name, "it unpacks to more than I can read")
        document = docx.Document(io.BytesIO(content))
        lines = _blocks(document.element.body)
        for relation in document.part.rels.values():
            if not relation.is_external and relation.reltype.endswith(("/footnotes", "/endnotes")):
                lines += _blocks(parse_xml(relation.target_part.blob))
    except Unreadable:
        raise
    except (zipfile.BadZipFile, PackageNotFoundError, LxmlError, KeyError, ValueError, OSError, EOFError) as error:
        raise Unreadable(name, "the document is damaged") from error
    except (AttributeError, TypeError, IndexError, NotImplementedError, RuntimeError) as error:
        # A valid archive with invalid relations inside; NotImplementedError and RuntimeError: packed or locked oddly.
        raise Unreadable(name, "the document is not a usable Word file") from error
    return _bounded("\n".join(lines), limits)


_UNREAD = frozenset({"del", "moveFrom", "delText", "instrText", "Fallback", "sdtPr", "pPr", "rPr", "tblPr", "trPr"})
"""Deleted words, orders to Word, and what stands there a second time for older programs."""

_AS_TEXT = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def _blocks(element: Any) -> list[str]:
    """Lines of everything below *element*: content controls and tracked insertions are looked into."""
    lines: list[str] = []
    for child in element:
        match _local(child):
            case "p":
                lines += _paragraph(child)
            case "tbl":
                rows = [row for row in _within(child, "tr") if row.find("{*}trPr/{*}del") is None]
                lines += [" | ".join(" ".join(_blocks(cell)).strip() for cell in _within(row, "tc")) for row in rows]
            case name if name not in _UNREAD:
                lines += _blocks(child)
    return lines


def _within(element: Any, wanted: str) -> list[Any]:
    """The nearest *wanted* below *element*, whatever wraps them; not those of a table in a table."""
    found: list[Any] = []
    for child in element:
        name = _local(child)
        if name == wanted:
            found.append(child)
        elif name not in _UNREAD and name != "tbl":
            found += _within(child, wanted)
    return found


def _paragraph(element: Any) -> list[str]:
    """Its own words in one line, and each text box that hangs in it on lines of its own."""
    words: list[str] = []
    boxes: list[str] = []

    def walk(part: Any) -> None:
        for child in part:
            match _local(child):
                case "t":
                    words.append(child.text or "")
                case "txbxContent":
                    boxes.extend(_blocks(child))
                case name if name in _AS_TEXT:
                    words.append(_AS_TEXT[name])
                case name if name not in _UNREAD:
                    walk(child)

    walk(element)
    return ["".join(words), *boxes]


def _local(element: Any) -> str:
    """The tag without its namespace; "" for comments."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def read_html(name: str, content: bytes, limits: ReadLimits) -> Document:
    """Take the main text out of a web page, as Markdown, without navigation, scripts and comments.

    Raises:
        Unreadable: No text is in it.
    """
    import trafilatura

    try:
        text = trafilatura.extract(
            content, output_format="markdown", include_comments=False, include_links=True, with_metadata=True
        )
    except (ValueError, TypeError, AttributeError, RecursionError, LookupError) as error:
        raise Unreadable(name, "the page is damaged") from error
    if not text or not text.strip():
        raise Unreadable(name, "the page holds no text to read")
    return _bounded(text, limits)


def _bounded(text: str, limits: ReadLimits) -> Document:
    if len(text) <= limits.max_chars:
        return Document(text, "all", complete=True)
    kept = text[: limits.max_chars]
    return Document(kept, f"the first {limits.max_chars} of {len(text)} characters", complete=False)
