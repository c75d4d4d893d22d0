"""action, type 65: do something when a resource comes to meet criteria (TS-0001 clause 9.6.61, 10.2.22).

A change of the subject (``resource_changed``) is evaluated in the transaction that made it; the request itself runs
afterwards, on a timer that is due at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import BadRequest
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, declare
from cse.resources.evaluation import check_criteria, holds, subject_for

_NUMBER, _DEPENDENCY = 65, 66
_OFF, _ONCE, _PERIODIC, _CONTINUOUS = 0, 1, 2, 3
#: evalControlParam where none is given: milliseconds between executions, number of executions
_DEFAULT_CONTROL = {_PERIODIC: 10_000, _CONTINUOUS: 1_000}
_PRIVILEGES = {
    Operation.CREATE: Privilege.CREATE,
    Operation.RETRIEVE: Privilege.RETRIEVE,
    Operation.UPDATE: Privilege.UPDATE,
    Operation.DELETE: Privilege.DELETE,
    Operation.NOTIFY: Privilege.NOTIFY,
}
_RUN = "run"
#: lowest priority: actions without actionPriority come last
_LAST = 1 << 30


class ActionHooks(Hooks):
    """Checks, evaluation at every change of the subject, execution."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse an action that could never run.

        Raises:
            BadRequest: with what to send instead.
            NotImplemented: an action input (ipu).
        """
        _check(ctx, attributes, parent)
        if attributes["evm"] in _DEFAULT_CONTROL:
            attributes.setdefault("ecp", _DEFAULT_CONTROL[attributes["evm"]])

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Remember whose change is watched."""
        resource.internal.update(_fresh(ctx, resource.attributes, parent.ri))

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same checks with the changes applied, and the dependencies must be its own."""
        if "evm" in changes and "ecp" not in changes:
            changes["ecp"] = _DEFAULT_CONTROL.get(changes["evm"])
            if changes["ecp"] is None and "ecp" not in resource.attributes:
                del changes["ecp"]
        merged = {**resource.attributes, **changes}
        parent = ctx.store.get(resource.pi)
        if parent is not None:
            _check(ctx, {name: value for name, value in merged.items() if value is not None}, parent)
        for identifier in changes.get("dep") or ():
            dependency = ctx.local(identifier)
            if dependency is None or dependency.ty != _DEPENDENCY or dependency.pi != resource.ri:
                raise BadRequest(f"attribute 'dep' names {identifier!r}, which is no dependency of this action")

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """A changed action begins anew; it is evaluated at the next change of its subject."""
        if changes.keys() & {"evm", "ecp", "evc", "sri"}:
            ctx.adjust(resource, {}, **_fresh(ctx, resource.attributes, resource.pi))

    def child_deleted(self, ctx: Context, resource: Resource, child: Resource) -> None:
        """A dependency that is gone is none any more."""
        listed = resource.attributes.get("dep")
        if child.ty == _DEPENDENCY and listed:
            names = {sp_relative(name, ctx.settings.cse_id) for name in (child.ri, child.path)}
            rest = [one for one in listed if sp_relative(one, ctx.settings.cse_id) not in names]
            ctx.adjust(resource, {"dep": rest or None})

    def entered(self, ctx: Context, resource: Resource) -> None:
        """The action of a process state is evaluated when the state is entered, anew each time."""
        consider(ctx, ctx.adjust(resource, {}, **_fresh(ctx, resource.attributes, resource.pi)))

    def resource_changed(self, ctx: Context, resource: Resource) -> None:
        """Evaluate the actions that watch a changed resource, those with the smallest apy first."""
        actions = ctx.store.referring("subject", resource.ri)
        for rank, action in enumerate(sorted(actions, key=lambda one: one.attributes.get("apy", _LAST))):
            consider(ctx, action, rank)

    def timer_steps(self, ctx: Context, resource: Resource, kind: str) -> Generator[Send, Response | None, None]:
        """Run the action as often as it was found due, and keep the last result (air)."""
        runs = resource.internal.get("runs", 0)
        with ctx.transaction():
            ctx.adjust(resource, {}, runs=0)
        for _ in range(runs):
            answer = yield from ctx.perform(_request(ctx, resource))
            current = ctx.store.get(resource.ri)
            if current is None:
                return
            result: dict[str, Any] = {"rsc": int(answer.status), "rqi": answer.request_id}
            if answer.content is not None:
                result["pc"] = answer.content
            with ctx.transaction():
                ctx.adjust(current, {"air": result})

    def timers(self, ctx: Context, resource: Resource) -> Iterator[tuple[str, float]]:
        """What was due when this CSE stopped."""
        if resource.internal.get("runs"):
            yield _RUN, ctx.env.now


def _check(ctx: Context, attributes: Mapping[str, Any], parent: Resource) -> None:
    if "ipu" in attributes:
        raise NotSupported("attribute 'ipu' (action input) is not supported by this CSE: put the values into 'apv'")
    mode, control = attributes["evm"], attributes.get("ecp")
    if mode in (_OFF, _ONCE) and control is not None:
        raise BadRequest("attribute 'ecp' goes with evm 2 (periodic) and 3 (continuous) only: leave it out")
    subject = subject_for(ctx, attributes["sri"], "sri") if "sri" in attributes else parent
    if "sri" not in attributes and not ctx.allowed(parent, Privilege.RETRIEVE):
        raise BadRequest(f"{ctx.originator!r} may not RETRIEVE {parent.path!r}, the subject of this action")
    check_criteria(ctx, attributes["evc"], subject)
    primitive = attributes["apv"]
    operation = Operation(primitive["op"])
    if sp_relative(primitive.get("fr", ""), ctx.settings.cse_id) != sp_relative(ctx.originator, ctx.settings.cse_id):
        raise BadRequest(f"'fr' of attribute 'apv' must be the originator, {ctx.originator!r}")
    if operation is Operation.CREATE and "ty" not in primitive:
        raise BadRequest("attribute 'apv' describes a CREATE: add the resource type 'ty'")
    if operation in (Operation.CREATE, Operation.UPDATE, Operation.NOTIFY) and not primitive.get("pc"):
        raise BadRequest("attribute 'apv' needs a content 'pc' for this operation")
    if ctx.is_local(attributes["orc"]):
        target = ctx.local(attributes["orc"])
        if target is None:
            raise BadRequest(f"attribute 'orc' names {attributes['orc']!r}, which does not exist")
        if not ctx.allowed(target, _PRIVILEGES[operation]):
            raise BadRequest(f"attribute 'orc' names {attributes['orc']!r}, where the originator may not do that")


def _fresh(ctx: Context, attributes: Mapping[str, Any], parent: str) -> dict[str, Any]:
    """The state of an action that has not run yet."""
    subject = ctx.local(attributes["sri"]) if "sri" in attributes else None
    left = {_ONCE: 1, _CONTINUOUS: attributes.get("ecp", 0), _OFF: 0}.get(attributes["evm"])
    return {"subject": subject.ri if subject is not None else parent, "left": left, "not_before": 0.0}


def consider(ctx: Context, action: Resource, rank: int = 0) -> None:
    """Have an action run if its criteria and dependencies are met and its mode lets it; inside a transaction.

    Args:
        ctx: the request that made the change.
        action: as stored now.
        rank: its place among the actions of this change.
    """
    internal, attributes = action.internal, action.attributes
    parent = ctx.store.get(action.pi)
    if parent is not None and parent.attributes.get("sact") is False:
        return  # it belongs to a state of a process that is not the current one
    if internal.get("left") == 0 or ctx.env.now < internal.get("not_before", 0.0):
        return
    if not holds(ctx, attributes["evc"], ctx.store.get(internal["subject"])) or not _dependencies_met(ctx, attributes):
        return
    changes: dict[str, Any] = {"runs": internal.get("runs", 0) + 1}
    if internal.get("left") is not None:
        changes["left"] = internal["left"] - 1
    else:
        changes["not_before"] = ctx.env.now + attributes["ecp"] / 1000.0
    ctx.adjust(action, {}, **changes)
    ctx.set_timer(action.ri, _RUN, ctx.env.now + rank * 1e-6)


def _dependencies_met(ctx: Context, attributes: Mapping[str, Any]) -> bool:
    """A sufficient dependency that is met settles it; a necessary one that is not, too (dep, in order)."""
    dependencies = [one for name in attributes.get("dep") or () if (one := ctx.local(name)) is not None]
    for one in dependencies:
        met = holds(ctx, one.attributes["evc"], ctx.local(one.attributes["rri"]))
        if met and one.attributes["sfc"]:
            return True
        if not met and not one.attributes["sfc"]:
            return False
    return not dependencies or not all(one.attributes["sfc"] for one in dependencies)


def _request(ctx: Context, action: Resource) -> Request:
    """The request that the action primitive describes, addressed to the objectResourceID."""
    primitive = action.attributes["apv"]
    return Request(
        Operation(primitive["op"]),
        action.attributes["orc"],
        primitive["fr"],
        ctx.env.new_id(),
        resource_type=primitive.get("ty"),
        content=primitive.get("pc"),
        release=primitive.get("rvi", "4"),
        result_content=primitive.get("rcn"),
    )


TYPES = (declare("action", ActionHooks()),)
