"""Simulated users on a simulated map of zones, and who is told when they move; pure [MEC 013]."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mec_adapter.platform.config import ZoneConfig
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env, time_stamp
from mec_adapter.platform.events import Event
from mec_adapter.platform.pattern_subscriptions import PatternSubscriptions, delivery
from mec_adapter.platform.problems import BadRequest, NotFound

USER = "location_user"
SIMULATED = "simulated"
_EARTH_RADIUS_M = 6_371_008.8


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """An access point of the map."""

    access_point_id: str
    zone_id: str
    latitude: float
    longitude: float

    def place(self) -> JsonObject:
        """Return its LocationInfo."""
        return {"latitude": [self.latitude], "longitude": [self.longitude], "shape": 7}


class LocationRegistry:
    """The map from the configuration, the users put on it by the operator, and the subscriptions to their moves."""

    def __init__(self, documents: Documents, zones: Sequence[ZoneConfig]) -> None:
        self._documents = documents
        self._zones = {zone.zone_id: zone for zone in zones}
        self._points = {
            point[0]: AccessPoint(point[0], zone.zone_id, point[1], point[2])
            for zone in zones
            for point in zone.access_points
        }
        self.user_subscriptions = PatternSubscriptions(documents, "location_user_subscription")
        self.zone_subscriptions = PatternSubscriptions(documents, "location_zone_subscription")

    def zones(self) -> list[str]:
        """Return the ids of all zones."""
        return list(self._zones)

    def points(self, zone_id: str) -> list[AccessPoint]:
        """Return the access points of a zone.

        Raises:
            NotFound: no such zone.
        """
        if zone_id not in self._zones:
            raise NotFound(f"zone {zone_id[:128]!r} does not exist; GET .../queries/zones lists those that do")
        return [point for point in self._points.values() if point.zone_id == zone_id]

    def point(self, zone_id: str, access_point_id: str) -> AccessPoint:
        """Return one access point of a zone.

        Raises:
            NotFound: no such zone or access point.
        """
        for point in self.points(zone_id):
            if point.access_point_id == access_point_id:
                return point
        raise NotFound(f"zone {zone_id!r} has no access point {access_point_id[:128]!r}")

    def areas(self) -> list[list[list[list[float]]]]:
        """Return a polygon around the access points of each zone, as [longitude, latitude] corners."""
        found = []
        for zone in self._zones.values():
            south, north = min(p[1] for p in zone.access_points), max(p[1] for p in zone.access_points)
            west, east = min(p[2] for p in zone.access_points), max(p[2] for p in zone.access_points)
            found.append([[[west, south], [east, south], [east, north], [west, north], [west, south]]])
        return found

    def users(self) -> list[JsonObject]:
        """Return where every user is: {address, accessPointId, zoneId, since}."""
        return [user for user in self._documents.every(USER) if user["accessPointId"] in self._points]

    def user(self, address: str) -> JsonObject:
        """Return where one user is.

        Raises:
            NotFound: no such user on the map.
        """
        for user in self.users():
            if user["address"] == address:
                return user
        raise NotFound(f"user {address[:128]!r} is not on the map; GET .../queries/users lists those that are")

    def place_of(self, user: JsonObject) -> AccessPoint:
        """Return the access point a user is at."""
        return self._points[user["accessPointId"]]

    def put_user(self, address: str, access_point_id: str, env: Env) -> list[Event]:
        """Put a user at an access point and return the notifications that follow.

        Raises:
            BadRequest: no such access point.
        """
        point = self._points.get(access_point_id)
        if point is None:
            known = ", ".join(sorted(self._points))
            raise BadRequest(f"attribute accessPointId is {access_point_id[:128]!r}; send one of {known}")
        before = self._documents.find(USER, address)
        user = {
            "address": address,
            "accessPointId": access_point_id,
            "zoneId": point.zone_id,
            "since": env.now,
        }
        self._documents.keep(USER, address, user)
        if before is not None and before["zoneId"] == point.zone_id:
            return []
        left = self._crossed(before, "LEAVING_AREA_EVENT", env) if before is not None else []
        return left + self._crossed(user, "ENTERING_AREA_EVENT", env)

    def drop_user(self, address: str, env: Env) -> list[Event]:
        """Take a user off the map and return the notifications that follow.

        Raises:
            NotFound: no such user on the map.
        """
        user = self.user(address)
        self._documents.drop(USER, address)
        return self._crossed(user, "LEAVING_AREA_EVENT", env)

    def tick(self, now: float) -> list[Event]:
        """Remove subscriptions whose time is over."""
        return self.user_subscriptions.tick(now) + self.zone_subscriptions.tick(now)

    def next_deadline(self) -> float | None:
        """Return when the next subscription ends, in seconds since 1970."""
        deadlines = (self.user_subscriptions.next_deadline(), self.zone_subscriptions.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _crossed(self, user: JsonObject, event: str, env: Env) -> list[Event]:
        body = {
            "timeStamp": time_stamp(env.now),
            "address": user["address"],
            "userLocationEvent": event,
            "zoneId": user["zoneId"],
        }
        events: list[Event] = []
        for record in self.user_subscriptions.every():
            if _user_wanted(record["body"], user, event):
                own = {"notificationType": "UserLocationEventNotification", **body}
                events.append(delivery(record, {**own, "accessPointId": user["accessPointId"]}))
        for record in self.zone_subscriptions.every():
            if _zone_wanted(record["body"], user, event):
                events.append(delivery(record, {"notificationType": "ZoneLocationEventNotification", **body}))
        return events


def _user_wanted(subscription: JsonObject, user: JsonObject, event: str) -> bool:
    where = subscription.get("userEventPara", {})
    return (
        subscription["address"] == user["address"]
        and event in (subscription.get("locationEventCriteria") or (event,))
        and where.get("zoneId") in (None, user["zoneId"])
        and user["accessPointId"] in (where.get("accessPointList") or (user["accessPointId"],))
    )


def _zone_wanted(subscription: JsonObject, user: JsonObject, event: str) -> bool:
    return (
        subscription["zoneId"] == user["zoneId"]
        and event in (subscription.get("locationEventCriteria") or (event,))
        and user["address"] in (subscription.get("addressList") or (user["address"],))
    )


def distance_m(first: tuple[float, float], second: tuple[float, float]) -> int:
    """Return the distance of two places on the globe in metres; places are (latitude, longitude) in degrees."""
    (lat1, lon1), (lat2, lon2) = ((math.radians(a), math.radians(b)) for a, b in (first, second))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return round(2 * _EARTH_RADIUS_M * math.asin(math.sqrt(half)))
