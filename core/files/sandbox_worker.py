"""The child process that opens other people's files. Started by sandbox.py as `python -m core.files.sandbox_worker`.

Reads jobs from standard input and writes results to standard output, each a pickle-free MessagePack behind a four-byte
length. It owns nothing worth stealing: no environment, no keys, no database, and a bound on memory.
"""

from __future__ import annotations

import resource
import struct
import sys
from typing import Any, BinaryIO

import msgspec

from core.domain.errors import Unreadable
from core.files.values import (
    Document,
    Failure,
    Heard,
    Job,
    Picture,
    PictureLimits,
    ReadLimits,
    Result,
    Sound,
    SoundLimits,
    SpeechLimits,
)

MAX_MEMORY_BYTES = 2 * 1024**3
"""Address space: a 120-megapixel picture needs 480 MB decoded, and the local speech model more than it ever touches."""


def run(job: Job) -> Result:
    """Do one job. Libraries are loaded by the first job that needs them.

    Raises:
        Unreadable: The file's own fault; anything else is a defect and ends the worker.
    """
    match job.task, job.limits:
        case "picture", PictureLimits() as limits:
            from core.files import pictures

            return pictures.prepare(job.name, job.content, limits)
        case "letters", PictureLimits() as limits:
            from core.files import ocr as letters

            return letters.read(job.name, job.content, limits)
        case "sound", SoundLimits() as limits:
            from core.files import sound

            return sound.prepare(job.name, job.content, limits)
        case "speech", SpeechLimits() as limits:
            from core.files import speech

            return speech.listen(job.name, job.content, limits)
        case "arithmetic", ReadLimits():
            from core.files import arithmetic

            return Document(arithmetic.calculate(job.content.decode()), "all", complete=True)
        case ("text" | "pdf" | "docx" | "html") as task, ReadLimits() as limits:
            from core.files import documents

            readers = {
                "text": documents.read_text,
                "pdf": documents.read_pdf,
                "docx": documents.read_docx,
                "html": documents.read_html,
            }
            return readers[task](job.name, job.content, limits)
    raise ValueError(f"no reader for {job.task} with {type(job.limits).__name__}")


def pack_job(job: Job) -> bytes:
    return _pack({"task": job.task, "name": job.name, "content": job.content, "limits": job.limits})


def unpack_job(payload: bytes) -> Job:
    raw = msgspec.msgpack.decode(payload)
    kinds: dict[str, Any] = {
        "picture": PictureLimits,
        "letters": PictureLimits,
        "sound": SoundLimits,
        "speech": SpeechLimits,
    }
    limits: Any = msgspec.convert(raw["limits"], kinds.get(raw["task"], ReadLimits))
    return Job(raw["task"], raw["name"], raw["content"], limits)


def pack_result(result: Result | Failure) -> bytes:
    return _pack({"kind": type(result).__name__, "value": result})


def unpack_result(payload: bytes) -> Result | Failure:
    raw = msgspec.msgpack.decode(payload)
    kinds: dict[str, Any] = {
        "Picture": Picture,
        "Document": Document,
        "Sound": Sound,
        "Heard": Heard,
        "Failure": Failure,
    }
    result: Result | Failure = msgspec.convert(raw["value"], kinds[raw["kind"]])
    return result


def _pack(value: object) -> bytes:
    payload = msgspec.msgpack.encode(value)
    return struct.pack(">I", len(payload)) + payload


def _read(stream: BinaryIO) -> bytes | None:
    """One message, or None when the parent is gone."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack(">I", head)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def main() -> None:
    """Serve until the parent closes our standard input, which its death does too."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while (payload := _read(sys.stdin.buffer)) is not None:
        job = unpack_job(payload)
        try:
            answer: Result | Failure = run(job)
        except Unreadable as error:
            answer = Failure(error.why)
        except (MemoryError, RecursionError):
            answer = Failure("it needs more memory than I may use")
        sys.stdout.buffer.write(pack_result(answer))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
