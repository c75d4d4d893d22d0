"""Signals: pure functions of a seed and a time, so that a run can be repeated value by value."""

from __future__ import annotations

import math
from hashlib import blake2b

DAY_S = 86400.0


def derive(seed: int, name: str) -> int:
    """A seed of its own for something with a name, e.g. one device of a fleet."""
    return int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big")


def noise(seed: int, step: int) -> float:
    """A value in -1 <= v < 1 for each step, the same whenever it is asked for."""
    digest = blake2b(f"{seed}:{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**63 - 1.0


def drift(seed: int, t_s: float, scale_s: float) -> float:
    """A smooth random curve in -1 <= v < 1.

    Args:
        seed: chooses the curve.
        t_s: time in seconds.
        scale_s: how long the curve takes from one random value to the next, in seconds.
    """
    step = math.floor(t_s / scale_s)
    part = t_s / scale_s - step
    weight = (1.0 - math.cos(math.pi * part)) / 2.0
    return noise(seed, step) * (1.0 - weight) + noise(seed, step + 1) * weight


def wave(t_s: float, period_s: float, phase: float = 0.0) -> float:
    """A sine in -1 <= v <= 1.

    Args:
        t_s: time in seconds.
        period_s: length of a period in seconds.
        phase: part of a period by which it starts later, 0 to 1.
    """
    return math.sin(2.0 * math.pi * (t_s / period_s - phase))


def wave_integral(t_s: float, period_s: float, phase: float = 0.0) -> float:
    """The integral of ``wave`` from 0 to ``t_s``, in seconds."""
    omega = 2.0 * math.pi / period_s
    start = 2.0 * math.pi * phase
    return (math.cos(start) - math.cos(omega * t_s - start)) / omega
