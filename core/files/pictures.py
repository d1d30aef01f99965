"""Opens a picture, turns it upright, strips what it tells about its owner and shrinks it. Runs in the worker."""

from __future__ import annotations

import io
import math

import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import Unreadable
from core.files.values import Picture, PictureLimits

pillow_heif.register_heif_opener()

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF")
"""Everything else Pillow can open (EPS runs an interpreter) is declined."""

MAX_DECODED_PIXELS = 120_000_000
"""A 10,000 x 10,000 picture (400 MB decoded) still opens; a decompression bomb does not."""

_JPEG_QUALITIES = (88, 80, 70, 55)


def prepare(name: str, content: bytes, limits: PictureLimits) -> Picture:
    """Return the picture as the vision model gets it: upright, without metadata, within the limits.

    Raises:
        Unreadable: Not a picture Pillow opens, damaged, or larger than can be decoded safely.
    """
    Image.MAX_IMAGE_PIXELS = None  # our own bound below is checked before any pixel is decoded
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            if opened.width * opened.height > MAX_DECODED_PIXELS:
                raise Unreadable(name, f"{opened.width} x {opened.height} pixels are more than I can open")
            frames = int(getattr(opened, "n_frames", 1))
            # JPEGs decode straight into a smaller size: the memory of the full size is never needed.
            opened.draft("RGB", (limits.max_side, limits.max_side))
            opened.load()
            # Shrunk first, turned afterwards: turning copies, and the copy of a poster is 300 MB.
            opened.thumbnail(_fitting(opened.size, limits), Image.Resampling.LANCZOS)
            return _encode(ImageOps.exif_transpose(opened), frames, limits)
    except Unreadable:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise Unreadable(name, "the picture is damaged or of a kind I cannot open") from error


def _fitting(size: tuple[int, int], limits: PictureLimits) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, limits.max_side / max(size), math.sqrt(limits.max_pixels / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _encode(picture: Image.Image, frames: int, limits: PictureLimits) -> Picture:
    has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if has_alpha:
        # Models see transparent pixels as black; people drew them for a light page.
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture.convert("RGBA"))
        picture = paper
    flat = picture.convert("RGB")
    flat.info.clear()
    while True:
        for quality in _JPEG_QUALITIES:
            buffer = io.BytesIO()
            flat.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= limits.max_bytes:
                return Picture(buffer.getvalue(), "image/jpeg", flat.width, flat.height, frames)
        flat = flat.resize((max(1, flat.width * 3 // 4), max(1, flat.height * 3 // 4)), Image.Resampling.LANCZOS)
