"""A hundred small files as people send them, made on the spot, and what is read of each.

One line a file: add one for each that was read wrongly.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import docx
import pytest
from docx.oxml import parse_xml
from PIL import Image

from core.extraction.in_chat import as_csv
from core.extraction.rows import parse_table
from core.files import sound
from core.files.documents import decoded, read_docx, read_pdf
from core.files.kinds import sniff
from core.files.pictures import prepare
from core.files.values import PictureLimits, ReadLimits, SoundLimits
from tests.core.files import samples

WORDS = {
    "cp1251": "Привет, мир! Это обычное письмо о погоде, ценах и людях. Счёт № 17 на сумму 1500 рублей.",
    "koi8-r": "Привет, мир! Это обычное письмо о погоде, ценах и людях, как их пишут давно.",
    "cp866": "Привет, мир! Это обычное письмо о погоде, ценах и людях, как их пишут давно.",
    "shift_jis": "こんにちは、世界。これは天気と値段についての普通の手紙です。請求書は十七番です。",
    "euc_jp": "こんにちは、世界。これは天気と値段についての普通の手紙です。請求書は十七番です。",
    "gb18030": "你好，世界。这是一封关于天气和价格的普通信件。发票号码是十七，金额一千五百元。",
    "big5": "你好，世界。這是一封關於天氣和價格的普通信件。發票號碼是十七，金額一千五百元。",
    "euc_kr": "안녕하세요, 세계. 이것은 날씨와 가격에 대한 평범한 편지입니다. 청구서 번호는 십칠입니다.",
    "cp1252": "Grüße aus Köln: die Rechnung über 1500 € ist für Frau Müller, bitte schön früh bezahlen.",
    "cp1250": "Zażółć gęślą jaźń, to jest zwykły list o pogodzie, cenach i ludziach z Łodzi i Gdańska.",
    "cp1253": "Καλημέρα κόσμε! Αυτό είναι ένα συνηθισμένο γράμμα για τον καιρό και τις τιμές.",
    "utf-16": "Grüße 你好 Привет",
    "utf-16-le": "Hello there, plain words",
    "utf-16-be": "Hello there, plain words",
    "utf-32": "Grüße 你好",
    "utf-8-sig": "Grüße 你好",
    "utf-8": "Grüße 你好 Привет",
}


@pytest.mark.parametrize("encoding", WORDS)
def test_text_of_every_encoding_is_text(encoding: str) -> None:
    """It is offered to the reader, and read as it was written."""
    content = (WORDS[encoding] * 3).encode(encoding)

    assert sniff(content).family == "text"
    if encoding not in ("cp1250", "cp866"):  # a kin of its own is as likely to the library; the letters differ in a few
        assert decoded(content) == WORDS[encoding] * 3


@pytest.mark.parametrize("encoding", ["cp1251", "shift_jis", "gb18030", "euc_kr", "cp1253"])
def test_long_legacy_text_is_text(encoding: str) -> None:
    """Longer than what is looked at, and cut in the middle of a character there."""
    assert sniff(b"x" + WORDS[encoding].encode(encoding) * 200).family == "text"


def test_damage_in_utf8_is_one_mark() -> None:
    """A single bad byte does not turn a whole text into another encoding."""
    text = "Grüße aus Köln. " * 50

    assert decoded(text.encode().replace(b"K", b"\xff", 1)) == text.replace("K", "\ufffd", 1)


BITMAP = samples.picture("BMP", (4, 4))


@pytest.mark.parametrize(
    ("content", "family"),
    [
        (b"BMW,model,year\n320,sedan,1999\n", "text"),
        (b"MZ-100 manual\nChapter one", "text"),
        (b"ID3 tags explained", "text"),
        (b"GIF89a is a format of 1989.", "text"),
        (b"OggS is how each page begins", "text"),
        (b"RIFF and WAVE are names", "text"),
        (b"abcdftypmp42 in a sentence", "text"),
        (b"PDFs begin with %PDF-1.7, as you know", "text"),
        (b"fLaC", "text"),
        ("BMW;модель;год\n320;седан;1999\n".encode("cp1251") * 10, "text"),
        ("яв - первые буквы этого письма, и дальше идут слова".encode("cp1251") * 10, "text"),
        ("яы и другие слова на русском языке стоят в этом письме".encode("cp1251") * 10, "text"),
        (BITMAP, "image"),
        (b"BM" + b"\x00" * 40, "other"),
        (b"MZ\x90\x00\x03\x00\x00\x00", "other"),
        (b"%PDF-1.7\n1 0 obj\n", "pdf"),
        (b"%!PS-Adobe-3.0\n", "other"),
        (b"\xff\xfb\x90\x64" + b"\x00" * 413 + b"\xff\xfb\x90\x64", "audio"),
        (b"\xff\xfb\x90\x64" + b"\x00" * 600, "other"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00", "audio"),
        (samples.picture("JPEG"), "image"),
        (samples.picture("PNG"), "image"),
        (samples.picture("GIF"), "image"),
        (samples.picture("WEBP"), "image"),
        (samples.picture("TIFF"), "image"),
        (bytes(range(128, 256)) * 2, "other"),
        (b'{"a": 1}\n', "text"),
        (b"\x1b[31mred\x1b[0m log line\n", "text"),
        (b"plain\r\nwindows\r\n", "text"),
    ],
)
def test_short_signatures_are_looked_at_further(content: bytes, family: str) -> None:
    """Where all is text it is text; a few letters at the beginning are no picture, program or recording."""
    assert sniff(content).family == family


def test_photo_with_a_second_picture_inside_is_one() -> None:
    """A phone's MPO has one frame for the reader; a GIF of three has three."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    made = {}
    for form in ("MPO", "GIF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
        made[form] = prepare("a", buffer.getvalue(), PictureLimits()).frames

    assert made == {"MPO": 1, "GIF": 3}


# --- tables ---


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("a;b\n1,5;2\n", [{"a": "1,5", "b": "2"}]),
        ("a\tb\n1\t2\n", [{"a": "1", "b": "2"}]),
        ("a|b\n1|2\n", [{"a": "1", "b": "2"}]),
        ("sep=;\na;b\n1;2\n", [{"a": "1", "b": "2"}]),
        ('"sep=;"\r\na;b\r\n1;2\r\n', [{"a": "1", "b": "2"}]),
        ("SEP=|\na|b\n1|2\n", [{"a": "1", "b": "2"}]),
        ("sep=\t\na\tb\n1\t2\n", [{"a": "1", "b": "2"}]),
        ("sepal,length\n1,2\n", [{"sepal": "1", "length": "2"}]),
        ("\ufeffa,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("a,a\n1,2\n", [{"a": "1", "a (2)": "2"}]),
        ("a,a,a (2)\n1,2,3\n", [{"a": "1", "a (2)": "2", "a (2) (2)": "3"}]),
        ("a,\n1,2\n", [{"a": "1", "column 2": "2"}]),
        ("a,b\n1\n", [{"a": "1", "b": None}]),
        ("a,b\n1,2,3,4\n", [{"a": "1", "b": "2", "more": ["3", "4"]}]),
        ('a,b\n"x\ny","1, 2"\n', [{"a": "x\ny", "b": "1, 2"}]),
        ('a,b\r\n"x\r\ny",2\r\n', [{"a": "x\r\ny", "b": "2"}]),
        ("a,b\r1,2\r3,4\r", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ('"a;b;c;d",e\n1,2\n', [{"a;b;c;d": "1", "e": "2"}]),
        ('a,b\n"say ""hi""",2\n', [{"a": 'say "hi"', "b": "2"}]),
        ("\n\na,b\n\n1,2\n\n", [{"a": "1", "b": "2"}]),
        ("a,b\n", []),
        ("", []),
        ("a,b\n1,x\u2028y\n", [{"a": "1", "b": "x\u2028y"}]),
        (" a , b \n1,2\n", [{"a": "1", "b": "2"}]),
    ],
)
def test_csv_as_the_world_writes_it(text: str, rows: list[dict[str, object]]) -> None:
    """Separators, their line, names that stand twice, line ends inside quotes: every cell is there."""
    assert parse_table("a.csv", text) == rows


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_json_lines_end_at_a_newline_alone(mark: str) -> None:
    """What Python calls a line's end may stand inside a string."""
    assert parse_table("a.jsonl", f'{{"a": "x{mark}y"}}\r\n{{"a": 2}}\n') == [{"a": f"x{mark}y"}, {"a": 2}]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("-5.00", "-5.00"),
        ("-5,00", "-5,00"),
        ("+7", "+7"),
        ("-1.234.567,89", "-1.234.567,89"),
        ("-1e-9", "-1e-9"),
        ("-12 %", "-12 %"),
        ("-.5", "-.5"),
        ("-5+cmd|' /C calc'!A0", "'-5+cmd|' /C calc'!A0"),
        ("=1+1", "'=1+1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("-A1", "'-A1"),
        ("+49 170 x", "'+49 170 x"),
        ("-", "'-"),
        ("\t=1", "'\t=1"),
        ("5-3", "5-3"),
    ],
)
def test_numbers_stay_numbers_in_a_table_handed_back(value: str, cell: str) -> None:
    """What is a number as a whole can be summed; what a spreadsheet would run is defused, in headings too."""
    read = list(csv.reader(io.StringIO(as_csv([{value: value}]).decode("utf-8-sig"))))

    assert read == [[cell], [cell]]


