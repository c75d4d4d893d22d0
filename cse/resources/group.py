"""group, type 9, and its fanOutPoint (TS-0001 clause 9.6.13, 9.6.14, 10.2.7; TS-0004 clause 7.4.14, 7.4.15)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import (
    BadRequest,
    CseError,
    GroupMembersNotResponded,
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
from cse.ports import Resource, Send, breath
from cse.resources import group_notifications
from cse.resources.declare import Context, Hooks, Privilege, VirtualChild, declare
from cse.resources.semantics import (
    Graph,
    check_extent,
    descriptors_of,
    document_of,
    evaluated,
    graphs_of,
    query_of,
)

_MIXED, _LATEST, _OLDEST = 0, 20002, 20001
_ABANDON_MEMBER, _ABANDON_GROUP, _SET_MIXED = 1, 2, 3
_MGMT_OBJ, _FLEX_CONTAINER, _SEMANTIC_DESCRIPTOR = 13, 28, 24
#: answers of a member that is not there to answer
_NO_ANSWER = (Status.TARGET_NOT_REACHABLE, Status.REQUEST_TIMEOUT)
_VALIDATION = "validation"
#: how long until members that could not be looked at are tried again, in seconds
_RETRY_S = 30.0
_VIRTUAL_TYPES = {"la": _LATEST, "ol": _OLDEST}
#: most members a group may have (trust.md R13)
_MOST_MEMBERS = 1000
#: how many members are asked before others get a turn
_AT_A_TIME = 128
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
            for name in _SETTLED:
                if merged.get(name) != resource.attributes.get(name) or name in changes:
                    changes[name] = merged[name]

    def verify_update(
        self, ctx: Context, resource: Resource, changes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Read new members that live at other CSEs."""
        if "mid" in changes:
            merged = {**resource.attributes, **changes}
            yield from _check_remote_members(ctx, merged)
            changes.update({name: merged[name] for name in _SETTLED if name in merged})

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Members that could not be looked at are tried again later."""
        _try_again(ctx, resource)

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """The same; and without notifyAggregation nothing is held back."""
        _try_again(ctx, resource)
        if "nar" in changes and resource.internal.get("gathered"):
            group_notifications.flush(ctx, resource, everything=True)

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """What was gathered goes out."""
        if resource.internal.get("gathered"):
            group_notifications.flush(ctx, resource, everything=True)

    def timers(self, ctx: Context, resource: Resource) -> Iterable[tuple[str, float]]:
        """What was under way when this CSE stopped."""
        due_s = group_notifications.next_due(resource.internal.get("gathered"))
        if due_s is not None:
            yield group_notifications.TIMER, due_s
        if resource.attributes.get("mtv") is False:
            yield _VALIDATION, ctx.env.now

    def timer_steps(self, ctx: Context, resource: Resource, kind: str) -> Generator[Send, Response | None, None]:
        """Send what was gathered, or look at the members that could not be reached."""
        if kind == _VALIDATION:
            yield from _validate_again(ctx, resource)
            return
        with ctx.transaction():
            group_notifications.flush(ctx, resource)

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


#: what looking at the members may change
_SETTLED = ("mid", "cnm", "mtv", "mt", "ssi")


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
    if any(_is_semantic(ctx, member) for member in fitting):
        attributes["ssi"] = True


def _is_semantic(ctx: Context, member: str) -> bool:
    resource = ctx.local(member)
    return resource is not None and bool(ctx.store.children(resource.ri, _SEMANTIC_DESCRIPTOR))


def _canonical(ctx: Context, member: str) -> str:
    resource = ctx.local(member)
    return resource.ri if resource is not None else member


def _fits(ctx: Context, attributes: dict[str, Any], member: str) -> bool:
    """Whether a local member may stay; may set the group to mixed."""
    base, _, last = member.rpartition("/")
    virtual = last if base and last in ("la", "ol", "fopt") else ""
    resource = ctx.local(base if virtual else member)
    if resource is None:
        raise NotFound(f"group member {member!r} does not exist: create it first, or leave it out")
    if not ctx.allowed(resource, Privilege.RETRIEVE):
        raise ReceiverHasNoPrivilege(f"originator {ctx.originator!r} may not RETRIEVE the group member {member!r}")
    number = _VIRTUAL_TYPES.get(virtual) or (resource.attributes.get("mt", _MIXED) if virtual else resource.ty)
    return _type_agrees(attributes, member, number, resource.attributes)


def _type_agrees(attributes: dict[str, Any], member: str, number: int, shown: Mapping[str, Any]) -> bool:
    wanted = attributes["mt"]
    if wanted in (_MIXED, number) and _specialisation_agrees(attributes, shown):
        return True
    strategy = attributes.get("csy", _ABANDON_MEMBER)
    if strategy == _ABANDON_GROUP:
        raise GroupMemberTypeInconsistent(f"group member {member!r} is of type {number}, the group of type {wanted}")
    if strategy == _SET_MIXED:
        attributes["mt"] = _MIXED
        return True
    return False


def _specialisation_agrees(attributes: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    """Whether a member is of the group's specialisation (spty); one that is a group speaks for its own members."""
    wanted = attributes.get("spty")
    name = {_MGMT_OBJ: "mgd", _FLEX_CONTAINER: "cnd"}.get(attributes["mt"])
    if wanted is None or name is None:
        return True
    return str(shown.get("spty" if "mid" in shown else name)) == str(wanted)


