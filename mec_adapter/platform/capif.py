"""MEC profile for CAPIF: discover, publish, events over the same services as Mp1 [MEC 011 clause 9]."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from mec_adapter.platform.capif_mapping import description_of, service_info_of
from mec_adapter.platform.capif_models import (
    SERVICE_INFO,
    DiscoveredApis,
    EventSubscription,
    EventSubscriptionPatch,
    ServiceAPIDescription,
    ServiceAPIDescriptionPatch,
)
from mec_adapter.platform.dependencies import PlatformDep, errors, with_body
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.events import CAPIF_SUBSCRIPTION
from mec_adapter.platform.http import PlatformRoute, answer, check_if_match, created, entity_tag, no_content
from mec_adapter.platform.problems import BadRequest, NotFound
from mec_adapter.platform.services import ServiceQuery
from mec_adapter.platform.shell import Platform

SCOPE = "capif"
router = APIRouter(route_class=PlatformRoute, tags=[SCOPE])

ApiId = Annotated[str, Path(alias="serviceApiId")]
SubscriptionId = Annotated[str, Path(alias="subscriptionId")]
Text = Annotated[str | None, Query()]


def publisher(request: Request, platform: PlatformDep, apf_id: Annotated[str, Path(alias="apfId")]) -> str:
    """Return the application instance that publishes, which is what apfId names here.

    Raises:
        NotFound: no such application instance.
        Forbidden: it belongs to another client.
    """
    platform.registry.apps.check_owner(platform.registry.apps.find(apf_id), platform.client_of(request))
    return apf_id


def subscriber(
    request: Request, platform: PlatformDep, subscriber_id: Annotated[str, Path(alias="subscriberId")]
) -> str:
    """Return the application instance that subscribes, which is what subscriberId names here.

    Raises:
        NotFound: no such application instance.
        Forbidden: it belongs to another client.
    """
    return publisher(request, platform, subscriber_id)


Publisher = Annotated[str, Depends(publisher)]
Subscriber = Annotated[str, Depends(subscriber)]


@router.get("/service-apis/v1/allServiceAPIs", response_model=DiscoveredApis, responses=errors())
async def discover(
    platform: PlatformDep,
    api_name: Annotated[str | None, Query(alias="api-name")] = None,
    apiName: Text = None,
    api_id: Annotated[str | None, Query(alias="api-id")] = None,
    apiId: Text = None,
    api_invoker_id: Annotated[str | None, Query(alias="api-invoker-id")] = None,
    supported_features: Annotated[str | None, Query(alias="supported-features")] = None,
) -> Response:
    """Return the published APIs; a name or id that none has is 404."""
    del api_invoker_id, supported_features  # every invoker may see every service of this platform
    name, wanted_id = apiName or api_name, apiId or api_id
    found = platform.registry.services.select(
        ServiceQuery(names=(name,) if name else (), instance_ids=(wanted_id,) if wanted_id else ())
    )
    if not found and (name or wanted_id):
        raise NotFound(f"no API {name or wanted_id!r} is published; ask without apiName for those that are")
    return answer({"serviceAPIDescriptions": [description_of(service) for service in found]})


@router.get("/published-apis/v1/{apfId}/service-apis", response_model=list[ServiceAPIDescription], responses=errors())
async def list_published(platform: PlatformDep, app_id: Publisher) -> Response:
    """Return the APIs an application instance has published."""
    return answer([description_of(service) for service in platform.registry.services.of_app(app_id)])


@router.post(
    "/published-apis/v1/{apfId}/service-apis",
    status_code=201,
    response_model=ServiceAPIDescription,
    responses=with_body(),
)
async def publish(request: Request, platform: PlatformDep, app_id: Publisher, body: ServiceAPIDescription) -> Response:
    """Publish an API; it is a MEC service from then on."""
    sent = body.document()
    info, services = _not_suspended(service_info_of(sent)), platform.registry.services
    service, events = services.add(app_id, info, (), platform.env(request))
    service = services.annotate(service, capif=sent)
    platform.publish(events)
    shown = description_of(service)
    root = f"{platform.base_url(request)}/published-apis/v1/{app_id}/service-apis"
    return created(shown, f"{root}/{shown['apiId']}", {"ETag": entity_tag(shown)})


@router.get(
    "/published-apis/v1/{apfId}/service-apis/{serviceApiId}",
    response_model=ServiceAPIDescription,
    responses=errors(),
)
async def read_published(platform: PlatformDep, app_id: Publisher, api_id: ApiId) -> Response:
    """Return one published API."""
    return _shown(description_of(platform.registry.services.find(api_id, app_id)))


@router.put(
    "/published-apis/v1/{apfId}/service-apis/{serviceApiId}",
    response_model=ServiceAPIDescription,
    responses=with_body(412),
)
async def replace_published(
    request: Request, platform: PlatformDep, app_id: Publisher, api_id: ApiId, body: ServiceAPIDescription
) -> Response:
    """Replace a published API."""
    return _change(request, platform, app_id, api_id, body.document())


@router.patch(
    "/published-apis/v1/{apfId}/service-apis/{serviceApiId}",
    response_model=ServiceAPIDescription,
    responses=with_body(412),
)
async def patch_published(
    request: Request, platform: PlatformDep, app_id: Publisher, api_id: ApiId, body: ServiceAPIDescriptionPatch
) -> Response:
    """Change parts of a published API."""
    present = description_of(platform.registry.services.find(api_id, app_id))
    changes = body.document()
    if SERVICE_INFO in changes:
        # Only what was sent: the defaults of the model are no wish of the sender.
        sent = body.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)[SERVICE_INFO]
        changes[SERVICE_INFO] = {**present[SERVICE_INFO], **sent}
    return _change(request, platform, app_id, api_id, {**present, **changes})


@router.delete(
    "/published-apis/v1/{apfId}/service-apis/{serviceApiId}",
    status_code=204,
    response_model=None,
    responses=errors(503),
)
async def unpublish(platform: PlatformDep, app_id: Publisher, api_id: ApiId) -> Response:
    """Withdraw a published API."""
    services = platform.registry.services
    platform.publish(services.remove([services.find(api_id, app_id)]))
    return no_content()


@router.post(
    "/capif-events/v1/{subscriberId}/subscriptions",
    status_code=201,
    response_model=EventSubscription,
    responses=with_body(),
)
async def subscribe(request: Request, platform: PlatformDep, app_id: Subscriber, body: EventSubscription) -> Response:
    """Subscribe to the coming, going and changing of APIs."""
    platform.check_callback(body.notificationDestination)
    collection = f"{platform.base_url(request)}/capif-events/v1/{app_id}/subscriptions"
    record = platform.registry.subscribe(CAPIF_SUBSCRIPTION, app_id, body.document(), collection, platform.env(request))
    return created(record["body"], f"{collection}/{record['id']}")


@router.put(
    "/capif-events/v1/{subscriberId}/subscriptions/{subscriptionId}",
    response_model=EventSubscription,
    responses=with_body(),
)
async def replace_subscription(
    platform: PlatformDep, app_id: Subscriber, subscription_id: SubscriptionId, body: EventSubscription
) -> Response:
    """Replace a subscription."""
    return _change_subscription(platform, app_id, subscription_id, body.document(), keep=False)


@router.patch(
    "/capif-events/v1/{subscriberId}/subscriptions/{subscriptionId}",
    response_model=EventSubscription,
    responses=with_body(),
)
async def patch_subscription(
    platform: PlatformDep, app_id: Subscriber, subscription_id: SubscriptionId, body: EventSubscriptionPatch
) -> Response:
    """Change parts of a subscription."""
    return _change_subscription(platform, app_id, subscription_id, body.document(), keep=True)


@router.delete(
    "/capif-events/v1/{subscriberId}/subscriptions/{subscriptionId}",
    status_code=204,
    response_model=None,
    responses=errors(503),
)
async def unsubscribe(platform: PlatformDep, app_id: Subscriber, subscription_id: SubscriptionId) -> Response:
    """Remove a subscription."""
    platform.publish(platform.registry.unsubscribe(CAPIF_SUBSCRIPTION, app_id, subscription_id))
    return no_content()


def _shown(description: JsonObject) -> Response:
    return answer(description, headers={"ETag": entity_tag(description)})


def _not_suspended(info: JsonObject) -> JsonObject:
    if info["state"] == "SUSPENDED":
        raise BadRequest(f"attribute {SERVICE_INFO}.state is SUSPENDED, which only the platform sets; send ACTIVE")
    return info


def _change(request: Request, platform: Platform, app_id: str, api_id: str, description: JsonObject) -> Response:
    services = platform.registry.services
    service = services.find(api_id, app_id)
    check_if_match(request, description_of(service))
    info = _not_suspended(service_info_of(description))
    service, events = services.replace(service, info, platform.env(request))
    service = services.annotate(service, capif=description)
    platform.publish(events)
    return _shown(description_of(service))


def _change_subscription(
    platform: Platform, app_id: str, subscription_id: str, body: dict[str, Any], keep: bool
) -> Response:
    registry = platform.registry
    record = registry.subscription(CAPIF_SUBSCRIPTION, app_id, subscription_id)
    if "notificationDestination" in body:
        platform.check_callback(body["notificationDestination"])
    record = {**record, "body": {**record["body"], **body} if keep else body}
    registry.documents.keep(CAPIF_SUBSCRIPTION, subscription_id, record)
    return answer(record["body"])
