"""Files made on the spot: nothing binary lies in the repository."""

from __future__ import annotations

import io
import math
import random
import struct
import wave
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import av
import docx
import pillow_heif
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from PIL import Image, ImageDraw, ImageFont


def picture(
    form: str = "JPEG", size: tuple[int, int] = (640, 480), *, orientation: int | None = None, colour: str = "red"
) -> bytes:
    """A picture whose top left quarter is white; `orientation` is the EXIF tag a phone writes."""
    image = Image.new("RGB", size, colour)
    image.paste("white", (0, 0, size[0] // 2, size[1] // 2))
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        exif[0x010F] = "SecretPhoneMaker"
    buffer = io.BytesIO()
    if form in ("JPEG", "PNG", "WEBP"):
        image.save(buffer, form, exif=exif)
    else:
        image.save(buffer, form)
    return buffer.getvalue()


def animation(frames: int = 3) -> bytes:
    images = [Image.new("RGB", (50, 40), (80 * number, 0, 0)) for number in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=100)
    return buffer.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A valid small PNG that claims, and would decode to, billions of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tone(seconds: float, *, hertz: float = 440.0, amplitude: float = 0.3, rate: int = 16_000) -> bytes:
    """A WAV of one tone; amplitude 0 is silence."""
    return _wav(
        struct.pack("<h", int(amplitude * 32767 * math.sin(2 * math.pi * hertz * at / rate)))
        for at in range(int(seconds * rate))
    )


def noise(seconds: float, *, amplitude: float = 0.3, rate: int = 16_000) -> bytes:
    """A WAV of wind: the same white noise each time."""
    rng = random.Random(7)
    return _wav(struct.pack("<h", int(amplitude * 32767 * rng.uniform(-1, 1))) for _ in range(int(seconds * rate)))


def music(seconds: float, *, rate: int = 16_000) -> bytes:
    """A WAV of chords, a new one every half second, struck and fading."""
    chords = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))

    def level(at: int) -> float:
        moment, chord = at / rate, chords[int(at / rate * 2) % len(chords)]
        return math.exp(-3 * (moment % 0.5)) * sum(math.sin(2 * math.pi * note * moment) for note in chord) / 4

    return _wav(struct.pack("<h", int(32767 * level(at))) for at in range(int(seconds * rate)))


def bursts(seconds: float, *, every_s: float, pause_s: float, rate: int = 16_000) -> bytes:
    """A WAV of loud stretches, each followed by a pause of silence."""
    loud = struct.pack("<h", 9000) + struct.pack("<h", -9000)
    period, pause = int(every_s * rate), int(pause_s * rate)
    block = loud * ((period - pause) // 2) + b"\0\0" * pause
    return _wav([(block * (int(seconds / every_s) + 1))[: int(seconds * rate) * 2]], rate)


def _wav(pieces: object, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"".join(pieces))  # type: ignore[arg-type]
    return buffer.getvalue()


def recoded(wav: bytes, container: str, codec: str) -> bytes:
    """The same sound in another container, e.g. ("ogg", "libopus"), ("mp4", "aac"), ("webm", "libopus")."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(wav)) as source, av.open(buffer, "w", format=container) as target:
        stream = target.add_stream(codec, rate=48_000, layout="mono")
        resampler = av.AudioResampler(format="fltp" if codec == "aac" else "s16", layout="mono", rate=48_000)
        for frame in source.decode(audio=0):
            for piece in resampler.resample(frame):
                assert isinstance(piece, AudioFrame)
                target.mux(stream.encode(piece))  # type: ignore[union-attr,arg-type]
        target.mux(stream.encode(None))  # type: ignore[union-attr]
    return buffer.getvalue()


def clip(seconds: float, rate: int, layout: str, codec: str, container: str) -> bytes:
    """A tone in this codec and container."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as target:
        stream: Any = target.add_stream(codec, rate=rate, layout=layout)
        fitting = AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
        count, step = int(seconds * rate), 1152
        for at in range(0, count, step):
            wave_s = [int(8_000 * math.sin(2_764.6 * one / rate)) for one in range(at, min(at + step, count))]
            frame = AudioFrame(format="s16", layout="mono", samples=len(wave_s))
            frame.planes[0].update(struct.pack(f"<{len(wave_s)}h", *wave_s).ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate, frame.pts = rate, at
            for made in fitting.resample(frame):
                target.mux(stream.encode(made))
        for made in fitting.resample(None):
            target.mux(stream.encode(made))
        target.mux(stream.encode(None))
    return buffer.getvalue()


def pdf(*pages: str) -> bytes:
    """A PDF with one line of text a page, written by hand."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1")
        font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 {font} >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)
    return bytes(out)


def word(*paragraphs: str, table: list[list[str]] | None = None) -> bytes:
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    if table:
        grid = document.add_table(rows=len(table), cols=len(table[0]))
        for row, cells in zip(grid.rows, table, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def zip_bomb() -> bytes:
    """A DOCX by name and structure whose document part unpacks to 100 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"\0" * 100_000_000)
    return buffer.getvalue()


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.size


def sign(words: str) -> bytes:
    """A PNG with one line of large print."""
    image = Image.new("RGB", (1000, 160), "white")
    ImageDraw.Draw(image).text((30, 50), words, fill="black", font=ImageFont.load_default(size=44))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def poster(size: tuple[int, int], mode: str = "RGB") -> bytes:
    """A large PNG of one colour: a small file that is many megabytes once decoded."""
    buffer = io.BytesIO()
    Image.new(mode, size, "navy").save(buffer, "PNG")
    return buffer.getvalue()


def heic() -> bytes:
    """The iPhone's own format."""
    pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "blue").save(buffer, "HEIF")
    return buffer.getvalue()


def nested(inner: Any, depth: int, around: Callable[[Any], Any]) -> Any:
    """*inner* with so many layers *around* it."""
    for _ in range(depth):
        inner = around(inner)
    return inner
