"""Takes the text out of text files, PDF and DOCX. Runs in the worker."""

from __future__ import annotations

import io
import zipfile

from core.domain.errors import Unreadable
from core.files.values import Document, ReadLimits

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of one DOCX: its parts together, and each PDF stream by pypdf's own limits."""


def read_text(name: str, content: bytes, limits: ReadLimits) -> Document:
    """Decode a text file of whatever encoding; what cannot be decoded becomes U+FFFD."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(content[:1_000_000]).best()
        text = content.decode(best.encoding if best else "utf-8", errors="replace")
    return _bounded(text.replace("\x00", ""), limits)


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
        for number in range(min(total, limits.max_pages)):
            text = reader.pages[number].extract_text() or ""
            taken.append(f"[page {number + 1}]\n{text.strip()}")
            length += len(text)
            if length > limits.max_chars:
                break
    except Unreadable:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        # pypdf raises whatever a broken object tree makes it trip over.
        raise Unreadable(name, "the PDF is damaged") from error
    if not length:
        raise Unreadable(name, "the PDF holds no text, only pictures of pages")
    document = _bounded("\n\n".join(taken), limits)
    if len(taken) == total:
        return document
    return Document(document.text, f"pages 1-{len(taken)} of {total}", complete=False)


def read_docx(name: str, content: bytes, limits: ReadLimits) -> Document:
    """Take paragraphs and tables out of a Word document, in their order.

    Raises:
        Unreadable: Damaged, or unpacks to more than MAX_UNPACKED_BYTES.
    """
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from docx.table import Table
    from lxml.etree import LxmlError

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise Unreadable(name, "it unpacks to more than I can read")
        lines: list[str] = []
        for block in docx.Document(io.BytesIO(content)).iter_inner_content():
            if isinstance(block, Table):
                lines.extend(" | ".join(cell.text.strip() for cell in row.cells) for row in block.rows)
            else:
                lines.append(block.text)
    except Unreadable:
        raise
    except (zipfile.BadZipFile, PackageNotFoundError, LxmlError, KeyError, ValueError, OSError, EOFError) as error:
        raise Unreadable(name, "the document is damaged") from error
    except (AttributeError, TypeError, IndexError, NotImplementedError, RuntimeError) as error:
        # A valid archive with invalid relations inside; NotImplementedError and RuntimeError: packed or locked oddly.
        raise Unreadable(name, "the document is not a usable Word file") from error
    return _bounded("\n".join(lines), limits)


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
