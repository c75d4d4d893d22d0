"""group, type 9, and its fanOutPoint (TS-0001 clause 9.6.13, 9.6.14, 10.2.7; TS-0004 clause 7.4.14, 7.4.15)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import (
    BadRequest,
    GroupMemberTypeInconsistent,
    GroupRequestIdentifierExists,
    MaxNumberOfMemberExceeded,
    NoMembers,
    NotFound,
    OriginatorHasNoPrivilege,
    ReceiverHasNoPrivilege,
)
from cse.onem2m.primitives import Operation, Request, Response, ResponseType
from cse.onem2m.status import Status
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, VirtualChild, declare

_MIXED, _LATEST, _OLDEST = 0, 20002, 20001
_ABANDON_MEMBER, _ABANDON_GROUP, _SET_MIXED = 1, 2, 3
_VIRTUAL_TYPES = {"la": _LATEST, "ol": _OLDEST}
#: most members a group may have (trust.md R13)
_MOST_MEMBERS = 1000
_PRIVILEGES = {
    Operation.CREATE: Privilege.CREATE,
    Operation.RETRIEVE: Privilege.RETRIEVE,
    Operation.UPDATE: Privilege.UPDATE,
    Operation.DELETE: Privilege.DELETE,
    Operation.NOTIFY: Privilege.NOTIFY,
}


class GroupHooks(Hooks):
    """Members: unique, existing, readable, of the group's type."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Drop duplicates, look at every member, set the counters.

        Raises:
            MaxNumberOfMemberExceeded: more members than mnm.
            NotFound: a local member does not exist.
            ReceiverHasNoPrivilege: the originator may not read a member.
            GroupMemberTypeInconsistent: a member is of another type and csy says to give up.
        """
        attributes.setdefault("mt", _MIXED)
        attributes.setdefault("csy", _ABANDON_MEMBER)
        _settle_members(ctx, attributes, attributes["mid"])

    def verify_create(
        self, ctx: Context, parent: Resource, attributes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Read the members that live at other CSEs on behalf of the originator."""
        yield from _check_remote_members(ctx, attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same for the members or limits an UPDATE sets."""
        if "mid" in changes or "mnm" in changes:
            merged = {**resource.attributes, **{k: v for k, v in changes.items() if v is not None}}
            members = merged["mid"]
            _settle_members(ctx, merged, members)
            for name in ("mid", "cnm", "mtv", "mt"):
                if merged.get(name) != resource.attributes.get(name) or name in changes:
                    changes[name] = merged[name]

    def verify_update(
        self, ctx: Context, resource: Resource, changes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Read new members that live at other CSEs."""
        if "mid" in changes:
            merged = {**resource.attributes, **changes}
            yield from _check_remote_members(ctx, merged)
            changes.update({name: merged[name] for name in ("mid", "cnm", "mtv", "mt")})

    def resource_gone(self, ctx: Context, resource: Resource) -> None:
        """A resource that is gone is no member any more."""
        cse_id = ctx.settings.cse_id
        for identifier in (
            resource.ri,
            resource.path,
            sp_relative(resource.ri, cse_id),
            sp_relative(resource.path, cse_id),
        ):
            for group in ctx.store.referring("mid", identifier):
                if group.ty != 9:
                    continue
                rest = [member for member in group.attributes["mid"] if member != identifier]
                ctx.adjust(group, {"mid": rest, "cnm": len(rest)})


def _settle_members(ctx: Context, attributes: dict[str, Any], members: Iterable[str]) -> None:
    unique: dict[str, str] = {}
    for member in members:
        unique.setdefault(_canonical(ctx, member), member)
    kept = list(unique.values())
    most = attributes["mnm"]
    if len(kept) > min(most, _MOST_MEMBERS):
        raise MaxNumberOfMemberExceeded(
            f"the group would have {len(kept)} members, more than "
            f"{min(most, _MOST_MEMBERS)} (mnm): raise mnm or send fewer"
        )
    fitting = [member for member in kept if not ctx.is_local(member) or _fits(ctx, attributes, member)]
    attributes["mid"] = fitting
    attributes["cnm"] = len(fitting)
    attributes["mtv"] = True


def _canonical(ctx: Context, member: str) -> str:
    resource = ctx.local(member)
    return resource.ri if resource is not None else member


def _fits(ctx: Context, attributes: dict[str, Any], member: str) -> bool:
    """Whether a local member may stay; may set the group to mixed."""
    base, _, last = member.rpartition("/")
    virtual = last if base and last in ("la", "ol", "fopt") else ""
    resource = ctx.local(base if virtual else member)
    if resource is None:
        raise NotFound(f"group member {member!r} does not exist")
    if not ctx.allowed(resource, Privilege.RETRIEVE):
        raise ReceiverHasNoPrivilege(f"originator {ctx.originator!r} may not RETRIEVE the group member {member!r}")
    number = _VIRTUAL_TYPES.get(virtual) or (resource.attributes.get("mt", _MIXED) if virtual else resource.ty)
    return _type_agrees(attributes, member, number)


def _type_agrees(attributes: dict[str, Any], member: str, number: int) -> bool:
    wanted = attributes["mt"]
    if wanted in (_MIXED, number):
        return True
    strategy = attributes.get("csy", _ABANDON_MEMBER)
    if strategy == _ABANDON_GROUP:
        raise GroupMemberTypeInconsistent(f"group member {member!r} is of type {number}, the group of type {wanted}")
    if strategy == _SET_MIXED:
        attributes["mt"] = _MIXED
        return True
    return False


def _check_remote_members(ctx: Context, attributes: dict[str, Any]) -> Generator[Send, Response | None, None]:
    kept: list[str] = []
    validated = True
    for member in attributes["mid"]:
        if ctx.is_local(member):
            kept.append(member)
            continue
        asked = Request(
            Operation.RETRIEVE,
            member.removesuffix("/fopt"),
            ctx.request.originator,
            ctx.env.new_id(),
            release=ctx.request.release,
        )
        answer = yield from ctx.perform(asked)
        if answer.status in (Status.TARGET_NOT_REACHABLE, Status.REQUEST_TIMEOUT):
            validated = False
            kept.append(member)
            continue
        if not answer.status.is_success or not isinstance(answer.content, dict):
            raise ReceiverHasNoPrivilege(f"group member {member!r} cannot be read: {int(answer.status)}")
        remote = next(iter(answer.content.values()))
        number = remote.get("mt", _MIXED) if member.endswith("/fopt") else remote.get("ty", _MIXED)
        if _type_agrees(attributes, member, number):
            kept.append(member)
    attributes["mid"], attributes["cnm"], attributes["mtv"] = kept, len(kept), validated


def _fan_out(ctx: Context, group: Resource, tail: tuple[str, ...]) -> Generator[Send, Response | None, Response]:
    """Do to every member what the request asks, with the originator's own rights, and gather the answers."""
    request = ctx.request
    policies = group.attributes.get("macp")
    privilege = _PRIVILEGES[request.operation]
    granted = ctx.allowed_by(policies, privilege, group) if policies else ctx.allowed(group, privilege)
    if not granted:
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not {request.operation.name} through {group.path}/fopt: it needs acop "
            f"{int(privilege)} in macp (or acpi) of the group"
        )
    members = _addressed_members(group, request)
    group_id = request.group_request_id
    if group_id is None:
        group_id = ctx.env.new_id()
    if not ctx.group_id_is_new(f"{group.ri} {group_id}"):
        raise GroupRequestIdentifierExists(
            f"group request identifier {group_id!r} was seen before: this would be a loop"
        )
    answers = []
    suffix = "/" + "/".join(tail) if tail else ""
    for member in members:
        own = replace(
            request,
            to=member + suffix,
            request_id=ctx.env.new_id(),
            group_request_id=group_id,
            group_targets=None,
            response_type=ResponseType.BLOCKING,
            response_targets=None,
        )
        answer = yield from ctx.perform(own)
        answers.append(_as_primitive(answer, sp_relative(member, ctx.settings.cse_id)))
    return Response(Status.OK, content={"m2m:agr": {"m2m:rsp": answers}})


def _addressed_members(group: Resource, request: Request) -> list[str]:
    members: list[str] = group.attributes["mid"]
    if not members:
        raise NoMembers(f"group {group.path!r} has no members")
    if request.group_targets is None:
        return list(members)
    strangers = [target for target in request.group_targets if target not in members]
    if strangers:
        raise BadRequest(f"group request target {strangers[0]!r} (grtm) is no member of {group.path!r}")
    return list(request.group_targets)


def _as_primitive(answer: Response, member: str) -> dict[str, Any]:
    primitive: dict[str, Any] = {"rsc": int(answer.status), "rqi": answer.request_id, "fr": member}
    if answer.content is not None:
        primitive["pc"] = answer.content
    if answer.release is not None:
        primitive["rvi"] = answer.release
    return primitive


_FAN_OUT_POINT = VirtualChild("fopt", frozenset(Operation), handle=_fan_out, takes_tail=True)

TYPES = (declare("group", GroupHooks(), virtual=(_FAN_OUT_POINT,)),)
