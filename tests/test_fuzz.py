"""Everything that reads bytes of strangers, with bytes of strangers: no exception but the one that says so (R6, TP-09).

Hypothesis bends the wire samples; atheris, where there is a wheel of it, follows the code for a moment. Long runs:
``make fuzz``. Hypothesis prints what it found as an example to be copied to ``fuzz/found/<target>/``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.__main__ import NAMES
from fuzz.seeds import seeds
from fuzz.targets import Target, all_targets


@cache
def targets() -> dict[str, Target]:
    return all_targets()


def test_every_target_is_run() -> None:
    assert set(targets()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_samples_and_what_was_found_before_keep_to_the_contract(name: str) -> None:
    found = seeds(name)
    assert found
    for data in found:
        began = time.monotonic()
        targets()[name](data)
        assert time.monotonic() - began < 5, data


def bent(found: list[bytes]) -> st.SearchStrategy[bytes]:
    """Samples with a few bytes changed, cut out, doubled or put in from elsewhere."""

    @st.composite
    def strategy(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(found)))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(data)))
            kind = draw(st.integers(0, 5))
            if kind == 0 and data:
                data[at % len(data)] = draw(st.integers(0, 255))
            elif kind == 1:
                del data[at : at + draw(st.integers(1, 20))]
            elif kind == 2:
                data[at:at] = data[max(0, at - draw(st.integers(1, 40))) : at]
            elif kind == 3:
                other = draw(st.sampled_from(found))
                data[at:at] = other[: draw(st.integers(0, len(other)))]
            elif kind == 4:
                data[at:at] = draw(st.sampled_from(_AWKWARD))
            else:
                del data[at:]
        return bytes(data)

    return strategy()


_AWKWARD = [
    b"\x00",
    b"\xff" * 8,
    b"%00",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"9" * 30,
    b"-1",
    b"1e999",
    b"[" * 40,
    b"{}",
    b'""',
    b"null",
    b"\r\n",
    b"*",
    b"//",
    "é".encode(),
]


@pytest.mark.parametrize("name", NAMES)
def test_bent_samples_keep_to_the_contract(name: str) -> None:
    target = targets()[name]

    @settings(max_examples=400, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.one_of(bent(seeds(name)), st.binary(max_size=200)))
    def bend(data: bytes) -> None:
        target(data)

    bend()


#: without a wheel of atheris for this platform there is nothing to run
FOLLOWED = NAMES if find_spec("atheris") is not None else ()


@pytest.mark.parametrize("name", FOLLOWED)
def test_atheris_finds_nothing_in_a_moment(name: str) -> None:
    words = [sys.executable, "-m", "fuzz", name, "--seconds", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"{name} " in done.stdout
    assert " ok " in done.stdout
