"""What the fuzzing of the platform needs: a platform in a thread, resources to hit, requests kept on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from mec_adapter.platform.config import NotificationPolicy, PlatformConfig
from mec_adapter.platform.run import serve
from tests.mec.conftest import service_info, transport

LOOPBACK_ONLY = ("127.0.0.0/8", "::1/128")
_NETWORK_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_RULE = {
    "trafficRuleId": "t1",
    "filterType": "FLOW",
    "priority": 1,
    "trafficFilter": [{"dstAddress": ["192.0.2.0/24"]}],
    "action": "DROP",
}
_DNS = {"dnsRuleId": "d1", "domainName": "a.example", "ipAddressType": "IP_V4", "ipAddress": "192.0.2.1"}


def on_loopback(value: Any, sink: str) -> Any:
    """Return a generated body with every URI that names a place on a network turned to `sink` (host:port).

    What is no such URI stays as it is, so that wrong values stay wrong.
    """
    if isinstance(value, dict):
        return {name: on_loopback(inner, sink) for name, inner in value.items()}
    if isinstance(value, list):
        return [on_loopback(inner, sink) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value.strip())
        names_a_place = parts.scheme in _NETWORK_SCHEMES and bool(parts.netloc)
    except ValueError:
        return value
    return urlunsplit((parts.scheme, sink, parts.path, parts.query, "")) if names_a_place else value


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take a notification."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """Run a subscriber for everything the platform wants to call, and give its host:port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextlib.contextmanager
def platform() -> Iterator[str]:
    """Run a platform that may call loopback only, in a thread of its own, and give its URL."""
    config = PlatformConfig(
        port=0,
        insecure_dev=True,
        callback_networks=LOOPBACK_ONLY,
        notifications=NotificationPolicy(attempts=1, timeout_s=1.0),
    )
    urls: queue.Queue[str] = queue.Queue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve(config, urls.put))
    thread = threading.Thread(target=lambda: loop.run_until_complete(task), daemon=True)
    thread.start()
    try:
        yield urls.get(timeout=30)
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(30)
        loop.close()


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources for every path parameter, made again when fuzzing has removed them.

    Attributes:
        url: of the platform.
        callback: where it may send notifications.
    """

    url: str
    callback: str
    session: requests.Session = field(default_factory=requests.Session)

    def parameters(self, path: str) -> dict[str, str]:
        """Return path parameters that exist now, for a path template."""
        self._app()
        found = {
            "appInstanceId": "app-1",
            "apfId": "app-1",
            "subscriberId": "app-1",
            "trafficRuleId": "t1",
            "dnsRuleId": "d1",
            "zoneId": "zone-a",
            "accessPointId": "ap-a1",
            "address": "u1",
        }
        if "{" not in path or not (missing := path.rpartition("{")[2].rstrip("}/").partition("}")[0]):
            return {}
        if missing not in found:
            last = self._made(path, missing)
            if last is not None:
                found[missing] = last
            if "systems/" in path:
                found["systemId"] = self._made("/fed_enablement/v1/fed_resources/system_info/{systemId}", "") or "x"
        return {name: value for name, value in found.items() if f"{{{name}}}" in path}

    def _app(self) -> None:
        """Have a terminated, deleted or deregistered app-1 back, with its rules and a user on the map."""
        own = f"{self.url}/mep/v1/app_instances/app-1"
        known = self.session.get(own, timeout=30)
        if known.status_code == 200 and known.json()["instantiationState"] == "INSTANTIATED":
            if known.json()["registered"]:
                return
        else:
            self.session.delete(own, timeout=30)
            body = {"appName": "a", "appInstanceId": "app-1", "appTrafficRule": [_RULE], "appDNSRule": [_DNS]}
            self._post("/mep/v1/app_instances", body)
        endpoint = {"uris": ["http://192.0.2.1/"]}
        self._post(
            "/mec_app_support/v2/registrations", {"appName": "a", "appInstanceId": "app-1", "endpoint": endpoint}
        )
        self.session.put(f"{self.url}/mep/v1/location_users/u1", json={"accessPointId": "ap-a1"}, timeout=30)

    def _post(self, path: str, body: Any) -> requests.Response:
        return self.session.post(self.url + path, json=body, timeout=30)

    def _made(self, path: str, missing: str) -> str | None:
        """Create what the last parameter of a path names, and return its id."""
        collection = path.replace("{appInstanceId}", "app-1").replace("{apfId}", "app-1")
        collection = collection.replace("{subscriberId}", "app-1").partition("/{")[0]
        body = self._body(collection, missing)
        if body is None:
            return None
        made = self._post(collection, body)
        assert made.status_code == 201, (collection, made.text)
        return made.headers["Location"].rpartition("/")[2]

    def _body(self, collection: str, missing: str) -> Any:
        here = {"callbackReference": self.callback}
        profile = {"aefId": "a", "versions": [{"apiVersion": "1"}], "domainName": "a.example"}
        user = {"appName": "a", "appProvider": "unknown", "appDVersion": "1", "userAppInstanceInfo": [{}]}
        area = {"shape": 1, "points": [{"latitude": 43.738, "longitude": 7.424}], "radius": 100}
        bus = transport(type="MB_TOPIC_BASED", implSpecificInfo={})
        availability = {"subscriptionType": "SerAvailabilityNotificationSubscription", **here}
        termination = {"subscriptionType": "AppTerminationNotificationSubscription", "appInstanceId": "app-1", **here}
        location = {
            "users": {"subscriptionType": "UserLocationEventSubscription", "address": "u1"},
            "zones": {"subscriptionType": "ZoneLocationEventSubscription", "zoneId": "zone-a"},
            "area": {
                "subscriptionType": "UserAreaSubscription",
                "addressList": ["u1"],
                "areaDefine": area,
                "trackingAccuracy": 1,
            },
            "distance": {
                "subscriptionType": "UserDistanceSubscription",
                "monitoredAddress": ["u1", "u2"],
                "distance": 10,
                "trackingAccuracy": 1,
                "criteria": "AnyWithinDistance",
                "checkImmediate": True,
            },
        }
        bodies: dict[str, Any] = {
            "/mec_service_mgmt/v1/services": None,
            "/mec_service_mgmt/v1/applications/app-1/services": service_info(livenessInterval=60),
            "/mec_service_mgmt/v1/applications/app-1/subscriptions": availability,
            "/mec_app_support/v1/applications/app-1/subscriptions": termination,
            "/mec_app_support/v2/applications/app-1/subscriptions": termination,
            "/iots/v1/registered_devices": {"deviceAuthenticationInfo": "a", "deviceId": "d", "enabled": True},
            "/iots/v1/registered_iot_platforms": {"iotPlatformId": "p", "userTransportInfo": [bus], "enabled": True},
            "/published-apis/v1/app-1/service-apis": {
                "apiName": "a",
                "aefProfiles": [profile],
                "supportedFeatures": "0",
            },
            "/capif-events/v1/app-1/subscriptions": {
                "events": ["SERVICE_API_AVAILABLE"],
                "notificationDestination": self.callback,
            },
            "/fed_enablement/v1/fed_resources/system_info": {"systemName": "s", "systemProvider": "p"},
            "/fed_enablement/v1/subscriptions": {"subscriptionType": "SystemUpdateNotificationSubscription", **here},
            "/amsi/v1/app_mobility_services": {"serviceConsumerId": {"appInstanceId": "app-1"}},
            "/amsi/v1/subscriptions": {
                "subscriptionType": "MobilityProcedureSubscription",
                "filterCriteria": {},
                **here,
            },
            "/app_lcm/v1/subscriptions": {
                "subscriptionType": "AppInstanceStateChangeSubscription",
                "callbackUri": self.callback,
            },
            "/dev_app/v1/app_contexts": {"associateDevAppId": "d", "appInfo": user},
            "/mep/v1/clients": {"name": "c"},
            **{f"/location/v2/subscriptions/{kind}": {**body, **here} for kind, body in location.items()},
        }
        return bodies.get(collection)
