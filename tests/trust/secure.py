"""A CSE that believes credentials only, on every binding, behind a broker that binds topics to users."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cse.app import Cse
from cse.config import CseConfig
from cse.credentials import ADMIN, CSE, DEVICE, Credential, CredentialFile, mosquitto_files, new_credential
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from tests import brokers

#: name -> (entity, role)
ENTITIES = {
    "lamp1": ("Clamp1", DEVICE),
    "other": ("Cother", DEVICE),
    "tool": ("Ctool", DEVICE),
    "ops": ("Cops", ADMIN),
    "mn": ("/id-mn", CSE),
    "here": ("/id-in", CSE),
}
MOSQUITTO = """\
listener {port} 127.0.0.1
user root
allow_anonymous false
password_file {folder}/passwd
acl_file {folder}/acl
persistence false
log_dest stderr
log_type error
"""


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential and its token."""

    credential: Credential
    token: str


@dataclass(frozen=True, slots=True)
class Secure:
    """What is running.

    Attributes:
        cse: with the AEs lamp1 and other below it.
        secrets: by the names in ``ENTITIES``.
        broker: host and port.
        path: the file of credentials.
    """

    cse: Cse
    secrets: dict[str, Secret]
    broker: tuple[str, int]
    path: Path

    def token(self, name: str) -> str:
        """The token of an entity."""
        return self.secrets[name].token


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Secure]:
    """Mosquitto with the generated files, and a CSE on HTTP, WebSocket, CoAP, CoAPS and MQTT."""
    path = folder / "credentials.json"
    secrets = {}
    for name, (entity, role) in ENTITIES.items():
        secrets[name] = Secret(*new_credential(name, entity, role))
        CredentialFile(path).add(secrets[name].credential)
    passwords, acl = mosquitto_files([secret.credential for secret in secrets.values()])
    (folder / "passwd").write_text(passwords)
    (folder / "acl").write_text(acl)
    port = brokers.free_port()
    (folder / "mosquitto.conf").write_text(MOSQUITTO.format(port=port, folder=folder))
    command = [brokers.require_tool("mosquitto"), "-c", str(folder / "mosquitto.conf")]
    fields: dict[str, Any] = {"coap": "127.0.0.1:0", "coaps": "127.0.0.1:0", "mqtt_acl": True, **options}
    with brokers.running(command, port):
        url = f"mqtt://id-in:{secrets['here'].token}@127.0.0.1:{port}"
        cse = Cse(CseConfig(http="127.0.0.1:0", mqtt=url, credentials=str(path), **fields))
        await cse.start()
        try:
            for name in ("lamp1", "other"):
                await register(cse, name)
            yield Secure(cse, secrets, ("127.0.0.1", port), path)
        finally:
            await cse.stop(1.0)


async def register(cse: Cse, name: str) -> None:
    """Put an AE below the CSEBase, as if it had registered."""
    content = {"m2m:ae": {"rn": name, "api": f"N{name}", "rr": False, "srv": ["3"], "lbl": [f"secret-of-{name}"]}}
    request = Request(Operation.CREATE, "cse-in", f"C{name}", f"reg-{name}", 2, content, "3", credential=f"C{name}")
    request.binding = "http"
    assert (await cse.serve(request)).status is Status.CREATED


async def within(awaitable: Any, timeout_s: float) -> Any:
    """Its result, None when there is none in time."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(awaitable, timeout_s)
    return None
