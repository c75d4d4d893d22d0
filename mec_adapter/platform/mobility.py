"""Application mobility API, `amsi/v1`, and the command that stands in for the network's mobility events [MEC 021]."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import Discriminator, Tag

from mec_adapter.platform.attribute_query import AttributeQueryDep
from mec_adapter.platform.authority import OPERATOR_SCOPE
from mec_adapter.platform.dependencies import PlatformDep, api_root, errors, single, with_body
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.http import PlatformRoute, answer, check_if_match, created, entity_tag, no_content
from mec_adapter.platform.mobility_models import (
    AdjacentAppInfoSubscription,
    AdjacentAppInfoSubscriptionPost,
    AdjacentAppInstanceInfo,
    AdjacentAppInstancePart,
    MobilityEvent,
    MobilityProcedureSubscription,
    MobilityProcedureSubscriptionPost,
    MobilitySubscriptionList,
    Notified,
    RegistrationInfo,
    RegistrationInfoPost,
)
from mec_adapter.platform.pattern_subscriptions import shown
from mec_adapter.platform.shell import Platform

API = "amsi"
router = APIRouter(route_class=PlatformRoute, tags=[API])
commands = APIRouter(route_class=PlatformRoute, tags=[OPERATOR_SCOPE], prefix="/mep/v1")

_TYPES = {"mobility_proc": "MobilityProcedureSubscription", "adj_app_info": "AdjacentAppInfoSubscription"}


def _subscription_type(value: Any) -> Any:
    if not isinstance(value, dict):
        return getattr(value, "subscriptionType", None)
    name = next(iter(value), None)
    return name if len(value) == 1 and name in _TYPES.values() else value.get("subscriptionType")


SubscriptionPost = Annotated[
    Annotated[MobilityProcedureSubscriptionPost, Tag("MobilityProcedureSubscription")]
    | Annotated[AdjacentAppInfoSubscriptionPost, Tag("AdjacentAppInfoSubscription")],
    Discriminator(_subscription_type),
    Body(),
]
Subscription = MobilityProcedureSubscription | AdjacentAppInfoSubscription
ServiceId = Annotated[str, Path(alias="appMobilityServiceId")]
SubscriptionId = Annotated[str, Path(alias="subscriptionId")]


def _check_consumer(platform: Platform, body: RegistrationInfoPost, client: str | None) -> None:
    """Refuse a registration in the name of another client's application instance."""
    app = platform.documents.find("app", body.serviceConsumerId.appInstanceId or "")
    if app is not None:
        platform.registry.apps.check_owner(app, client)


@router.get("/app_mobility_services", response_model=list[RegistrationInfo], responses=errors())
async def list_services(request: Request, platform: PlatformDep, query: AttributeQueryDep) -> Response:
    """Return the registrations of the requester, with attribute filter and selectors."""
    return answer(query.apply(platform.mobility.registrations(platform.client_of(request))))


@router.post("/app_mobility_services", status_code=201, response_model=RegistrationInfo, responses=with_body())
async def register(request: Request, platform: PlatformDep, body: RegistrationInfoPost) -> Response:
    """Register for mobility support."""
    client = platform.client_of(request)
    _check_consumer(platform, body, client)
    info = platform.mobility.register(body.document(), client, platform.env(request))
    location = f"{api_root(request, platform, API)}/app_mobility_services/{info['appMobilityServiceId']}"
    return created(info, location, {"ETag": entity_tag(info)})


@router.get("/app_mobility_services/{appMobilityServiceId}", response_model=RegistrationInfo, responses=errors())
async def read_service(request: Request, platform: PlatformDep, service_id: ServiceId) -> Response:
    """Return one registration."""
    info = platform.mobility.registration(service_id, platform.client_of(request))
    return answer(info, headers={"ETag": entity_tag(info)})


@router.put("/app_mobility_services/{appMobilityServiceId}", response_model=RegistrationInfo, responses=with_body(412))
async def replace_service(
    request: Request, platform: PlatformDep, service_id: ServiceId, body: RegistrationInfoPost
) -> Response:
    """Replace a registration, e.g. to say that the user context is transferred."""
    client = platform.client_of(request)
    check_if_match(request, platform.mobility.registration(service_id, client))
    _check_consumer(platform, body, client)
    info = platform.mobility.replace(service_id, body.document(), client, platform.env(request))
    return answer(info, headers={"ETag": entity_tag(info)})


@router.delete(
    "/app_mobility_services/{appMobilityServiceId}", status_code=204, response_model=None, responses=errors(503)
)
async def remove_service(request: Request, platform: PlatformDep, service_id: ServiceId) -> Response:
    """Remove a registration."""
    platform.mobility.drop(service_id, platform.client_of(request))
    return no_content()


