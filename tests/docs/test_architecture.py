"""docs/ARCHITECTURE.md names files that are there, and every module of the shell."""

from __future__ import annotations

import fnmatch
import re

from tests.docs.places import ROOT

TEXT = (ROOT / "docs/ARCHITECTURE.md").read_text("utf-8")
_PACKAGES = ("cse", "mec_adapter", "devices", "onemec", "benchmarks", "tests")


def test_every_file_it_names_is_there() -> None:
    there = [f"/{path.relative_to(ROOT)}" for package in _PACKAGES for path in (ROOT / package).rglob("*.py")]
    named = set(re.findall(r"`([\w/]+\.py)`", TEXT))
    assert len(named) > 30
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []


def test_every_folder_it_names_is_there() -> None:
    named = set(re.findall(r"`((?:cse|mec_adapter|devices|onemec|benchmarks|tests|deploy)/[\w/]*)`", TEXT))
    assert len(named) > 8
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_module_of_the_shell_is_named() -> None:
    listed = TEXT[TEXT.index("What lies directly in `cse/`") :].partition("\n\n")[0]
    patterns = [name.removesuffix(".py").rstrip("/") for name in re.findall(r"`([^`]+)`", TEXT)]
    patterns = [name.rpartition("/")[2] for name in patterns] + re.findall(r"`([\w*]+)/?`", listed)
    modules = [path.stem for path in (ROOT / "cse").glob("*.py") if path.stem not in ("__init__", "ports")]
    assert [name for name in sorted(modules) if not any(fnmatch.fnmatch(name, word) for word in patterns)] == []
