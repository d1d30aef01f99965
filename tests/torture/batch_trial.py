"""10,000 lines against the fake with 5 % faults, killed twice and gone on with: python -m tests.torture.batch_trial

Prints how many results there are, whether each id stands there once, the rate and the most memory the command took.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fakes.llm_api import KEY, Fail, FakeLlmApi, Say, over_capacity

LINES = 10_000
FAULTS = 20
"""Every so-many-th request fails."""


async def trial(lines: int) -> bool:
    asked = 0

    def answer(body: dict[str, Any]) -> Say | Fail:
        nonlocal asked
        asked += 1
        return over_capacity() if asked % FAULTS == 0 else Say("A fine answer.")

    with tempfile.TemporaryDirectory() as folder:
        async with FakeLlmApi("groq") as groq:
            groq.answers(answer)
            groq.limits = {model: {"RPM": 10**6, "RPD": 10**8, "TPM": 10**9} for model in groq.models}
            return await _killed_twice(Path(folder), groq, lines)


async def _killed_twice(folder: Path, groq: FakeLlmApi, lines: int) -> bool:
    source, target = folder / "prompts.jsonl", folder / "answers.jsonl"
    source.write_text("".join(json.dumps({"custom_id": f"q{n}", "prompt": f"number {n}"}) + "\n" for n in range(lines)))
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "LOCAL_MODEL": "off"}
    environ |= {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": groq.base_url}
    command = (sys.executable, "-m", "bot", "batch", str(source), "-o", str(target))
    peak_kb, began = 0, time.monotonic()
    for enough in (lines * 3 // 10, lines * 7 // 10, lines + 1):
        null = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=null, stderr=null)
        while process.returncode is None:
            peak_kb = max(peak_kb, _resident_kb(process.pid))
            if target.exists() and target.read_bytes().count(b"\n") >= enough:
                process.send_signal(signal.SIGKILL)
                await process.wait()
                break
            await asyncio.sleep(0.2)
        groq.requests.clear()
    took_s = time.monotonic() - began
    found = [json.loads(line) for line in target.read_text().splitlines()]
    ids = [one["custom_id"] for one in found]
    failed = sum(one["error"] is not None for one in found)
    print(f"{len(ids):,} results, {len(set(ids)):,} ids, {failed} with an error; killed twice")
    print(f"{took_s:.0f} s, {lines / took_s:.0f} lines/s, most memory {peak_kb / 1024:.0f} MB")
    return len(ids) == len(set(ids)) == lines


def _resident_kb(pid: int) -> int:
    """0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(trial(int(sys.argv[1]) if len(sys.argv) > 1 else LINES)) else 1)
