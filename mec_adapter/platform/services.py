"""MEC services: registration, queries, changes and the heartbeat state machine; pure [MEC 011 5.2.4 to 5.2.12]."""

from collections.abc import Sequence
from dataclasses import dataclass

from mec_adapter.platform.config import HeartbeatPolicy
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env, time_stamp
from mec_adapter.platform.events import Event, ServiceChanged
from mec_adapter.platform.problems import BadRequest, Conflict, NotFound

SERVICE = "service"


@dataclass(frozen=True, slots=True)
class ServiceQuery:
    """Which services a query asks for; None and empty ask for all [MEC 011 8.2.3]."""

    instance_ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    category: str | None = None
    locality: str | None = None
    consumed_local_only: bool | None = None
    is_local: bool | None = None

    def matches(self, info: JsonObject) -> bool:
        """Whether a service is asked for; a category is found by its id or its name."""
        category = info.get("serCategory") or {}
        return (
            (not self.instance_ids or info["serInstanceId"] in self.instance_ids)
            and (not self.names or info["serName"] in self.names)
            and (self.category is None or self.category in (category.get("id"), category.get("name")))
            and (self.locality is None or info["scopeOfLocality"] == self.locality)
            and (self.consumed_local_only is None or info["consumedLocalOnly"] == self.consumed_local_only)
            and (self.is_local is None or self.is_local == info.get("isLocal", True))
        )


