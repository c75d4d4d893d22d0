"""Location API, `location/v2`, from a simulated map: queries; users, zones, areas and distances watched [MEC 013 7]."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response

from mec_adapter.platform.authority import OPERATOR_SCOPE
from mec_adapter.platform.dependencies import PlatformDep, api_root, errors, listed, single, with_body
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.environment import time_stamp
from mec_adapter.platform.http import PlatformRoute, answer, check_if_match, created, entity_tag, no_content
from mec_adapter.platform.location_geometry import distance_m
from mec_adapter.platform.location_models import (
    AccessPointInfoBody,
    AccessPointListBody,
    AreaSubscriptionBody,
    AreaSubscriptionPost,
    DistanceSubscriptionBody,
    DistanceSubscriptionPost,
    NotificationSubscriptionListBody,
    Placement,
    TerminalDistanceBody,
    UserListBody,
    UserSubscriptionBody,
    UserSubscriptionPost,
    ZoneInfoBody,
    ZoneListBody,
    ZoneSubscriptionBody,
    ZoneSubscriptionPost,
)
from mec_adapter.platform.location_registry import SIMULATED, AccessPoint
from mec_adapter.platform.pattern_subscriptions import PatternSubscription, PatternSubscriptions, shown
from mec_adapter.platform.problems import BadRequest
from mec_adapter.platform.shell import Platform

API = "location"
router = APIRouter(route_class=PlatformRoute, tags=[API])
commands = APIRouter(route_class=PlatformRoute, tags=[OPERATOR_SCOPE], prefix="/mep/v1")

_MARK = {"X-Location-Source": SIMULATED}
ZoneId = Annotated[str, Path(alias="zoneId")]
AccessPointId = Annotated[str, Path(alias="accessPointId")]
SubscriptionId = Annotated[str, Path(alias="subscriptionId")]
Names = Annotated[list[str], Query(default_factory=list)]


def _zone(platform: Platform, root: str, zone_id: str) -> JsonObject:
    users = [user for user in platform.location.users() if user["zoneId"] == zone_id]
    return {
        "zoneId": zone_id,
        "numberOfAccessPoints": len(platform.location.points(zone_id)),
        "numberOfUnserviceableAccessPoints": 0,
        "numberOfUsers": len(users),
        "resourceURL": f"{root}/queries/zones/{quote(zone_id, safe='')}",
    }


def _point(platform: Platform, root: str, point: AccessPoint) -> JsonObject:
    users = [user for user in platform.location.users() if user["accessPointId"] == point.access_point_id]
    zone = f"{root}/queries/zones/{quote(point.zone_id, safe='')}"
    return {
        "accessPointId": point.access_point_id,
        "connectionType": "UNKNOWN",
        "operationStatus": "Serviceable",
        "numberOfUsers": len(users),
        "locationInfo": point.place(),
        "resourceURL": f"{zone}/accessPoints/{quote(point.access_point_id, safe='')}",
    }


@router.get("/queries/zones", response_model=ZoneListBody, responses=errors())
async def list_zones(request: Request, platform: PlatformDep, zoneId: Names) -> Response:
    """Return the zones."""
    root, wanted = api_root(request, platform, API), listed(zoneId)
    zones = [_zone(platform, root, zone) for zone in platform.location.zones() if not wanted or zone in wanted]
    return answer({"zoneList": {"zone": zones, "resourceURL": f"{root}/queries/zones"}}, headers=_MARK)


@router.get("/queries/zones/{zoneId}", response_model=ZoneInfoBody, responses=errors())
async def read_zone(request: Request, platform: PlatformDep, zone_id: ZoneId) -> Response:
    """Return one zone."""
    return answer({"zoneInfo": _zone(platform, api_root(request, platform, API), zone_id)}, headers=_MARK)


@router.get("/queries/zones/{zoneId}/accessPoints", response_model=AccessPointListBody, responses=errors())
async def list_access_points(
    request: Request, platform: PlatformDep, zone_id: ZoneId, accessPointId: Names
) -> Response:
    """Return the access points of a zone."""
    root, wanted = api_root(request, platform, API), listed(accessPointId)
    points = [
        _point(platform, root, point)
        for point in platform.location.points(zone_id)
        if not wanted or point.access_point_id in wanted
    ]
    own = f"{root}/queries/zones/{quote(zone_id, safe='')}/accessPoints"
    return answer({"accessPointList": {"zoneId": zone_id, "accessPoint": points, "resourceURL": own}}, headers=_MARK)


@router.get(
    "/queries/zones/{zoneId}/accessPoints/{accessPointId}", response_model=AccessPointInfoBody, responses=errors()
)
async def read_access_point(
    request: Request, platform: PlatformDep, zone_id: ZoneId, access_point_id: AccessPointId
) -> Response:
    """Return one access point."""
    point = platform.location.point(zone_id, access_point_id)
    return answer({"accessPointInfo": _point(platform, api_root(request, platform, API), point)}, headers=_MARK)


@router.get("/queries/users", response_model=UserListBody, responses=errors())
async def list_users(
    request: Request, platform: PlatformDep, zoneId: Names, accessPointId: Names, address: Names
) -> Response:
    """Return where users are."""
    root = api_root(request, platform, API)
    wanted = {"zoneId": listed(zoneId), "accessPointId": listed(accessPointId), "address": listed(address)}
    users = [
        platform.location.user_info(user, root)
        for user in platform.location.users()
        if all(not values or user[name] in values for name, values in wanted.items())
    ]
    return answer({"userList": {"user": users, "resourceURL": f"{root}/queries/users"}}, headers=_MARK)


@router.get("/queries/distance", response_model=TerminalDistanceBody, responses=errors())
async def read_distance(request: Request, platform: PlatformDep, address: Names, location: Names) -> Response:
    """Return how far apart two users are, or one user and a place given as location=latitude,longitude."""
    single(request, "location")
    places = []
    for name in listed(address):
        point = platform.location.place_of(platform.location.user(name))
        places.append((point.latitude, point.longitude))
    if location:
        places.append(_place(listed(location)))
    if len(places) != 2:
        raise BadRequest("send two address parameters, or one address and location=latitude,longitude")
    distance = {"distance": distance_m(*places), "timestamp": time_stamp(platform.clock())}
    return answer({"terminalDistance": distance}, headers=_MARK)


def _watched(subscription: JsonObject) -> list[str]:
    """Return the users a subscription names."""
    named = [subscription["address"]] if "address" in subscription else []
    return [*named, *(subscription.get("addressList") or ()), *(subscription.get("monitoredAddress") or ())]


def _place(values: tuple[str, ...]) -> tuple[float, float]:
    try:
        latitude, longitude = (float(value) for value in values)
    except ValueError:
        raise BadRequest("query parameter location: send latitude,longitude in degrees") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise BadRequest("query parameter location: latitude is -90 to 90, longitude -180 to 180 degrees")
    return latitude, longitude


def _subscription_routes(
    path: str,
    wrapper: str,
    model: type[PatternSubscription],
    shown_model: type[Any],
    of: Callable[[Platform], Any],
    also: str = "",
) -> None:
    """Add the routes of one kind of subscription: list, create, read, replace, remove.

    Args:
        path: below `/subscriptions/`.
        wrapper: what its bodies are wrapped in.
        model: as sent.
        shown_model: as answered.
        of: finds the subscriptions of a platform.
        also: another type that the list may be asked for, of which there are none.
    """

    def collection(request: Request, platform: Platform) -> str:
        return f"{api_root(request, platform, API)}/subscriptions/{path}"

    def kind(platform: Platform) -> PatternSubscriptions:
        found: PatternSubscriptions = of(platform)
        return found

    types = ["event", *([also] if also else [])]

    async def list_subscriptions(
        request: Request,
        platform: PlatformDep,
        subscription_type: Annotated[str | None, Query(json_schema_extra={"enum": types})] = None,
        address: Annotated[str | None, Query(description="Of a user watched")] = None,
        zone_id: Annotated[str | None, Query(alias="zoneId", description="Of a zone watched")] = None,
    ) -> Response:
        single(request, "subscription_type", "address", "zoneId")
        if subscription_type not in (None, *types):
            raise BadRequest(f"query parameter subscription_type: send one of {', '.join(types)}")
        root = collection(request, platform)
        entries = [
            {"href": f"{root}/{record['id']}", "subscriptionType": record["body"]["subscriptionType"]}
            for record in kind(platform).every(platform.client_of(request))
            if subscription_type in (None, "event")
            and (address is None or address in _watched(record["body"]))
            and zone_id in (None, record["body"].get("zoneId"))
        ]
        return answer({"notificationSubscriptionList": {"resourceURL": {"href": root}, "subscription": entries}})

    async def subscribe(request: Request, platform: PlatformDep, body: PatternSubscription) -> Response:
        platform.check_callback(body.callbackReference)
        root, env = collection(request, platform), platform.env(request)
        record, events = kind(platform).add(body.document(), root, platform.client_of(request), env)
        platform.publish([*events, *platform.location.immediate(record, env)])
        body_shown = {wrapper: shown(record, root)}
        return created(body_shown, f"{root}/{record['id']}", {"ETag": entity_tag(body_shown)})

    async def read_subscription(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
        record = kind(platform).find(subscription_id, platform.client_of(request))
        body = {wrapper: shown(record, collection(request, platform))}
        return answer(body, headers={"ETag": entity_tag(body)})

    async def replace_subscription(
        request: Request, platform: PlatformDep, subscription_id: SubscriptionId, body: PatternSubscription
    ) -> Response:
        platform.check_callback(body.callbackReference)
        owner, root = platform.client_of(request), collection(request, platform)
        check_if_match(request, {wrapper: shown(kind(platform).find(subscription_id, owner), root)})
        record, events = kind(platform).replace(subscription_id, body.document(), owner, platform.env(request))
        platform.publish(events)
        body_shown = {wrapper: shown(record, root)}
        return answer(body_shown, headers={"ETag": entity_tag(body_shown)})

    async def unsubscribe(request: Request, platform: PlatformDep, subscription_id: SubscriptionId) -> Response:
        platform.publish(kind(platform).drop(subscription_id, platform.client_of(request)))
        return no_content()

    # The body model is known only here: FastAPI reads it from the annotations.
    subscribe.__annotations__["body"] = model
    replace_subscription.__annotations__["body"] = model
    many, one = f"/subscriptions/{path}", f"/subscriptions/{path}/{{subscriptionId}}"
    listing = NotificationSubscriptionListBody
    add = router.add_api_route
    add(many, list_subscriptions, methods=["GET"], response_model=listing, responses=errors())
    add(many, subscribe, methods=["POST"], status_code=201, response_model=shown_model, responses=with_body())
    add(one, read_subscription, methods=["GET"], response_model=shown_model, responses=errors())
    add(one, replace_subscription, methods=["PUT"], response_model=shown_model, responses=with_body(412))
    add(one, unsubscribe, methods=["DELETE"], status_code=204, response_model=None, responses=errors(503))


_subscription_routes(
    "users",
    "userLocationEventSubscription",
    UserSubscriptionPost,
    UserSubscriptionBody,
    lambda platform: platform.location.user_subscriptions,
    also="periodic",
)
_subscription_routes(
    "zones",
    "zoneLocationEventSubscription",
    ZoneSubscriptionPost,
    ZoneSubscriptionBody,
    lambda platform: platform.location.zone_subscriptions,
    also="status",
)
_subscription_routes(
    "area",
    "userAreaSubscription",
    AreaSubscriptionPost,
    AreaSubscriptionBody,
    lambda platform: platform.location.area_subscriptions,
)
_subscription_routes(
    "distance",
    "userDistanceSubscription",
    DistanceSubscriptionPost,
    DistanceSubscriptionBody,
    lambda platform: platform.location.distance_subscriptions,
)


@commands.put("/location_users/{address}", status_code=204, response_model=None, responses=with_body())
async def put_user(request: Request, platform: PlatformDep, address: str, body: Placement) -> Response:
    """Put a simulated user at an access point of the simulated map."""
    platform.publish(platform.location.put_user(address, body.accessPointId, platform.env(request)))
    return no_content()


@commands.delete("/location_users/{address}", status_code=204, response_model=None, responses=errors(503))
async def drop_user(request: Request, platform: PlatformDep, address: str) -> Response:
    """Take a simulated user off the map."""
    platform.publish(platform.location.drop_user(address, platform.env(request)))
    return no_content()
