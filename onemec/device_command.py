"""``onemec device``: credentials for devices, other CSEs and administrators, with lines that can be pasted."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table

from onemec.process import fail
from onemec.settings import USAGE

if TYPE_CHECKING:
    from cse.credentials import Credential, CredentialFile

app = typer.Typer(
    no_args_is_help=True,
    help="Credentials: who may prove to be whom. A running CSE sees changes by itself, within a second.",
)

_File = Annotated[
    Path,
    typer.Option("--credentials", envvar="ONEMEC_CSE_CREDENTIALS", help="The file a CSE has as --credentials."),
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")]
_Url = Annotated[str, typer.Option(help="The CSE over HTTP, for the printed lines.")]
_CseId = Annotated[str, typer.Option("--cse-id", help="CSE-ID, for the printed lines.")]
_CseName = Annotated[str, typer.Option("--cse-name", help="Name of the CSEBase, for the printed lines.")]
_Mqtt = Annotated[str, typer.Option(help="The broker, for the printed lines.")]
_Coaps = Annotated[str, typer.Option(help="The CSE over CoAPS, for the printed lines.")]
_DEFAULT = Path("onemec-credentials.json")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a CSE and its broker are, for lines to paste.

    Attributes:
        url: of the CSE over HTTP.
        cse_id: its CSE-ID.
        cse_name: name of its CSEBase.
        mqtt: URL of its broker.
        coaps: URL of the CSE over CoAPS.
    """

    url: str
    cse_id: str
    cse_name: str
    mqtt: str
    coaps: str


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What you call it, e.g. lamp1.")],
    ae_id: Annotated[str, typer.Option(help="Its AE-ID; default: C and the name.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything.")] = False,
    cse: Annotated[str, typer.Option(help="It is a CSE with this CSE-ID and sends for those below it.")] = "",
    console: Annotated[
        str, typer.Option(help="Its role in the console: viewer (what it is without), or operator.")
    ] = "",
    credentials: _File = _DEFAULT,
    url: _Url = "http://127.0.0.1:8080",
    cse_id: _CseId = "/id-in",
    cse_name: _CseName = "cse-in",
    mqtt: _Mqtt = "mqtt://127.0.0.1:1883",
    coaps: _Coaps = "coaps://127.0.0.1:5684",
    as_json: _Json = False,
) -> None:
    """Make a credential: a token for HTTP, WebSocket and MQTT, a key for CoAPS. The token is shown this once.

    Examples: onemec device add lamp1; onemec device add ops --admin; onemec device add edge --cse /id-edge
    """
    from cse.credentials import ADMIN, CSE, DEVICE, CredentialsError, new_credential

    if cse and (admin or ae_id):
        fail("--cse is for a CSE: leave --admin and --ae-id out", USAGE)
    if console and (cse or admin):
        fail("--console is for people who are no administrators: leave --admin and --cse out", USAGE)
    try:
        role = CSE if cse else ADMIN if admin else DEVICE
        made, token = new_credential(name, cse or ae_id or f"C{name}", role, console)
        _file(credentials).add(made)
    except CredentialsError as error:
        fail(str(error))
    _show(made, token, Places(url.rstrip("/"), cse_id, cse_name, mqtt, coaps.rstrip("/")), as_json)


@app.command("list")
def list_devices(credentials: _File = _DEFAULT, as_json: _Json = False) -> None:
    """All credentials, without their secrets.

    Example: onemec device list
    """
    known = _read(credentials)
    if as_json:
        print(json.dumps([{"name": c.name, "id": c.entity, "role": c.role} for c in known]))
        return
    if not known:
        print(f"{credentials} has no credentials: make one with onemec device add <name>")
        return
    table = Table("name", "AE-ID or CSE-ID", "role", box=None, pad_edge=False)
    for credential in known:
        table.add_row(credential.name, credential.entity, credential.role)
    Console(highlight=False).print(table)


@app.command()
def rotate(
    name: Annotated[str, typer.Argument(help="As in the list.")],
    credentials: _File = _DEFAULT,
    url: _Url = "http://127.0.0.1:8080",
    cse_id: _CseId = "/id-in",
    cse_name: _CseName = "cse-in",
    mqtt: _Mqtt = "mqtt://127.0.0.1:1883",
    coaps: _Coaps = "coaps://127.0.0.1:5684",
    as_json: _Json = False,
) -> None:
    """New secrets for a credential; the old ones are worth nothing any more.

    Example: onemec device rotate lamp1
    """
    from cse.credentials import CredentialsError

    try:
        made, token = _file(credentials).rotate(name)
    except CredentialsError as error:
        fail(str(error))
    _show(made, token, Places(url.rstrip("/"), cse_id, cse_name, mqtt, coaps.rstrip("/")), as_json)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="As in the list.")], credentials: _File = _DEFAULT, as_json: _Json = False
) -> None:
    """Take a credential away; its resources stay.

    Example: onemec device remove lamp1
    """
    from cse.credentials import CredentialsError

    try:
        gone = _file(credentials).remove(name)
    except CredentialsError as error:
        fail(str(error))
    if as_json:
        print(json.dumps({"removed": gone.name, "id": gone.entity}))
    else:
        print(f"{gone.name} ({gone.entity}) can no longer prove who it is; its resources stay")