# --- documents ---

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def word(*blocks: str) -> bytes:
    """A Word document with these blocks (XML of the body) in this order."""
    made = docx.Document()
    for block in blocks:
        made.element.body.insert(len(made.element.body) - 1, parse_xml(block.replace(">", f" {W}>", 1)))
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def run(words: str) -> str:
    return f"<w:r><w:t>{words}</w:t></w:r>"


BOX = (
    '<w:p><w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
    '<mc:Choice Requires="wps"><w:txbxContent><w:p>{0}</w:p></w:txbxContent></mc:Choice>'
    "<mc:Fallback><w:txbxContent><w:p>{0}</w:p></w:txbxContent></mc:Fallback></mc:AlternateContent></w:r>{1}</w:p>"
)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (f"<w:p>{run('plain')}</w:p>", "plain"),
        (f"<w:sdt><w:sdtContent><w:p>{run('Name: Ada')}</w:p></w:sdtContent></w:sdt>", "Name: Ada"),
        (f"<w:p>{run('Price: ')}<w:sdt><w:sdtContent>{run('12')}</w:sdtContent></w:sdt></w:p>", "Price: 12"),
        (f"<w:p>{run('Price: ')}<w:ins>{run('15')}</w:ins><w:del><w:r><w:delText>12</w:delText></w:r></w:del></w:p>",
         "Price: 15"),
        (f"<w:p><w:moveFrom>{run('gone')}</w:moveFrom><w:moveTo>{run('here')}</w:moveTo></w:p>", "here"),
        (BOX.format(run("in a box"), run("beside")), "beside\nin a box"),
        (f"<w:p><w:hyperlink>{run('a link')}</w:hyperlink></w:p>", "a link"),
        (f"<w:p><w:smartTag>{run('smart')}</w:smartTag><w:fldSimple>{run(' 7')}</w:fldSimple></w:p>", "smart 7"),
        ("<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>",
         "a\tb\nc-d"),
        (f"<w:tbl><w:tr><w:tc><w:p>{run('x')}</w:p></w:tc><w:tc><w:p>{run('y')}</w:p></w:tc></w:tr></w:tbl>", "x | y"),
        (f"<w:tbl><w:sdt><w:sdtContent><w:tr><w:tc><w:p>{run('x')}</w:p></w:tc><w:sdt><w:sdtContent><w:tc><w:p>"
         f"{run('y')}</w:p></w:tc></w:sdtContent></w:sdt></w:tr></w:sdtContent></w:sdt></w:tbl>", "x | y"),
        (f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr><w:tc><w:p>{run('old')}</w:p></w:tc></w:tr><w:tr><w:tc><w:p>{run('new')}"
         "</w:p></w:tc></w:tr></w:tbl>", "new"),
        (f"<w:p><w:r><w:instrText>PAGE</w:instrText></w:r>{run('words')}</w:p>", "words"),
    ],
)  # fmt: skip
def test_word_documents_are_read_whole(block: str, text: str) -> None:
    """Controls, tracked insertions, boxes and what wraps rows are read; deletions and orders to Word are not."""
    assert read_docx("a.docx", word(block), ReadLimits()).text.strip() == text


