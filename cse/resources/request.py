"""request, type 17: a non-blocking request and, in time, its result (TS-0001 clause 9.6.12, TS-0004 clause 7.4.12).

The request itself is kept among the internal attributes and served by a timer, so an acknowledged request is served
even when the CSE was stopped in between.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import asdict, replace
from typing import Any

from cse.onem2m.addressing import sp_relative
from cse.onem2m.errors import BadRequest, OriginatorHasNoPrivilege, UnableToRecallRequest
from cse.onem2m.primitives import Operation, Request, Response, ResponseType
from cse.onem2m.status import Status
from cse.onem2m.timestamps import absolute_time, format_timestamp
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, declare

_REQUEST, _AE = 17, 2
_COMPLETED, _FAILED, _PENDING = 1, 2, 3
_EXECUTE = "execute"
#: parts of the request that its metaInformation shows, by their short names
_META = {
    "ty": "resource_type",
    "ot": "originating_time",
    "rcn": "result_content",
    "ec": "event_category",
    "da": "delivery_aggregation",
    "gid": "group_request_id",
    "fc": "filter",
    "drt": "desired_identifier",
    "rvi": "release",
    "vsi": "vendor",
    "sqi": "semantic_query",
    "grtm": "group_targets",
    "rids": "role_ids",
}
_TIMES = {
    "rqet": "request_expiration",
    "rset": "result_expiration",
    "oet": "execution_time",
    "rp": "result_persistence",
}


class RequestHooks(Hooks):
    """Keeps non-blocking requests, serves them, and tells their originators."""

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """Its originator may always look at it and remove it."""
        return True if originator and originator == resource.internal.get("creator") else None

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """A request that is not served yet cannot be taken back.

        Raises:
            UnableToRecallRequest: it is pending.
        """
        if resource.attributes.get("rs") == _PENDING:
            raise UnableToRecallRequest("the request is pending and cannot be recalled: DELETE it when it is done")

    def accept(self, ctx: Context, base: Resource) -> Response:
        """Keep a request and acknowledge it with the address of the resource that stands for it.

        Raises:
            BadRequest: it addresses a ``<request>``.
            OriginatorHasNoPrivilege: the originator is not registered here.
        """
        request = ctx.request
        if request.operation is Operation.CREATE and request.resource_type == _AE:
            raise BadRequest("a registration is answered at once: send rt 3 (blocking)")
        addressed = ctx.local(request.to)
        if addressed is not None and addressed.ty == _REQUEST:
            raise BadRequest("a <request> is addressed with rt 3 (blocking) only")
        if not ctx.allowed(base, Privilege.RETRIEVE):
            raise OriginatorHasNoPrivilege(
                f"originator {ctx.originator!r} is not registered here: send rt 3 (blocking)"
            )
        times, due_s, expiry = _times(ctx)
        pending = _pending(ctx, times)
        attributes: dict[str, Any] = {
            "et": expiry,
            "lbl": [request.originator],
            "op": int(request.operation),
            "tg": request.to,
            "org": request.originator,
            "rid": request.request_id,
            "mi": _meta(request, times),
            "rs": _PENDING,
            "ors": {"rsc": int(Status.ACCEPTED), "rqi": request.request_id},
        }
        if request.content is not None:
            attributes["pc"] = request.content
        with ctx.transaction():
            made = ctx.create(base, _REQUEST, attributes, creator=ctx.originator)
            ctx.adjust(made, {}, pending=pending, due_s=due_s)
            ctx.set_timer(made.ri, _EXECUTE, due_s)
        remote = ctx.originator.startswith("/")
        address = sp_relative(made.path, ctx.settings.cse_id) if remote else made.path
        asked_later = request.response_type == ResponseType.NON_BLOCKING_SYNCH
        status = Status.ACCEPTED_NONBLOCKING_SYNC if asked_later else Status.ACCEPTED_NONBLOCKING_ASYNC
        return Response(status, content={"m2m:uri": address})

    def timers(self, ctx: Context, resource: Resource) -> Iterable[tuple[str, float]]:
        """A pending request is served at its time, also after a restart."""
        if resource.internal.get("pending") is not None:
            yield _EXECUTE, resource.internal["due_s"]

    def timer_steps(self, ctx: Context, resource: Resource, kind: str) -> Generator[Send, Response | None, None]:
        """Serve the request, keep its result, notify whoever is to hear of it."""
        pending = resource.internal.get("pending")
        if pending is None:
            return
        fields = dict(pending["request"])
        request = Request(**{**fields, "operation": Operation(fields["operation"])})
        answer = yield from ctx.perform(request)
        result = _as_primitive(ctx, request, answer)
        current = ctx.store.get(resource.ri)
        outcome = _COMPLETED if answer.status.is_success else _FAILED
        with ctx.transaction():
            if current is not None:
                # The stored request has served its purpose: what it carried need not stay on disk.
                changed = ctx.modify(current, {"rs": outcome, "ors": _result(result)})
                ctx.adjust(changed, {}, pending=None)
            for target in pending["targets"]:
                send = ctx.notification(target, {"m2m:rsp": result})
                if send is not None:
                    ctx.queue(send)


def _times(ctx: Context) -> tuple[dict[str, str], float, str]:
    """The request's times made absolute; when to serve it (seconds since the epoch); how long to keep it (et)."""
    now = ctx.env.now
    moments = {
        name: absolute_time(value, now)
        for name, field in _TIMES.items()
        if (value := getattr(ctx.request, field)) is not None
    }
    due_s = max(moments.get("oet", now), now)
    policy = due_s + ctx.settings.request_expiration_s
    kept = moments.get("rp", moments.get("rqet", moments.get("rset", policy)))
    # A result is of no use after rset, whatever was asked.
    kept = min(kept, moments.get("rset", kept), now + ctx.settings.max_expiration_s)
    if kept <= now:
        raise BadRequest("the result persistence (rp) has passed: send a later time")
    return {name: format_timestamp(moment) for name, moment in moments.items()}, due_s, format_timestamp(kept)


