"""What must hold for the repository as a whole: purity of the core, packaging, documents, no secrets, no stubs."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import brokers

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("cse", "mec_adapter", "devices", "benchmarks", "onemec")
PURE = ("cse/core", "cse/resources", "cse/onem2m", "cse/ports.py")

# Law 1 (docs/ARCHITECTURE.md): time is env.now, identifiers are env.new_id, everything else comes in as an argument.
SERIALISERS = {"orjson", "cbor2"}
IMPURE_MODULES = {
    *("asyncio", "concurrent", "ctypes", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib"),
    *("platform", "queue", "random", "sched", "secrets", "select", "selectors", "shutil", "signal", "smtplib"),
    *("socket", "socketserver", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request"),
    "uuid",
}
IMPURE_CALLS = {"open", "input", "print", "breakpoint", "exec", "eval", "__import__"}
MAKE_VARIABLES = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKE_TERMOUT", "MAKE_TERMERR", "ARGS", "CHECK"}
CLOCK_METHODS = {"now", "utcnow", "today"}  # of datetime and date; env.now is a plain attribute and is not called


def python_files(*places: str) -> list[Path]:
    """Return the Python files below the given places of the repository, sorted."""
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += [path] if path.is_file() else path.rglob("*.py")
    return sorted(found)


def tracked_files() -> list[Path]:
    """Return what git tracks and is still there; in an unpacked archive without git, everything but environments."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    hidden = {".venv", "__pycache__", "build", "dist"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.relative_to(ROOT).parts)]