def _check_remote_members(
    ctx: Context, attributes: dict[str, Any], originator: str = ""
) -> Generator[Send, Response | None, None]:
    kept: list[str] = []
    validated = True
    for member in attributes["mid"]:
        if ctx.is_local(member):
            kept.append(member)
            continue
        asked = Request(
            Operation.RETRIEVE,
            member.removesuffix("/fopt"),
            originator or ctx.request.originator,
            ctx.env.new_id(),
            release=ctx.request.release,
        )
        answer = yield from ctx.perform(asked)
        if answer.status in _NO_ANSWER:
            validated = False
            kept.append(member)
            continue
        if not answer.status.is_success or not isinstance(answer.content, dict):
            raise ReceiverHasNoPrivilege(f"group member {member!r} cannot be read: {int(answer.status)}")
        remote = next(iter(answer.content.values()))
        number = remote.get("mt", _MIXED) if member.endswith("/fopt") else remote.get("ty", _MIXED)
        if _type_agrees(attributes, member, number, remote):
            kept.append(member)
    attributes["mid"], attributes["cnm"], attributes["mtv"] = kept, len(kept), validated


def _try_again(ctx: Context, group: Resource) -> None:
    missing = group.attributes.get("mtv") is False
    ctx.set_timer(group.ri, _VALIDATION, ctx.env.now + _RETRY_S if missing else None)


def _validate_again(ctx: Context, group: Resource) -> Generator[Send, Response | None, None]:
    """Look again at the members of a group that could not all be looked at; then the strategy (csy) applies."""
    settled = dict(group.attributes)
    try:
        yield from _check_remote_members(ctx, settled, group.internal.get("creator") or ctx.settings.cse_id)
        consistent = True
    except GroupMemberTypeInconsistent:
        consistent = False
    except CseError:
        settled["mtv"] = False
        consistent = True
    current = ctx.store.get(group.ri)
    if current is None or current.attributes["mid"] != group.attributes["mid"]:
        return  # who changed the members looked at them
    with ctx.transaction():
        if not consistent:
            ctx.delete(current)
        elif settled["mtv"]:
            ctx.adjust(current, {name: settled[name] for name in _SETTLED if name in settled})
        else:
            _try_again(ctx, current)


