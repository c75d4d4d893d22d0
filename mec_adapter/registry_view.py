"""What the MEC platform's registry holds, for people; served as JSON at GET /platform [MEC 011 clause 8, MEC 010-2].

The adapter reads it with its own token, so that whoever shows it to people (the console of a CSE) needs none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mec_adapter.mapping import app_id_of
from mec_adapter.mirror import read_apps
from mec_adapter.mp1 import app_support, service_mgmt
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error, Mp1Problem
from mec_adapter.mp1.types import JsonObject

#: a registry that was read so long ago is not read again
_FRESH_S = 1.0
#: services and instances that are told at most; their numbers are told always
_MOST = 500


class RegistryView:
    """Reads the registry when it is asked for, once a second at most.

    Args:
        mp1: client of the platform.
        own_app: gives the appInstanceId of the CSE, "" before its registration.
        own_apps: gives the appInstanceIds of the CSE and its AEs.
    """

    def __init__(self, mp1: Mp1Client, own_app: Callable[[], str], own_apps: Callable[[], set[str]]) -> None:
        self._mp1, self._own_app, self._own_apps = mp1, own_app, own_apps
        self._reading = asyncio.Lock()
        self._read_at = -_FRESH_S
        self._last: JsonObject = {}

    async def read(self) -> JsonObject:
        """The registry as it is; ``trouble`` says why it cannot be read, and what was there before is told then."""
        async with self._reading:
            if time.monotonic() - self._read_at >= _FRESH_S:
                try:
                    self._last = await self._read()
                except Mp1Error as error:
                    self._last = {**self._last, "apiRoot": self._mp1.root_url, "trouble": str(error)}
                self._read_at = time.monotonic()
            return self._last

    async def _read(self) -> JsonObject:
        services = await self._mp1.services()
        own = self._own_apps()
        apps = await read_apps(self._mp1, services, own)
        return {
            "apiRoot": self._mp1.root_url,
            "trouble": "",
            "serviceCount": len(services),
            "services": [_service(service) for service in services[:_MOST]],
            "appCount": len(apps),
            "apps": [_app(app_id, app) for app_id, app in list(apps.items())[:_MOST]],
            "subscriptions": await self._subscriptions(),
        }

    async def _subscriptions(self) -> list[JsonObject]:
        """Those of the CSE's application instance: a platform shows each application its own."""
        app_id, found = self._own_app(), []
        if app_id:
            for api, endpoint in (
                (service_mgmt.API, service_mgmt.SUBSCRIPTIONS),
                (app_support.API, app_support.SUBSCRIPTIONS),
            ):
                with suppress(Mp1Problem):
                    listed = (await self._mp1.call(api, endpoint, app_id=app_id)).body
                    found += [{"api": api.name, "appInstanceId": app_id, **one} for one in _links(listed)]
        return found


def _service(service: Mapping[str, Any]) -> JsonObject:
    transport = _object(service.get("transportInfo"))
    return {
        "id": str(service.get("serInstanceId", "")),
        "name": str(service.get("serName", "")),
        "category": str(_object(service.get("serCategory")).get("name", "")),
        "state": str(service.get("state", "")),
        "version": str(service.get("version", "")),
        "transport": str(transport.get("type") or service.get("transportId") or ""),
        "protocol": str(transport.get("protocol", "")),
        "endpoint": _endpoint(_object(transport.get("endpoint"))),
        "serializer": str(service.get("serializer", "")),
        "livenessInterval": service.get("livenessInterval"),
        "isLocal": service.get("isLocal"),
        "appInstanceId": app_id_of(service),
    }


def _app(app_id: str, app: Mapping[str, Any]) -> JsonObject:
    operational = _object(app.get("instantiatedAppState")).get("operationalState")
    return {
        "id": app_id,
        "name": str(app.get("appInstanceName") or app.get("appName") or ""),
        "provider": str(app.get("appProvider", "")),
        "state": str(operational or app.get("instantiationState") or ""),
    }


def _endpoint(endpoint: Mapping[str, Any]) -> str:
    """Where a service is reached, as one line: its first URI, name or address."""
    for kind in ("uris", "fqdn"):
        listed = endpoint.get(kind)
        if isinstance(listed, Sequence) and not isinstance(listed, str) and listed:
            return str(listed[0])
    addresses = endpoint.get("addresses")
    first = _object(addresses[0]) if isinstance(addresses, list) and addresses else {}
    return f"{first.get('host', '')}:{first.get('port', '')}" if first else ""


def _links(listed: Any) -> list[JsonObject]:
    entries = _object(_object(listed).get("_links")).get("subscriptions")
    return [
        {"type": str(one.get("subscriptionType", "")), "href": str(one.get("href", ""))}
        for one in (entries if isinstance(entries, list) else [])
        if isinstance(one, dict)
    ]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
