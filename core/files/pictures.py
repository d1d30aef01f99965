"""Opens a picture, turns it upright, strips what it tells about its owner and shrinks it. Runs in the worker."""

from __future__ import annotations

import io
import math

import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from core.domain.errors import Unreadable
from core.files.values import Picture, PictureLimits

pillow_heif.register_heif_opener()

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF")
"""Everything else Pillow can open (EPS runs an interpreter) is declined."""

MAX_DECODED_PIXELS = 120_000_000
"""A 10,000 x 10,000 picture (400 MB decoded) still opens; a decompression bomb does not."""

_TILE = 256
"""Pixels of a side, once shrunk."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what undoes it. Source: CIPA DC-008 (EXIF 2.32), tag 0x0112."""

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
            # An MPO is a phone's photo with a smaller one or a depth map behind it, not a row of pictures.
            frames = 1 if opened.format == "MPO" else int(getattr(opened, "n_frames", 1))
            # JPEGs decode straight into a smaller size: the memory of the full size is never needed.
            opened.draft("RGB", (limits.max_side, limits.max_side))
            opened.load()
            turn = _UPRIGHT.get(opened.getexif().get(ExifTags.Base.Orientation, 1))
            small = _shrunk(opened, limits)
        return _encode(small.transpose(turn) if turn is not None else small, frames, limits)
    except Unreadable:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise Unreadable(name, "the picture is damaged or of a kind I cannot open") from error


def _shrunk(picture: Image.Image, limits: PictureLimits) -> Image.Image:
    """Return *picture* within the limits, as RGB or, where it is transparent somewhere, RGBA.

    Tile by tile, because Pillow converts by copying, and the copy of a poster is another 400 MB.
    """
    target = _fitting(picture.size, limits)
    across, down = picture.width // target[0], picture.height // target[1]
    mode = "RGBA" if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info else "RGB"
    small = Image.new(mode, (-(-picture.width // across), -(-picture.height // down)))
    for top in range(0, small.height, _TILE):
        for left in range(0, small.width, _TILE):
            right, bottom = min(left + _TILE, small.width) * across, min(top + _TILE, small.height) * down
            box = (left * across, top * down, min(right, picture.width), min(bottom, picture.height))
            small.paste(_true_colour(picture.crop(box), mode).reduce((across, down)), (left, top))
    return small.resize(target, Image.Resampling.LANCZOS) if small.size != target else small


def _true_colour(tile: Image.Image, mode: str) -> Image.Image:
    if tile.mode.startswith("I"):  # 16 bits a pixel; Pillow would cut everything above 255 to white
        tile = tile.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    return tile.convert(mode)


def _fitting(size: tuple[int, int], limits: PictureLimits) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, limits.max_side / max(size), math.sqrt(limits.max_pixels / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _encode(picture: Image.Image, frames: int, limits: PictureLimits) -> Picture:
    flat = picture
    if picture.mode == "RGBA":
        # Models see transparent pixels as black; people drew them for a light page.
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture)
        flat = paper.convert("RGB")
    while True:
        for quality in _JPEG_QUALITIES:
            buffer = io.BytesIO()
            flat.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= limits.max_bytes:
                return Picture(buffer.getvalue(), "image/jpeg", flat.width, flat.height, frames)
        flat = flat.resize((max(1, flat.width * 3 // 4), max(1, flat.height * 3 // 4)), Image.Resampling.LANCZOS)