def _check_access(ctx: Context, group: Resource, name: str) -> None:
    policies = group.attributes.get("macp")
    operation = ctx.request.operation
    privilege = _PRIVILEGES[operation]
    if not (ctx.allowed_by(policies, privilege, group) if policies else ctx.allowed(group, privilege)):
        raise OriginatorHasNoPrivilege(
            f"originator {ctx.originator!r} may not {operation.name} through {group.path}/{name}: it needs acop "
            f"{int(privilege)} in macp (or acpi) of the group"
        )


def _fan_out(ctx: Context, group: Resource, tail: tuple[str, ...]) -> Generator[Send, Response | None, Response]:
    """Do to every member what the request asks, with the originator's own rights, and gather the answers."""
    request = ctx.request
    if group_notifications.is_for_group(ctx, group, request):
        return group_notifications.take(ctx, group)
    _check_access(ctx, group, "fopt")
    members = _addressed_members(group, request)
    group_id = request.group_request_id
    if group_id is None:
        group_id = ctx.env.new_id()
    if not ctx.group_id_is_new(f"{group.ri} {group_id}"):
        raise GroupRequestIdentifierExists(
            f"group request identifier {group_id!r} was seen before: this would be a loop"
        )
    answers: list[dict[str, Any]] = []
    answered = False
    content = group_notifications.redirected(ctx, group, request)
    suffix = "/" + "/".join(tail) if tail else ""
    for number, member in enumerate(members, 1):
        if number % _AT_A_TIME == 0:
            yield breath(request)
        own = replace(
            request,
            to=member + suffix,
            content=content,
            request_id=ctx.env.new_id(),
            group_request_id=group_id,
            group_targets=None,
            response_type=ResponseType.BLOCKING,
            response_targets=None,
        )
        answer = yield from ctx.perform(own)
        answered = answered or answer.status not in _NO_ANSWER
        answers.append(_as_primitive(answer, sp_relative(member, ctx.settings.cse_id)))
    if not answered:
        raise GroupMembersNotResponded(f"no member of {group.path!r} answered: try again later")
    return Response(Status.OK, content={"m2m:agr": {"m2m:rsp": answers}})


def _addressed_members(group: Resource, request: Request) -> list[str]:
    members: list[str] = group.attributes["mid"]
    if not members:
        raise NoMembers(f"group {group.path!r} has no members")
    if request.group_targets is None:
        return list(members)
    known = frozenset(members)
    strangers = [target for target in request.group_targets if target not in known]
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


def _ask_all(ctx: Context, group: Resource, tail: tuple[str, ...]) -> Generator[Send, Response | None, Response]:
    """Answer a semantic query over the descriptors of all members together (TS-0001 clause 9.6.14a, 10.2.7.13)."""
    query = query_of(ctx.request)
    _check_access(ctx, group, "sfop")
    here: list[Resource] = []
    elsewhere: list[Graph] = []
    for member in _addressed_members(group, ctx.request):
        if ctx.is_local(member):
            resource = ctx.local(member)
            if resource is not None:
                here.extend(descriptors_of(ctx, resource))
                check_extent(here)
            continue
        remote = yield from ctx.perform(
            Request(Operation.RETRIEVE, member, ctx.request.originator, ctx.env.new_id(), release=ctx.request.release)
        )
        descriptor = remote.content.get("m2m:smd") if isinstance(remote.content, dict) else None
        if remote.status.is_success and isinstance(descriptor, dict):
            elsewhere.append((document_of(descriptor),))
    graphs = [*graphs_of(ctx, here), *elsewhere]
    return Response(Status.OK, content={"m2m:qres": (yield from evaluated(ctx, "select", [query], graphs))})


_FAN_OUT_POINT = VirtualChild("fopt", frozenset(Operation), handle=_fan_out, takes_tail=True)
_SEMANTIC_FAN_OUT_POINT = VirtualChild("sfop", frozenset({Operation.RETRIEVE}), handle=_ask_all)

TYPES = (declare("group", GroupHooks(), virtual=(_FAN_OUT_POINT, _SEMANTIC_FAN_OUT_POINT)),)
