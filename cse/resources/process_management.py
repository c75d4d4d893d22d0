"""processManagement, type 63: a process as a machine of states (TS-0001 clause 9.6.63, 10.2.21).

``prst`` says how far the process is, ``prct`` is what a user wants of it. A change of a watched resource sets a timer
that is due at once, so that a step never runs inside the change that caused it, and processes may watch each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cse.onem2m.errors import BadRequest, InvalidProcessConfiguration, OperationNotAllowed
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.evaluation import check_criteria, holds, subject_for

_NUMBER, _STATE, _ACTION = 63, 64, 65
#: processStatus
DISABLED, ENABLED, ACTIVATED, PAUSED, COMPLETED = 1, 2, 3, 4, 5
#: processControl: from which status each is allowed, and to which it leads
_ENABLE, _DISABLE, _PAUSE, _REACTIVATE = 1, 2, 3, 4
_MOVES = {
    _ENABLE: (frozenset({DISABLED}), ENABLED),
    _DISABLE: (frozenset({ENABLED, ACTIVATED, PAUSED, COMPLETED, 6}), DISABLED),
    _PAUSE: (frozenset({ACTIVATED}), PAUSED),
    _REACTIVATE: (frozenset({PAUSED}), ACTIVATED),
}
_STEP = "step"


class ProcessManagementHooks(Hooks):
    """Control by users, steps by what happens to the watched resources."""

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """A process begins disabled."""
        resource.attributes.update({"prst": DISABLED, "prct": _DISABLE})

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Configuration while disabled only, control as the status allows.

        Raises:
            OperationNotAllowed: not in this status.
            InvalidProcessConfiguration: a condition or the initial state names what cannot be used.
        """
        status = resource.attributes["prst"]
        for name in ("atcos", "encos", "inst"):
            if name in changes and status != DISABLED:
                raise OperationNotAllowed(f"attribute {name!r} can be changed while the process is disabled only")
        for name in ("atcos", "encos"):
            _check_conditions(ctx, changes.get(name) or (), name)
        if changes.get("inst") is not None:
            state_of(ctx, resource, changes["inst"], "inst")
        if "prct" in changes:
            allowed, following = _MOVES[changes["prct"]]
            if status not in allowed:
                raise OperationNotAllowed(f"prct {changes['prct']} is not possible while the status (prst) is {status}")
            initial = changes.get("inst", resource.attributes.get("inst"))
            if following == ENABLED:
                if initial is None:
                    raise InvalidProcessConfiguration("a process needs an initial state (inst) before it is enabled")
                state_of(ctx, resource, initial, "inst")

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Follow the control."""
        if "prct" not in changes:
            return
        status = _MOVES[changes["prct"]][1]
        if status == DISABLED:
            _set_active(ctx, resource, None)
            resource = ctx.store.get(resource.ri) or resource
            ctx.adjust(resource, {"prst": DISABLED, **({"cust": None} if "cust" in resource.attributes else {})})
            return
        ctx.adjust(resource, {"prst": status})
        if status in (ENABLED, ACTIVATED):
            ctx.set_timer(resource.ri, _STEP, ctx.env.now)

    def resource_changed(self, ctx: Context, resource: Resource) -> None:
        """Let the processes that watch a changed resource take a step."""
        for process in ctx.store.of_type(_NUMBER):
            if process.attributes["prst"] in (ENABLED, ACTIVATED) and resource.ri in _watched(ctx, process):
                ctx.set_timer(process.ri, _STEP, ctx.env.now)

    def timer_due(self, ctx: Context, resource: Resource, kind: str) -> None:
        """Take one step: activate, end, or go from one state to the next."""
        attributes = resource.attributes
        if attributes["prst"] == ENABLED:
            if _all_hold(ctx, attributes.get("atcos") or ()):
                _enter(ctx, resource, state_of(ctx, resource, attributes["inst"], "inst"))
        elif attributes["prst"] == ACTIVATED:
            ending = attributes.get("encos") or ()
            if ending and _all_hold(ctx, ending):
                _complete(ctx, resource)
            else:
                _advance(ctx, resource)

    def timers(self, ctx: Context, resource: Resource) -> Iterator[tuple[str, float]]:
        """A running process looks around after a restart."""
        if resource.attributes["prst"] in (ENABLED, ACTIVATED):
            yield _STEP, ctx.env.now


def state_of(ctx: Context, process: Resource, identifier: str, attribute: str) -> Resource:
    """A state of this process.

    Raises:
        InvalidProcessConfiguration: the identifier names no such state.
    """
    state = ctx.local(identifier)
    if state is None or state.ty != _STATE or state.pi != process.ri:
        raise InvalidProcessConfiguration(f"attribute {attribute!r} names {identifier!r}, no state of this process")
    return state


def _check_conditions(ctx: Context, conditions: Iterable[Mapping[str, Any]], attribute: str) -> None:
    for condition in conditions:
        try:
            check_criteria(ctx, condition["evc"], subject_for(ctx, condition["sri"], attribute))
        except BadRequest as error:
            raise InvalidProcessConfiguration(error.debug) from error


def _all_hold(ctx: Context, conditions: Iterable[Mapping[str, Any]]) -> bool:
    return all(holds(ctx, condition["evc"], ctx.local(condition["sri"])) for condition in conditions)


def subject_of(ctx: Context, process: Resource, state: Resource) -> Resource | None:
    """What the transitions of a state look at: the subject of its action, else the parent of the process."""
    action = ctx.local(state.attributes.get("stac", ""))
    return ctx.store.get(action.internal["subject"] if action is not None and action.ty == _ACTION else process.pi)


def _watched(ctx: Context, process: Resource) -> set[str]:
    """Resource-IDs of what may make a process take its next step."""
    attributes = process.attributes
    name = "atcos" if attributes["prst"] == ENABLED else "encos"
    found = [ctx.local(condition["sri"]) for condition in attributes.get(name) or ()]
    if attributes["prst"] == ACTIVATED:
        state = ctx.local(attributes.get("cust", ""))
        if state is not None:
            found.append(subject_of(ctx, process, state))
    return {resource.ri for resource in found if resource is not None}


def _set_active(ctx: Context, process: Resource, active: Resource | None) -> None:
    for state in ctx.store.children(process.ri, _STATE):
        wanted = active is not None and state.ri == active.ri
        if state.attributes.get("sact") != wanted:
            ctx.modify(state, {"sact": wanted})


def _enter(ctx: Context, process: Resource, state: Resource) -> None:
    """Make a state the current one; its action is evaluated there and then."""
    _set_active(ctx, process, state)
    ctx.modify(ctx.store.get(process.ri) or process, {"prst": ACTIVATED, "cust": state.ri})
    action = ctx.local(state.attributes.get("stac", ""))
    if action is not None and action.ty == _ACTION:
        ctx.type_of(action).hooks.entered(ctx, action)


def _advance(ctx: Context, process: Resource) -> None:
    state = ctx.local(process.attributes.get("cust", ""))
    if state is None:
        return
    subject = subject_of(ctx, process, state)
    for transition in state.attributes.get("sttrs") or ():
        if holds(ctx, transition["evc"], subject):
            following = ctx.local(transition["nxst"]) if "nxst" in transition else None
            if following is None:
                _complete(ctx, process)
            else:
                _enter(ctx, process, following)
            return


def _complete(ctx: Context, process: Resource) -> None:
    _set_active(ctx, process, None)
    ctx.modify(ctx.store.get(process.ri) or process, {"prst": COMPLETED})


TYPES = (declare("processManagement", ProcessManagementHooks()),)
