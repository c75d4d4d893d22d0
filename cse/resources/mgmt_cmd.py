"""mgmtCmd, type 12, and execInstance, type 8: commands to the device of a node (TS-0001 clause 9.6.16, 9.6.17).

Setting ``exe`` makes an execInstance for each node the command is for. This CSE speaks no device management protocol:
whoever manages the node (an AE that may UPDATE the instance) subscribes to them, does what they say, and reports by
``exs`` and ``exr``. A command is cancelled by ``exd`` of its instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cse.onem2m.errors import (
    AlreadyComplete,
    BadRequest,
    ExternalObjectNotFound,
    InsufficientArguments,
    InvalidArguments,
    InvalidCmdtype,
    MgmtCommandNotCancellable,
    OperationNotAllowed,
)
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_NODE, _EXEC_INSTANCE = 14, 8
#: cmdType, and the member of the arguments that goes with it
_ARGUMENTS = {1: "rst", 2: "rbo", 3: "uld", 4: "dld", 5: "swin", 6: "swun", 7: "swup"}
_WITHOUT_ARGUMENTS = (1, 2)
#: execStatus
_INITIATED, _PENDING, _FINISHED, _CANCELLED, _NON_CANCELLABLE = 1, 2, 3, 5, 6
_NOT_FINISHED = 31
_COPIED = ("exm", "exf", "exy", "exn", "exra")


class MgmtCmdHooks(Hooks):
    """A command: its kind, its arguments, and what becomes of it."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """The arguments must fit the kind of command.

        Raises:
            InvalidCmdtype, InvalidArguments, InsufficientArguments: they do not.
        """
        _check_command(attributes)
        # A command is executed when an UPDATE says so, never by being made.
        attributes.pop("exe", None)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same; and what is being executed keeps its target and mode.

        Raises:
            InvalidArguments, InsufficientArguments: the arguments do not fit.
            OperationNotAllowed: there are executions of the command.
            ExternalObjectNotFound: ``exe`` is set and there is no node to execute it.
        """
        _check_command({**resource.attributes, **changes})
        if ("ext" in changes or "exm" in changes) and ctx.store.children(resource.ri, _EXEC_INSTANCE):
            raise OperationNotAllowed(
                "attributes 'ext' and 'exm' cannot change while the command has executions: delete those first"
            )
        if changes.get("exe"):
            _nodes(ctx, {**resource.attributes, **changes}["ext"])

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """Setting ``exe`` executes the command once; the attribute itself is not kept."""
        if "exe" not in changes:
            return
        if changes["exe"]:
            for node in _nodes(ctx, resource.attributes["ext"]):
                copied = {name: resource.attributes[name] for name in _COPIED if name in resource.attributes}
                policies = {"acpi": resource.attributes["acpi"]} if "acpi" in resource.attributes else {}
                fixed = {"exs": _INITIATED, "exr": _NOT_FINISHED, "ext": node}
                creator = resource.internal.get("creator", "")
                ctx.create(resource, _EXEC_INSTANCE, {**copied, **policies, **fixed}, creator=creator)
        if "exe" in resource.attributes:
            ctx.adjust(resource, {"exe": None})

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """What cannot be cancelled any more keeps its command.

        Raises:
            MgmtCommandNotCancellable: an execution can be neither finished nor cancelled now.
        """
        for instance in ctx.store.children(resource.ri, _EXEC_INSTANCE):
            if instance.attributes["exs"] == _NON_CANCELLABLE:
                raise MgmtCommandNotCancellable(
                    f"the execution {instance.path!r} cannot be cancelled: wait for its end"
                )


class ExecInstanceHooks(Hooks):
    """One execution of a command."""

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Cancel it, or note what the device reports.

        Raises:
            AlreadyComplete: it is finished or cancelled.
            MgmtCommandNotCancellable: it has gone too far.
        """
        status = resource.attributes["exs"]
        if status in (_FINISHED, _CANCELLED) and not {"exd", "exs", "exr"}.isdisjoint(changes):
            raise AlreadyComplete(f"the execution {resource.path!r} is over: set 'exe' of the command for another")
        if changes.get("exd"):
            if "exs" in changes or "exr" in changes:
                raise BadRequest("attribute 'exd' cancels: send it without 'exs' and 'exr'")
            if status == _NON_CANCELLABLE:
                raise MgmtCommandNotCancellable(f"the execution {resource.path!r} cannot be cancelled any more")
            changes["exs"] = _CANCELLED

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Deleting cancels, so it needs what can be cancelled.

        Raises:
            MgmtCommandNotCancellable: it has gone too far.
        """
        if resource.attributes["exs"] == _NON_CANCELLABLE:
            raise MgmtCommandNotCancellable(f"the execution {resource.path!r} cannot be cancelled: wait for its end")


def _check_command(attributes: Mapping[str, Any]) -> None:
    kind = attributes["cmt"]
    if kind not in _ARGUMENTS:
        raise InvalidCmdtype(f"attribute 'cmt' (cmdType) must be 1 to {len(_ARGUMENTS)}, not {kind!r}")
    member = _ARGUMENTS[kind]
    given = attributes.get("exra")
    if given is None:
        if kind not in _WITHOUT_ARGUMENTS:
            raise InsufficientArguments(f"a command of cmt {kind} needs arguments: send 'exra' with member {member!r}")
        return
    strangers = sorted(set(given) - {member})
    if strangers:
        raise InvalidArguments(f"attribute 'exra' holds {strangers[0]!r}; a command of cmt {kind} takes {member!r}")
    if not given.get(member) and kind not in _WITHOUT_ARGUMENTS:
        raise InsufficientArguments(f"attribute 'exra' must hold arguments in member {member!r}")


def _nodes(ctx: Context, target: str) -> list[str]:
    """The identifiers of the nodes a command is for: one, or those of a group."""
    if any(known.ty == _NODE for known in ctx.store.referring("ni", target)):
        return [target]
    named = ctx.local(target)
    if named is not None and named.ty == _NODE:
        return [named.attributes["ni"]]
    members = [ctx.local(member) for member in named.attributes.get("mid", ())] if named is not None else []
    nodes = [member.attributes["ni"] for member in members if member is not None and member.ty == _NODE]
    if not nodes:
        raise ExternalObjectNotFound(f"attribute 'ext' {target!r} names no node (its ni) and no group of nodes here")
    return nodes


TYPES = (declare("mgmtCmd", MgmtCmdHooks()), declare("execInstance", ExecInstanceHooks()))
