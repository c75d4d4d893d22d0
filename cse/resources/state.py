"""state, type 64: one state of a process, its action, and where it leads (TS-0001 clause 9.6.64)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cse.onem2m.errors import BadRequest, InvalidProcessConfiguration, OperationNotAllowed
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare
from cse.resources.evaluation import check_criteria
from cse.resources.process_management import DISABLED, state_of, subject_of

_ACTION = 65


class StateHooks(Hooks):
    """States are made and changed while their process is disabled."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """The process must be disabled, and the transitions lead to states of it.

        Raises:
            OperationNotAllowed: the process is not disabled.
            InvalidProcessConfiguration: a transition that cannot be used.
        """
        _check_disabled(parent)
        _check_transitions(ctx, parent, ctx.store.get(parent.pi), attributes)

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """No state is active before its process is."""
        resource.attributes["sact"] = False

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same, and the action must be the state's own."""
        process = ctx.store.get(resource.pi)
        if process is None:
            return
        _check_disabled(process)
        merged = {name: value for name, value in {**resource.attributes, **changes}.items() if value is not None}
        if changes.get("stac") is not None:
            action = ctx.local(changes["stac"])
            if action is None or action.ty != _ACTION or action.pi != resource.ri:
                raise InvalidProcessConfiguration(
                    f"attribute 'stac' names {changes['stac']!r}, no action of this state"
                )
        if "sttrs" in changes or "stac" in changes:
            changed = Resource(resource.ri, resource.pi, resource.rn, resource.ty, resource.root, resource.path, merged)
            _check_transitions(ctx, process, subject_of(ctx, process, changed), merged)

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """A state goes while its process is disabled, and never the active one."""
        process = ctx.store.get(resource.pi)
        if process is not None:
            _check_disabled(process)
        if resource.attributes.get("sact"):
            raise OperationNotAllowed("the active state cannot be deleted: disable its process first")


def _check_disabled(process: Resource) -> None:
    if process.attributes.get("prst", DISABLED) != DISABLED:
        raise OperationNotAllowed(f"states of {process.path!r} can be changed while it is disabled only: set prct 2")


def _check_transitions(
    ctx: Context, process: Resource, subject: Resource | None, attributes: Mapping[str, Any]
) -> None:
    for transition in attributes.get("sttrs") or ():
        if "nxst" in transition:
            state_of(ctx, process, transition["nxst"], "sttrs")
        try:
            if subject is not None:
                check_criteria(ctx, transition["evc"], subject)
        except BadRequest as error:
            raise InvalidProcessConfiguration(error.debug) from error


TYPES = (declare("state", StateHooks()),)
