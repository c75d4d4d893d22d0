"""When a target that does not answer is tried again: a circuit breaker for each (trust.md R8).

Pure: the time and the randomness are handed in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: consecutive failures after which a circuit is open
OPEN_AFTER = 3
#: longest pause; shorter than what a notification waits, so that each sees an attempt before it is given up
LONGEST_PAUSE_S = 30.0
_SPREAD = 0.25


@dataclass(slots=True)
class Circuit:
    """What is known of a target that did not answer.

    Attributes:
        failures: attempts that failed since the last that did not.
        again_s: when it may be tried again, seconds of the breaker's clock.
        failed_s: when it failed last.
    """

    failures: int = 0
    again_s: float = 0.0
    failed_s: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it failed so often that nothing should wait for it that can be kept elsewhere."""
        return self.failures >= OPEN_AFTER


@dataclass(frozen=True, slots=True)
class Targets:
    """How targets are now.

    Attributes:
        busy: with something waiting or on its way.
        suspect: did not answer last time.
        broken: of these, did not answer so often that their circuit is open.
    """

    busy: int
    suspect: int
    broken: int


class Breaker:
    """The circuits of all targets; those that work need none.

    Args:
        clock: gives monotonic seconds.
        jitter: gives a random number from 0 to 1.
        pauses_s: the first pauses; beyond them each is twice the one before.
        remembered: most targets remembered, those that failed longest ago are forgotten first.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        pauses_s: Sequence[float],
        remembered: int = 10_000,
    ) -> None:
        self._clock, self._jitter, self._pauses_s, self._remembered = clock, jitter, pauses_s, remembered
        self._circuits: OrderedDict[str, Circuit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._circuits)

    def get(self, target: str) -> Circuit | None:
        """The circuit of a target that did not answer last time, None of any other."""
        return self._circuits.get(target)

    def open_count(self) -> int:
        """How many targets failed so often that nothing that can be kept elsewhere waits for them."""
        return sum(circuit.is_open for circuit in self._circuits.values())

    def pause_s(self, target: str) -> float:
        """How long until the target may be tried, 0 for now."""
        circuit = self._circuits.get(target)
        return 0.0 if circuit is None else max(0.0, circuit.again_s - self._clock())

    def failed(self, target: str) -> Circuit:
        """An attempt failed: the next comes after a pause that grows."""
        circuit = self._circuits.setdefault(target, Circuit())
        self._circuits.move_to_end(target)
        if len(self._circuits) > self._remembered:
            self._circuits.popitem(last=False)
        circuit.failures += 1
        circuit.failed_s = self._clock()
        circuit.again_s = circuit.failed_s + self._pause_s(circuit.failures)
        return circuit

    def answered(self, target: str) -> None:
        """Somebody answered there."""
        self._circuits.pop(target, None)

    def _pause_s(self, failures: int) -> float:
        pauses = self._pauses_s
        if failures <= len(pauses):
            base_s = pauses[failures - 1]
        else:
            base_s = min(LONGEST_PAUSE_S, pauses[-1] * 2 ** min(30, failures - len(pauses)))
        return base_s * (1 + _SPREAD * (2 * self._jitter() - 1))
