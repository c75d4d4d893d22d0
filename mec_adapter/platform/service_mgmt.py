"""Service management API, `mec_service_mgmt/v1` [MEC 011 clause 8]."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from mec_adapter.platform.dependencies import (
    PlatformDep,
    ReadyAppId,
    api_root,
    errors,
    flag,
    listed,
    single,
    with_body,
)
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.events import SERVICE_SUBSCRIPTION
from mec_adapter.platform.http import PlatformRoute, answer, check_if_match, created, entity_tag, no_content
from mec_adapter.platform.links import link_list, with_self
from mec_adapter.platform.problems import BadRequest
from mec_adapter.platform.service_mgmt_models import (
    Locality,
    SerAvailabilityNotificationSubscription,
    SerAvailabilityNotificationSubscriptionPost,
    ServiceInfo,
    ServiceInfoPost,
    ServiceInfoPut,
    ServiceLivenessInfo,
    ServiceLivenessUpdate,
)
from mec_adapter.platform.services import ServiceQuery
from mec_adapter.platform.wire import SERIALIZERS, TRANSPORT_TYPES, SubscriptionLinkList, TransportInfo

API = "mec_service_mgmt"
router = APIRouter(route_class=PlatformRoute, tags=[API])

ServiceId = Annotated[str, Path(alias="serviceId", description="serInstanceId of the service")]
SubscriptionId = Annotated[str, Path(alias="subscriptionId")]
_BOOLEAN = {"enum": ["true", "false"]}


def service_query(
    request: Request,
    ser_instance_id: Annotated[list[str], Query(default_factory=list)],
    ser_name: Annotated[list[str], Query(default_factory=list)],
    ser_category_id: str | None = None,
    scope_of_locality: Locality | None = None,
    consumed_local_only: Annotated[str | None, Query(json_schema_extra=_BOOLEAN)] = None,
    is_local: Annotated[str | None, Query(json_schema_extra=_BOOLEAN)] = None,
) -> ServiceQuery:
    """Return which services are asked for [MEC 011 8.2.3.3.1].

    Raises:
        BadRequest: parameters that exclude each other, or a value that none of them takes.
    """
    single(request, "ser_category_id", "scope_of_locality", "consumed_local_only", "is_local")
    names = ("ser_instance_id", "ser_name", "ser_category_id")
    present = [name for name in names if name in request.query_params]
    if len(present) > 1:
        raise BadRequest(f"query parameters {' and '.join(present)} exclude each other; send one of them")
    return ServiceQuery(
        instance_ids=listed(ser_instance_id),
        names=listed(ser_name),
        category=ser_category_id,
        locality=scope_of_locality,
        consumed_local_only=flag("consumed_local_only", consumed_local_only),
        is_local=flag("is_local", is_local),
    )


QueryDep = Annotated[ServiceQuery, Depends(service_query)]


def representation(service: JsonObject, root: str) -> JsonObject:
    """Return the ServiceInfo of a service as consumers get it [MEC 011 8.1.2.2].

    Args:
        service: its record.
        root: URI of the API.
    """
    own = f"{root}/applications/{service['appInstanceId']}/services/{service['info']['serInstanceId']}"
    links: dict[str, Any] = {"self": {"href": own}}
    body: JsonObject = {**service["info"], "isLocal": True}
    if service["liveness"] is not None:
        body["livenessInterval"] = service["liveness"]["interval"]
        links["liveness"] = {"href": f"{own}/liveness"}
    body["_links"] = links
    return body


def check_strict(body: JsonObject, posted: bool) -> None:
    """Refuse what the platform forgives unless it is told to be strict.

    Raises:
        BadRequest: names the attribute.
    """
    if posted and "serInstanceId" in body:
        raise BadRequest("attribute serInstanceId is given by the platform; leave it out of POST")
    if body["serializer"] not in SERIALIZERS:
        raise BadRequest(f"attribute serializer is {body['serializer']!r}; send one of {', '.join(SERIALIZERS)}")
    transport = body.get("transportInfo")
    if transport is None:
        return
    if transport["type"] not in TRANSPORT_TYPES:
        raise BadRequest(
            f"attribute transportInfo.type is {transport['type']!r}; send one of {', '.join(TRANSPORT_TYPES)}"
        )
    if transport["type"] == "REST_HTTP" and ("uris" not in transport["endpoint"] or transport["protocol"] != "HTTP"):
        raise BadRequest("attribute transportInfo: a REST_HTTP transport has protocol HTTP and endpoint.uris")


@router.get("/services", response_model=list[ServiceInfo], responses=errors())
async def list_services(request: Request, platform: PlatformDep, query: QueryDep) -> Response:
    """Return the services available on the platform, with query parameters to choose among them."""
    root = api_root(request, platform, API)
    return answer([representation(service, root) for service in platform.registry.services.select(query)])


@router.get("/services/{serviceId}", response_model=ServiceInfo, responses=errors())
async def read_service(request: Request, platform: PlatformDep, service_id: ServiceId) -> Response:
    """Return one service."""
    return _service_answer(request, platform, platform.registry.services.find(service_id))


@router.get("/transports", response_model=list[TransportInfo], responses=errors())
async def list_transports(request: Request, platform: PlatformDep) -> Response:
    """Return the transports the platform provides."""
    return answer(platform.transports(request))


@router.get("/applications/{appInstanceId}/services", response_model=list[ServiceInfo], responses=errors())
async def list_app_services(request: Request, platform: PlatformDep, app_id: ReadyAppId, query: QueryDep) -> Response:
    """Return the services an application instance produces."""
    root = api_root(request, platform, API)
    return answer([representation(service, root) for service in platform.registry.services.select(query, app_id)])


@router.post(
    "/applications/{appInstanceId}/services", status_code=201, response_model=ServiceInfo, responses=with_body()
)
async def add_service(request: Request, platform: PlatformDep, app_id: ReadyAppId, body: ServiceInfoPost) -> Response:
    """Register a service."""
    sent = body.document()
    if platform.config.strict:
        check_strict(sent, posted=True)
    service, events = platform.registry.services.add(app_id, sent, platform.transports(request), platform.env(request))
    platform.publish(events)
    info = representation(service, api_root(request, platform, API))
    return created(info, info["_links"]["self"]["href"], {"ETag": entity_tag(info)})


@router.get("/applications/{appInstanceId}/services/{serviceId}", response_model=ServiceInfo, responses=errors())
async def read_app_service(
    request: Request, platform: PlatformDep, app_id: ReadyAppId, service_id: ServiceId
) -> Response:
    """Return one service of an application instance."""
    return _service_answer(request, platform, platform.registry.services.find(service_id, app_id))


@router.put("/applications/{appInstanceId}/services/{serviceId}", response_model=ServiceInfo, responses=with_body(412))
async def replace_service(
    request: Request, platform: PlatformDep, app_id: ReadyAppId, service_id: ServiceId, body: ServiceInfoPut
) -> Response:
    """Replace a service; a serInstanceId other than that of the path is ignored."""
    services = platform.registry.services
    service = services.find(service_id, app_id)
    sent = body.document()
    if platform.config.strict:
        check_strict(sent, posted=False)
    check_if_match(request, representation(service, api_root(request, platform, API)))
    service, events = services.replace(service, sent, platform.env(request))
    platform.publish(events)
    return _service_answer(request, platform, service)


@router.delete(
    "/applications/{appInstanceId}/services/{serviceId}", status_code=204, response_model=None, responses=errors(503)
)
async def remove_service(platform: PlatformDep, app_id: ReadyAppId, service_id: ServiceId) -> Response:
    """Deregister a service."""
    services = platform.registry.services
    platform.publish(services.remove([services.find(service_id, app_id)]))
    return no_content()


@router.get(
    "/applications/{appInstanceId}/services/{serviceId}/liveness",
    response_model=ServiceLivenessInfo,
    responses=errors(),
)
async def read_liveness(platform: PlatformDep, app_id: ReadyAppId, service_id: ServiceId) -> Response:
    """Return state, last heartbeat and interval; reached by the `liveness` link of the service only."""
    services = platform.registry.services
    info = services.liveness_info(services.find(service_id, app_id))
    return answer(info, headers={"ETag": entity_tag(info)})


@router.patch(
    "/applications/{appInstanceId}/services/{serviceId}/liveness",
    response_model=ServiceLivenessInfo,
    responses={204: {"description": "Heard; the interval stays"}, **with_body(409, 412)},
)
async def heartbeat(
    request: Request, platform: PlatformDep, app_id: ReadyAppId, service_id: ServiceId, body: ServiceLivenessUpdate
) -> Response:
    """Take a heartbeat: 204, or 200 when the platform wants another interval from now on."""
    services = platform.registry.services
    service = services.find(service_id, app_id)
    check_if_match(request, services.liveness_info(service))
    changed, events = services.heartbeat(service, platform.env(request))
    platform.publish(events)
    return answer(services.liveness_info(services.find(service_id))) if changed else no_content()


@router.get("/applications/{appInstanceId}/subscriptions", response_model=SubscriptionLinkList, responses=errors())
async def list_subscriptions(request: Request, platform: PlatformDep, app_id: ReadyAppId) -> Response:
    """Return the subscriptions of an application instance to service availability."""
    records = platform.registry.subscriptions(SERVICE_SUBSCRIPTION, app_id)
    return answer(link_list(records, f"{api_root(request, platform, API)}/applications/{app_id}/subscriptions"))


@router.post(
    "/applications/{appInstanceId}/subscriptions",
    status_code=201,
    response_model=SerAvailabilityNotificationSubscription,
    responses=with_body(),
)
async def subscribe(
    request: Request, platform: PlatformDep, app_id: ReadyAppId, body: SerAvailabilityNotificationSubscriptionPost
) -> Response:
    """Subscribe to the availability of services."""
    platform.check_callback(body.callbackReference)
    root = api_root(request, platform, API)
    record = platform.registry.subscribe(SERVICE_SUBSCRIPTION, app_id, body.document(), root, platform.env(request))
    shown = with_self(record, record["collection"])
    return created(shown, shown["_links"]["self"]["href"], {"ETag": entity_tag(shown)})


@router.get(
    "/applications/{appInstanceId}/subscriptions/{subscriptionId}",
    response_model=SerAvailabilityNotificationSubscription,
    responses=errors(),
)
async def read_subscription(
    request: Request, platform: PlatformDep, app_id: ReadyAppId, subscription_id: SubscriptionId
) -> Response:
    """Return one subscription."""
    record = platform.registry.subscription(SERVICE_SUBSCRIPTION, app_id, subscription_id)
    shown = with_self(record, f"{api_root(request, platform, API)}/applications/{app_id}/subscriptions")
    return answer(shown, headers={"ETag": entity_tag(shown)})


@router.delete(
    "/applications/{appInstanceId}/subscriptions/{subscriptionId}",
    status_code=204,
    response_model=None,
    responses=errors(503),
)
async def unsubscribe(platform: PlatformDep, app_id: ReadyAppId, subscription_id: SubscriptionId) -> Response:
    """Remove a subscription."""
    platform.publish(platform.registry.unsubscribe(SERVICE_SUBSCRIPTION, app_id, subscription_id))
    return no_content()


def _service_answer(request: Request, platform: PlatformDep, service: JsonObject) -> Response:
    info = representation(service, api_root(request, platform, API))
    return answer(info, headers={"ETag": entity_tag(info)})
