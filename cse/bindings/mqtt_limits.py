"""What bounds the MQTT binding, and what it counts (TS-0010)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MqttLimits:
    """What bounds the work the broker can give us.

    Attributes:
        payload_bytes: largest primitive executed.
        readable_bytes: largest payload looked into at all, to answer that it is too large.
        in_flight: requests executed at a time.
        waiting: requests read and not yet started before reading stops.
        duplicates: requests remembered to recognise them when they come again.
        duplicates_bytes: most bytes of remembered answers.
        duplicates_s: how long they are remembered.
        window: unacknowledged messages from which on a slow request must not hold up the others: brokers stop at 20.
        patience_s: how long it may do so nevertheless.
    """

    payload_bytes: int = 64 * 1024
    readable_bytes: int = 1024 * 1024
    in_flight: int = 512
    waiting: int = 2048
    duplicates: int = 4096
    duplicates_bytes: int = 16 * 1024 * 1024
    duplicates_s: float = 300.0
    window: int = 16
    patience_s: float = 0.25


@dataclass(slots=True)
class MqttCounters:
    """What the binding has seen since it started.

    Attributes:
        taken: requests taken.
        repeated: requests answered from memory because they came before.
        acknowledged_early: slow requests acknowledged before their response, so that others could pass.
        ignored: messages thrown away, by reason.
        dialects: deviations tolerated, by name.
    """

    taken: int = 0
    repeated: int = 0
    acknowledged_early: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    dialects: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class MqttFigures:
    """What is under way between a CSE and its broker.

    Attributes:
        connected: whether the broker is there.
        running: requests being executed.
        waiting: requests read and not yet started.
        expected: requests sent whose responses have not come.
    """

    connected: bool
    running: int
    waiting: int
    expected: int
