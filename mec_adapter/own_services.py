"""The services of one application instance in the registry: made what they should be, in the platform's dialect."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mec_adapter.lifecycle import Service
from mec_adapter.mapping import differs, onem2m_of, transport_id_of
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Problem
from mec_adapter.mp1.service_mgmt import ServiceInfo
from mec_adapter.registration import Superseded, newer_elsewhere

_log = logging.getLogger("mec_adapter.mp1")


@dataclass(slots=True)
class Dialect:
    """How the platform deviates, found out on the way; shared by all instances.

    Attributes:
        sandbox: only the state of a service may change, and PUT must echo what GET gave.
        heartbeats: livenessInterval is accepted.
        detect: whether deviations may be concluded from answers.
    """

    sandbox: bool = False
    heartbeats: bool = True
    detect: bool = True


class OwnServices:
    """Compares the registry with what it should hold, and mends it.

    Args:
        name: of the application instance in words, for the log.
        client: of the platform.
        dialect: of the platform; what is found out goes there.
    """

    def __init__(self, name: str, client: Mp1Client, dialect: Dialect) -> None:
        self._name = name
        self._client = client
        self._dialect = dialect

    async def reconcile(self, app_id: str, services: Sequence[ServiceInfo]) -> tuple[Service, ...]:
        """Register what is missing, replace what differs, remove what is no longer wanted.

        Args:
            app_id: the application instance.
            services: all it should have.

        Raises:
            Superseded: what is there belongs to a newer registration at another CSE.
            Mp1Error: something did not succeed; what was done stays.
        """
        wanted = {transport_id_of(service): service for service in services}
        kept: dict[str, Mapping[str, Any]] = {}
        present = await self._client.own_services(app_id)
        if newer := newer_elsewhere(present, services):
            raise Superseded(newer)
        for shown in present:
            key = transport_id_of(shown)
            if key in wanted and key not in kept:
                kept[key] = shown
            elif key in wanted or onem2m_of(shown):
                # A second registration (an answer was lost), or what is no longer wanted. Others' are left alone.
                await self._client.remove_service(app_id, str(shown.get("serInstanceId", "")))
        for key, service in wanted.items():
            if key not in kept:
                kept[key] = await self._add(app_id, service)
            elif differs(service, kept[key]):
                kept[key] = await self._replace(app_id, service, kept[key])
        return tuple(_registered(key, service, kept[key]) for key, service in wanted.items())

    async def _add(self, app_id: str, service: ServiceInfo) -> ServiceInfo:
        try:
            return await self._client.add_service(app_id, self._offered(service))
        except Mp1Problem as error:
            if error.status != 400 or "livenessInterval" not in self._offered(service) or not self._dialect.detect:
                raise
        # Peers of V2.1.1 know no heartbeats.
        self._dialect.heartbeats = False
        return await self._client.add_service(app_id, self._offered(service))

    def _offered(self, service: ServiceInfo) -> ServiceInfo:
        if self._dialect.heartbeats and not self._dialect.sandbox:
            return service
        return cast(ServiceInfo, {key: value for key, value in service.items() if key != "livenessInterval"})

    async def _replace(self, app_id: str, service: ServiceInfo, shown: Mapping[str, Any]) -> ServiceInfo:
        service_id = str(shown.get("serInstanceId", ""))
        for attempt in (1, 2):
            current = await self._client.read_service(app_id, service_id)
            body = self._offered(service)
            if self._dialect.sandbox:
                body = cast(ServiceInfo, {**current.body, "state": service["state"]})
                if differs(service, body):
                    return await self._recreate(app_id, service_id, service)
            elif "livenessInterval" in current.body:
                body = cast(ServiceInfo, {**body, "livenessInterval": current.body["livenessInterval"]})
            try:
                return await self._client.replace_service(app_id, service_id, body, current.etag)
            except Mp1Problem as error:
                if error.status == 412 and attempt == 1:
                    continue
                if error.status != 400 or self._dialect.sandbox or not self._dialect.detect:
                    raise
                _log.info("%s: the platform lets only the state of a service change: profile sandbox", self._name)
                self._dialect.sandbox = True
        return await self._recreate(app_id, service_id, service)

    async def _recreate(self, app_id: str, service_id: str, service: ServiceInfo) -> ServiceInfo:
        await self._client.remove_service(app_id, service_id)
        return await self._add(app_id, service)


def _registered(key: str, wanted: ServiceInfo, shown: Mapping[str, Any]) -> Service:
    links = shown.get("_links")
    liveness = links.get("liveness") if isinstance(links, dict) else None
    href = str(liveness.get("href", "")) if isinstance(liveness, dict) else ""
    interval = shown.get("livenessInterval")
    return Service(
        key,
        wanted["serName"],
        str(shown.get("serInstanceId", "")),
        wanted["state"],
        href,
        float(interval) if href and isinstance(interval, int | float) else 0.0,
    )