@router.post(
    "/app_mobility_services/{appMobilityServiceId}/deregister_task",
    status_code=204,
    response_model=None,
    responses=errors(503),
)
async def deregister_task(request: Request, platform: PlatformDep, service_id: ServiceId) -> Response:
    """Remove a registration because its timer is over."""
    platform.mobility.drop(service_id, platform.client_of(request))
    return no_content()


@router.get("/subscriptions", response_model=MobilitySubscriptionList, responses=errors())
async def list_subscriptions(
    request: Request,
    platform: PlatformDep,
    subscription_type: Annotated[
        Literal["mobility_proc", "adj_app_info"] | None, Query(alias="subscriptionType")
    ] = None,
) -> Response:
    """Return the subscriptions of the requester."""
    single(request, "subscriptionType")
    collection = f"{api_root(request, platform, API)}/subscriptions"
    wanted = _TYPES.get(subscription_type or "")
    entries = [
        {"href": f"{collection}/{record['id']}", "subscriptionType": record["body"]["subscriptionType"]}
        for record in platform.mobility.subscriptions.every(platform.client_of(request))
        if wanted in (None, record["body"]["subscriptionType"])
    ]
    return answer({"_links": {"self": {"href": collection}, "subscription": entries}})


@router.post("/subscriptions", status_code=201, response_model=Subscription, responses=with_body())
async def subscribe(request: Request, platform: PlatformDep, body: SubscriptionPost) -> Response:
    """Subscribe to mobility procedures, or to neighbouring application instances."""
    platform.check_callback(body.callbackReference)
    collection = f"{api_root(request, platform, API)}/subscriptions"
    owner, env = platform.client_of(request), platform.env(request)
    record, events = platform.mobility.subscriptions.add(body.document(), collection, owner, env)
    platform.publish(events)
    body_shown = shown(record, collection)
    return created(body_shown, f"{collection}/{record['id']}", {"ETag": entity_tag(body_shown)})


@router.get("/subscriptions/{subscriptionId}", response_model=Subscription, responses=errors())
async def read_subscription(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
    """Return one subscription."""
    record = platform.mobility.subscriptions.find(subscription_id, platform.client_of(request))
    return _subscription_answer(request, platform, record)


@router.put("/subscriptions/{subscriptionId}", response_model=Subscription, responses=with_body(412))
async def replace_subscription(
    request: Request, platform: PlatformDep, subscription_id: SubscriptionId, body: SubscriptionPost
) -> Response:
    """Replace a subscription."""
    platform.check_callback(body.callbackReference)
    owner, subscriptions = platform.client_of(request), platform.mobility.subscriptions
    present = shown(subscriptions.find(subscription_id, owner), f"{api_root(request, platform, API)}/subscriptions")
    check_if_match(request, present)
    record, events = subscriptions.replace(subscription_id, body.document(), owner, platform.env(request))
    platform.publish(events)
    return _subscription_answer(request, platform, record)


@router.delete("/subscriptions/{subscriptionId}", status_code=204, response_model=None, responses=errors(503))
async def unsubscribe(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
    """Remove a subscription."""
    platform.publish(platform.mobility.subscriptions.drop(subscription_id, platform.client_of(request)))
    return no_content()


@router.get("/queries/adjacent_app_instances", response_model=list[AdjacentAppInstancePart], responses=errors())
async def list_neighbours(platform: PlatformDep, query: AttributeQueryDep) -> Response:
    """Return the application instances on neighbouring MEC hosts, as the operator made them known."""
    return answer(query.apply(platform.mobility.neighbours()))


@commands.post("/mobility_events", status_code=202, response_model=Notified, responses=with_body())
async def report_mobility(request: Request, platform: PlatformDep, body: MobilityEvent) -> Response:
    """Report a mobility event; a completed one also moves the device applications' contexts to the target."""
    event = body.document()
    events = platform.mobility.moved(event, platform.env(request))
    if body.mobilityStatus == 2:
        events += platform.device_apps.moved(event, platform.registry.apps)
    platform.publish(events)
    return answer({"notifications": len(events)}, 202)


@commands.put("/adjacent_app_instances", response_model=Notified, responses=with_body())
async def set_neighbours(request: Request, platform: PlatformDep, body: list[AdjacentAppInstanceInfo]) -> Response:
    """Say which application instances there are on neighbouring MEC hosts."""
    events = platform.mobility.set_neighbours([instance.document() for instance in body], platform.env(request))
    platform.publish(events)
    return answer({"notifications": len(events)})


def _subscription_answer(request: Request, platform: Platform, record: JsonObject) -> Response:
    body = shown(record, f"{api_root(request, platform, API)}/subscriptions")
    return answer(body, headers={"ETag": entity_tag(body)})