def _pending(ctx: Context, times: dict[str, str]) -> dict[str, Any]:
    request = ctx.request
    targets: list[str] = []
    if request.response_type == ResponseType.NON_BLOCKING_ASYNCH:
        targets = list(request.response_targets) if request.response_targets is not None else [request.originator]
    later = replace(
        request,
        response_type=None,
        response_targets=None,
        result_persistence=None,
        execution_time=None,
        request_expiration=times.get("rqet"),
        result_expiration=times.get("rset"),
        binding="",
    )
    fields = {name: value for name, value in asdict(later).items() if value is not None and value != ""}
    return {"request": {**fields, "operation": int(request.operation)}, "targets": targets}


def _meta(request: Request, times: dict[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        name: value for name, field in _META.items() if (value := getattr(request, field)) is not None
    }
    kind: dict[str, Any] = {"rtv": request.response_type}
    if request.response_targets is not None:
        kind["nu"] = list(request.response_targets)
    return {**shown, **times, "rt": kind}


def _as_primitive(ctx: Context, request: Request, answer: Response) -> dict[str, Any]:
    primitive: dict[str, Any] = {
        "rsc": int(answer.status),
        "rqi": request.request_id,
        "to": request.originator,
        "fr": ctx.settings.cse_id,
        "ot": answer.originating_time or ctx.env.timestamp,
    }
    optional = {
        "pc": answer.content,
        "rvi": answer.release,
        "vsi": answer.vendor,
        "ec": answer.event_category,
        "cnst": answer.content_status,
        "cnot": answer.content_offset,
    }
    primitive.update({name: value for name, value in optional.items() if value is not None})
    return primitive


def _result(primitive: dict[str, Any]) -> dict[str, Any]:
    """The members that an operationResult may have."""
    return {name: value for name, value in primitive.items() if name not in ("rvi", "vsi")}


TYPES = (declare("request", RequestHooks()),)
