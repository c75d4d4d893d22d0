"""The life of one MEC application instance on Mp1: a state table, pure [MEC 011 5.2].

``step`` takes what happened and the time, and gives what to do next. Nothing here waits, sends or reads a clock::

    INIT --registered--> REGISTERED --ready--> READY --reconciled--> SERVING --termination asked--> TERMINATING
      ^                                                                 |                               |
      +------------------------- the platform forgot us ----------------+                           TERMINATED

YIELDED is where an AE's instance waits whose identity belongs to a newer registration at another CSE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
#: share of the interval after which a heartbeat is sent
_BEAT_SHARE = 0.6
#: pause after a heartbeat that nobody answered, as a share of the interval
_RETRY_SHARE = 0.2


class Phase(StrEnum):
    """Where an application instance stands with its MEC platform."""

    INIT = "INIT"
    REGISTERED = "REGISTERED"
    READY = "READY"
    SERVING = "SERVING"
    YIELDED = "YIELDED"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class Service:
    """A registered service.

    Attributes:
        key: its transportInfo.id, by which it is recognised.
        name: serName.
        service_id: serInstanceId.
        state: ACTIVE or INACTIVE as registered.
        liveness_url: where heartbeats go, "" when none are demanded.
        interval_s: heartbeat interval.
        beat_at: when the next heartbeat is due.
    """

    key: str
    name: str
    service_id: str
    state: str
    liveness_url: str = ""
    interval_s: float = 0.0
    beat_at: float = 0.0

    @property
    def beats(self) -> bool:
        """Whether heartbeats are sent: demanded, and not INACTIVE, which heartbeats cannot revive."""
        return bool(self.liveness_url) and self.interval_s > 0 and self.state != "INACTIVE"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The state of one application instance.

    Attributes:
        phase: where it stands.
        app_id: appInstanceId, "" before registration.
        services: what is registered, by key.
        failures: refusals in a row of what is being tried.
        next_at: when the phase's own next step is due (a retry, or the audit while SERVING); None for never.
        trouble: what went wrong last, in words, "" when nothing is wrong.
        audit_s: how often the registry is compared with what it should hold.
        longest_pause_s: between two attempts; pauses grow up to it.
    """

    phase: Phase = Phase.INIT
    app_id: str = ""
    services: tuple[Service, ...] = ()
    failures: int = 0
    next_at: float | None = None
    trouble: str = ""
    audit_s: float = 30.0
    longest_pause_s: float = _LONGEST_PAUSE_S

    def fresh(self) -> Lifecycle:
        """The state of the same instance before it was registered."""
        return Lifecycle(audit_s=self.audit_s, longest_pause_s=self.longest_pause_s)


# --- events ---------------------------------------------------------------------------------------------------


class Started:
    """Begin."""


class Tick:
    """Time has passed; something may be due."""


class Changed:
    """What should be registered is no longer what was registered."""


class Ready:
    """The platform took the readiness."""


class Done:
    """The last steps of TERMINATING or STOPPING were tried."""


class StopRequested:
    """The process ends, or the entity behind the instance is gone."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The platform knows the instance under this id."""

    app_id: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The registry holds these services now."""

    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A step did not succeed.

    Attributes:
        reason: in words.
        status: HTTP status, 0 when nobody answered.
        retry_after_s: pause the platform asked for.
    """

    reason: str
    status: int = 0
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Beaten:
    """A heartbeat was taken; ``interval_s`` when the platform wants another one."""

    key: str
    interval_s: float | None = None


@dataclass(frozen=True, slots=True)
class BeatFailed:
    """A heartbeat was not taken; ``status`` as in ``Failed``."""

    key: str
    reason: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Superseded:
    """The identity of the instance is registered at another CSE, and that is newer."""

    cse_id: str


@dataclass(frozen=True, slots=True)
class TerminationRequested:
    """The platform asks the instance to end within ``grace_s`` seconds."""

    action: str
    grace_s: float
    link: str = ""


Event = (
    Started
    | Tick
    | Changed
    | Ready
    | Done
    | StopRequested
    | Registered
    | Reconciled
    | Failed
    | Beaten
    | BeatFailed
    | Superseded
    | TerminationRequested
)

# --- actions ----------------------------------------------------------------------------------------------------


