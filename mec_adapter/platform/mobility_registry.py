"""Registrations for mobility support, subscriptions to mobility, and what an event means to them; pure [MEC 021]."""

from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env, time_stamp
from mec_adapter.platform.events import Event
from mec_adapter.platform.pattern_subscriptions import PatternSubscriptions
from mec_adapter.platform.problems import Forbidden, NotFound

REGISTRATION = "mobility_registration"
_NEIGHBOURS = "mobility_neighbours"


class MobilityRegistry:
    """Who wants mobility support, and who wants to hear of mobility."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.subscriptions = PatternSubscriptions(documents, "mobility_subscription")

    def register(self, body: JsonObject, owner: str | None, env: Env) -> JsonObject:
        """Keep a registration and return its RegistrationInfo."""
        return self._keep(env.new_id(), body, owner, env)

    def registrations(self, owner: str | None) -> list[JsonObject]:
        """Return the RegistrationInfo of one client, or all of them."""
        return [record["info"] for record in self._documents.every(REGISTRATION) if owner in (None, record["owner"])]

    def registration(self, service_id: str, owner: str | None) -> JsonObject:
        """Return one RegistrationInfo.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        record = self._documents.find(REGISTRATION, service_id)
        if record is None:
            raise NotFound(f"application mobility service {service_id[:128]!r} does not exist")
        if owner is not None and record["owner"] != owner:
            raise Forbidden(f"application mobility service {service_id[:128]!r} belongs to another client")
        info: JsonObject = record["info"]
        return info

    def replace(self, service_id: str, body: JsonObject, owner: str | None, env: Env) -> JsonObject:
        """Replace a registration and return its RegistrationInfo; its time begins anew.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        self.registration(service_id, owner)
        return self._keep(service_id, body, owner, env)

    def drop(self, service_id: str, owner: str | None) -> None:
        """Remove a registration.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        self.registration(service_id, owner)
        self._documents.drop(REGISTRATION, service_id)

    def moved(self, event: JsonObject, env: Env) -> list[Event]:
        """Return the notifications that follow from a mobility event [MEC 021 7.4.2].

        Without `appInstanceId` it is about every instance registered for one of the devices.
        """
        serving = self._serving(event)
        body = {
            "notificationType": "MobilityProcedureNotification",
            "timeStamp": time_stamp(env.now),
            "associateId": event["associateId"],
            "mobilityStatus": event["mobilityStatus"],
        }
        if "targetAppInfo" in event:
            body["targetAppInfo"] = event["targetAppInfo"]
        return [
            self.subscriptions.notification(record, body)
            for record in self.subscriptions.every()
            if record["body"]["subscriptionType"] == "MobilityProcedureSubscription"
            and _concerns(record["body"]["filterCriteria"], event, serving)
        ]

    def neighbours(self) -> list[JsonObject]:
        """Return the application instances on neighbouring MEC hosts."""
        record = self._documents.find(_NEIGHBOURS, _NEIGHBOURS)
        return list(record["instances"]) if record else []

    def set_neighbours(self, instances: list[JsonObject], env: Env) -> list[Event]:
        """Replace the list of neighbouring instances and return the notifications that follow [MEC 021 7.4.3]."""
        if instances == self.neighbours():
            return []
        self._documents.keep(_NEIGHBOURS, _NEIGHBOURS, {"instances": instances})
        body = {
            "notificationType": "AdjacentAppInfoNotification",
            "timeStamp": time_stamp(env.now),
            "adjacentAppInfo": instances,
        }
        return [
            self.subscriptions.notification(record, body)
            for record in self.subscriptions.every()
            if record["body"]["subscriptionType"] == "AdjacentAppInfoSubscription"
        ]

    def tick(self, now: float) -> list[Event]:
        """Remove registrations and subscriptions whose time is over."""
        for record in self._documents.every(REGISTRATION):
            if record["ends"] is not None and record["ends"] <= now:
                self._documents.drop(REGISTRATION, record["info"]["appMobilityServiceId"])
        return self.subscriptions.tick(now)

    def next_deadline(self) -> float | None:
        """Return when the next registration or subscription ends, in seconds since 1970."""
        deadlines = [record["ends"] for record in self._documents.every(REGISTRATION)]
        deadlines.append(self.subscriptions.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _keep(self, service_id: str, body: JsonObject, owner: str | None, env: Env) -> JsonObject:
        info = {"appMobilityServiceId": service_id, **body}
        lifetime_s = body.get("expiryTime", 0)
        ends = env.now + lifetime_s if lifetime_s else None
        self._documents.keep(REGISTRATION, service_id, {"owner": owner, "info": info, "ends": ends})
        return info

    def _serving(self, event: JsonObject) -> set[str]:
        if "appInstanceId" in event:
            return {event["appInstanceId"]}
        return {
            info["serviceConsumerId"]["appInstanceId"]
            for info in self.registrations(None)
            if "appInstanceId" in info["serviceConsumerId"]
            and any(device["associateId"] in event["associateId"] for device in info.get("deviceInformation", []))
        }


def _concerns(criteria: JsonObject, event: JsonObject, serving: set[str]) -> bool:
    if "appInstanceId" in criteria and criteria["appInstanceId"] not in serving:
        return False
    if "associateId" in criteria and not any(device in event["associateId"] for device in criteria["associateId"]):
        return False
    return event["mobilityStatus"] in criteria.get("mobilityStatus", (1, 2, 3))
