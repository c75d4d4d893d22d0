"""Requests and notifications for others: the next hop and how to reach it (TS-0001 clause 9.3.1, 10.2.3).

Also where a notification target is reached (TS-0004 clause 7.5.1.2; bindings.md section 6).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cse.core.access_control import Asking
from cse.core.numbers import AE, REMOTE_CSE
from cse.core.resolution import localise
from cse.onem2m.addressing import Address, is_url, parse_address, sp_relative
from cse.onem2m.errors import BadRequest, CseError, NotFound, RequestTimeout, TargetNotReachable
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.timestamps import absolute_time
from cse.ports import CseType, Resource, Send


def next_hop(ctx: Asking, address: Address) -> Resource:
    """The remoteCSE through which an address of another CSE is reached.

    Raises:
        NotFound: no CSE known here leads there.
    """
    settings, store = ctx.settings, ctx.store
    cse_id = address.cse_id
    absolute = address.sp_id + cse_id
    foreign = bool(address.sp_id) and address.sp_id != settings.sp_id
    for identifier in (absolute,) if foreign else (cse_id, absolute):
        for attribute in ("csi", "dcse"):
            for resource in store.referring(attribute, identifier):
                if resource.ty == REMOTE_CSE:
                    return resource
    if settings.registrar and settings.cse_type is not CseType.IN:
        for resource in store.referring("csi", settings.registrar):
            if resource.ty == REMOTE_CSE:
                return resource
    if foreign:
        # Mcc': any CSE of that service provider which is registered here is its IN-CSE (TS-0001 clause 6.2.4).
        for resource in store.of_type(REMOTE_CSE):
            if resource.attributes["csi"].startswith(address.sp_id + "/"):
                return resource
        raise NotFound(f"no route to service provider {address.sp_id!r}: its IN-CSE is not registered here")
    raise NotFound(
        f"no route to CSE {absolute!r}: it is not registered here: register it first, or address a resource of this CSE"
    )


def forward(ctx: Asking, address: Address) -> Generator[Send, Response | None, Response]:
    """Pass a request on towards its hosting CSE and give its answer back (TS-0001 clause 8.3, Mcc).

    Raises:
        BadRequest: registrations are never forwarded.
        NotFound: no route.
        TargetNotReachable: the next hop does not answer.
        RequestTimeout: it does not answer before the request expires.
    """
    request = ctx.request
    if request.operation is Operation.CREATE and request.resource_type in (AE, REMOTE_CSE):
        raise BadRequest("a registration is for the CSE that receives it: address its CSEBase")
    hop = next_hop(ctx, address)
    hop_id = hop.attributes["csi"]
    if hop_id == request.originator or (request.originator.startswith(hop_id + "/") and not address.cse_id == hop_id):
        raise NotFound(f"no route to {address.cse_id!r}: it would lead back to {hop_id!r}")
    onward = replace(
        request,
        originator=_as_seen_by(ctx, hop_id, request.originator) if request.originator else "",
        credential="",
        peer_address="",
    )
    if "srv" in hop.attributes and set(hop.attributes["srv"]) <= {"1"}:
        onward = replace(onward, release=None, vendor=None)  # it would not know them
    poa = _points_of_access(hop)
    timeout_s, expires = _patience(ctx)
    answer = yield Send(
        onward,
        urls=poa,
        receiver=hop_id,
        exact_url=False,
        serialisation=_serialisation(hop),
        timeout_s=timeout_s,
        channel="" if poa else _channel(ctx, hop),
    )
    if answer is None and expires:
        raise RequestTimeout(f"CSE {hop_id!r} did not answer before the request expired (rqet)")
    if answer is None:
        raise TargetNotReachable(f"CSE {hop_id!r} does not answer: try again later")
    return answer


def _patience(ctx: Asking) -> tuple[float, bool]:
    """How long the answer of another entity is waited for, in seconds, and whether the request expires then."""
    longest_s, expiry = ctx.settings.request_timeout_s, ctx.request.request_expiration
    if expiry is None:
        return longest_s, False
    left_s = max(0.0, absolute_time(expiry, ctx.env.now) - ctx.env.now)
    return min(longest_s, left_s), left_s <= longest_s


def _as_seen_by(ctx: Asking, hop_id: str, originator: str) -> str:
    """An originator as the next hop knows it: SP-relative, or absolute in another service provider."""
    settings = ctx.settings
    known = sp_relative(originator, settings.cse_id)
    return settings.sp_id + known if hop_id.startswith("//") and not known.startswith("//") else known


def notification(
    ctx: Asking,
    target: str,
    content: dict[str, Any],
    *,
    subject: str = "",
    final: bool = False,
    category: int | None = None,
) -> Send | None:
    """A NOTIFY to a notification target: a URL, an AE-ID, a CSE-ID or a resource address.

    Args:
        ctx: the request that causes it.
        target: entry of nu, su, ...
        content: the primitive content.
        subject: resource-ID of the subscription.
        final: see ``Send``.
        category: event category (ec), or None.

    Returns:
        What to send, or None when the target names nothing that can be reached.
    """
    settings = ctx.settings
    request = Request(
        Operation.NOTIFY,
        target,
        settings.cse_id,
        ctx.env.new_id(),
        content=content,
        release=_release(settings.releases),
        event_category=category,
    )
    if is_url(target):
        return Send(
            request,
            (target,),
            serialisation=_url_serialisation(target),
            timeout_s=settings.request_timeout_s,
            subject=subject,
            final=final,
            target=target,
        )
    try:
        given = parse_address(target)
    except CseError:
        return None
    address = localise(given, settings, ctx.store)
    if address is not given and address.cse_id:
        target = address.text
    resource = ctx.find_local(target)
    if resource is not None and resource.ty == AE:
        return replace(_to_ae(ctx, request, resource, subject, final), target=target)
    if resource is not None and resource.ty == REMOTE_CSE:
        request = replace(request, content=_named_for_others(content, settings.cse_id))
        return replace(_to_cse(ctx, request, resource, resource.attributes["csi"], subject, final), target=target)
    if resource is not None or ctx.is_local(target):
        # A resource of this CSE: the shell gives the request straight back to us.
        local = replace(request, to=target)
        return Send(
            local,
            (),
            settings.cse_id,
            subject=subject,
            final=final,
            timeout_s=settings.request_timeout_s,
            target=target,
        )
    try:
        hop = next_hop(ctx, address)
    except NotFound:
        return None
    request = replace(request, content=_named_for_others(content, settings.cse_id))
    return replace(_to_cse(ctx, request, hop, target, subject, final), target=target)


def _named_for_others(content: dict[str, Any], cse_id: str) -> dict[str, Any]:
    """A notification as it leaves for another CSE: the creator and the originator of an event SP-relative."""
    if "m2m:agn" in content:
        batch = [_named_for_others({"m2m:sgn": one}, cse_id)["m2m:sgn"] for one in content["m2m:agn"]["m2m:sgn"]]
        return {"m2m:agn": {**content["m2m:agn"], "m2m:sgn": batch}}
    body = content.get("m2m:sgn")
    if not isinstance(body, dict):
        return content
    named = dict(body)
    if "cr" in body:
        named["cr"] = sp_relative(body["cr"], cse_id)
    monitored = (body.get("nev") or {}).get("om")
    if monitored:
        named["nev"] = {**body["nev"], "om": {**monitored, "or": sp_relative(monitored["or"], cse_id)}}
    return {**content, "m2m:sgn": named}


def own_request(ctx: Asking, request: Request) -> Send | None:
    """A request of this CSE to any resource, here or at another CSE; None when no route leads there."""
    try:
        if ctx.is_local(request.to):
            return Send(request, (), ctx.settings.cse_id, timeout_s=ctx.settings.request_timeout_s)
        hop = next_hop(ctx, parse_address(request.to))
    except CseError:
        return None
    return _to_cse(ctx, request, hop, request.to, "", True)


def _to_ae(ctx: Asking, request: Request, entity: Resource, subject: str, final: bool) -> Send:
    to = sp_relative(entity.ri, ctx.settings.cse_id)
    common = [version for version in entity.attributes.get("srv") or () if version in ctx.settings.releases]
    addressed = replace(request, to=to, release=common[-1] if common else request.release)
    poa = _points_of_access(entity)
    return Send(
        addressed,
        poa,
        # An AE registered here is known by its stem on its registrar's broker (TS-0010 clause 6.4).
        entity.ri,
        exact_url=True,
        serialisation=_serialisation(entity),
        timeout_s=ctx.settings.request_timeout_s,
        subject=subject,
        final=final,
        channel="" if poa else _channel(ctx, entity),
    )


def _points_of_access(entity: Resource) -> tuple[str, ...]:
    if entity.attributes.get("rr") is False:
        return ()
    return tuple(url for url in entity.attributes.get("poa") or () if is_url(url))


def _channel(ctx: Asking, entity: Resource) -> str:
    """The polling channel of an entity that cannot be reached otherwise, "" when it has none."""
    for number in ctx.registry.holding_requests:
        for channel in ctx.store.children(entity.ri, number):
            return channel.ri
    return ""


def _to_cse(ctx: Asking, request: Request, hop: Resource, to: str, subject: str, final: bool) -> Send:
    common = [version for version in hop.attributes.get("srv") or () if version in ctx.settings.releases]
    poa = _points_of_access(hop)
    return Send(
        replace(
            request,
            to=to,
            originator=_as_seen_by(ctx, hop.attributes["csi"], request.originator),
            release=common[-1] if common else request.release,
        ),
        poa,
        hop.attributes["csi"],
        exact_url=False,
        serialisation=_serialisation(hop),
        timeout_s=ctx.settings.request_timeout_s,
        subject=subject,
        final=final,
        channel="" if poa else _channel(ctx, hop),
    )


def pass_on_to_ae(ctx: Asking, entity: Resource) -> Generator[Send, Response | None, Response]:
    """Deliver a NOTIFY request to the AE it addresses and give its answer back (TS-0004 clause 7.3.1, notify).

    Raises:
        TargetNotReachable: the AE has no way to be reached, or does not answer.
    """
    base = _to_ae(ctx, ctx.request, entity, "", False)
    own = replace(
        base.request,
        originator=sp_relative(ctx.request.originator, ctx.settings.cse_id),
        credential="",
        peer_address="",
    )
    timeout_s, expires = _patience(ctx)
    answer = yield replace(base, request=own, timeout_s=timeout_s)
    if answer is None and expires:
        raise RequestTimeout(f"AE {entity.ri!r} did not answer before the request expired (rqet)")
    if answer is None:
        raise TargetNotReachable(
            f"AE {entity.ri!r} does not answer at its points of access: set 'poa' to where it listens"
        )
    return answer


def _serialisation(entity: Resource) -> str:
    for media_type in entity.attributes.get("csz") or ():
        name = media_type.rpartition("/")[2].rpartition("+")[2]
        if name in ("json", "cbor"):
            return str(name)
    return "json"


def _url_serialisation(url: str) -> str:
    chosen = parse_qs(urlsplit(url).query).get("ct", ["json"])[0]
    return chosen if chosen in ("json", "cbor") else "json"


def _release(releases: tuple[str, ...]) -> str | None:
    return releases[-1] if releases and releases[-1] != "1" else None