class ServiceRegistry:
    """The services, each one document: {appInstanceId, info, liveness or None}."""

    def __init__(self, documents: Documents, policy: HeartbeatPolicy) -> None:
        self._documents = documents
        self.policy = policy

    def find(self, service_id: str, app_id: str | None = None) -> JsonObject:
        """Return the record of a service.

        Args:
            service_id: its serInstanceId.
            app_id: the application instance it has to belong to; None for any.

        Raises:
            NotFound: no such service, or not of this instance.
        """
        service = self._documents.find(SERVICE, service_id)
        if service is None or app_id not in (None, service["appInstanceId"]):
            whose = f" of application instance {app_id!r}" if app_id else ""
            raise NotFound(f"service {service_id[:128]!r}{whose} does not exist; see the list of services")
        return service

    def select(self, query: ServiceQuery, app_id: str | None = None) -> list[JsonObject]:
        """Return the records a query asks for, oldest first."""
        return [
            service
            for service in self._documents.every(SERVICE)
            if app_id in (None, service["appInstanceId"]) and self._listed(service, query)
        ]

    def _listed(self, service: JsonObject, query: ServiceQuery) -> bool:
        if self.policy.hide_suspended and service["info"]["state"] == "SUSPENDED":
            return False
        return query.matches(service["info"])

    def add(
        self, app_id: str, body: JsonObject, transports: Sequence[JsonObject], env: Env
    ) -> tuple[JsonObject, list[Event]]:
        """Register a service [MEC 011 8.2.6].

        Args:
            app_id: the producing application instance.
            body: ServiceInfo as sent, valid in itself.
            transports: those of the platform, for transportId.
            env: time and identifiers.

        Returns:
            The record and the ADDED event.

        Raises:
            BadRequest: transportId names no transport of the platform.
        """
        service_id = env.new_id()
        info = self._info(service_id, body)
        info["transportInfo"] = _transport(body, transports)
        service = {"appInstanceId": app_id, "info": info, "liveness": self._liveness(body, env), "since": env.now}
        self._documents.keep(SERVICE, service_id, service)
        return service, [ServiceChanged(service, "ADDED")]

    def replace(self, service: JsonObject, body: JsonObject, env: Env) -> tuple[JsonObject, list[Event]]:
        """Replace a service [MEC 011 8.2.7]; without livenessInterval the heartbeat stays as it was.

        Returns:
            The new record, and the event when something changed.

        Raises:
            BadRequest: the body has no transportInfo, or transportId.
        """
        if "transportId" in body:
            raise BadRequest("attribute transportId is for POST only; send transportInfo as GET returns it")
        if "transportInfo" not in body:
            raise BadRequest("attribute transportInfo is missing; PUT replaces the whole service, so send all of it")
        old = service["info"]
        info = {**self._info(old["serInstanceId"], body), "transportInfo": body["transportInfo"]}
        liveness = service["liveness"]
        if "livenessInterval" in body and body["livenessInterval"] != (liveness or {}).get("interval"):
            liveness = self._liveness(body, env)
        elif liveness is not None and info["state"] == "ACTIVE" and old["state"] != "ACTIVE":
            liveness = {**liveness, "heard": env.now}
        only_state = {**old, "state": info["state"]} == info
        new = {**service, "info": info, "liveness": liveness}
        if not only_state:
            # What CAPIF published describes the service as it was before.
            new.pop("capif", None)
        if new == service:
            return service, []
        self._documents.keep(SERVICE, old["serInstanceId"], new)
        if info == old:
            return new, []
        return new, [ServiceChanged(new, "STATE_CHANGED" if only_state else "ATTRIBUTES_CHANGED")]

    def remove(self, services: Sequence[JsonObject]) -> list[Event]:
        """Remove services and return a REMOVED event for each [MEC 011 8.2.7]."""
        for service in services:
            self._documents.drop(SERVICE, service["info"]["serInstanceId"])
        return [ServiceChanged(service, "REMOVED") for service in services]

    def annotate(self, service: JsonObject, **members: JsonObject) -> JsonObject:
        """Keep something beside the ServiceInfo of a service and return its new record."""
        new = {**service, **members}
        self._documents.keep(SERVICE, service["info"]["serInstanceId"], new)
        return new

    def of_app(self, app_id: str) -> list[JsonObject]:
        """Return all services of an application instance, whatever their state."""
        return [service for service in self._documents.every(SERVICE) if service["appInstanceId"] == app_id]

    def heartbeat(self, service: JsonObject, env: Env) -> tuple[bool, list[Event]]:
        """Note a sign of life [MEC 011 8.2.10].

        Returns:
            Whether the platform now wants another interval, and the event when a SUSPENDED service came back.

        Raises:
            NotFound: no heartbeats are demanded for this service.
            Conflict: the service is INACTIVE; only a PUT makes it ACTIVE.
        """
        liveness = self.liveness(service)
        info = service["info"]
        if info["state"] == "INACTIVE":
            raise Conflict("the service is INACTIVE; heartbeats do not revive it, PUT the service with state ACTIVE")
        interval = self._chosen(liveness["proposed"])
        new = {
            **service,
            "info": {**info, "state": "ACTIVE"},
            "liveness": {**liveness, "heard": env.now, "interval": interval},
        }
        self._documents.keep(SERVICE, info["serInstanceId"], new)
        came_back = info["state"] == "SUSPENDED"
        return interval != liveness["interval"], [ServiceChanged(new, "STATE_CHANGED")] if came_back else []

    def liveness(self, service: JsonObject) -> JsonObject:
        """Return the heartbeat record of a service.

        Raises:
            NotFound: no heartbeats are demanded for this service.
        """
        liveness: JsonObject | None = service["liveness"]
        if liveness is None:
            raise NotFound("no heartbeats are demanded for this service; send livenessInterval to offer them")
        return liveness

    def liveness_info(self, service: JsonObject) -> JsonObject:
        """Return the ServiceLivenessInfo of a service [MEC 011 8.1.2.4]."""
        liveness = self.liveness(service)
        return {
            "state": service["info"]["state"],
            "timeStamp": time_stamp(liveness["heard"]),
            "interval": liveness["interval"],
        }

    def suspend_silent(self, now: float) -> list[Event]:
        """Make every ACTIVE service SUSPENDED that has been silent for too long [MEC 011 5.2.12]."""
        events: list[Event] = []
        for service in self._watched():
            if self._deadline(service) <= now:
                new = {**service, "info": {**service["info"], "state": "SUSPENDED"}}
                self._documents.keep(SERVICE, service["info"]["serInstanceId"], new)
                events.append(ServiceChanged(new, "STATE_CHANGED"))
        return events

    def next_deadline(self) -> float | None:
        """Return when the next service would become SUSPENDED, in seconds since 1970."""
        return min((self._deadline(service) for service in self._watched()), default=None)

    def restarted(self, now: float) -> None:
        """Give every service a fresh interval: while the platform was down nobody could be heard."""
        for service in self._watched():
            new = {**service, "liveness": {**service["liveness"], "heard": now}}
            self._documents.keep(SERVICE, service["info"]["serInstanceId"], new)

    def _watched(self) -> list[JsonObject]:
        return [
            service
            for service in self._documents.every(SERVICE)
            if service["liveness"] is not None and service["info"]["state"] == "ACTIVE"
        ]

    def _deadline(self, service: JsonObject) -> float:
        liveness = service["liveness"]
        return float(liveness["heard"] + liveness["interval"] * self.policy.missed_intervals)

    def _chosen(self, proposed_s: int) -> int:
        wanted = proposed_s or self.policy.default_interval_s
        return max(self.policy.min_interval_s, min(wanted, self.policy.max_interval_s))

    def _liveness(self, body: JsonObject, env: Env) -> JsonObject | None:
        if "livenessInterval" not in body or not self.policy.demand:
            return None
        proposed = body["livenessInterval"]
        return {"proposed": proposed, "interval": self._chosen(proposed), "heard": env.now}

    @staticmethod
    def _info(service_id: str, body: JsonObject) -> JsonObject:
        dropped = ("serInstanceId", "transportId", "transportInfo", "livenessInterval", "isLocal", "_links")
        return {"serInstanceId": service_id, **{name: body[name] for name in body if name not in dropped}}


def _transport(body: JsonObject, transports: Sequence[JsonObject]) -> JsonObject:
    if "transportInfo" in body:
        given: JsonObject = body["transportInfo"]
        return given
    known = {transport["id"]: transport for transport in transports}
    wanted = body["transportId"]
    if wanted not in known:
        raise BadRequest(
            f"attribute transportId is {wanted[:128]!r}; send one of {', '.join(sorted(known))}"
            " (GET .../transports), or transportInfo"
        )
    return known[wanted]
