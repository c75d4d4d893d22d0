"""Announcing resources to other CSEs and keeping what was announced true (TS-0001 clause 9.6.26, 10.2.9).

A change is stored first; then, still before the response, ``settle`` asks the other CSEs to follow, so that ``at`` in
the response holds the addresses of what was really announced. What is announced where is kept in the internal attribute
``announced`` of the original: ``targets`` as the originator asked, ``shown`` as ``at`` shows them, and by CSE-ID in
``at`` the address and the attributes sent last. A CSE that cannot be reached is asked again when
it registers, at the next change, and now and then (see ``announcement_retries``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from cse.core.access_control import Asking
from cse.core.forwarding import next_hop
from cse.core.hosting import HostingCse
from cse.onem2m.addressing import is_url, parse_address, sp_relative
from cse.onem2m.errors import BadRequest, CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Resource, Send, Settings
from cse.resources.declare import AttributeTable, Presence

_IDENTIFIERS = frozenset({"ID", "IDCSR", "AEID"})
#: a resource that keeps changing while it is announced is left to the change that comes last
_MOST_ROUNDS = 5
#: the timer of a remoteCSE behind which something is to be announced, and the first pause, in seconds
RETRY, RETRY_S = "announce", 30.0
_Steps = Generator[Send, Response | None, None]


class Announcing(Asking, Protocol):
    """What announcing needs of a request."""

    cse: HostingCse
    #: resource-IDs of announced resources that changed, or are to be announced
    announcing: list[str]
    #: resources with announced variants that are gone
    withdrawn: list[Resource]
    #: requests to other CSEs that a change entails, whatever they answer
    follow_ups: list[Request]


def check(table: AttributeTable, given: dict[str, Any], current: Mapping[str, Any]) -> None:
    """Look at announceTo and announcedAttribute of a request; drops names of attributes that cannot be announced.

    Args:
        table: of the resource.
        given: attributes of the request; ``aa`` is cleaned in place.
        current: the resource's attributes so far, empty for a CREATE.

    Raises:
        BadRequest: ``at`` names no CSE, or ``aa`` an attribute the type does not have.
    """
    for target in given.get("at") or ():
        try:
            known = bool(parse_address(target).cse_id)
        except CseError:
            known = False
        if not known:
            raise BadRequest(f"attribute 'at' holds {target!r}, which names no CSE: send e.g. '/id-in'")
    names = given.get("aa")
    if names is None:
        return
    kept = []
    for name in names:
        row = table.attributes.get(name)
        if row is None:
            raise BadRequest(f"attribute 'aa' names {name!r}, which {table.root} does not have")
        assigned = row.create is Presence.NOT_PRESENT
        present = assigned or (given[name] if name in given else current.get(name)) is not None
        if row.announce != "NA" and present and name not in kept:
            kept.append(name)
    if kept:
        given["aa"] = kept
    elif "aa" in current:
        given["aa"] = None
    else:
        del given["aa"]


def changed(ctx: Announcing, resource: Resource) -> None:
    """Remember that a stored resource may have to be announced anew; cheap for all others."""
    if ("at" in resource.attributes or "announced" in resource.internal) and resource.ri not in ctx.announcing:
        ctx.announcing.append(resource.ri)


def asked(ctx: Announcing, resource: Resource) -> Resource:
    """Remember that a request gave announceTo, even where it looks as before; inside a transaction."""
    state = resource.internal.get("announced")
    if state is None:
        return resource
    internal = {**resource.internal, "announced": {**state, "shown": None}}
    return ctx.store.replace(resource.ri, resource.attributes, internal)


def gone(ctx: Announcing, resource: Resource) -> None:
    """Remember that what is announced of a resource must go; cheap for all others."""
    if "announced" in resource.internal:
        ctx.withdrawn.append(resource)


def settle(ctx: Announcing, *, retry: bool = False) -> _Steps:
    """Have other CSEs follow the changes remembered; outside a transaction.

    Args:
        ctx: the request.
        retry: also ask CSEs that could not be reached before.
    """
    while ctx.announcing:
        ri = ctx.announcing.pop(0)
        if ri in ctx.cse.announcing:
            continue  # whoever is at it looks again before leaving
        ctx.cse.announcing.add(ri)
        try:
            yield from _synchronise(ctx, ri, retry)
        finally:
            ctx.cse.announcing.discard(ri)
    if ctx.withdrawn:
        doomed, ctx.withdrawn = ctx.withdrawn, []
        yield from _withdraw_all(ctx, doomed)
    while ctx.follow_ups:
        yield from ctx.perform(ctx.follow_ups.pop(0))


def original(ctx: Announcing, resource: Resource) -> Generator[Send, Response | None, Response]:
    """The answer of the original of an announced resource to the originator of the request (rcn 7)."""
    return (
        yield from ctx.perform(replace(ctx.request, to=resource.attributes["lnk"], result_content=None, filter=None))
    )


def announced_attributes(ctx: Announcing, resource: Resource) -> tuple[str, dict[str, Any]]:
    """Root element and attributes that the announced variant of a resource must have, ``lnk`` excepted."""
    own = ctx.registry[resource.ty]
    assert own.announced is not None
    root = own.counterparts[resource.root]
    there = ctx.registry[own.announced].table(root).attributes
    chosen = resource.attributes.get("aa") or ()
    shown: dict[str, Any] = {}
    for name, row in own.table(resource.root).attributes.items():
        value = resource.attributes.get(name)
        if value is None or name not in there or there[name].create is Presence.NOT_PRESENT or name == "rn":
            continue
        if row.announce == "MA" or (row.announce != "NA" and name in chosen):
            shown[name] = _for_others(ctx, row.type_name, value)
    if "et" not in shown:
        parent = ctx.store.get(resource.pi)
        if parent is not None and "et" in parent.attributes:
            shown["et"] = parent.attributes["et"]
    return root, shown


def _for_others(ctx: Announcing, type_name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_for_others(ctx, type_name, entry) for entry in value]
    if not isinstance(value, str) or is_url(value):
        return value
    if type_name in _IDENTIFIERS or type_name == "anyURI":
        resource = ctx.find_local(value)
        if resource is not None:
            # The one form that others can compare with lnk of what is announced to them.
            return f"{ctx.settings.cse_id}/{resource.ri}"
    return sp_relative(value, ctx.settings.cse_id) if type_name in _IDENTIFIERS else value


def _synchronise(ctx: Announcing, ri: str, retry: bool) -> _Steps:
    for _ in range(_MOST_ROUNDS):
        resource = ctx.store.get(ri)
        if resource is None:
            return
        state = resource.internal.get("announced") or {"targets": [], "shown": [], "at": {}}
        wanted = list(resource.attributes.get("at") or ())
        renewed = retry or wanted != state["shown"]
        targets = wanted if wanted != state["shown"] else state["targets"]
        reached = yield from _bring_about(
            ctx, resource, dict(state["at"]), targets_by_cse(ctx.settings, targets), renewed
        )
        current = ctx.store.get(ri)
        if current is None:
            gone_now = replace(resource, internal={"announced": {"at": reached}})
            yield from _withdraw_all(ctx, [gone_now])
            return
        settled = current.attributes is resource.attributes or current.attributes == resource.attributes
        _keep(ctx, current, targets, reached, show=settled)
        if settled:
            return


def _keep(ctx: Announcing, resource: Resource, targets: Sequence[str], reached: dict[str, Any], *, show: bool) -> None:
    shown = [entry["to"] for entry in reached.values()]
    is_instance = ctx.registry[resource.ty].is_instance
    # What the wire attributes of an instance say never changes; its representation shows these addresses instead.
    seen = list(resource.attributes.get("at") or ()) if is_instance else shown
    missing = [cse_id for cse_id in targets_by_cse(ctx.settings, targets) if cse_id not in reached]
    parent = ctx.store.get(resource.pi) if missing and is_instance else None
    if is_instance:
        # Instances go below their announced parent: where that is not to be announced, neither are they.
        wanted = parent.internal.get("announced", {}).get("targets", ()) if parent is not None else ()
        missing = [cse_id for cse_id in missing if cse_id in targets_by_cse(ctx.settings, wanted)]
    for cse_id in missing:
        ctx.cse.unannounced.setdefault(cse_id, {})[resource.ri] = None
        _have_tried_again(ctx, cse_id)
    announced = {"targets": list(targets), "shown": seen if show else [], "at": reached}
    internal = {**resource.internal, "announced": announced}
    if not reached and not targets:
        internal.pop("announced")
    with ctx.transaction():
        if is_instance:
            ctx.store.replace_instance(resource.ri, internal)
            if parent is not None and missing:
                _note_instances(ctx, parent, missing)
            return
        attributes = resource.attributes
        if show and attributes.get("at", []) != shown:
            attributes = {name: value for name, value in attributes.items() if name != "at"}
            if shown:
                attributes["at"] = shown
        ctx.store.replace(resource.ri, attributes, internal)


def _have_tried_again(ctx: Announcing, cse_id: str) -> None:
    """See to it that there is a next time, where there is a way to the CSE; else it will register."""
    try:
        hop = next_hop(ctx, parse_address(cse_id))
    except CseError:
        return
    if hop.ri not in ctx.cse.retry_pauses:
        ctx.cse.retry_pauses[hop.ri] = RETRY_S
        ctx.set_timer(hop.ri, RETRY, ctx.env.now + RETRY_S)


def _note_instances(ctx: Announcing, parent: Resource, missing: Sequence[str]) -> None:
    """Have the parent say that it has instances to announce, for the next start."""
    known = parent.internal.get("unannounced_instances", [])
    more = [cse_id for cse_id in missing if cse_id not in known]
    if more:
        internal = {**parent.internal, "unannounced_instances": [*known, *more]}
        ctx.store.replace(parent.ri, parent.attributes, internal)


def targets_by_cse(settings: Settings, targets: Iterable[str]) -> dict[str, str]:
    """Targets by the CSE-ID they lead to: "" for the CSE itself, else the address of the parent to announce under."""
    found: dict[str, str] = {}
    for target in targets:
        address = parse_address(target)
        foreign = address.sp_id if address.sp_id != settings.sp_id else ""
        cse_id = foreign + address.cse_id
        found.setdefault(cse_id, f"{cse_id}/{'/'.join(address.segments)}" if address.segments else "")
    return found


def _bring_about(
    ctx: Announcing, resource: Resource, reached: dict[str, Any], targets: Mapping[str, str], renewed: bool
) -> Generator[Send, Response | None, dict[str, Any]]:
    """Make what is announced what it should be; gives what is announced then."""
    for cse_id in [known for known in reached if known not in targets]:
        yield from _ask(ctx, Operation.DELETE, reached.pop(cse_id)["to"])
    if not targets:
        return reached
    root, attributes = announced_attributes(ctx, resource)
    for cse_id, under in targets.items():
        entry = reached.get(cse_id)
        if entry is not None:
            entry = yield from _update(ctx, entry, root, attributes)
        if entry is None and (renewed or cse_id in reached):
            entry = yield from _announce(ctx, resource, cse_id, under, root, attributes)
        if entry is not None:
            reached[cse_id] = entry
        else:
            reached.pop(cse_id, None)
    return reached


def _update(
    ctx: Announcing, entry: dict[str, Any], root: str, attributes: dict[str, Any]
) -> Generator[Send, Response | None, dict[str, Any] | None]:
    sent = entry["sent"]
    changes = {name: value for name, value in attributes.items() if name not in sent or sent[name] != value}
    changes.update({name: None for name in sent if name not in attributes})
    policies = {"acpi": changes.pop("acpi")} if "acpi" in changes else {}
    for part in (changes, policies):  # acpi may only ever be changed alone
        if part:
            answer = yield from _ask(ctx, Operation.UPDATE, entry["to"], {root: part})
            if answer.status is Status.NOT_FOUND:
                return None
            if not answer.status.is_success:
                return entry
    return {**entry, "sent": attributes} if changes or policies else entry


def _announce(
    ctx: Announcing, resource: Resource, cse_id: str, under: str, root: str, attributes: dict[str, Any]
) -> Generator[Send, Response | None, dict[str, Any] | None]:
    number = ctx.registry[resource.ty].announced
    content = {root: {**attributes, "lnk": f"{ctx.settings.cse_id}/{resource.ri}"}}
    parent = ctx.store.get(resource.pi)
    known = parent.internal.get("announced", {}).get("at", {}).get(cse_id) if parent is not None else None
    if known is not None and not under:
        under = known["to"]
    if not under and ctx.registry[resource.ty].is_instance:
        return None  # instances are announced below their announced parent only
    for again in (False, True):
        place = under or (yield from _announced_base(ctx, cse_id, again))
        if not place:
            return None
        answer = yield from _ask(ctx, Operation.CREATE, place, content, number)
        if answer.status is Status.CREATED:
            return {"to": _address_of(answer, cse_id), "under": place, "sent": attributes}
        if under or answer.status is not Status.NOT_FOUND:
            return None
    return None


def _announced_base(ctx: Announcing, cse_id: str, anew: bool) -> Generator[Send, Response | None, str]:
    """The address of the announced CSEBase of this CSE at another, made when it is missing; "" when it cannot be."""
    base = ctx.cse.base()
    places: dict[str, str] = base.internal.get("announced_base", {})
    if cse_id in places and not anew:
        return places[cse_id]
    root, attributes = announced_attributes(ctx, base)
    link = f"{ctx.settings.cse_id}/{base.ri}"
    number = ctx.registry[base.ty].announced
    answer = yield from _ask(ctx, Operation.CREATE, f"{cse_id}/-", {root: {**attributes, "lnk": link}}, number)
    place = _address_of(answer, cse_id) if answer.status is Status.CREATED else ""
    if answer.status is Status.CONFLICT:
        criteria = {"fu": 1, "ty": [number], "atr": [{"nm": "lnk", "val": link}]}
        found = yield from _ask(ctx, Operation.RETRIEVE, f"{cse_id}/-", criteria=criteria)
        if found.status is Status.OK and found.content.get("m2m:uril"):
            place = sp_relative(found.content["m2m:uril"][0], cse_id)
    if place:
        base = ctx.cse.base()
        with ctx.transaction():
            internal = {**base.internal, "announced_base": {**base.internal.get("announced_base", {}), cse_id: place}}
            ctx.store.replace(base.ri, base.attributes, internal)
    return place


def _withdraw_all(ctx: Announcing, doomed: Sequence[Resource]) -> _Steps:
    silent: set[str] = set()
    removed: set[str] = set()
    for resource in doomed:
        for cse_id, entry in resource.internal["announced"]["at"].items():
            removed.add(entry["to"])
            if entry.get("under") in removed or cse_id in silent:
                continue  # gone with its parent; or nobody listens, and it ends with its expiration time
            answer = yield from _ask(ctx, Operation.DELETE, entry["to"])
            if answer.status is Status.TARGET_NOT_REACHABLE:
                silent.add(cse_id)


def _address_of(answer: Response, cse_id: str) -> str:
    return f"{cse_id}/{next(iter(answer.content.values()))['ri']}"


def _ask(
    ctx: Announcing,
    operation: Operation,
    to: str,
    content: Any = None,
    number: int | None = None,
    criteria: dict[str, Any] | None = None,
) -> Generator[Send, Response | None, Response]:
    releases = ctx.settings.releases
    request = Request(
        operation,
        to,
        ctx.settings.cse_id,
        ctx.env.new_id(),
        resource_type=number,
        content=content,
        filter=criteria,
        release="3" if "3" in releases else releases[-1],
    )
    return (yield from ctx.perform(request))
