"""Application lifecycle façade, `app_lcm/v1`: application instances, and subscriptions to them [MEC 010-2 7.4]."""

from typing import Annotated, ClassVar, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from mec_adapter.platform.app_lcm_registry import app_instance_info
from mec_adapter.platform.attribute_query import AttributeQueryDep
from mec_adapter.platform.dependencies import KnownApp, PlatformDep, api_root, errors, single, with_body
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.http import PlatformRoute, answer, created, entity_tag, no_content
from mec_adapter.platform.links import link_list
from mec_adapter.platform.wire import CallbackUri, SelfLinks, SubscriptionLinkList, Text, Wire, whole

API = "app_lcm"
router = APIRouter(route_class=PlatformRoute, tags=[API])


class InstantiatedAppState(Wire):
    """State of an instance that is instantiated [MEC 010-2 6.2.2.7]."""

    operationalState: Literal["STARTED", "STOPPED"] | None = None


class AppInstanceInfo(Wire):
    """An application instance as management sees it [MEC 010-2 6.2.2.4]; attributes may be left out by the query."""

    id: str | None = None
    appInstanceName: str | None = None
    appInstanceDescription: str | None = None
    appDId: str | None = None
    appProvider: str | None = None
    appName: str | None = None
    appSoftVersion: str | None = None
    appDVersion: str | None = None
    appPkgId: str | None = None
    instantiationState: Literal["NOT_INSTANTIATED", "INSTANTIATED"] | None = None
    instantiatedAppState: InstantiatedAppState | None = None
    links: SelfLinks | None = Field(default=None, alias="_links")


class AppsFromProvider(Wire):
    """The applications of one provider."""

    appProvider: Text


class AppInstanceSubscriptionFilter(Wire):
    """Which application instances a subscription is about; the selector says what appInstances holds [MEC 010-2 6.2.1].

    0 all, 1 appInstanceId, 2 appName, 3 appDId, 4 appProvider (also in appsFromProviders).
    """

    appInstSelectorType: Annotated[Literal[0, 1, 2, 3, 4], whole]
    appInstances: list[Text] | None = None
    appsFromProviders: list[AppsFromProvider] | None = None


class AppInstSubscriptionRequest(Wire):
    """A subscription to the life of application instances, as sent [MEC 010-2 6.2.2.8]."""

    wrappers: ClassVar[tuple[str, ...]] = ("AppInstSubscriptionRequest",)

    subscriptionType: Literal[
        "AppInstanceStateChangeSubscription", "AppIdentifierCreationSubscription", "AppIdentifierDeletionSubscription"
    ]
    callbackUri: CallbackUri
    appInstanceState: Literal["NOT_INSTANTIATED", "STARTED", "STOPPED"] | None = None
    appInstanceSubscriptionFilter: AppInstanceSubscriptionFilter | None = None


class AppInstSubscriptionInfo(AppInstSubscriptionRequest):
    """A subscription to the life of application instances, as answered [MEC 010-2 6.2.2.9]."""

    id: str
    links: SelfLinks = Field(alias="_links")


SubscriptionId = Annotated[str, Path(alias="subscriptionId")]


@router.get("/app_instances", response_model=list[AppInstanceInfo], responses=errors())
async def list_app_instances(request: Request, platform: PlatformDep, query: AttributeQueryDep) -> Response:
    """Return the application instances of the requester, with attribute filter and selectors."""
    root, client = api_root(request, platform, API), platform.client_of(request)
    apps = [app for app in platform.registry.apps.every() if client in (None, app["owner"])]
    return answer(query.apply(app_instance_info(app, root) for app in apps))


@router.get("/app_instances/{appInstanceId}", response_model=AppInstanceInfo, responses=errors())
async def read_app_instance(request: Request, platform: PlatformDep, app: KnownApp) -> Response:
    """Return one application instance."""
    return answer(app_instance_info(app, api_root(request, platform, API)))


@router.get("/subscriptions", response_model=SubscriptionLinkList, responses=errors())
async def list_subscriptions(
    request: Request,
    platform: PlatformDep,
    subscription_type: Annotated[
        Literal[
            "AppInstanceStateChangeSubscription",
            "AppIdentifierCreationSubscription",
            "AppIdentifierDeletionSubscription",
            "AppLcmOpOccStateChangeSubscription",
        ]
        | None,
        Query(alias="subscriptionType"),
    ] = None,
) -> Response:
    """Return the subscriptions of the requester."""
    single(request, "subscriptionType")
    records = [
        record
        for record in platform.app_states.subscriptions(platform.client_of(request))
        if subscription_type in (None, record["body"]["subscriptionType"])
    ]
    return answer(link_list(records, f"{api_root(request, platform, API)}/subscriptions"))


@router.post("/subscriptions", status_code=201, response_model=AppInstSubscriptionInfo, responses=with_body())
async def subscribe(request: Request, platform: PlatformDep, body: AppInstSubscriptionRequest) -> Response:
    """Subscribe to application instances that come, go, start and stop."""
    platform.check_callback(body.callbackUri, "callbackUri")
    root, client = api_root(request, platform, API), platform.client_of(request)
    record = platform.app_states.subscribe(body.document(), root, client, platform.env(request))
    shown = _shown(record, root)
    return created(shown, shown["_links"]["self"]["href"], {"ETag": entity_tag(shown)})


@router.get("/subscriptions/{subscriptionId}", response_model=AppInstSubscriptionInfo, responses=errors())
async def read_subscription(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
    """Return one subscription."""
    record = platform.app_states.subscription(subscription_id, platform.client_of(request))
    shown = _shown(record, api_root(request, platform, API))
    return answer(shown, headers={"ETag": entity_tag(shown)})


@router.delete("/subscriptions/{subscriptionId}", status_code=204, response_model=None, responses=errors(503))
async def unsubscribe(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
    """Remove a subscription."""
    platform.publish(platform.app_states.unsubscribe(subscription_id, platform.client_of(request)))
    return no_content()


def _shown(record: JsonObject, root: str) -> JsonObject:
    own = f"{root}/subscriptions/{record['id']}"
    return {"id": record["id"], **record["body"], "_links": {"self": {"href": own}}}