def impurities(source: str) -> Iterator[str]:
    """Yield what in a module of the core reads a clock, randomness, the environment or the world, with its line."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                modules = [name.name for name in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"line {node.lineno}: calls {name}()"
                continue
            case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in CLOCK_METHODS:
                if isinstance(value, ast.Name | ast.Attribute):
                    yield f"line {node.lineno}: reads the clock with {ast.unparse(value)}.{name}()"
                continue
            case _:
                continue
        for module in modules:
            top = module.partition(".")[0]
            if module in IMPURE_MODULES or top in IMPURE_MODULES:
                yield f"line {node.lineno}: imports {module}"
            elif top not in sys.stdlib_module_names and top not in SERIALISERS | {"cse"}:
                yield f"line {node.lineno}: imports the third-party {module}"


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import environ",
        "import urllib.request",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime\nx = datetime.datetime.utcnow()",
        "from datetime import date\nx = date.today()",
        "x = open('file')",
        "def f():\n    import random",
        "import aiohttp",
        "from pydantic import BaseModel",
    ],
)
def test_the_scan_for_impurities_finds_them(source: str) -> None:
    assert list(impurities(source))


@pytest.mark.parametrize(
    "source", ["import orjson, cbor2, re", "from cse.onem2m import errors", "def f(env):\n    return env.now + 1"]
)
def test_the_scan_for_impurities_leaves_the_rest_alone(source: str) -> None:
    assert not list(impurities(source))


def test_the_core_reads_no_clock_no_randomness_and_no_environment() -> None:
    files = python_files(*PURE)
    assert len(files) > 10
    found = [f"{path.relative_to(ROOT)} {what}" for path in files for what in impurities(path.read_text())]
    assert found == []


def test_every_product_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files(*PRODUCT)
        if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()
    ]
    assert silent == []


def test_no_class_has_a_name_that_says_nothing() -> None:
    vague = re.compile(r"(Manager|Helper|Utils?|Base)$")
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in python_files(*PRODUCT)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and vague.search(node.name) and node.name != "CSEBase"
    ]
    assert found == []


def test_no_stub_is_left_in_the_product() -> None:
    stub = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in python_files(*PRODUCT)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if stub.search(line)
    ]
    assert found == []


def test_no_test_is_switched_off_or_expected_to_fail() -> None:
    # What the machine lacks is found out at run time and named by the reason (tests.brokers.require_tool for tools);
    # a decorator would switch a test off where it could run.
    silenced = re.compile(r"pytest\.(mark\.(skip|skipif|xfail)|xfail|importorskip)\b")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in python_files("tests")
        if path not in (ROOT / "tests/brokers.py", Path(__file__))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if silenced.search(line)
    ]
    assert found == []


def test_no_secret_and_no_private_key_is_tracked() -> None:
    secret = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}")
    files = tracked_files()
    assert len(files) > 20
    assert [str(path.relative_to(ROOT)) for path in files if secret.search(path.read_bytes())] == []
    assert [path.name for path in files if path.name == ".env" or path.suffix in (".pem", ".key", ".db")] == []


# --- packaging -----------------------------------------------------------------------------------------------


def _project() -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[._-]+", "-", match[0]).lower()


def test_every_dependency_is_one_of_the_agreed_or_has_its_adr() -> None:
    agreed = {
        *("fastapi", "uvicorn", "uvloop", "httptools", "sqlmodel", "paho-mqtt", "aiocoap", "orjson", "cbor2"),
        *("typer", "rich", "pydantic-settings", "amqtt"),
    }
    decided = " ".join(path.read_text().lower() for path in (ROOT / "docs/adr").glob("*.md"))
    dependencies = _project()["dependencies"]
    assert isinstance(dependencies, list)
    unexplained = [name for text in dependencies if (name := _name(text)) not in agreed and name not in decided]
    assert unexplained == []


def test_both_lock_files_name_the_same_versions_and_every_one_has_a_hash() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {package["name"]: package.get("version") for package in packages if package["name"] != "onemec"}
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text[text.index("\n", text.rindex("# ", 0, text.index("=="))) + 1 :])
    exported = {}
    for block in blocks:
        requirement = re.match(r"([a-z0-9._-]+)==([^ ;\\]+)", block)
        assert requirement, block[:80]
        assert "--hash=sha256:" in block, f"{requirement[1]} has no hash"
        exported[requirement[1]] = requirement[2]
    assert exported == locked


def test_every_product_package_is_in_the_wheel_and_the_command_is_named() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert sorted(tool["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(PRODUCT)
    assert _project()["scripts"] == {"onemec": "onemec.cli:main"}
    assert [name for name in PRODUCT if not (ROOT / name / "__init__.py").is_file()] == []


def test_the_licence_is_apache_2_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert _project()["license"] == "Apache-2.0"


# --- commands and documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [".ci/run", ".ci/setup", ".ci/tools"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)


def test_make_lists_its_targets() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^  make ([a-z-]+)", done.stdout, re.MULTILINE))
    assert {"setup", "up", "test", "check", "bench", "lock", "clean", "help"} <= targets


def made(*arguments: str, **environment: str) -> list[str]:
    """What make prints, in lines."""
    # `make test` started us: its own flags and options would reach this make through the environment.
    inherited = {name: value for name, value in os.environ.items() if name not in MAKE_VARIABLES}
    command = ["make", "--assume-old=.venv/.setup-stamp", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_make_up_hands_over_the_check_and_the_options() -> None:
    assert made("-n", "up", "CHECK=30s", "ARGS=--seed 7")[-1] == ".venv/bin/onemec up --check 30s --seed 7"


def test_make_test_is_one_run_of_pytest_with_the_options_last() -> None:
    runs = [line for line in made("-n", "test", "ARGS=-k mqtt") if "pytest" in line]
    assert len(runs) == 1
    assert runs[0].startswith(".venv/bin/python -m pytest ")
    assert runs[0].endswith(" -k mqtt")


def test_make_lets_python_keep_its_bytecode() -> None:
    printed = made("--eval=show: ; @env", "show", PYTHONDONTWRITEBYTECODE="1", ANOTHER="1")
    assert "ANOTHER=1" in printed
    assert not [line for line in printed if line.startswith("PYTHONDONTWRITEBYTECODE")]


def test_the_readme_starts_with_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:40]
    assert any(line.strip().startswith("make up") for line in first_screen)
    assert any(line.strip().startswith("make test") for line in first_screen)


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)} -> {target}")
    assert broken == []


def test_every_adr_has_its_own_number_and_fits_a_page() -> None:
    adrs = sorted((ROOT / "docs/adr").glob("*.md"))
    assert len(adrs) >= 4
    assert [path.name for path in adrs if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)] == []
    assert len({path.name[:4] for path in adrs}) == len(adrs)
    for path in adrs:
        text = path.read_text()
        assert re.match(r"# (ADR )?" + path.name[:4], text), path.name
        assert re.search(r"reject", text, re.IGNORECASE), f"{path.name} names no rejected option"
        prose = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("|"))
        assert len(prose) <= 5000, f"{path.name} is longer than a page, its tables not counted"


def test_a_missing_tool_fails_under_ci_and_is_skipped_by_name_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool is not installed"):
        brokers.require_tool("no-such-tool")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed"):
        brokers.require_tool("no-such-tool")
