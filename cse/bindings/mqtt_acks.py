"""PUBACKs in the order the messages came in, each after its message was dealt with (MQTT 3.1.1 clause 4.6)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cse.bindings.mqtt_limits import MqttCounters, MqttLimits


@dataclass(slots=True, eq=False)
class Delivery:
    """A message the broker waits to be acknowledged.

    Attributes:
        mid: its packet identifier.
        generation: the connect it came under.
        taken_s: when, in seconds of the monotonic clock.
        started: it is a request, and is being executed.
        done: it may be acknowledged.
    """

    mid: int
    generation: int
    taken_s: float
    started: bool = False
    done: bool = False


class OrderedAcks:
    """The messages that are not acknowledged yet.

    A slow request holds up the acknowledgements of those after it, and a broker stops sending when too many are
    missing (Mosquitto: 20). A request that itself waits for an answer over this connection would then wait in vain. So
    the oldest requests are acknowledged before their response when the window is nearly full for longer than the
    patience lasts. What that risks is a request lost in a crash, never one that was answered.

    Args:
        acknowledge: called with packet identifier and generation.
        counters: told of early acknowledgements.
        limits: window and patience.
    """

    def __init__(self, acknowledge: Callable[[int, int], None], counters: MqttCounters, limits: MqttLimits) -> None:
        self._acknowledge, self._counters = acknowledge, counters
        self._window, self._patience_s = limits.window, limits.patience_s
        self._queue: deque[Delivery] = deque()
        self._watch: asyncio.TimerHandle | None = None

    def take(self, mid: int, generation: int) -> Delivery:
        """A message came in."""
        queue = self._queue
        if queue and queue[-1].generation != generation:
            queue.clear()  # the broker sends those again
        delivery = Delivery(mid, generation, time.monotonic())
        queue.append(delivery)
        if self._watch is None and len(queue) >= self._window:
            self._look_later()
        return delivery

    def finish(self, delivery: Delivery | None) -> None:
        """A message was dealt with: acknowledge it, and those after it that waited for it."""
        if delivery is not None:
            delivery.done = True
            if self._queue and self._queue[0].done:
                self._advance()

    def close(self) -> None:
        """The connection ends: what is not acknowledged now comes again later."""
        self._queue.clear()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _advance(self) -> None:
        queue = self._queue
        while queue and queue[0].done:
            first = queue.popleft()
            self._acknowledge(first.mid, first.generation)

    def _look_later(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(self._patience_s, self._relieve)

    def _relieve(self) -> None:
        self._watch = None
        queue, before_s = self._queue, time.monotonic() - self._patience_s
        while len(queue) >= self._window and queue[0].started and queue[0].taken_s <= before_s:
            self._counters.acknowledged_early += not queue[0].done
            first = queue.popleft()
            self._acknowledge(first.mid, first.generation)
        self._advance()
        if len(queue) >= self._window:
            self._look_later()
