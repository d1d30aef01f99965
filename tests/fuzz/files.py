"""5,000 mutated files: each is read, or declined by a sentence, and what comes of it survives the worker's pipe."""

from __future__ import annotations

import functools
import logging
import random
import warnings

from core.files import sandbox_worker as worker
from core.files.kinds import sniff
from core.files.values import Failure, Job, PictureLimits, ReadLimits, SoundLimits
from tests.core.files import samples

COUNT = 5_000

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of every wound, and so does Pillow
warnings.filterwarnings("ignore", module="PIL")


@functools.cache
def originals() -> tuple[bytes, ...]:
    words = "Grüße 你好 Привет, plain words. " * 20
    return (
        samples.picture("JPEG", (64, 48)),
        samples.picture("PNG", (64, 48)),
        samples.picture("WEBP", (64, 48)),
        samples.picture("BMP", (16, 16)),
        samples.picture("TIFF", (16, 16)),
        samples.animation(),
        samples.pdf("Invoice 7", "Second page"),
        samples.word("Hello", "world", table=[["a", "b"]]),
        samples.tone(0.2),
        samples.recoded(samples.tone(0.2), "mp4", "aac"),
        samples.clip(0.2, 48_000, "mono", "libopus", "ogg"),
        samples.clip(0.2, 44_100, "mono", "mp3", "mp3"),
        words.encode(),
        words.encode("utf-16"),
        "Привет, мир. ".encode("cp1251") * 40,
        b"<!doctype html><html><body><article><p>Tea is hot.</p></article></body></html>",
    )


def check(rng: random.Random) -> None:
    content = mutated(rng, rng.choice(originals()))
    kind = sniff(content)
    match kind.family:
        case "image":
            job = Job("picture", "a", content, PictureLimits(max_side=256))
        case "audio":
            job = Job("sound", "a", content, SoundLimits(max_duration_s=60.0))
        case "pdf" | "docx" as task:
            job = Job(task, "a", content, ReadLimits())
        case "text":
            job = Job(rng.choice(("text", "html")), "a", content, ReadLimits())  # type: ignore[arg-type]  # of two
        case _:
            assert kind.label, "a kind that nobody can be told"
            return
    answer = worker._answer(job)
    assert worker.unpack_result(worker.pack_result(answer)[4:]) == answer
    assert not isinstance(answer, Failure) or answer.why, "declined without a sentence"


def mutated(rng: random.Random, content: bytes) -> bytes:
    """*content* with one to eight wounds: bytes changed, cut out, doubled, put in, or its end torn off."""
    made = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(made) + 1)
        length = rng.choice((1, 1, 2, 4, 16, 300))
        match rng.randrange(6):
            case 0:
                made[at : at + length] = rng.randbytes(length)
            case 1:
                del made[at : at + length]
            case 2:
                made[at:at] = made[at : at + length]
            case 3:
                made[at:at] = rng.randbytes(length)
            case 4:
                made[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"))
            case _:
                del made[max(1, at) :]
    return bytes(made)
