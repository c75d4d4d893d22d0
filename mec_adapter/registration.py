"""How an application instance gets its appInstanceId, and which of two CSEs an AE's identity belongs to.

An AE that moved to another edge CSE keeps its identity. While both CSEs know it the newest registration wins: the
adapter of the older one yields, and removes nothing that is the other's (mapping ``edgeiot/1``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from mec_adapter.mapping import app_id_of, onem2m_of, transport_id_of
from mec_adapter.mp1.app_support import AppInfo
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Problem
from mec_adapter.mp1.service_mgmt import ServiceInfo

#: statuses that mean "this platform does not have that", not "no"
ABSENT = (404, 405, 501)
_FORBIDDEN = 403


class Superseded(Exception):
    """The identity belongs to a newer registration at another CSE.

    Attributes:
        cse_id: of that CSE.
    """

    def __init__(self, cse_id: str) -> None:
        super().__init__(f"the newest registration is at {cse_id}")
        self.cse_id = cse_id


def newer_elsewhere(shown: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]]) -> str:
    """The CSE-ID at which an identity among the wanted services has been registered later, "" for none.

    Args:
        shown: services as the platform shows them.
        wanted: the services of one CSE; those without an identity concern nobody else.
    """
    ours = {told["identity"]: told for told in map(onem2m_of, wanted) if told.get("identity")}
    for told in map(onem2m_of, shown):
        mine = ours.get(told.get("identity"))
        if mine is not None and told.get("cseId") != mine.get("cseId") and _rank(told) > _rank(mine):
            return str(told.get("cseId", ""))
    return ""


def _rank(told: Mapping[str, Any]) -> tuple[str, str]:
    """What decides which registration is the newest: creationTime, which both sides read alike, then the CSE-ID."""
    return str(told.get("registeredAt") or ""), str(told.get("cseId") or "")


class Registration:
    """Registers one application instance, under the same id whenever that can be.

    Args:
        client: of the platform.
        given_id: appInstanceId from MEC management; "" registers one.
    """

    def __init__(self, client: Mp1Client, given_id: str) -> None:
        self._client = client
        self._given_id = given_id
        self._proposes = True

    async def register(self, info: AppInfo, services: Sequence[ServiceInfo]) -> str:
        """Make the registration what is wanted; returns its appInstanceId.

        Args:
            info: what the registration says; its appInstanceId is proposed.
            services: all the instance offers, by which it is recognised.

        Raises:
            Superseded: the identity is registered at another CSE, and that is newer.
            Mp1Error: the platform refused, or did not answer.
        """
        if self._given_id:
            return self._given_id
        proposed = info.get("appInstanceId", "") if self._proposes else ""
        if proposed:
            known = await self._take_over(proposed, info, services)
            if known:
                return proposed
            if known is None:
                proposed = ""
        for earlier in await self._earlier_ids(services):
            if await self._take_over(earlier, info, services):
                return earlier
        body = cast(AppInfo, {key: value for key, value in info.items() if key != "appInstanceId" or proposed})
        try:
            return _id_of(await self._client.register(body))
        except Mp1Problem as error:
            if error.status in ABSENT:
                raise Mp1Problem(
                    error.status, "the platform takes no registrations: give app_instance_id (MEC_APP_INSTANCE_ID)"
                ) from error
            if error.status != 400 or not proposed:
                raise
        # Some platforms insist on choosing the id themselves.
        body.pop("appInstanceId")
        app_id = _id_of(await self._client.register(body))
        self._proposes = False
        return app_id

    async def _take_over(self, app_id: str, info: AppInfo, services: Sequence[ServiceInfo]) -> bool | None:
        """Bring a registration up to date; returns False when there is none, None when it is another client's."""
        try:
            known = await self._client.read_registration(app_id)
            await self.check_newest(app_id, services)
            body = {**info, "appInstanceId": app_id}
            shown = known.body if isinstance(known.body, dict) else {}
            if any(shown.get(key) != value for key, value in body.items()):
                await self._client.update_registration(app_id, cast(AppInfo, body))
        except Mp1Problem as error:
            if error.status == _FORBIDDEN:
                return None
            if error.status not in ABSENT:
                raise
            return False
        return True

    async def check_newest(self, app_id: str, services: Sequence[ServiceInfo]) -> None:
        """Look whether the services of an instance have become another CSE's.

        Raises:
            Superseded: they have.
            Mp1Error: the platform refused, or did not answer.
        """
        if not any(onem2m_of(service).get("identity") for service in services):
            return
        try:
            shown = await self._client.own_services(app_id)
        except Mp1Problem as error:
            if error.status != _FORBIDDEN:  # not ready yet: then it has no services either
                raise
            return
        if newer := newer_elsewhere(shown, services):
            raise Superseded(newer)

    async def _earlier_ids(self, services: Sequence[ServiceInfo]) -> list[str]:
        """The ids earlier runs were given, told by services of ours that the platform still lists."""
        own = {transport_id_of(service) for service in services if _stands_for_all(service, services)}
        names = sorted({service["serName"] for service in services})
        if not names:
            return []
        listed = await self._client.services(ser_name=names)
        found = [app_id_of(service) for service in listed if transport_id_of(service) in own]
        return [app_id for app_id in dict.fromkeys(found) if app_id]


def _stands_for_all(service: ServiceInfo, services: Sequence[ServiceInfo]) -> bool:
    """Whether an instance may be recognised by a service: one of an AE among those of a CSE may be elsewhere now."""
    return not onem2m_of(service).get("identity") or all(onem2m_of(one).get("identity") for one in services)


def _id_of(registered: AppInfo) -> str:
    return registered.get("appInstanceId", "")
