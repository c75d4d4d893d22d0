"""Application support API, `mec_app_support/v1` and `/v2` [MEC 011 clause 7]."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from mec_adapter.platform.app_support_models import (
    AppInfo,
    AppReadyConfirmation,
    AppTerminationConfirmation,
    AppTerminationNotificationSubscription,
    AppTerminationNotificationSubscriptionPost,
    CurrentTime,
    DnsRule,
    TimingCaps,
    TrafficRule,
)
from mec_adapter.platform.dependencies import (
    AppInstanceId,
    KnownApp,
    PlatformDep,
    ReadyAppId,
    api_root,
    errors,
    with_body,
)
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.environment import time_stamp
from mec_adapter.platform.events import APP_SUBSCRIPTION
from mec_adapter.platform.http import PlatformRoute, answer, check_if_match, created, entity_tag, no_content
from mec_adapter.platform.links import link_list, with_self
from mec_adapter.platform.problems import BadRequest
from mec_adapter.platform.wire import SubscriptionLinkList

API = "mec_app_support"
router = APIRouter(route_class=PlatformRoute, tags=[API])

TrafficRuleId = Annotated[str, Path(alias="trafficRuleId")]
DnsRuleId = Annotated[str, Path(alias="dnsRuleId")]
SubscriptionId = Annotated[str, Path(alias="subscriptionId")]


@router.post("/registrations", status_code=201, response_model=AppInfo, responses=with_body())
async def register(request: Request, platform: PlatformDep, body: AppInfo) -> Response:
    """Register an application instance; of two registrations of one appInstanceId the newest wins."""
    owner = platform.client_of(request)
    info, events = platform.registry.register(body.document(), owner, platform.env(request))
    platform.publish(events)
    location = f"{api_root(request, platform, API)}/registrations/{info['appInstanceId']}"
    return created(info, location, {"ETag": entity_tag(info)})


@router.get("/registrations/{appInstanceId}", response_model=AppInfo, responses=errors())
async def read_registration(platform: PlatformDep, app_id: AppInstanceId) -> Response:
    """Return the registration of an application instance."""
    info = platform.registry.apps.registration(app_id)
    return answer(info, headers={"ETag": entity_tag(info)})


@router.put("/registrations/{appInstanceId}", status_code=204, response_model=None, responses=with_body(412))
async def update_registration(
    request: Request, platform: PlatformDep, app_id: AppInstanceId, body: AppInfo
) -> Response:
    """Replace the registration of an application instance."""
    check_if_match(request, platform.registry.apps.registration(app_id))
    platform.registry.apps.update_registration(app_id, body.document())
    return no_content()


@router.delete("/registrations/{appInstanceId}", status_code=204, response_model=None, responses=errors(503))
async def deregister(platform: PlatformDep, app_id: AppInstanceId) -> Response:
    """Remove a registration, with the services and subscriptions of the application instance."""
    platform.publish(platform.registry.deregister(app_id))
    return no_content()


@router.post(
    "/applications/{appInstanceId}/confirm_ready", status_code=204, response_model=None, responses=with_body(409)
)
async def confirm_ready(platform: PlatformDep, app: KnownApp, body: AppReadyConfirmation) -> Response:
    """Take the word of an application instance that it is up and running."""
    platform.registry.apps.confirm_ready(app["appInstanceId"])
    return no_content()


@router.post(
    "/applications/{appInstanceId}/confirm_termination", status_code=204, response_model=None, responses=with_body(409)
)
async def confirm_termination(platform: PlatformDep, app: KnownApp, body: AppTerminationConfirmation) -> Response:
    """Take the word of an application instance that it is ready to be stopped or terminated."""
    platform.publish(platform.registry.confirm_termination(app["appInstanceId"], body.operationAction))
    return no_content()


@router.get("/applications/{appInstanceId}/subscriptions", response_model=SubscriptionLinkList, responses=errors())
async def list_subscriptions(request: Request, platform: PlatformDep, app_id: ReadyAppId) -> Response:
    """Return the subscriptions of an application instance to its own termination."""
    records = platform.registry.subscriptions(APP_SUBSCRIPTION, app_id)
    return answer(link_list(records, f"{api_root(request, platform, API)}/applications/{app_id}/subscriptions"))


@router.post(
    "/applications/{appInstanceId}/subscriptions",
    status_code=201,
    response_model=AppTerminationNotificationSubscription,
    responses=with_body(),
)
async def subscribe(
    request: Request, platform: PlatformDep, app_id: ReadyAppId, body: AppTerminationNotificationSubscriptionPost
) -> Response:
    """Subscribe to the termination of the own instance."""
    if body.appInstanceId != app_id:
        raise BadRequest(f"attribute appInstanceId is not that of the path; send {app_id!r}")
    platform.check_callback(body.callbackReference)
    root = api_root(request, platform, API)
    record = platform.registry.subscribe(APP_SUBSCRIPTION, app_id, body.document(), root, platform.env(request))
    shown = with_self(record, record["collection"])
    return created(shown, shown["_links"]["self"]["href"], {"ETag": entity_tag(shown)})


@router.get(
    "/applications/{appInstanceId}/subscriptions/{subscriptionId}",
    response_model=AppTerminationNotificationSubscription,
    responses=errors(),
)
async def read_subscription(
    request: Request, platform: PlatformDep, app_id: ReadyAppId, subscription_id: SubscriptionId
) -> Response:
    """Return one subscription."""
    record = platform.registry.subscription(APP_SUBSCRIPTION, app_id, subscription_id)
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
    platform.publish(platform.registry.unsubscribe(APP_SUBSCRIPTION, app_id, subscription_id))
    return no_content()


@router.get("/applications/{appInstanceId}/traffic_rules", response_model=list[TrafficRule], responses=errors())
async def list_traffic_rules(platform: PlatformDep, app_id: ReadyAppId) -> Response:
    """Return the traffic rules of an application instance."""
    return answer(platform.registry.apps.find(app_id)["trafficRules"])


@router.get(
    "/applications/{appInstanceId}/traffic_rules/{trafficRuleId}", response_model=TrafficRule, responses=errors()
)
async def read_traffic_rule(platform: PlatformDep, app_id: ReadyAppId, rule_id: TrafficRuleId) -> Response:
    """Return one traffic rule."""
    return _rule_answer(platform.registry.apps.rule(app_id, "traffic", rule_id))


@router.put(
    "/applications/{appInstanceId}/traffic_rules/{trafficRuleId}",
    response_model=TrafficRule,
    responses=with_body(412),
)
async def replace_traffic_rule(
    request: Request,
    platform: PlatformDep,
    app_id: ReadyAppId,
    rule_id: TrafficRuleId,
    body: TrafficRule,
) -> Response:
    """Activate, deactivate or change a traffic rule."""
    return _replace_rule(request, platform, app_id, "traffic", rule_id, body.document())


@router.get("/applications/{appInstanceId}/dns_rules", response_model=list[DnsRule], responses=errors())
async def list_dns_rules(platform: PlatformDep, app_id: ReadyAppId) -> Response:
    """Return the DNS rules of an application instance."""
    return answer(platform.registry.apps.find(app_id)["dnsRules"])


@router.get("/applications/{appInstanceId}/dns_rules/{dnsRuleId}", response_model=DnsRule, responses=errors())
async def read_dns_rule(platform: PlatformDep, app_id: ReadyAppId, rule_id: DnsRuleId) -> Response:
    """Return one DNS rule."""
    return _rule_answer(platform.registry.apps.rule(app_id, "dns", rule_id))


@router.put("/applications/{appInstanceId}/dns_rules/{dnsRuleId}", response_model=DnsRule, responses=with_body(412))
async def replace_dns_rule(
    request: Request,
    platform: PlatformDep,
    app_id: ReadyAppId,
    rule_id: DnsRuleId,
    body: DnsRule,
) -> Response:
    """Activate, deactivate or change a DNS rule."""
    return _replace_rule(request, platform, app_id, "dns", rule_id, body.document())


@router.get("/timing/timing_caps", response_model=TimingCaps, response_model_exclude_none=True, responses=errors())
async def timing_caps(platform: PlatformDep) -> Response:
    """Return the timing capabilities of the platform."""
    servers = [
        {
            "ntpServerAddrType": server.address_type,
            "ntpServerAddr": server.address,
            "minPollingInterval": server.min_poll_exponent,
            "maxPollingInterval": server.max_poll_exponent,
            "localPriority": server.local_priority,
            "authenticationOption": "NONE",
        }
        for server in platform.config.ntp_servers
    ]
    caps: JsonObject = {"timeStamp": time_stamp(platform.wall_clock())}
    if servers:
        caps["ntpServers"] = servers
    if platform.config.ptp_masters:
        caps["ptpMasters"] = [
            {
                "ptpMasterIpAddress": master.address,
                "ptpMasterLocalPriority": master.local_priority,
                "delayReqMaxRate": master.delay_request_max_rate,
            }
            for master in platform.config.ptp_masters
        ]
    return answer(caps)


@router.get("/timing/current_time", response_model=CurrentTime, responses=errors())
async def current_time(platform: PlatformDep) -> Response:
    """Return the time of the platform."""
    status = "TRACEABLE" if platform.config.time_traceable else "NONTRACEABLE"
    return answer({**time_stamp(platform.wall_clock()), "timeSourceStatus": status})


def _rule_answer(rule: JsonObject) -> Response:
    return answer(rule, headers={"ETag": entity_tag(rule)})


def _replace_rule(
    request: Request, platform: PlatformDep, app_id: str, kind: str, rule_id: str, rule: JsonObject
) -> Response:
    check_if_match(request, platform.registry.apps.rule(app_id, kind, rule_id))
    platform.registry.apps.replace_rule(app_id, kind, rule_id, rule)
    return _rule_answer(rule)
