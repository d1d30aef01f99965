"""The house keeps its own rules: who imports whom, what has one place only, what documents say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from importlinter import configuration
from importlinter.application.use_cases import lint_imports

import core
from bot.config.settings import NAMES
from core.gateway.registry import load_registry

ROOT = Path(__file__).parent.parent
PACKAGES = ("bot", "adapters", "core")


def ruff(*arguments: str, source: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--output-format=concise", *arguments]
    return subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True)


def test_import_rules_hold() -> None:
    """bot -> adapters -> core, and who alone may know which library: pyproject's contracts."""
    configuration.configure()

    assert lint_imports(cache_dir=None, no_logo=True)


def test_style_rules_hold() -> None:
    """ruff has nothing to say: style, and what pyproject bans (environment, wall clock, sleep, bare tasks)."""
    assert ruff(".").stdout == ""


@pytest.mark.parametrize(
    "line",
    [
        "os.environ",
        "os.getenv('HOME')",
        "time.time()",
        "time.sleep(1)",
        "datetime.datetime.now(datetime.UTC)",
        "datetime.date.today()",
        "asyncio.sleep(0)",
        "asyncio.create_task(run())",
        "asyncio.ensure_future(run())",
        "tests.fakes",
    ],
)
def test_bans_hold_everywhere_in_the_house(line: str) -> None:
    """What has one place, or none, is refused wherever else it is written."""
    name = line.split(".", maxsplit=1)[0]
    source = f"import {name}\n\nasync def run():\n    {line}\n"

    for package in PACKAGES:
        assert "TID251" in ruff("-", f"--stdin-filename={package}/written.py", source=source).stdout


def test_top_level_is_fixed() -> None:
    """What stands at the top is what the design says, and nothing crept in."""
    kept = {"pyproject.toml", "bot", "adapters", "core", "tests", ".env.example", "Procfile", "README.md"}
    demanded = {
        "Makefile",
        *LOCKS,
        "tern.example.toml",
        "LICENSE",
        ".gitignore",
        ".ci",
        ".github",
        "benchmarks",
        "docs",
    }
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


def test_contributing_shows_the_house_as_the_code_does() -> None:
    """CONTRIBUTING's picture is the map in core/__init__.py, line for line."""
    picture = (core.__doc__ or "").split("The map of this package:\n\n")[1].split("\n\nThe rooms")[0]

    assert picture in (ROOT / ".github" / "CONTRIBUTING.md").read_text()


def test_readme_is_short() -> None:
    """Under 2,000 words: whoever comes to use it reads it."""
    assert len((ROOT / "README.md").read_text().split()) < 2_000


def test_every_dependency_has_its_reason() -> None:
    """Each package that running needs stands in CONTRIBUTING's table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {re.split(r"[\[<>=!; ]", each)[0].lower() for each in project["dependencies"]}
    table = (ROOT / ".github" / "CONTRIBUTING.md").read_text().split("## Dependencies and why")[1].split("##")[0]
    told = {
        name.strip().lower() for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE) for name in row.split(",")
    }

    assert {
        name for name in asked if not any(name.replace("-", " ") in each.replace("-", " ") for each in told)
    } == set()


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


@pytest.mark.parametrize(
    "word",
    ["rate limit", "circuit breaker", "approval", "sandbox", "dedup", "SSRF", "allow-list", "OCR", "middleware stack"],
)
def test_the_fields_words_lead_somewhere(word: str) -> None:
    """Whoever greps for what the field calls a thing finds the module that is it, in the module's docstring."""
    files = [path for package in ("core", "adapters") for path in (ROOT / package).rglob("*.py")]
    docs = [ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in files]

    assert any(word.lower() in doc.lower() for doc in docs)


def test_full_folders_name_their_groups() -> None:
    """A folder with more than 20 modules says in its `__init__` what each of them belongs to."""
    unnamed = []
    for folder in {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}:
        modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
        if len(modules) > 20:
            doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
            unnamed += [f"{folder.name}/{name}" for name in modules if not re.search(rf"\b{name}\b", doc)]

    assert unnamed == []


