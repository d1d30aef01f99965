"""The house keeps its own rules: who imports whom, where the environment and the clock are read, what documents say."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from importlinter import configuration
from importlinter.application.use_cases import lint_imports

import core
from bot.config.settings import NAMES
from core.gateway.registry import load_registry

ROOT = Path(__file__).parent.parent
PACKAGES = ("bot", "adapters", "core")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls_and_names(path: Path) -> Iterator[tuple[str, int]]:
    """Every dotted name that a file uses, with its line: ("time.time", 12)."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node.lineno


def users_of(names: set[str], *, allowed: set[str]) -> list[str]:
    found = []
    for path in SOURCES:
        where = path.relative_to(ROOT).as_posix()
        if where in allowed:
            continue
        found += [f"{where}:{line} uses {name}" for name, line in calls_and_names(path) if name in names]
    return found


def test_import_rules_hold() -> None:
    """bot -> adapters -> core, and who alone may know which library: pyproject's contracts."""
    configuration.configure()

    assert lint_imports(cache_dir=None, no_logo=True)


def test_environment_is_read_in_one_place() -> None:
    """os.environ and os.getenv appear in bot/config/settings.py only."""
    assert users_of({"os.environ", "os.getenv"}, allowed={"bot/config/settings.py"}) == []


def test_time_comes_through_the_clock() -> None:
    """No wall clock and no real sleep in the logic; the clock itself and what measures a blocking thread may."""
    forbidden = {"time.time", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "asyncio.sleep"}

    assert users_of(forbidden, allowed={"core/base/clock.py"}) == []


def test_every_task_has_a_group() -> None:
    """No bare create_task or ensure_future: a task that nobody waits for loses its errors."""
    assert users_of({"asyncio.create_task", "asyncio.ensure_future"}, allowed=set()) == []


def test_nothing_imports_tests() -> None:
    """The bot runs without its tests."""
    importing = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tests")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "tests" for alias in node.names))
    ]

    assert importing == []


def test_top_level_is_fixed() -> None:
    """What stands at the top is what the design says, and nothing crept in."""
    kept = {"pyproject.toml", "bot", "adapters", "core", "tests", ".env.example", "Procfile", "README.md"}
    demanded = {"Makefile", "requirements.txt", "LICENSE", ".gitignore", ".ci", ".github", "benchmarks"}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    there = {path.name for path in ROOT.iterdir()} - {".git"}

    assert kept <= there
    assert [name for name in there - kept - demanded if not any(fnmatch(name, each) for each in ignored)] == []


def test_env_example_lists_exactly_our_settings() -> None:
    """.env.example names every variable that is read, once, and no other."""
    listed = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(NAMES)


def test_env_example_is_a_working_env_file() -> None:
    """Copied as it is, it changes nothing."""
    from bot.config.settings import Settings, parse_dotenv

    assert Settings.from_env(parse_dotenv((ROOT / ".env.example").read_text())) == Settings()


@pytest.mark.parametrize("name", NAMES)
def test_readme_explains_every_setting(name: str) -> None:
    """Each variable has its sentence in the README."""
    assert f"`{name}`" in (ROOT / "README.md").read_text()


def test_readme_shows_the_house_as_the_code_does() -> None:
    """The README's picture is the map in core/__init__.py, line for line."""
    picture = (core.__doc__ or "").split("The map of this package:\n\n")[1].split("\n\nThe rooms")[0]

    assert picture in (ROOT / "README.md").read_text()


def test_map_names_every_room() -> None:
    """Each folder of core stands in the map's list, and the list has no other."""
    rooms = re.findall(r"^    ([a-z_]+)/  ", (core.__doc__ or "").split("The rooms")[1], re.MULTILINE)

    assert sorted(rooms) == sorted(path.parent.name for path in (ROOT / "core").glob("*/__init__.py"))


def test_map_names_files_that_exist() -> None:
    """Every module that the map of core names is there."""
    named = set(re.findall(r"\b[a-z_]+(?:/[a-z_]+)*\.(?:py|toml)\b", core.__doc__ or ""))
    missing = {
        name for name in named if not (ROOT / "core" / name).exists() and not list((ROOT / "core").glob(f"**/{name}"))
    }

    assert missing == set()


def test_documents_name_models_that_exist() -> None:
    """Model ids in README and .env.example are in the registry."""
    registry = load_registry()
    text = (ROOT / "README.md").read_text() + (ROOT / ".env.example").read_text()
    mentioned = set(re.findall(r"\b(?:openai/gpt|qwen/qwen|canopylabs/|gpt|whisper)-?[\w.-]*\d\w*\b", text))

    unknown = {name for name in mentioned if registry.resolve(name).retired_from}
    assert unknown == set()


def test_example_configs_in_the_readme_are_valid() -> None:
    """Every piece of tern.toml that the README shows is accepted as it stands."""
    from bot.config.tern_toml import Config

    examples = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)

    assert examples
    for example in examples:
        load_registry(Config.read(example).models)


def test_lock_names_no_registry_and_no_path() -> None:
    """requirements.txt has exact versions and nothing of the machine it was made on."""
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[^\s;]+( ; .+)?", line), line


def test_lock_satisfies_what_pyproject_asks_for() -> None:
    """Every dependency of pyproject, extras included, is locked."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    locked = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}

    names = {re.sub(r"[_.]+", "-", re.split(r"[\[<>=!; ]", each)[0]).lower() for each in asked}
    assert names - locked == set()


def test_no_machine_or_registry_is_named_in_the_repository() -> None:
    """Files name no local path and no package index."""
    suffixes = {".py", ".md", ".toml", ".txt", ".yaml", ".html", ".css", ".js", ""}
    folders = [ROOT / name for name in (*PACKAGES, "tests", "benchmarks", ".github", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix in suffixes]
    pattern = re.compile(r"/(?:work|root|home)/[a-z]+/|index-" + "url")

    named = [path.relative_to(ROOT).as_posix() for path in files if pattern.search(path.read_text(errors="ignore"))]
    assert named == []