def test_pdf_page_that_cannot_be_read_is_named() -> None:
    """A page in a filter that nobody knows costs that page alone."""
    content = _two_pages(lambda page: page.replace(b"/FlateDecode", b"/Crypt"))

    read = read_pdf("a.pdf", content, ReadLimits())

    assert "[page 2: it could not be read]" in read.text
    assert "good words" in read.text
    assert (read.complete, read.read) == (False, "pages 1-2 of 2 without 2")


def _two_pages(spoil: Callable[[bytes], bytes]) -> bytes:
    """A PDF whose first page says "good words" and whose second has a stream that *spoil* changed."""
    stream = b"BT /F1 12 Tf 72 720 Td (%s) Tj ET"
    good, bad = stream % b"good words", spoil(b"/Filter /FlateDecode")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R"
        b" /Resources << /Font << /F1 7 0 R >> >> >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 6 0 R"
        b" /Resources << /Font << /F1 7 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(good), good),
        b"<< /Length 4 %s >>\nstream\nabcd\nendstream" % bad.replace(b"/Crypt", b"/NoSuchDecode"),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)
    return bytes(out)


def test_archive_that_only_mentions_word_is_an_archive() -> None:
    """A ZIP without a document is told as one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", "hello")

    assert sniff(buffer.getvalue()).extension == "zip"


# --- sound ---


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((44_100, "mono", "mp3", "mp3"), (44_100, "stereo", "mp3", "mp3")),
        ((44_100, "mono", "mp3", "mp3"), (48_000, "mono", "mp3", "mp3")),
        ((48_000, "mono", "libopus", "ogg"), (48_000, "stereo", "libopus", "ogg")),
        ((44_100, "mono", "libvorbis", "ogg"), (48_000, "stereo", "libvorbis", "ogg")),
        ((48_000, "mono", "libopus", "ogg"), (48_000, "mono", "libopus", "ogg")),
        ((44_100, "mono", "flac", "ogg"), (44_100, "stereo", "flac", "ogg")),
    ],
)
def test_recording_whose_sound_changes_is_heard_to_its_end(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    """Mono then stereo, 44.1 then 48 kHz: both halves are there."""
    heard = sound.prepare("clip", samples.clip(1, *first) + samples.clip(1, *second), SoundLimits())

    assert 1.9 < heard.duration_s < 2.2
    assert heard.lost_s == 0


@pytest.mark.parametrize(
    ("codec", "container", "damaged", "least_s", "lost"),
    [
        ("mp3", "mp3", 300, 3.8, False),
        ("mp3", "mp3", 12_000, 2.0, True),
        ("aac", "mp4", 300, 3.7, False),
        ("libopus", "ogg", 300, 2.5, True),
        ("flac", "flac", 300, 3.3, False),
    ],
)
def test_damage_in_the_middle_is_passed_over(
    codec: str, container: str, damaged: int, least_s: float, lost: bool
) -> None:
    """What stands behind a damaged place is heard, and where more than a moment is missing that is known."""
    content = bytearray(samples.clip(4, 48_000, "mono", codec, container))
    middle = len(content) // 2
    content[middle : middle + damaged] = Random(1).randbytes(damaged)

    heard = sound.prepare("clip", bytes(content), SoundLimits())

    assert heard.duration_s >= least_s
    assert (heard.lost_s >= 0.9) is lost