class Register:
    """Register the application instance; answer Registered or Failed."""


class ConfirmReady:
    """Confirm readiness; answer Ready or Failed."""


class Reconcile:
    """Make services and subscriptions what they should be; answer Reconciled or Failed."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Send heartbeats for these services; answer Beaten or BeatFailed for each."""

    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Wind:
    """End: services INACTIVE, data flushed, services removed, then confirm or deregister; answer Done.

    Attributes:
        grace_s: seconds there are for all of it.
        action: operationAction to confirm, "" to deregister instead.
        link: confirmTermination link of the notification.
    """

    grace_s: float
    action: str = ""
    link: str = ""


Action = Register | ConfirmReady | Reconcile | Beat | Wind
Step = tuple[Lifecycle, tuple[Action, ...]]

_NEXT: Mapping[Phase, Action] = {
    Phase.INIT: Register(),
    Phase.REGISTERED: ConfirmReady(),
    Phase.READY: Reconcile(),
    Phase.SERVING: Reconcile(),
}


def step(state: Lifecycle, event: Event, now: float, chance: float = 0.5) -> Step:
    """What follows from an event.

    Args:
        state: before.
        event: what happened.
        now: monotonic seconds.
        chance: a random number from 0 to 1, for jitter.

    Returns:
        The state after it, and the actions to carry out in this order. Events that have no place in the phase
        (an answer that comes too late) change nothing.
    """
    handler = _TABLE.get((state.phase, type(event)))
    return handler(state, event, now, chance) if handler is not None else (state, ())


def due(state: Lifecycle) -> float | None:
    """When the next Tick is wanted, in monotonic seconds; None when nothing is waited for."""
    moments = [] if state.next_at is None else [state.next_at]
    if state.phase is Phase.SERVING:
        moments += [service.beat_at for service in state.services if service.beats]
    return min(moments, default=None)


