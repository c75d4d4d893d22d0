"""An MN-CSE's or ASN-CSE's registration with its registrar, kept up for as long as it runs.

TS-0001 clause 10.2.2.7, TS-0004 clause 7.4.4: remoteCSE at the registrar, its mirror here, again when it is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from cse.config import CseConfig
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send

_log = logging.getLogger("cse.registration")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_REMOTE_CSE = 16


class Registration:
    """Registers a CSE and keeps looking after it.

    Args:
        config: who this CSE is and who its registrar is.
        poa: the points of access to tell the registrar.
        ask: sends a request and gives the answer or None.
        serve: serves a request at this CSE.
        new_id: gives request identifiers.
    """

    def __init__(
        self,
        config: CseConfig,
        poa: tuple[str, ...],
        ask: Callable[[Send], Awaitable[Response | None]],
        serve: Callable[[Request], Awaitable[Response]],
        new_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._poa = poa
        self._ask = ask
        self._serve = serve
        self._new_id = new_id
        self._name = config.id.lstrip("/")
        self.registered = asyncio.Event()
        #: CSE-ID of the IN-CSE, learnt from the registrar
        self.in_cse_id = ""

    async def run(self) -> None:
        """Register, look after it, register again when it is lost; until cancelled."""
        pause_s, told = _FIRST_PAUSE_S, False
        while True:
            if await self._register():
                _log.info("registered with %s at %s", self._config.registrar_id, self._config.registrar)
                self.registered.set()
                pause_s, told = _FIRST_PAUSE_S, False
                await self._watch()
                self.registered.clear()
                _log.warning("the registration with %s is lost: registering again", self._config.registrar_id)
                continue
            if not told:
                _log.warning(
                    "registrar %s at %s does not take the registration yet: trying again until it does",
                    self._config.registrar_id,
                    self._config.registrar,
                )
                told = True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _register(self) -> bool:
        own = {
            "cb": f"{self._config.id}/{self._config.name}",
            "csi": self._config.id,
            "cst": self._config.type.number,
            "spi": self._config.sp_id,
            "rr": True,
            "poa": list(self._poa),
            "srv": list(self._config.releases),
            "csz": ["application/json", "application/cbor"],
        }
        answer = await self._request(
            Operation.CREATE, f"{self._config.registrar_id}/-", {"m2m:csr": {"rn": self._name, **own}}, _REMOTE_CSE
        )
        if answer is None:
            return False
        if answer.status in (Status.CONFLICT, Status.ORIGINATOR_HAS_ALREADY_REGISTERED):
            changes = {name: own[name] for name in ("rr", "poa", "srv", "csz")}
            answer = await self._request(
                Operation.UPDATE, f"{self._config.registrar_id}/-/{self._name}", {"m2m:csr": changes}
            )
        if answer is None or not answer.status.is_success:
            if answer is not None:
                _log.warning("registrar %s answers %s", self._config.registrar_id, _words(answer))
            return False
        return await self._mirror()

    async def _mirror(self) -> bool:
        answer = await self._request(Operation.RETRIEVE, f"{self._config.registrar_id}/-")
        if answer is None or not answer.status.is_success or not isinstance(answer.content, dict):
            return False
        base = answer.content.get("m2m:cb", {})
        registrar = self._config.registrar_id
        self.in_cse_id = registrar if base.get("cst") == 1 else base.get("ici", "")
        attributes: dict[str, Any] = {
            "cb": f"{registrar}/{base.get('rn', '-')}",
            "csi": registrar,
            "rr": True,
            # The address that works from here comes first, whatever the registrar says of itself.
            "poa": list(dict.fromkeys((self._config.registrar, *base.get("poa", ())))),
            "srv": base.get("srv") or list(self._config.releases),
        }
        for name in ("csz", "spi", "ici"):
            if name in base:
                attributes[name] = base[name]
        name = registrar.lstrip("/")
        content = {"m2m:csr": {"rn": name, **attributes}}
        if isinstance(base.get("cst"), int):
            content["m2m:csr"]["cst"] = base["cst"]
        response = await self._serve(self._own(Operation.CREATE, f"{self._config.name}", content, _REMOTE_CSE))
        if response.status in (Status.CONFLICT, Status.ORIGINATOR_HAS_ALREADY_REGISTERED):
            changes = {key: attributes[key] for key in ("poa", "srv", "rr")}
            response = await self._serve(
                self._own(Operation.UPDATE, f"{self._config.name}/{name}", {"m2m:csr": changes})
            )
        if not response.status.is_success:
            _log.error("cannot keep the registrar as a remoteCSE: %s", _words(response))
        return response.status.is_success

    async def _watch(self) -> None:
        """Return when the registrar no longer knows this CSE; being unreachable for a while is no loss."""
        while True:
            await asyncio.sleep(self._config.registration_check_s)
            answer = await self._request(Operation.RETRIEVE, f"{self._config.registrar_id}/-/{self._name}")
            if answer is not None and answer.status in (Status.NOT_FOUND, Status.ORIGINATOR_HAS_NO_PRIVILEGE):
                return

    async def _request(
        self, operation: Operation, to: str, content: Any = None, resource_type: int | None = None
    ) -> Response | None:
        return await self._ask(
            Send(
                self._own(operation, to, content, resource_type),
                (self._config.registrar,),
                self._config.registrar_id,
                exact_url=False,
                timeout_s=self._config.request_timeout_s,
            )
        )

    def _own(self, operation: Operation, to: str, content: Any = None, resource_type: int | None = None) -> Request:
        return Request(
            operation,
            to,
            self._config.id,
            self._new_id(),
            resource_type=resource_type,
            content=content,
            release=self._config.releases[-1] if self._config.releases[-1] != "1" else None,
        )


def _words(response: Response) -> str:
    debug = response.content.get("m2m:dbg", "") if isinstance(response.content, dict) else ""
    return f"{int(response.status)} {response.status.name} {debug}".rstrip()
