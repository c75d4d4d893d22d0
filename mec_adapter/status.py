"""What the adapter says about itself; served as JSON at GET /status."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A service as registered: serName, serInstanceId, state."""

    name: str
    id: str
    state: str


@dataclass(frozen=True, slots=True)
class ExposedStatus:
    """An exposed AE: its address, its application instance (or device), where that stands, the state of its service,
    and why the platform does not take it, "" when it does.
    """

    ae: str
    app_instance_id: str
    phase: str
    state: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """The sync of one container.

    Attributes:
        path: structured address at the edge.
        pending: instances that wait.
        oldest_pending_s: how long the first of them has waited, seconds.
        forwarded: instances the cloud has taken.
        trouble: why it does not move, "" when it does.
    """

    path: str
    pending: int
    oldest_pending_s: float
    forwarded: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """The cloud sync as a whole.

    Attributes:
        cloud: ``up``, ``down``, or ``off``.
        containers: every container that is copied.
        pending: instances that wait in all.
        oldest_pending_s: how long the first of all has waited, seconds.
        forwarded: instances the cloud has taken in all.
        outbox_bytes: size of what waits.
        paused: the outbox is full and nothing more is taken from the edge.
        dropped: instances dropped for want of room, ever.
        refused: instances the cloud refused for good, ever.
        trouble: why the cloud cannot be reached, "" when it can.
    """

    cloud: str = "off"
    containers: tuple[ContainerStatus, ...] = ()
    pending: int = 0
    oldest_pending_s: float = 0.0
    forwarded: int = 0
    outbox_bytes: int = 0
    paused: bool = False
    dropped: int = 0
    refused: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """The whole adapter.

    Attributes:
        cse: ``up`` or ``down``.
        mp1: phase of the CSE's application instance, ``OFF`` without a platform.
        app_instance_id: its id, "" before registration.
        profile: ``spec`` or ``sandbox``.
        services: its services.
        exposed: exposed AEs.
        mirrored: MEC services mirrored into the oneM2M tree.
        notifications: notifications received: from CSEs, from the MEC platform.
        sync: the cloud sync.
        trouble: why Mp1 does not work, "" when it does.
    """

    cse: str
    mp1: str
    app_instance_id: str
    profile: str
    services: tuple[ServiceStatus, ...]
    exposed: tuple[ExposedStatus, ...]
    mirrored: int
    notifications: dict[str, int]
    sync: SyncStatus
    trouble: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)
