"""Federation enablement API, `fed_enablement/v1`: the MEC systems this one knows, and their services [MEC 040]."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from mec_adapter.platform.authority import OPERATOR_SCOPE
from mec_adapter.platform.dependencies import PlatformDep, api_root, errors, listed, with_body
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.federation_models import (
    FederationPeerPost,
    FederationSystem,
    SystemInfo,
    SystemInfoPost,
    SystemInfoUpdate,
    SystemUpdateNotificationSubscription,
    SystemUpdateNotificationSubscriptionPost,
)
from mec_adapter.platform.federation_registry import Peer
from mec_adapter.platform.http import PlatformRoute, answer, check_if_match, created, entity_tag, no_content
from mec_adapter.platform.links import link_list, with_self
from mec_adapter.platform.problems import NotFound
from mec_adapter.platform.service_mgmt import QueryDep, ServiceId, representation
from mec_adapter.platform.service_mgmt_models import ServiceInfo
from mec_adapter.platform.shell import Platform
from mec_adapter.platform.wire import Identifier, SubscriptionLinkList

API = "fed_enablement"
router = APIRouter(route_class=PlatformRoute, tags=[API])
commands = APIRouter(route_class=PlatformRoute, tags=[OPERATOR_SCOPE], prefix="/mep/v1")

SystemId = Annotated[str, Path(alias="systemId")]
SubscriptionId = Annotated[str, Path(alias="subscriptionId")]
Names = Annotated[list[str], Query(default_factory=list)]


@router.get("/fed_resources/system_info", response_model=list[SystemInfo], responses=errors())
async def list_systems(platform: PlatformDep, systemId: Names, systemName: Names, systemProvider: Names) -> Response:
    """Return the known MEC systems, with query parameters to choose among them."""
    wanted = {"systemId": listed(systemId), "systemName": listed(systemName), "systemProvider": listed(systemProvider)}
    found = [
        info
        for info in platform.federation.systems()
        if all(not values or info[name] in values for name, values in wanted.items())
    ]
    return answer(found)


@router.post("/fed_resources/system_info", status_code=201, response_model=SystemInfo, responses=with_body())
async def add_system(request: Request, platform: PlatformDep, body: SystemInfoPost) -> Response:
    """Register a MEC system."""
    system_id = platform.env(request).new_id()
    platform.publish(platform.federation.add(body.document(), system_id, platform.client_of(request)))
    info = platform.federation.system(system_id)
    location = f"{api_root(request, platform, API)}/fed_resources/system_info/{system_id}"
    return created(info, location, {"ETag": entity_tag(info)})


@router.get("/fed_resources/system_info/{systemId}", response_model=SystemInfo, responses=errors())
async def read_system(platform: PlatformDep, system_id: SystemId) -> Response:
    """Return one MEC system."""
    info = platform.federation.system(system_id)
    return answer(info, headers={"ETag": entity_tag(info)})


@router.patch("/fed_resources/system_info/{systemId}", response_model=SystemInfo, responses=with_body(412))
async def change_system(
    request: Request, platform: PlatformDep, system_id: SystemId, body: SystemInfoUpdate
) -> Response:
    """Change a MEC system; its endpoint is the root of its APIs, where this platform finds its services."""
    check_if_match(request, platform.federation.system(system_id))
    info, events = platform.federation.change(system_id, body.document(), platform.client_of(request))
    platform.publish(events)
    return answer(info, headers={"ETag": entity_tag(info)})


@router.delete("/fed_resources/system_info/{systemId}", status_code=204, response_model=None, responses=errors(503))
async def remove_system(request: Request, platform: PlatformDep, system_id: SystemId) -> Response:
    """Forget a MEC system."""
    platform.federation.drop(system_id, platform.client_of(request))
    return no_content()


async def _services(request: Request, platform: Platform, system_id: str) -> list[JsonObject]:
    """Return the ServiceInfo of every service of a system: the own ones, or what its platform answers now."""
    if system_id == platform.federation.own["systemId"]:
        root = f"{platform.base_url(request)}/mec_service_mgmt/v1"
        return [representation(service, root) for service in platform.documents.every("service")]
    return await platform.peers.services(platform.federation.peer(system_id))


@router.get("/fed_resources/systems/{systemId}/services", response_model=list[ServiceInfo], responses=errors(502, 504))
async def list_services_of_system(
    request: Request, platform: PlatformDep, system_id: SystemId, query: QueryDep
) -> Response:
    """Return the services of a MEC system as its platform tells them now; the query is that of `services` on Mp1."""
    return answer([info for info in await _services(request, platform, system_id) if query.matches(info)])


@router.get(
    "/fed_resources/systems/{systemId}/services/{serviceId}",
    response_model=ServiceInfo,
    responses=errors(502, 504),
)
async def read_service_of_system(
    request: Request, platform: PlatformDep, system_id: SystemId, service_id: ServiceId
) -> Response:
    """Return one service of a MEC system as its platform tells it now."""
    for info in await _services(request, platform, system_id):
        if info["serInstanceId"] == service_id:
            return answer(info)
    raise NotFound(f"MEC system {system_id!r} has no service {service_id[:128]!r}; see the list of its services")


@router.get("/subscriptions", response_model=SubscriptionLinkList, responses=errors())
async def list_subscriptions(request: Request, platform: PlatformDep) -> Response:
    """Return the subscriptions of the requester."""
    records = platform.federation.subscriptions.every(platform.client_of(request))
    return answer(link_list(records, f"{api_root(request, platform, API)}/subscriptions"))


@router.post(
    "/subscriptions",
    status_code=201,
    response_model=SystemUpdateNotificationSubscription,
    responses=with_body(),
)
async def subscribe(
    request: Request, platform: PlatformDep, body: SystemUpdateNotificationSubscriptionPost
) -> Response:
    """Subscribe to MEC systems that come or change."""
    platform.check_callback(body.callbackReference)
    collection = f"{api_root(request, platform, API)}/subscriptions"
    owner, env = platform.client_of(request), platform.env(request)
    record, events = platform.federation.subscriptions.add(body.document(), collection, owner, env)
    platform.publish(events)
    shown = with_self(record, collection)
    return created(shown, shown["_links"]["self"]["href"], {"ETag": entity_tag(shown)})


@router.get("/subscriptions/{subscriptionId}", response_model=SystemUpdateNotificationSubscription, responses=errors())
async def read_subscription(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
    """Return one subscription."""
    record = platform.federation.subscriptions.find(subscription_id, platform.client_of(request))
    return _subscription_answer(request, platform, record)


@router.put(
    "/subscriptions/{subscriptionId}",
    response_model=SystemUpdateNotificationSubscription,
    responses=with_body(412),
)
async def replace_subscription(
    request: Request,
    platform: PlatformDep,
    subscription_id: SubscriptionId,
    body: SystemUpdateNotificationSubscriptionPost,
) -> Response:
    """Replace a subscription."""
    platform.check_callback(body.callbackReference)
    owner, subscriptions = platform.client_of(request), platform.federation.subscriptions
    present = with_self(subscriptions.find(subscription_id, owner), f"{api_root(request, platform, API)}/subscriptions")
    check_if_match(request, present)
    record, events = subscriptions.replace(subscription_id, body.document(), owner, platform.env(request))
    platform.publish(events)
    return _subscription_answer(request, platform, record)


@router.delete("/subscriptions/{subscriptionId}", status_code=204, response_model=None, responses=errors(503))
async def unsubscribe(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
    """Remove a subscription."""
    platform.publish(platform.federation.subscriptions.drop(subscription_id, platform.client_of(request)))
    return no_content()


@commands.get("/federation", response_model=list[FederationSystem], responses=errors())
async def list_federation(platform: PlatformDep) -> Response:
    """Return the known MEC systems with the roots of their APIs; credentials are not shown."""
    return answer([_operator_view(platform, info) for info in platform.federation.systems()])


@commands.put("/federation/{systemId}", response_model=FederationSystem, responses=with_body(409))
async def put_peer(
    platform: PlatformDep, system_id: Annotated[Identifier, Path(alias="systemId")], body: FederationPeerPost
) -> Response:
    """Make another MEC system known under its own systemId, with the root of its APIs and credentials for them."""
    platform.check_callback(body.apiRoot, "apiRoot")
    credentials = body.credentials.document() if body.credentials else None
    if body.credentials is not None:
        platform.check_callback(body.credentials.tokenEndpoint, "credentials.tokenEndpoint")
    info = {"systemName": body.systemName, "systemProvider": body.systemProvider}
    platform.publish(platform.federation.add_peer(system_id, info, Peer(body.apiRoot.rstrip("/"), credentials)))
    return answer(_operator_view(platform, platform.federation.system(system_id)))


@commands.delete("/federation/{systemId}", status_code=204, response_model=None, responses=errors(503))
async def drop_peer(platform: PlatformDep, system_id: SystemId) -> Response:
    """Forget a MEC system, whoever made it known."""
    platform.federation.drop(system_id, None)
    return no_content()


def _operator_view(platform: Platform, info: JsonObject) -> JsonObject:
    own = info == platform.federation.own
    if own:
        return {**info, "own": True}
    try:
        return {**info, "own": False, "apiRoot": platform.federation.peer(info["systemId"]).api_root}
    except NotFound:
        return {**info, "own": False}


def _subscription_answer(request: Request, platform: Platform, record: JsonObject) -> Response:
    shown = with_self(record, f"{api_root(request, platform, API)}/subscriptions")
    return answer(shown, headers={"ETag": entity_tag(shown)})
