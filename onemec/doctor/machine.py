"""The machine: Python, the packages, how many files may be open, whether its clock is kept right."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from onemec.doctor.findings import Finding, ok, problem, skipped, warning

_OLDEST = (3, 11)
_FEW_FILES, _ENOUGH_FILES = 512, 4096
#: extras of the package, and what asks for them
_EXTRAS = {"parquet": "onemec export --format parquet", "postgresql": "--store postgresql://", "semantic": "SPARQL"}
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*([0-9][0-9.]*))?")
#: what adjtimex(2) returns when nothing keeps the clock right
_UNSYNCHRONISED = 5
_TIMEX_BYTES = 256


def look_at_machine(store: str) -> Iterator[Finding]:
    """All of it.

    Args:
        store: URL of the store, which may need an extra.
    """
    yield _python()
    yield from look_at_packages(requires("onemec") or [], {"postgresql"} if store.startswith("postgres") else set())
    yield _files()
    yield clock_state(_adjtimex())


def _python() -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST:
        return problem("Python", f"this is Python {here}", f"use {'.'.join(map(str, _OLDEST))} or later")
    return ok("Python", f"{here} at {sys.executable}")


def look_at_packages(requirements: list[str], needed: set[str]) -> Iterator[Finding]:
    """Whether what the package asks for is there.

    Args:
        requirements: as its metadata have them.
        needed: extras that the configuration asks for.
    """
    wrong: dict[str, list[str]] = {}
    for line in requirements:
        text, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if ("win32" in marker and "!=" not in marker) or (extra and extra[1] not in _EXTRAS):
            continue
        words = _missing(text)
        if words:
            wrong.setdefault(extra[1] if extra else "", []).append(words)
        elif extra:
            wrong.setdefault(extra[1], [])
    core = wrong.pop("", [])
    if core:
        yield problem("packages", f"missing: {', '.join(core)}", "install again: pip install --upgrade onemec")
    else:
        yield ok("packages", f"onemec {_version_of('onemec')} and all it needs are installed")
    for name, missing in sorted(wrong.items()):
        check, advice = f"extra {name}", f"pip install 'onemec[{name}]'"
        if not missing:
            yield ok(check, "installed")
        elif name in needed:
            yield problem(check, f"the configuration needs it; missing: {', '.join(missing)}", advice)
        else:
            yield skipped(check, f"not installed; for {_EXTRAS[name]}: {advice}")


def _missing(requirement: str) -> str:
    match = _REQUIREMENT.match(requirement.strip())
    if match is None:
        return ""
    name, least = match[1], match[2] or "0"
    installed = _version_of(name)
    if not installed:
        return name
    return f"{name} {least} (there is {installed})" if _numbers(installed) < _numbers(least) else ""


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    words = f"{soft} files and connections may be open at a time (ulimit -n)"
    advice = f"raise it: ulimit -n {min(65536, hard) if hard > 0 else 65536}, or LimitNOFILE=65536 in the systemd unit"
    if 0 <= soft < _FEW_FILES:
        return problem("open files", words, advice)
    return warning("open files", words, advice) if 0 <= soft < _ENOUGH_FILES else ok("open files", words)


def _adjtimex() -> int | None:
    """The state of the kernel's clock; None where it cannot be asked."""
    try:
        ask = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state = int(ask(ctypes.create_string_buffer(_TIMEX_BYTES)))  # all zero: only read
    return state if state >= 0 else None


def clock_state(state: int | None) -> Finding:
    """Whether something keeps the clock right.

    Args:
        state: what adjtimex(2) returned; None when it cannot be asked.
    """
    if state is None:
        return skipped("clock", "this system does not say whether its clock is kept right")
    if state == _UNSYNCHRONISED:
        return warning(
            "clock",
            "the kernel says that nothing keeps its clock right",
            "run a time service (systemd-timesyncd, chrony): expiry, time ranges and tokens go by the clock",
        )
    return ok("clock", "the kernel's clock is synchronised")
