"""What docs/operating.md says of small machines, as far as the lock file knows it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCK: list[dict[str, Any]] = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
PACKAGES = {package["name"]: package for package in LOCK}
WINDOWS = re.compile(r"sys_platform == 'win32'|platform_system == 'Windows'")


def installed() -> list[str]:
    """What `pip install onemec` brings to a Linux machine."""
    found: set[str] = set()
    waiting = list(PACKAGES["onemec"]["dependencies"])
    while waiting:
        needed = waiting.pop()
        if needed["name"] not in found and not WINDOWS.search(needed.get("marker", "")):
            found.add(needed["name"])
            waiting += PACKAGES[needed["name"]].get("dependencies", [])
    return sorted(found)


def has_wheel(package: str, python: str, machine: str) -> bool:
    """Whether one of its wheels fits."""
    native = re.compile(rf"-(cp{python}-cp{python}|cp3\d+-abi3|py3-none|py2\.py3-none)-.*linux.*_{machine}")
    names = [wheel["url"].rpartition("/")[2] for wheel in PACKAGES[package].get("wheels", [])]
    return any(name.endswith("-none-any.whl") or native.search(name) for name in names)


@pytest.mark.parametrize("python", ["311", "313"])
def test_nothing_has_to_be_compiled_on_a_64_bit_raspberry_pi(python: str) -> None:
    assert len(installed()) > 30
    assert [name for name in installed() if not has_wheel(name, python, "aarch64")] == []


def test_what_is_said_of_32_bits_is_so() -> None:
    compiled = [name for name in installed() if not has_wheel(name, "313", "armv7l")]
    words = {5: "five", 6: "six", 7: "seven", 8: "eight"}
    assert f"(armv7) {words[len(compiled)]} of them are" in (ROOT / "docs/operating.md").read_text()
    assert {"cffi", "uvloop"} <= set(compiled)