@app.command()
def mosquitto(
    folder: Annotated[Path, typer.Argument(help="Where to write onemec.passwd, onemec.acl and onemec.conf.")],
    credentials: _File = _DEFAULT,
    as_json: _Json = False,
) -> None:
    """Write the files that make Mosquitto bind topics to users; again after each change, then reload it (SIGHUP).

    Example: onemec device mosquitto /etc/mosquitto/onemec
    """
    from cse.credentials import mosquitto_files, write_private

    known = _read(credentials)
    passwords, acl = mosquitto_files(known)
    folder = folder.resolve()
    conf = (
        "# written by onemec device mosquitto; include_dir this folder, or copy the lines\n"
        "per_listener_settings false\nallow_anonymous false\n"
        "# one connection for each user, and nobody can end another's by using its client id:\n"
        "# use_username_as_clientid true\n"
        f"password_file {folder / 'onemec.passwd'}\nacl_file {folder / 'onemec.acl'}\n"
        "max_packet_size 1048576\nmax_inflight_messages 20\nmax_queued_messages 1000\n"
    )
    written = {"onemec.passwd": passwords, "onemec.acl": acl, "onemec.conf": conf}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            write_private(folder / name, text)
    except OSError as error:
        fail(f"{folder}: {error.strerror or error}")
    if as_json:
        print(json.dumps({"files": [str(folder / name) for name in written], "users": [c.mqtt_user for c in known]}))
        return
    print(f"{len(known)} users in {folder / 'onemec.passwd'}; add to mosquitto.conf: include_dir {folder}")
    print("Mosquitto must be able to read them (chown mosquitto), and the CSE needs --mqtt-acl and a user of its own:")
    print("  onemec device add this-cse --cse /id-in")


def _file(path: Path) -> CredentialFile:
    from cse.credentials import CredentialFile

    return CredentialFile(path)


def _read(path: Path) -> list[Credential]:
    from cse.credentials import CredentialsError

    try:
        return list(_file(path).read().values())
    except CredentialsError as error:
        fail(str(error))


def _show(credential: Credential, token: str, places: Places, as_json: bool) -> None:
    lines = paste_lines(credential, token, places)
    if as_json:
        shown: dict[str, Any] = {"name": credential.name, "id": credential.entity, "role": credential.role}
        shown |= {"token": token, "psk_identity": credential.entity, "psk": credential.psk}
        shown |= {"mqtt_user": credential.mqtt_user, "lines": lines}
        print(json.dumps(shown))
        return
    print(f"{credential.name}: {credential.entity} ({credential.role})")
    print(f"  token  {token}   (shown this once)")
    print(f"  DTLS   identity {credential.entity}, key {credential.psk}")
    for title, line in lines.items():
        print(f"\n# {title}\n{line}")


def paste_lines(credential: Credential, token: str, places: Places) -> dict[str, str]:
    """Lines for a shell or a sketch that work as they are, by the tool they are for.

    Args:
        credential: whose.
        token: its token.
        places: where the CSE is.
    """
    entity, user, cse = credential.entity, credential.mqtt_user, places.cse_id.removeprefix("/")
    base = places.cse_name
    if credential.role != "device":
        curl = f"curl -H {shlex.quote(f'Authorization: Bearer {token}')} -H {shlex.quote(f'X-M2M-Origin: {entity}')}"
        return {"curl": f"{curl} -H 'X-M2M-RI: 1' -H 'X-M2M-RVI: 3' {places.url}/{base}"}
    ae = {"rn": credential.name, "api": f"N{credential.name}", "rr": False, "srv": ["3"]}
    body = json.dumps({"m2m:ae": ae})
    primitive = json.dumps(
        {"op": 1, "ty": 2, "to": base, "fr": entity, "rqi": "1", "rvi": "3", "pc": {"m2m:ae": ae}},
    )
    broker = urlsplit(places.mqtt)
    host, port = broker.hostname or "127.0.0.1", broker.port or (8883 if broker.scheme == "mqtts" else 1883)
    tls = " --tls-use-os-certs" if broker.scheme == "mqtts" else ""
    return {
        "curl: registers it": (
            f"curl -X POST {places.url}/{base} -H {shlex.quote(f'Authorization: Bearer {token}')} "
            f"-H {shlex.quote(f'X-M2M-Origin: {entity}')} -H 'X-M2M-RI: 1' -H 'X-M2M-RVI: 3' "
            f"-H 'Content-Type: application/json;ty=2' -d {shlex.quote(body)}"
        ),
        "mosquitto_rr: registers it": (
            f"mosquitto_rr -V 311 -h {host} -p {port}{tls} -u {user} -P {token} -q 1 "
            f"-t /oneM2M/reg_req/{user}/{cse}/json -e /oneM2M/reg_resp/{user}/{cse}/json -m {shlex.quote(primitive)}"
        ),
        # libcoap prints no answer that has options it cannot name, which oneM2M answers have: its log does (-v 7)
        "coap-client-openssl: registers it": (
            f"coap-client-openssl -v 7 -B 5 -m post -u {entity} -k {credential.psk} -O 279,{entity} -O 283,1 -O 271,3 "
            f"-O 267,0x02 -t 50 -e {shlex.quote(body)} {places.coaps}/{base} | grep t:ACK"
        ),
        "Arduino (PubSubClient)": (
            f'client.setServer("{host}", {port});\nclient.setBufferSize(1024);\n'
            f'client.connect("{user}", "{user}", "{token}");\n'
            f'client.subscribe("/oneM2M/reg_resp/{user}/{cse}/json", 1);\n'
            f'client.publish("/oneM2M/reg_req/{user}/{cse}/json", {json.dumps(primitive)});'
        ),
    }
