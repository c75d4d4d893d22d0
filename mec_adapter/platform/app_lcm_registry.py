"""Application instances as the management plane sees them, and who is told when one changes; pure [MEC 010-2]."""

from collections.abc import Iterable

from mec_adapter.platform.apps import APP
from mec_adapter.platform.documents import Change, Documents, JsonObject
from mec_adapter.platform.environment import Env, time_stamp
from mec_adapter.platform.events import Delivery, Event, SubscriptionEnded
from mec_adapter.platform.problems import Forbidden, NotFound

_KIND = "app_lcm_subscription"
_STATE, _CREATION, _DELETION = (
    "AppInstanceStateChangeSubscription",
    "AppIdentifierCreationSubscription",
    "AppIdentifierDeletionSubscription",
)
_SELECTED = {1: "id", 2: "appName", 3: "appDId", 4: "appProvider"}


def app_instance_info(app: JsonObject, root: str) -> JsonObject:
    """Return the AppInstanceInfo of an application instance; what a self-registered one lacks is `unknown`.

    Args:
        app: its record.
        root: URI of the API.
    """
    managed = app["managed"] or {}
    registration = app["registration"] or {}
    app_id = app["appInstanceId"]
    app_d_id = managed.get("appDId") or registration.get("appDId") or "unknown"
    info = {
        "id": app_id,
        "appDId": app_d_id,
        "appProvider": managed.get("appProvider") or registration.get("appProvider") or "unknown",
        "appName": managed.get("appName") or registration["appName"],
        "appSoftVersion": managed.get("appSoftVersion", "unknown"),
        "appDVersion": managed.get("appDVersion", "unknown"),
        "appPkgId": f"pkg-{app_d_id}" if managed else "unknown",
        "instantiationState": app["instantiation"],
        "_links": {"self": {"href": f"{root}/app_instances/{app_id}"}},
    }
    if "appDescription" in managed:
        info["appInstanceDescription"] = managed["appDescription"]
    if app["instantiation"] == "INSTANTIATED":
        info["instantiatedAppState"] = {"operationalState": app["operational"]}
    return info


def _state(app: JsonObject | None) -> str:
    if app is None or app["instantiation"] != "INSTANTIATED":
        return "NOT_INSTANTIATED"
    return str(app["operational"])


class AppStates:
    """Subscriptions to application instances, each one document {id, owner, root, body}, and what they hear."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._known = {app["appInstanceId"]: app for app in documents.every(APP)}

    def subscribe(self, body: JsonObject, root: str, owner: str | None, env: Env) -> JsonObject:
        """Keep a subscription and return its record.

        Args:
            body: as sent.
            root: URI of the API, as the subscriber used it.
            owner: the client it belongs to, None without tokens.
            env: identifiers.
        """
        record: JsonObject = {"id": f"sub-{env.new_id()}", "owner": owner, "root": root, "body": body}
        self._documents.keep(_KIND, record["id"], record)
        return record

    def subscriptions(self, owner: str | None) -> list[JsonObject]:
        """Return the records of one client, or all of them."""
        return [record for record in self._documents.every(_KIND) if owner in (None, record["owner"])]

    def subscription(self, subscription_id: str, owner: str | None) -> JsonObject:
        """Return one record.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        record = self._documents.find(_KIND, subscription_id)
        if record is None:
            raise NotFound(f"subscription {subscription_id[:128]!r} does not exist")
        if owner is not None and record["owner"] != owner:
            raise Forbidden(f"subscription {subscription_id[:128]!r} belongs to another client")
        return record

    def unsubscribe(self, subscription_id: str, owner: str | None) -> list[Event]:
        """Remove a subscription.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        self.subscription(subscription_id, owner)
        self._documents.drop(_KIND, subscription_id)
        return [SubscriptionEnded(subscription_id)]

    def changed(self, changes: Iterable[Change], env: Env) -> list[Delivery]:
        """Return the notifications that follow from changed application instances [MEC 010-2 6.2.2.10].

        Args:
            changes: what became of documents; those of applications are looked at.
            env: time and identifiers.
        """
        found: list[Delivery] = []
        for change in changes:
            if change.kind != APP:
                continue
            before = self._known.pop(change.key, None)
            if change.body is not None:
                self._known[change.key] = change.body
            shown = change.body or before
            if shown is None:
                continue
            if before is None:
                found += self._tell(_CREATION, shown, None, env)
            if _state(before) != _state(change.body):
                found += self._tell(_STATE, shown, _state(change.body), env)
            if change.body is None:
                found += self._tell(_DELETION, shown, None, env)
        return found

    def _tell(self, kind: str, app: JsonObject, state: str | None, env: Env) -> list[Delivery]:
        found = []
        for record in self._documents.every(_KIND):
            body, info = record["body"], app_instance_info(app, record["root"])
            if (
                body["subscriptionType"] != kind
                or record["owner"] not in (None, app["owner"])
                or (state is not None and body.get("appInstanceState") not in (None, state))
                or not _selected(body.get("appInstanceSubscriptionFilter") or {}, info)
            ):
                continue
            links = {
                "subscription": {"href": f"{record['root']}/subscriptions/{record['id']}"},
                "appInstance": info["_links"]["self"],
            }
            notification = {
                "id": env.new_id(),
                "notificationType": kind,
                "subscriptionId": record["id"],
                "timeStamp": time_stamp(env.now),
                "appInstanceId": info["id"],
                "_links": links,
            }
            if state is not None:
                notification |= {"appInstanceState": state, "appPkgId": info["appPkgId"], "appDId": info["appDId"]}
            found.append(Delivery(record["id"], body["callbackUri"], notification))
        return found


def _selected(criteria: JsonObject, info: JsonObject) -> bool:
    name = _SELECTED.get(criteria.get("appInstSelectorType", 0))
    if name is None:
        return True
    providers = [entry["appProvider"] for entry in criteria.get("appsFromProviders") or ()]
    return info[name] in (*(criteria.get("appInstances") or ()), *(providers if name == "appProvider" else ()))
