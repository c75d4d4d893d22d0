"""Applications with their services and subscriptions as one state; pure: time comes in, events go out."""

from mec_adapter.platform.apps import AppRegistry
from mec_adapter.platform.config import HeartbeatPolicy
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env
from mec_adapter.platform.events import (
    APP_SUBSCRIPTION,
    CAPIF_SUBSCRIPTION,
    SERVICE_SUBSCRIPTION,
    Event,
    SubscriptionEnded,
    TerminationStarted,
)
from mec_adapter.platform.problems import NotFound
from mec_adapter.platform.services import ServiceRegistry

_OF_APPS = (APP_SUBSCRIPTION, SERVICE_SUBSCRIPTION, CAPIF_SUBSCRIPTION)


class Registry:
    """What MEC 011 is about: application instances, their services and their subscriptions."""

    def __init__(self, documents: Documents, policy: HeartbeatPolicy) -> None:
        self.documents = documents
        self.apps = AppRegistry(documents)
        self.services = ServiceRegistry(documents, policy)

    def register(self, info: JsonObject, owner: str | None, env: Env) -> tuple[JsonObject, list[Event]]:
        """Register an application instance; of two registrations of one appInstanceId the newest wins.

        The services and subscriptions of the earlier registration are removed, so that its consumers learn it.

        Returns:
            The AppInfo as registered, and the events.

        Raises:
            BadRequest: it contradicts management.
            Forbidden: the instance belongs to another client.
        """
        known = self.documents.find("app", info.get("appInstanceId", ""))
        again = known is not None and known["registration"] is not None
        app = self.apps.register(info, owner, env)
        events = self._clear(app["appInstanceId"]) if again else []
        registration: JsonObject = app["registration"]
        return registration, events

    def deregister(self, app_id: str) -> list[Event]:
        """Remove a registration with its services and subscriptions; a managed instance stays known.

        Raises:
            NotFound: unknown or not registered.
        """
        self.apps.registration(app_id)
        app = self.apps.find(app_id)
        events = self._clear(app_id)
        if app["managed"] is None:
            self.apps.drop(app_id)
        else:
            self.apps.keep(app, registration=None, ready=False)
        return events

    def terminate(self, app_id: str, action: str, graceful_timeout_s: int, env: Env) -> list[Event]:
        """End an application instance: at once, or after it confirmed or its time is over [MEC 011 5.2.3].

        Args:
            app_id: the application instance.
            action: STOPPING or TERMINATING.
            graceful_timeout_s: how long it may take; 0 ends it at once.
            env: time.

        Raises:
            NotFound: unknown instance.
            Conflict: not instantiated, or being terminated already.
        """
        self.apps.begin_termination(app_id, action, graceful_timeout_s, env)
        if graceful_timeout_s == 0 or not self.subscriptions(APP_SUBSCRIPTION, app_id):
            return self.finish_termination(app_id)
        return [TerminationStarted(app_id, action, graceful_timeout_s)]

    def confirm_termination(self, app_id: str, action: str) -> list[Event]:
        """Finish a termination because the instance says it is ready for it.

        Raises:
            NotFound: unknown instance.
            Conflict: nothing to confirm.
        """
        self.apps.confirm_termination(app_id, action)
        return self.finish_termination(app_id)

    def finish_termination(self, app_id: str) -> list[Event]:
        """Deactivate rules, remove subscriptions and services; forget a terminated instance that registered itself."""
        app = self.apps.find(app_id)
        events = self._clear(app_id)
        stopped = app["termination"]["operationAction"] == "STOPPING"
        if not stopped and app["managed"] is None:
            self.apps.drop(app_id)
            return events
        self.apps.keep(
            app,
            ready=False,
            termination=None,
            operational="STOPPED",
            instantiation="INSTANTIATED" if stopped else "NOT_INSTANTIATED",
            registration=app["registration"] if stopped else None,
            trafficRules=[{**rule, "state": "INACTIVE"} for rule in app["trafficRules"]],
            dnsRules=[{**rule, "state": "INACTIVE"} for rule in app["dnsRules"]],
        )
        return events

    def remove(self, app_id: str) -> list[Event]:
        """Forget an application instance at once, with all it had.

        Raises:
            NotFound: unknown instance.
        """
        self.apps.find(app_id)
        events = self._clear(app_id)
        self.apps.drop(app_id)
        return events

    def tick(self, now: float) -> list[Event]:
        """Do what time demands: suspend silent services, finish terminations nobody confirmed."""
        events = self.services.suspend_silent(now)
        for app in self.apps.terminations_due(now):
            events += self.finish_termination(app["appInstanceId"])
        return events

    def next_deadline(self) -> float | None:
        """Return when `tick` has something to do next, in seconds since 1970."""
        deadlines = (self.services.next_deadline(), self.apps.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def subscribe(self, kind: str, app_id: str, body: JsonObject, root: str, env: Env) -> JsonObject:
        """Keep a subscription and return its record.

        Args:
            kind: which API it belongs to.
            app_id: the subscribing application instance.
            body: the subscription as sent.
            root: URI of the API, as the subscriber used it; notifications link back to it.
            env: identifiers.
        """
        subscription_id = f"sub-{env.new_id()}"
        record = {
            "id": subscription_id,
            "appInstanceId": app_id,
            "root": root,
            "collection": f"{root}/applications/{app_id}/subscriptions",
            "body": body,
        }
        self.documents.keep(kind, subscription_id, record)
        return record

    def subscriptions(self, kind: str, app_id: str) -> list[JsonObject]:
        """Return the subscriptions of an application instance, oldest first."""
        return [record for record in self.documents.every(kind) if record["appInstanceId"] == app_id]

    def subscription(self, kind: str, app_id: str, subscription_id: str) -> JsonObject:
        """Return one subscription of an application instance.

        Raises:
            NotFound: there is none of this id.
        """
        record = self.documents.find(kind, subscription_id)
        if record is None or record["appInstanceId"] != app_id:
            raise NotFound(f"application instance {app_id!r} has no subscription {subscription_id[:128]!r}")
        return record

    def unsubscribe(self, kind: str, app_id: str, subscription_id: str) -> list[Event]:
        """Remove a subscription.

        Raises:
            NotFound: there is none of this id.
        """
        self.subscription(kind, app_id, subscription_id)
        self.documents.drop(kind, subscription_id)
        return [SubscriptionEnded(subscription_id)]

    def _clear(self, app_id: str) -> list[Event]:
        """Remove subscriptions and services of an instance; its own subscriptions hear nothing of it."""
        events: list[Event] = []
        for kind in _OF_APPS:
            for record in self.subscriptions(kind, app_id):
                self.documents.drop(kind, record["id"])
                events.append(SubscriptionEnded(record["id"]))
        return events + self.services.remove(self.services.of_app(app_id))