def _start(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    return replace(state, next_at=None), (_NEXT[state.phase],)


def _registered(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    assert isinstance(event, Registered)
    after = replace(state, phase=Phase.REGISTERED, app_id=event.app_id, next_at=None)
    return after, (ConfirmReady(),)


def _ready(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    return replace(state, phase=Phase.READY, next_at=None), (Reconcile(),)


def _reconciled(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    assert isinstance(event, Reconciled)
    before = {service.key: service for service in state.services}
    services = tuple(_scheduled(service, before.get(service.key), now) for service in event.services)
    audit_at = now + state.audit_s
    return replace(state, phase=Phase.SERVING, services=services, failures=0, next_at=audit_at, trouble=""), ()


def _scheduled(service: Service, before: Service | None, now: float) -> Service:
    if not service.beats:
        return service
    if before is not None and before.beats and before.service_id == service.service_id:
        return replace(service, beat_at=min(before.beat_at, now + _BEAT_SHARE * service.interval_s))
    # The platform may have waited long for this producer (a restart after a crash): a first sign of life at once.
    return replace(service, beat_at=now)


def _failed(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    assert isinstance(event, Failed)
    if state.phase is not Phase.INIT and event.status in (401, 404, 410):
        # The platform does not know the instance any more: it lost its state, or a sandbox was recycled.
        fresh = replace(state.fresh(), failures=state.failures, trouble=event.reason)
        if state.failures == 0:
            return replace(fresh, failures=1), (Register(),)
        return _later(fresh, event, now, chance)
    if state.phase in (Phase.READY, Phase.SERVING) and event.status == 403:
        # Peers refuse everything until readiness is confirmed, also after they restarted.
        again = replace(state, phase=Phase.REGISTERED, trouble=event.reason)
        if state.failures == 0:
            return replace(again, failures=1, next_at=None), (ConfirmReady(),)
        return _later(again, event, now, chance)
    return _later(state, event, now, chance)


def _later(state: Lifecycle, event: Failed, now: float, chance: float) -> Step:
    pause = min(state.longest_pause_s, _FIRST_PAUSE_S * 2.0 ** min(state.failures, 10)) * (0.5 + 0.5 * chance)
    pause = max(pause, event.retry_after_s or 0.0)
    return replace(state, failures=state.failures + 1, next_at=now + pause, trouble=event.reason), ()


def _serving_tick(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    actions: list[Action] = []
    beating = tuple(service for service in state.services if service.beats and service.beat_at <= now)
    if beating:
        keys = {service.key for service in beating}
        # Sent now; should its answer never come, it is sent again after a share of the interval.
        moved = tuple(
            replace(service, beat_at=now + _RETRY_SHARE * service.interval_s) if service.key in keys else service
            for service in state.services
        )
        state = replace(state, services=moved)
        actions.append(Beat(beating))
    if state.next_at is not None and state.next_at <= now:
        state = replace(state, next_at=now + state.audit_s)
        actions.append(Reconcile())
    return state, tuple(actions)


def _changed(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    return replace(state, next_at=now + state.audit_s), (Reconcile(),)


def _beaten(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    assert isinstance(event, Beaten)

    def next_beat(service: Service) -> Service:
        if service.key != event.key:
            return service
        interval = event.interval_s or service.interval_s
        share = _BEAT_SHARE * (0.95 + 0.1 * chance)
        return replace(service, interval_s=interval, beat_at=now + share * interval)

    return replace(state, services=tuple(map(next_beat, state.services)), trouble=""), ()


def _beat_failed(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    assert isinstance(event, BeatFailed)
    state = replace(state, trouble=event.reason)
    if event.status in (400, 401, 403, 404, 409, 410):
        # Unknown service or instance, or INACTIVE: comparing with the registry finds out and mends it.
        return replace(state, next_at=now + state.audit_s), (Reconcile(),)
    return state, ()


def _yield(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    return replace(state.fresh(), phase=Phase.YIELDED, next_at=now + state.audit_s), ()


def _claim(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    return state.fresh(), (Register(),)


def _terminate(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    assert isinstance(event, TerminationRequested)
    after = replace(state, phase=Phase.TERMINATING, next_at=None)
    return after, (Wind(event.grace_s, event.action, event.link),)


def _stop(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    if not state.app_id or state.phase is Phase.TERMINATED:
        return replace(state, phase=Phase.STOPPED, next_at=None), ()
    return replace(state, phase=Phase.STOPPING, next_at=None), (Wind(5.0),)


def _terminated(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    return replace(state, phase=Phase.TERMINATED, services=(), trouble=""), ()


def _stopped(state: Lifecycle, event: Event, now: float, chance: float) -> Step:
    return replace(state, phase=Phase.STOPPED, services=()), ()


Handler = Callable[[Lifecycle, Event, float, float], Step]

_TABLE: Mapping[tuple[Phase, type], Handler] = {
    (Phase.INIT, Started): _start,
    (Phase.INIT, Tick): _start,
    (Phase.INIT, Registered): _registered,
    (Phase.INIT, Failed): _failed,
    (Phase.INIT, Superseded): _yield,
    (Phase.INIT, StopRequested): _stop,
    (Phase.REGISTERED, Tick): _start,
    (Phase.REGISTERED, Ready): _ready,
    (Phase.REGISTERED, Failed): _failed,
    (Phase.REGISTERED, TerminationRequested): _terminate,
    (Phase.REGISTERED, StopRequested): _stop,
    (Phase.READY, Tick): _start,
    (Phase.READY, Reconciled): _reconciled,
    (Phase.READY, Failed): _failed,
    (Phase.READY, Superseded): _yield,
    (Phase.READY, TerminationRequested): _terminate,
    (Phase.READY, StopRequested): _stop,
    (Phase.SERVING, Tick): _serving_tick,
    (Phase.SERVING, Changed): _changed,
    (Phase.SERVING, Reconciled): _reconciled,
    (Phase.SERVING, Failed): _failed,
    (Phase.SERVING, Beaten): _beaten,
    (Phase.SERVING, BeatFailed): _beat_failed,
    (Phase.SERVING, Superseded): _yield,
    (Phase.SERVING, TerminationRequested): _terminate,
    (Phase.SERVING, StopRequested): _stop,
    (Phase.YIELDED, Tick): _claim,
    (Phase.YIELDED, Changed): _claim,
    (Phase.YIELDED, StopRequested): _stop,
    (Phase.TERMINATING, Done): _terminated,
    (Phase.TERMINATING, StopRequested): _stop,
    (Phase.TERMINATED, StopRequested): _stop,
    (Phase.STOPPING, Done): _stopped,
}
