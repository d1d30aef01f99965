"""The child process that opens other people's files; `sandbox.py` starts it.

Reads jobs from standard input and writes results to standard output, each a pickle-free MessagePack behind a four-byte
length. It owns nothing worth stealing, no environment, no keys, no database, and gives up the rest before its first
job (`confinement.py`). Whatever a reader raises becomes an answer: strangers choose what our libraries stumble over.
"""

from __future__ import annotations

import math
import struct
import sys
import traceback
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from core.domain.errors import Unreadable
from core.files import confinement
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


def run(job: Job) -> Result:
    """Do one job. Libraries are loaded by the first job that needs them.

    Raises:
        Unreadable: The file's own fault; anything else is a defect.
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
        case "schema", ReadLimits():
            from core.domain import json_schema

            return Document(json_schema.answer(job.content).decode(), "all", complete=True)
        case "guards", ReadLimits():
            return Document("\n".join(_held), "all", complete=True)
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


def pack_job(job: Job, *, processor_s: float = 60.0) -> bytes:
    """*processor_s*: how long it may compute, all its threads together."""
    raw = {"task": job.task, "name": job.name, "content": job.content, "limits": job.limits}
    return _pack({**raw, "processor_s": processor_s})


def processor_s_of(payload: bytes) -> float:
    return float(msgspec.msgpack.decode(payload)["processor_s"])


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


_held: list[str] = []
"""Which of `confinement.GUARDS` hold for this process."""


def main(parent: int, reads: Sequence[str], *, programs: bool) -> None:
    """Serve until the parent closes our standard input, which its death does too.

    Args:
        parent: Its process id.
        reads: Folders that may be read beside what every worker reads.
        programs: Whether a job will start a program of the system's.
    """
    _held[:] = confinement.confine(reads, programs=programs, parent=parent)
    while (payload := _read(sys.stdin.buffer)) is not None:
        confinement.allow_seconds(math.ceil(processor_s_of(payload)))
        sys.stdout.buffer.write(pack_result(_answer(unpack_job(payload))))
        sys.stdout.buffer.flush()


def _answer(job: Job) -> Result | Failure:
    try:
        return run(job)
    except Unreadable as error:
        return Failure(error.why)
    except (MemoryError, RecursionError):
        return Failure("it needs more memory than I may use")
    except Exception as error:  # noqa: BLE001 - libraries meet what nobody thought of: zlib.error, struct.error, ...
        return Failure("it is damaged, or made in a way I do not know", _where(error))


def _where(error: Exception) -> str:
    """ "IndexError in pypdf/filters.py:120": the error's own words may be the file's."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}"
