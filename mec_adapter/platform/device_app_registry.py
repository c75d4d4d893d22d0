"""Application contexts of devices: which instance serves which device application; pure [MEC 016]."""

from mec_adapter.platform.apps import AppRegistry
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env
from mec_adapter.platform.events import Delivery, Event, SubscriptionEnded
from mec_adapter.platform.problems import BadRequest, Forbidden, NotFound

CONTEXT = "app_context"


class DeviceApps:
    """The contexts, each one document {owner, context}."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def create(self, body: JsonObject, apps: AppRegistry, owner: str | None, env: Env) -> JsonObject:
        """Give a device the running instance of an application and return its context.

        Raises:
            NotFound: no instance of this application runs.
        """
        app = serving_app(body["appInfo"], apps)
        context = {**body, "contextId": env.new_id()}
        return self._keep(_served_by(context, app["appInstanceId"], reference_uri(app)), owner)

    def context(self, context_id: str, owner: str | None) -> JsonObject:
        """Return one context.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        record = self._documents.find(CONTEXT, context_id)
        if record is None:
            raise NotFound(f"application context {context_id[:128]!r} does not exist; POST it to .../app_contexts")
        if owner is not None and record["owner"] != owner:
            raise Forbidden(f"application context {context_id[:128]!r} belongs to another client")
        context: JsonObject = record["context"]
        return context

    def change(self, context_id: str, body: JsonObject, owner: str | None) -> None:
        """Change what a device may change of its context: callbackReference and appLocation.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
            BadRequest: something else would change.
        """
        context = self.context(context_id, owner)
        for name, value in (
            ("contextId", body.get("contextId", context_id)),
            ("associateDevAppId", body["associateDevAppId"]),
        ):
            if context[name] != value:
                raise BadRequest(f"attribute {name} cannot change; send {context[name]!r}")
        if body["appInfo"]["appName"] != context["appInfo"]["appName"]:
            raise BadRequest(f"attribute appInfo.appName cannot change; send {context['appInfo']['appName']!r}")
        served = context["appInfo"]["userAppInstanceInfo"][0]
        changed = {name: value for name, value in context.items() if name != "callbackReference"}
        if "callbackReference" in body:
            changed["callbackReference"] = body["callbackReference"]
        changed["appInfo"] = {**context["appInfo"], "userAppInstanceInfo": body["appInfo"]["userAppInstanceInfo"]}
        self._keep(_served_by(changed, served["appInstanceId"], served["referenceURI"]), owner)

    def drop(self, context_id: str, owner: str | None) -> list[Event]:
        """Remove a context.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        self.context(context_id, owner)
        self._documents.drop(CONTEXT, context_id)
        return [SubscriptionEnded(f"context-{context_id}")]

    def moved(self, event: JsonObject, apps: AppRegistry) -> list[Event]:
        """Move contexts from the serving instance of a mobility event to its target, and tell the devices."""
        target = event.get("targetAppInfo")
        if target is None or "appInstanceId" not in event:
            return []
        uri = _target_uri(target, apps)
        events: list[Event] = []
        for record in self._documents.every(CONTEXT):
            context = record["context"]
            served = context["appInfo"]["userAppInstanceInfo"][0]
            if uri is None or served["appInstanceId"] != event["appInstanceId"]:
                continue
            self._keep(_served_by(context, target["appInstanceId"], uri), record["owner"])
            if "callbackReference" in context:
                body = {
                    "notificationType": "AddressChangeNotification",
                    "contextId": context["contextId"],
                    "appInstanceId": target["appInstanceId"],
                    "referenceURI": uri,
                }
                events.append(Delivery(f"context-{context['contextId']}", context["callbackReference"], body))
        return events

    def _keep(self, context: JsonObject, owner: str | None) -> JsonObject:
        self._documents.keep(CONTEXT, context["contextId"], {"owner": owner, "context": context})
        return context


def listed_app(app: JsonObject) -> JsonObject:
    """Return what a device is told about an application instance's application."""
    managed = app["managed"] or {}
    registration = app["registration"] or {}
    return {
        "appDId": managed.get("appDId") or registration.get("appDId") or "unknown",
        "appName": managed.get("appName") or registration["appName"],
        "appProvider": managed.get("appProvider") or registration.get("appProvider") or "unknown",
        "appSoftVersion": managed.get("appSoftVersion", "unknown"),
        "appDVersion": managed.get("appDVersion", "unknown"),
        "appDescription": managed.get("appDescription", ""),
    }


def serving_app(wanted: JsonObject, apps: AppRegistry) -> JsonObject:
    """Return a running, reachable instance of an application.

    Raises:
        NotFound: there is none.
    """
    for app in apps.every():
        info = listed_app(app)
        same = info["appName"] == wanted["appName"] and info["appProvider"] in (wanted["appProvider"], "unknown")
        if same and app["instantiation"] == "INSTANTIATED" and reference_uri(app):
            return app
    raise NotFound(
        f"no reachable instance of application {wanted['appName']!r} by {wanted['appProvider']!r} runs; "
        "GET .../app_list names those that do"
    )


def reference_uri(app: JsonObject) -> str:
    """Return the URI a device reaches an instance at; empty when it has registered none."""
    endpoint = (app["registration"] or {}).get("endpoint", {})
    if endpoint.get("uris"):
        return str(endpoint["uris"][0])
    if endpoint.get("fqdn"):
        return f"http://{endpoint['fqdn'][0]}"
    if endpoint.get("addresses"):
        return f"http://{endpoint['addresses'][0]['host']}:{endpoint['addresses'][0]['port']}"
    return ""


def _served_by(context: JsonObject, app_id: str, uri: str) -> JsonObject:
    first = {**context["appInfo"]["userAppInstanceInfo"][0], "appInstanceId": app_id, "referenceURI": uri}
    return {**context, "appInfo": {**context["appInfo"], "userAppInstanceInfo": [first]}}


def _target_uri(target: JsonObject, apps: AppRegistry) -> str | None:
    addresses = (target.get("commInterface") or {}).get("ipAddresses")
    if addresses:
        return f"http://{addresses[0]['host']}:{addresses[0]['port']}"
    known = [app for app in apps.every() if app["appInstanceId"] == target["appInstanceId"]]
    return reference_uri(known[0]) or None if known else None
