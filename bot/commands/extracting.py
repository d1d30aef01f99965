"""`python -m bot extract`: files in, JSON Lines out, each object valid against the schema or an error in its place."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

import msgspec

from bot.commands.workbench import USER, open_workbench
from bot.config.loading import Loaded
from bot.config.mapping import schemas
from core.base.clock import SystemClock
from core.domain.errors import BadRequest, SettingsError, TernError, UnknownModel, Unreadable
from core.domain.requests import ExtractRequest, Text, Turn
from core.domain.schema_checks import SchemaChecks
from core.extraction.extraction import Extraction
from core.extraction.schema import Schema, rows_of, schema_of
from core.files.kinds import sniff
from core.files.sandbox import Sandbox
from core.files.values import Document, Job, ReadLimits
from core.wording import sentence_for

_AT_ONCE = 8
_DEADLINE_S = 300.0
_HTML = frozenset({".html", ".htm", ".xhtml"})


def extract(loaded: Loaded, wanted: str, files: Sequence[Path], *, model: str, rows: bool) -> int:
    """Write one line for each object to standard output. Returns 1 when a file came to nothing."""
    try:
        schema = _schema(loaded, wanted)
    except (BadRequest, OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"--schema: {error}"]) from error
    try:
        loaded.registry.resolve(model)
    except UnknownModel as error:
        raise SettingsError([f"--model: {error}"]) from error
    return asyncio.run(_extract(loaded, schema, files, model, rows=rows, out=sys.stdout))


def _schema(loaded: Loaded, wanted: str) -> Schema:
    """By name in tern.toml, from a file, or as typed. Raises BadRequest."""
    saved = schemas(loaded.config)
    if wanted in saved:
        return saved[wanted]
    path = Path(wanted)
    if path.suffix == ".json" and not path.exists():
        raise BadRequest(f"there is no file {wanted}")
    return schema_of(path.read_text(encoding="utf-8") if len(wanted) < 500 and path.is_file() else wanted)


async def _extract(
    loaded: Loaded, schema: Schema, files: Sequence[Path], model: str, *, rows: bool, out: TextIO
) -> int:
    clock = SystemClock()
    room = asyncio.Semaphore(_AT_ONCE)
    async with open_workbench(loaded, clock) as bench, Sandbox(clock) as sandbox:
        extraction = Extraction(bench.handler, SchemaChecks())

        async def one(name: str, content: bytes | None = None) -> list[dict[str, Any]]:
            async with room:
                try:
                    text = await _text(
                        sandbox,
                        name,
                        content if content is not None else await asyncio.to_thread(Path(name).read_bytes),
                    )
                    request = ExtractRequest(
                        token_hex(8),
                        USER,
                        (Turn("user", (Text(text),)),),
                        rows_of(schema) if rows else schema,
                        requested_model=model,
                        deadline_at=clock.now() + _DEADLINE_S,
                    )
                    value = (await extraction.extract(request)).value
                except OSError as error:
                    return [{"file": name, "error": error.strerror or str(error)}]
                except TernError as error:
                    return [{"file": name, "error": f"{sentence_for(error)} {_detail(error)}".strip()}]
            found: Sequence[Mapping[str, Any]] = value["items"] if rows else [value]
            return [{"file": name, "data": data} for data in found]

        async with asyncio.TaskGroup() as group:
            if files:
                tasks = [group.create_task(one(str(path))) for path in files]
            else:
                tasks = [group.create_task(one("-", await asyncio.to_thread(sys.stdin.buffer.read)))]
            failed = False
            for task in tasks:  # in the order of the files
                for line in await task:
                    failed |= "error" in line
                    print(msgspec.json.encode(line).decode(), file=out, flush=True)
    return int(failed)


def _detail(error: TernError) -> str:
    """Which field failed, where that is the error."""
    detail = getattr(error, "detail", "")
    return f"({detail})" if detail else ""


async def _text(sandbox: Sandbox, name: str, content: bytes) -> str:
    """What the file says. Raises Unreadable."""
    kind = sniff(content)
    family: Any = kind.family
    if family == "text" and Path(name).suffix.lower() in _HTML:
        family = "html"
    if family not in ("text", "html", "pdf", "docx"):
        raise Unreadable(name, f"it is {kind.label}, no text")
    read = await sandbox.run(Job(family, Path(name).name, content, ReadLimits()))
    if not isinstance(read, Document):
        raise Unreadable(name, "it is no text")
    return read.text
