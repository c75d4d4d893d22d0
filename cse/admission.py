"""How much of a CSE one entity or one address may take: rates and requests in flight (trust.md R7).

Pure: the time is handed in. Who is alone on the machine is not bounded by its address, because everything on loopback
shares it; who proved a name is bounded by the name, wherever it comes from.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from cse.onem2m.addressing import is_loopback
from cse.onem2m.errors import Overloaded
from cse.onem2m.primitives import Operation, Request

#: parties whose rate is remembered, those heard longest ago are forgotten first
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What a CSE takes at a time.

    Attributes:
        rate_per_s: requests a second of one party (an entity with credential, or an address); 0 for any number.
        burst_s: for so many seconds' worth of requests may come at once.
        in_flight: requests of one party executed at a time.
        in_flight_total: the same of all.
        loopback: bound addresses of this machine too.
    """

    rate_per_s: float = 1000.0
    burst_s: float = 2.0
    in_flight: int = 256
    in_flight_total: int = 2048
    loopback: bool = False


class Admission:
    """Lets requests in, or not.

    Args:
        limits: what is taken.
        clock: gives monotonic seconds.
    """

    def __init__(self, limits: AdmissionLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        #: party -> what is left of its burst, and when that was so
        self._allowances: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._running: Counter[Hashable] = Counter()
        self._total = 0
        #: requests that were refused since the start
        self.refused = 0

    @property
    def in_flight(self) -> int:
        """How many requests are executed now."""
        return self._total

    def admit(self, request: Request) -> AbstractContextManager[None]:
        """Count a request until the context that is returned is left: as long as it is executed.

        Raises:
            Overloaded: it must come later.
        """
        party = self._party(request)
        if party is not None:
            self._spend(party)
        if request.operation is Operation.RETRIEVE and request.to.endswith("/pcu"):
            return _UNCOUNTED  # a poll waits, it does not work
        if party is not None and self._running[party] >= self._limits.in_flight:
            self._refuse(f"{self._limits.in_flight} of your requests are being executed: wait", 1)
        if self._total >= self._limits.in_flight_total:
            self._refuse("this CSE has too many requests at a time: try again later", 2)
        self._total += 1
        if party is not None:
            self._running[party] += 1
        return _Admitted(self, party)

    def _leave(self, party: Hashable | None) -> None:
        self._total -= 1
        if party is not None:
            self._running[party] -= 1
            if not self._running[party]:
                del self._running[party]

    def _party(self, request: Request) -> Hashable | None:
        if request.credential:
            return ("entity", request.credential)
        address = request.peer_address
        if not address or (not self._limits.loopback and is_loopback(address)):
            return None
        return ("address", address)

    def _spend(self, party: Hashable) -> None:
        """Take one from the party's allowance, which fills up by the second."""
        rate = self._limits.rate_per_s
        if not rate:
            return
        most = max(1.0, rate * self._limits.burst_s)
        now = self._clock()
        left, since = self._allowances.get(party, (most, now))
        left = min(most, left + (now - since) * rate)
        spent = left >= 1.0
        self._allowances[party] = (left - spent, now)
        self._allowances.move_to_end(party)
        if len(self._allowances) > _REMEMBERED:
            self._allowances.popitem(last=False)
        if not spent:
            self._refuse(f"more than {rate:g} requests a second of yours: send fewer, or several at a time", 1)

    def _refuse(self, words: str, retry_after_s: int) -> None:
        self.refused += 1
        raise Overloaded(words, retry_after_s=retry_after_s)


class _Admitted(AbstractContextManager[None]):
    """A request that is being executed. Each request has one, so it is no generator."""

    __slots__ = ("_admission", "_party")

    def __init__(self, admission: Admission, party: Hashable | None) -> None:
        self._admission, self._party = admission, party

    def __exit__(self, *error: object) -> None:
        self._admission._leave(self._party)


_UNCOUNTED = nullcontext()