def test_pointers_lead_to_files() -> None:
    """A module that a docstring or comment names is there."""
    files = [
        path.relative_to(ROOT)
        for package in (*PACKAGES, "tests", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
    ]
    others = {"/discord.py", "/tokenizer.py", "/transcribe.py", "/pypdf/filters.py"}  # libraries
    known = others | {"/" + "/".join(path.parts[start:]) for path in files for start in range(len(path.parts))}
    dangling = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            prose = re.findall(r"(?s)\"{3}.*?\"{3}|#[^\n]*", path.read_text(encoding="utf-8"))
            names = re.findall(r"[\w/]*\w\.py\b", " ".join(prose))
            dangling += [f"{path.relative_to(ROOT)}: {name}" for name in names if f"/{name}" not in known]

    assert dangling == []


def test_cited_facts_can_be_looked_up() -> None:
    """A comment that cites "facts/groq.md 2" leads to a sheet in docs/facts/ with that section."""
    sheets = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "facts").glob("*.md")}
    dangling = []
    for folder in (*PACKAGES, "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix in {".py", ".toml", ".yaml", ".js", ".css", ".md"}:
                prose = re.sub(r"\n\s*#?\s*", " ", path.read_text(encoding="utf-8"))
                for name, section in re.findall(r"\bfacts/([\w-]+\.md)(?: (\d{1,2}(?:\.\d+)?))?\b", prose):
                    known = re.findall(r"^(?:#+|\|) (\d+(?:\.\d+)?)", sheets.get(name, ""), re.MULTILINE)
                    if name not in sheets or (section and not {section, section.split(".")[0]} & set(known)):
                        dangling.append(f"{path.relative_to(ROOT)}: {name} {section}")

    assert dangling == []


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


LOCKS = ("requirements.txt", "requirements-local.txt", "requirements-voice.txt", "requirements-dev.txt")


def locked(name: str) -> dict[str, str]:
    """Package -> version of one lock file."""
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_exact_and_names_no_registry_and_no_path(name: str) -> None:
    """Every line is an exact version or one of its hashes, and each version has a hash."""
    packages = (ROOT / name).read_text().replace(" \\\n", "").splitlines()

    for line in packages:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[^\s;]+( ; .+?)?(    --hash=sha256:[0-9a-f]{64})+", line), line


def test_locks_agree() -> None:
    """The same package has the same version wherever it is locked, so that one environment holds them all."""
    known: dict[str, str] = {}

    for name in LOCKS:
        versions = locked(name)
        assert {package: known.get(package, version) for package, version in versions.items()} == versions, name
        known |= versions


def test_locks_satisfy_what_pyproject_asks_for() -> None:
    """What running needs is in requirements.txt and not more; the extras are in the lock that carries their name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def missing(asked: list[str], name: str) -> set[str]:
        return {re.sub(r"[_.]+", "-", re.split(r"[\[<>=!; ]", each)[0]).lower() for each in asked} - set(locked(name))

    assert missing([*project["dependencies"], *extras["speed"]], "requirements.txt") == set()
    assert missing(extras["local"], "requirements-local.txt") == set()
    assert missing(extras["local-voice"], "requirements-voice.txt") == set()
    assert missing(extras["dev"], "requirements-dev.txt") == set()
    assert {"faster-whisper", "pytest", "mypy", "xllamacpp"} & set(locked("requirements.txt")) == set()


def test_no_machine_or_registry_is_named_in_the_repository() -> None:
    """Files name no local path and no package index."""
    suffixes = {".py", ".md", ".toml", ".txt", ".yaml", ".html", ".css", ".js", ""}
    folders = [ROOT / name for name in (*PACKAGES, "tests", "benchmarks", ".github", ".ci", "docs")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix in suffixes]
    pattern = re.compile(r"/(?:work|root|home)/[a-z]+/|index-" + "url")

    named = [path.relative_to(ROOT).as_posix() for path in files if pattern.search(path.read_text(errors="ignore"))]
    assert named == []
