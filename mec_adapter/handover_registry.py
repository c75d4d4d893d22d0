"""The MEC registry as arbiter of a move: which CSE an AE is registered at, and where CSEs are (mapping ``edgeiot/1``).

Of two registrations of one identity the newest wins: the platform removes the services of the earlier one, and their
consumers hear of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mec_adapter.handover import Arbiter, Edge
from mec_adapter.mapping import (
    AE_CATEGORY_ID,
    CATEGORY_ID,
    ae_app_info,
    ae_services,
    app_id_of,
    app_info,
    cse_services,
    is_exposed,
    onem2m_of,
)
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error
from mec_adapter.mp1.service_mgmt import ServiceInfo
from mec_adapter.profile import CseProfile, MappingOptions, ae_identity, cse_app_id

#: nothing here lives on to send heartbeats
_NO_HEARTBEAT = MappingOptions(liveness_interval_s=None, app_services=False)


async def claim(mp1: Mp1Client, edge: Edge, ae: Mapping[str, Any]) -> str:
    """Register an AE as an application instance at its CSE, whoever had the identity before; returns the identity.

    Args:
        mp1: client of the platform.
        edge: the CSE it is at now.
        ae: its attributes there.

    Raises:
        Mp1Error: the platform refused, or did not answer.
    """
    path = f"{edge.profile.name}/{ae['rn']}"
    info = ae_app_info(edge.profile, ae, path, _NO_HEARTBEAT)
    return await _register(mp1, info, ae_services(edge.profile, ae, path, _NO_HEARTBEAT))


async def claim_exposed(mp1: Mp1Client, edge: Edge, ae_id: str) -> bool:
    """Claim an AE for its CSE if it is exposed (``mec:expose``); returns whether it is.

    Where the adapter of that CSE has done so already, its registration, which has heartbeats, stays.

    Raises:
        Mp1Error: the platform refused, or did not answer.
        RequestFailed: the CSE has no such AE.
        Unreachable: the CSE did not answer.
    """
    ae = await edge.client.retrieve(ae_id)
    if not is_exposed(ae):
        return False
    offered = (await services_of_aes(mp1)).get(ae_identity(edge.profile, ae), [])
    if offered != [edge.profile.cse_id]:
        await claim(mp1, edge, ae)
    return True


async def announce_cse(mp1: Mp1Client, profile: CseProfile) -> str:
    """Register a CSE as an application instance with its services; returns its appInstanceId.

    Raises:
        Mp1Error: the platform refused, or did not answer.
    """
    info = app_info(profile, _NO_HEARTBEAT, cse_app_id(profile))
    return await _register(mp1, info, cse_services(profile, _NO_HEARTBEAT))


async def _register(mp1: Mp1Client, info: Any, services: list[ServiceInfo]) -> str:
    app_id = (await mp1.register(info))["appInstanceId"]
    await mp1.confirm_ready(app_id)
    for service in services:
        await mp1.add_service(app_id, service)
    return app_id


async def services_of_aes(mp1: Mp1Client) -> dict[str, list[str]]:
    """The CSE-IDs at which each identity is offered; more than one is a duplicate.

    Raises:
        Mp1Error: the platform refused, or did not answer.
    """
    found: dict[str, list[str]] = {}
    for service in await mp1.services(ser_category_id=AE_CATEGORY_ID):
        specific = onem2m_of(service)
        if specific.get("identity"):
            found.setdefault(str(specific["identity"]), []).append(str(specific.get("cseId", "")))
    return found


def arbiter(mp1: Mp1Client) -> Arbiter:
    """What tells which CSE an AE was registered for last, as far as the registry knows (see ``handover.Arbiter``)."""

    async def newest(ae: Mapping[str, Any], source: Edge, target: Edge) -> str:
        try:
            offered = await services_of_aes(mp1)
        except Mp1Error:
            return ""
        sides = {edge.profile.cse_id: ae_identity(edge.profile, ae) for edge in (source, target)}
        at = [cse_id for cse_id, identity in sides.items() if cse_id in offered.get(identity, ())]
        return at[0] if len(at) == 1 else ""

    return newest


async def cse_at(mp1: Mp1Client, app_id: str) -> tuple[str, str] | None:
    """URL and CSE-ID of the CSE that is an application instance; None when the registry has none with HTTP.

    Raises:
        Mp1Error: the platform refused, or did not answer.
    """
    for service in await mp1.services(ser_category_id=CATEGORY_ID):
        specific = onem2m_of(service)
        uris = (service["transportInfo"].get("endpoint") or {}).get("uris") or []
        name = str(specific.get("cseName", ""))
        if app_id_of(service) == app_id and service["transportInfo"]["type"] == "REST_HTTP" and uris and name:
            return uris[0].rstrip("/").removesuffix(f"/{name}"), str(specific.get("cseId", ""))
    return None
