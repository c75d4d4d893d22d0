"""Checks of a request before its target is looked at (TS-0004 clause 7.3.2.1, Recv-1.0)."""

from __future__ import annotations

from cse.core.context import RequestContext
from cse.core.identity import check_identity
from cse.onem2m.addressing import is_entity_id
from cse.onem2m.errors import BadRequest, ReleaseVersionNotSupported, RequestTimeout
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Operation, Request, ResultContent
from cse.onem2m.timestamps import absolute_time, is_timestamp

_EVENT_CATEGORIES = frozenset({2, 3, 4}) | frozenset(range(100, 1000))


def check_request(ctx: RequestContext) -> None:
    """Refuse a request whose parameters are missing, malformed or do not go with its operation.

    Raises:
        BadRequest: with the parameter's name and what to send.
        ReleaseVersionNotSupported: rvi is absent or not among the supported releases.
        RequestTimeout: rqet or rset has passed.
        SecurityAssociationRequired, OriginatorHasNotRegistered: see ``identity``.
    """
    request = ctx.request
    if not request.request_id:
        raise BadRequest("the request identifier (rqi, X-M2M-RI) is missing: send any text unique to this request")
    _check_release(ctx)
    if not request.originator:
        if not (request.operation is Operation.CREATE and request.resource_type == 2):
            raise BadRequest("the originator (fr, X-M2M-Origin) is missing: send your AE-ID, e.g. Cmy-ae")
    elif not is_entity_id(request.originator):
        raise BadRequest(f"the originator {request.originator!r} is no AE-ID or CSE-ID: send e.g. Cmy-ae or /cse-id")
    if request.binding:
        check_identity(ctx)
        request = ctx.request
    if request.operation is Operation.CREATE:
        if request.resource_type is None:
            raise BadRequest("the resource type (ty) is missing: a CREATE must say what to create, e.g. ty=3")
        if request.filter:
            raise BadRequest("filter criteria are not allowed in a CREATE: leave them out")
    elif request.resource_type is not None:
        raise BadRequest("the resource type (ty) is allowed in a CREATE only: leave it out")
    if _has_times(request):
        _check_times(ctx)
    _check_values(request)


def _check_release(ctx: RequestContext) -> None:
    release = ctx.request.release
    settings = ctx.settings
    if release is None:
        if not settings.lenient and "1" not in settings.releases:
            raise ReleaseVersionNotSupported(
                f"the release version indicator (rvi, X-M2M-RVI) is missing: send one of {', '.join(settings.releases)}"
            )
    elif release not in settings.releases:
        raise ReleaseVersionNotSupported(
            f"release version {release!r} is not supported: send one of {', '.join(settings.releases)}"
        )


def _has_times(request: Request) -> bool:
    return not (
        request.request_expiration is None
        and request.result_expiration is None
        and request.execution_time is None
        and request.originating_time is None
        and request.result_persistence is None
    )


def _check_times(ctx: RequestContext) -> None:
    request, now = ctx.request, ctx.env.now
    if request.originating_time is not None and not is_timestamp(request.originating_time):
        raise BadRequest("the originating timestamp (ot) must be YYYYMMDDThhmmss[,ffffff] in UTC")
    expiry = result = None
    if request.request_expiration is not None:
        expiry = absolute_time(request.request_expiration, now)
        if expiry <= now:
            raise RequestTimeout("the request expiration timestamp (rqet) has passed: send a later one")
    if request.result_expiration is not None:
        result = absolute_time(request.result_expiration, now)
        if result <= now:
            raise RequestTimeout("the result expiration timestamp (rset) has passed: send a later one")
        if expiry is not None and result < expiry:
            raise BadRequest("the result expiration timestamp (rset) must not be before the request's (rqet)")
    if request.execution_time is not None:
        execution = absolute_time(request.execution_time, now)
        if (expiry is not None and execution >= expiry) or (result is not None and execution >= result):
            raise BadRequest("the operation execution time (oet) must be before rqet and rset")
    if request.result_persistence is not None:
        absolute_time(request.result_persistence, now)


def _check_values(request: Request) -> None:
    kind = request.response_type
    if kind is not None and kind not in (1, 2, 3, 4, 5):
        raise BadRequest("the response type (rt) must be 1 to 5")
    if request.response_targets is not None and kind not in (2, 4):
        raise BadRequest("notification targets for the response (rt nu, X-M2M-RTU) go with rt 2 only")
    if request.event_category is not None and request.event_category not in _EVENT_CATEGORIES:
        raise BadRequest("the event category (ec) must be 2, 3, 4 or 100 to 999")
    if request.delivery_aggregation:
        raise NotSupported("delivery aggregation (da) is not supported by this CSE: leave it out")
    if request.desired_identifier is not None:
        if request.desired_identifier not in (1, 2):
            raise BadRequest("the desired identifier result type (drt) must be 1 (structured) or 2 (unstructured)")
        if request.operation is not Operation.RETRIEVE:
            raise BadRequest("the desired identifier result type (drt) goes with RETRIEVE only")
    if request.semantic_query is not None and request.operation is not Operation.RETRIEVE:
        raise BadRequest("the semantic query indicator (sqi) goes with RETRIEVE only")
    if request.filter:
        usage = request.filter.get("fu", 2)
        if usage == 4:
            raise NotSupported("discovery-based operations (fu=4) are not supported by this CSE")
        if usage not in (1, 2, 3):
            raise BadRequest("filter 'fu' must be 1 (discovery), 2 (conditional) or 3 (IPE on-demand discovery)")
        if usage != 2 and request.operation is not Operation.RETRIEVE:
            raise BadRequest("filter 'fu' 1 and 3 go with RETRIEVE only")
    if request.result_content == ResultContent.SEMANTIC_CONTENT or request.semantic_query:
        if not (request.filter and request.filter.get("smf")):
            raise BadRequest("rcn 10 and semantic queries (sqi) need a query: send filter 'smf' too")
        if request.semantic_query and request.result_content != ResultContent.SEMANTIC_CONTENT:
            raise BadRequest("a semantic query (sqi) gives semantic content: send rcn 10 too")
        if request.semantic_query is False:
            raise BadRequest("rcn 10 is the result of a semantic query: send sqi true, or leave rcn out to discover")
