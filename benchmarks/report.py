"""The report as Markdown, with machine, versions and date."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata

from benchmarks.bench import PEERS_PYTHON
from benchmarks.figures import Section, Table

_LIBRARIES = ("aiohttp", "discord.py", "groq", "httpx", "msgspec", "openai", "slack-bolt", "SQLAlchemy", "uvloop")


def report(sections: Sequence[Section], *, loads: tuple[float, float], took_s: float, rounds: int) -> str:
    """The whole of RESULTS.md."""
    goals = [(section.title, goal) for section in sections for goal in section.goals]
    rows = tuple((title, goal.wanted, goal.measured, goal.verdict) for title, goal in goals)
    met, known = sum(goal.met is True for _, goal in goals), sum(goal.met is not None for _, goal in goals)
    head = [
        "# Results",
        f"Written by `make bench`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {took_s / 60:.1f} minutes. Figures "
        f"are medians of {rounds} interleaved rounds with the least and the greatest in brackets; ratios are taken "
        "round by round.",
        *machine(loads),
        f"## Goals: {met} of {known} met",
        Table(("point", "goal", "measured", ""), rows).markdown(),
    ]
    return "\n\n".join([*head, *(section.markdown() for section in sections)]) + "\n"


def machine(loads: tuple[float, float]) -> list[str]:
    """On what this was measured, in Markdown; *loads*: before and after."""
    cores = os.cpu_count() or 1
    lines = [
        f"- {_cpu()}, {cores} cores, {_memory_gb():.0f} GB, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}",
        f"- load average before {loads[0]:.1f}, after {loads[1]:.1f}",
        "- " + ", ".join(f"{name} {version}" for name, version in _versions()),
    ]
    if loads[0] > cores / 2:
        lines.append(
            "- **The machine was shared with other work.** Processor times and ratios hold; everything measured by the "
            "clock (points 2, 3, 6, 7) is worse than on an idle machine."
        )
    return ["\n".join(lines)]


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    if PEERS_PYTHON.exists():
        ask = "import importlib.metadata as m; print(m.version('litellm'))"
        asked = subprocess.run([str(PEERS_PYTHON), "-c", ask], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            found.append(("litellm", asked.stdout.strip()))
    return found


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as cpuinfo:
            return next(line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
