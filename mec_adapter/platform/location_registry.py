"""Simulated users on a simulated map of zones, and who is told when they move; pure [MEC 013]."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mec_adapter.platform.config import ZoneConfig
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env, time_stamp
from mec_adapter.platform.events import Event
from mec_adapter.platform.location_geometry import criteria_hold, distance_m, is_inside
from mec_adapter.platform.pattern_subscriptions import PatternSubscriptions
from mec_adapter.platform.problems import BadRequest, NotFound

USER = "location_user"
SIMULATED = "simulated"


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
        self.user_subscriptions = PatternSubscriptions(documents, "location_user_subscription", wrapped=True)
        self.zone_subscriptions = PatternSubscriptions(documents, "location_zone_subscription", wrapped=True)
        self.area_subscriptions = PatternSubscriptions(documents, "location_area_subscription", wrapped=True)
        self.distance_subscriptions = PatternSubscriptions(documents, "location_distance_subscription", wrapped=True)
        self.every_kind = (
            self.user_subscriptions,
            self.zone_subscriptions,
            self.area_subscriptions,
            self.distance_subscriptions,
        )

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
        held = self._holding()
        self._documents.keep(USER, address, user)
        return self._zone_events(before, user, env) + self._area_events(before, user, env) + self._became(held, env)

    def drop_user(self, address: str, env: Env) -> list[Event]:
        """Take a user off the map and return the notifications that follow.

        Raises:
            NotFound: no such user on the map.
        """
        user = self.user(address)
        held = self._holding()
        self._documents.drop(USER, address)
        return self._zone_events(user, None, env) + self._area_events(user, None, env) + self._became(held, env)

    def user_info(self, user: JsonObject, root: str) -> JsonObject:
        """Return the UserInfo of a user [MEC 013 6.2.2].

        Args:
            user: as `user` returns it.
            root: URI of the API.
        """
        return {
            "address": user["address"],
            "accessPointId": user["accessPointId"],
            "zoneId": user["zoneId"],
            "resourceURL": f"{root}/queries/users?address={quote(user['address'], safe='')}",
            "timestamp": time_stamp(user["since"]),
            "locationInfo": self.place_of(user).place(),
            "ancillaryInfo": SIMULATED,
        }

    def immediate(self, record: JsonObject, env: Env) -> list[Event]:
        """Return the notification of a new distance subscription that asks for one at once, and holds now."""
        if record["body"].get("checkImmediate") and self._holds(record["body"]):
            return [self._distance_event(record, env)]
        return []

    def tick(self, now: float) -> list[Event]:
        """Remove subscriptions whose time is over."""
        return [event for kind in self.every_kind for event in kind.tick(now)]

    def next_deadline(self) -> float | None:
        """Return when the next subscription ends, in seconds since 1970."""
        deadlines = (kind.next_deadline() for kind in self.every_kind)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _zone_events(self, before: JsonObject | None, after: JsonObject | None, env: Env) -> list[Event]:
        if before is not None and after is not None and before["zoneId"] == after["zoneId"]:
            return []
        left = self._crossed(before, "LEAVING_AREA_EVENT", env) if before is not None else []
        return left + (self._crossed(after, "ENTERING_AREA_EVENT", env) if after is not None else [])

    def _area_events(self, before: JsonObject | None, after: JsonObject | None, env: Env) -> list[Event]:
        """Return what subscribers to areas hear of a move [MEC 013 6.4.8]."""
        events: list[Event] = []
        address = (after or before or {})["address"]
        for record in self.area_subscriptions.every():
            body = record["body"]
            if address not in body["addressList"]:
                continue
            was, now_in = (
                user is not None and is_inside(self._place(user), body["areaDefine"]) for user in (before, after)
            )
            event = "ENTERING_AREA_EVENT" if now_in else "LEAVING_AREA_EVENT"
            if was == now_in or event not in (body.get("locationEventCriteria") or (event,)):
                continue
            notification: JsonObject = {
                "notificationType": "UserAreaNotification",
                "timeStamp": time_stamp(env.now),
                "address": address,
                "userLocationEvent": event,
            }
            if body.get("reportingLocationReq") and after is not None:
                notification["locationInfo"] = self.place_of(after).place()
            events.append(self.area_subscriptions.notification(record, notification))
        return events

    def _place(self, user: JsonObject) -> tuple[float, float]:
        point = self.place_of(user)
        return point.latitude, point.longitude

    def _holds(self, body: JsonObject) -> bool:
        """Whether the criterion of a distance subscription is true now; users off the map have no distance."""
        places = {user["address"]: self._place(user) for user in self.users()}
        monitored = body["monitoredAddress"]
        pairs = itertools.product(monitored, body["referenceAddress"]) if body.get("referenceAddress") else None
        distances = [
            distance_m(places[one], places[other])
            for one, other in pairs or itertools.combinations(monitored, 2)
            if one != other and one in places and other in places
        ]
        return criteria_hold(body["criteria"], body["distance"], distances)

    def _holding(self) -> set[str]:
        return {record["id"] for record in self.distance_subscriptions.every() if self._holds(record["body"])}

    def _became(self, held: set[str], env: Env) -> list[Event]:
        """Return what subscribers hear whose criterion has become true since `held` was taken [MEC 013 6.4.9]."""
        true_now = self._holding() - held
        return [
            self._distance_event(record, env)
            for record in self.distance_subscriptions.every()
            if record["id"] in true_now
        ]

    def _distance_event(self, record: JsonObject, env: Env) -> Event:
        root = record["collection"].removesuffix("/subscriptions/distance")
        users = [self.user_info(user, root) for user in self.users()]
        monitored = [user for user in users if user["address"] in record["body"]["monitoredAddress"]]
        body = {
            "notificationType": "UserDistanceNotification",
            "timeStamp": time_stamp(env.now),
            "monitoredUsers": {"user": monitored, "resourceURL": f"{root}/queries/users"},
            "distanceEvent": record["body"]["criteria"],
        }
        return self.distance_subscriptions.notification(record, body)

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
                own["accessPointId"] = user["accessPointId"]
                if record["body"].get("userEventPara", {}).get("reportingLocationReq"):
                    own["locationInfo"] = self.place_of(user).place()
                events.append(self.user_subscriptions.notification(record, own))
        for record in self.zone_subscriptions.every():
            if _zone_wanted(record["body"], user, event):
                own = {"notificationType": "ZoneLocationEventNotification", **body}
                events.append(self.zone_subscriptions.notification(record, own))
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
