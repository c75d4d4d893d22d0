"""Registry entries of AEs that went while nobody could tell the platform: found by what they say, and removed."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from mec_adapter.mapping import AE_CATEGORY_ID, app_id_of, onem2m_of, transport_id_of
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Problem

_ABSENT = (404, 405, 410, 501)


class Leftovers:
    """Removes what AEs of one CSE have left behind.

    Args:
        client: of the platform.
    """

    def __init__(self, client: Mp1Client) -> None:
        self._client = client
        #: application instances whose end the platform was not told of
        self._untold: set[str] = set()

    def untold(self, app_id: str) -> None:
        """The platform could not be told that this application instance has ended."""
        self._untold.add(app_id)

    def taken(self, app_id: str) -> None:
        """This application instance lives again."""
        self._untold.discard(app_id)

    async def clear(self, cse_id: str, wanted: AbstractSet[str]) -> None:
        """Remove services of AEs of this CSE that are not wanted, and their application instances.

        Args:
            cse_id: CSE-ID of the CSE.
            wanted: the transportInfo.id of all that should be there.

        Raises:
            Mp1Error: something did not succeed; what was done stays.
        """
        ended = set(self._untold)
        for service in await self._client.services(ser_category_id=AE_CATEGORY_ID):
            if onem2m_of(service).get("cseId") == cse_id and transport_id_of(service) not in wanted:
                app_id = app_id_of(service)
                if app_id:
                    await self._client.remove_service(app_id, str(service.get("serInstanceId", "")))
                    ended.add(app_id)
        for app_id in ended:
            await self._end(app_id)
            self._untold.discard(app_id)

    async def _end(self, app_id: str) -> None:
        """Deregister an application instance that offers nothing any more; a newer one of another CSE does."""
        try:
            if not await self._client.own_services(app_id):
                await self._client.deregister(app_id)
        except Mp1Problem as error:
            if error.status not in _ABSENT:
                raise
