"""Certificates prove who somebody is: AEs over HTTPS and WSS, CSEs among each other, the CSE at an MQTTS broker."""

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cse.app import Cse, StartError
from cse.config import ConfigError, CseConfig, load_config
from cse.credentials import CredentialFile, entity_of_names, new_credential
from tests import brokers
from tests.brokers import require_tool

HEADERS = {"X-M2M-RI": "1", "X-M2M-RVI": "3"}
NAMES = {
    "server": "subjectAltName=IP:127.0.0.1",
    "Clamp1": "keyUsage=digitalSignature",
    "lamp2": "subjectAltName=URI:urn:onem2m:ae:Clamp2",
    "in": "subjectAltName=IP:127.0.0.1,URI:urn:onem2m:cse:id-in",
    "mn": "subjectAltName=IP:127.0.0.1,URI:urn:onem2m:cse:id-mn",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem and ``<name>.pem``, ``<name>.key`` for each of ``NAMES``."""
    folder = tmp_path_factory.mktemp("authority")
    make(folder, "ca", NAMES)
    make(folder, "stranger", {"evil": "subjectAltName=URI:urn:onem2m:ae:Clamp2"})
    return folder


def make(folder: Path, authority: str, names: dict[str, str]) -> None:
    def openssl(*words: str) -> None:
        subprocess.run([require_tool("openssl"), *words], check=True, capture_output=True, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-days", "2",
            "-subj", f"/CN={authority}")  # fmt: skip
    for name, extension in names.items():
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extension").write_text(extension)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "extension")  # fmt: skip


def files(folder: Path, name: str) -> dict[str, str]:
    """The options of a CSE with that certificate."""
    return {"tls_cert": f"{folder / name}.pem", "tls_key": f"{folder / name}.key", "tls_ca": str(folder / "ca.pem")}


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Cse]:
    cse = Cse(CseConfig(**{"http": "127.0.0.1:0", "credentials": "", **options}))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(1.0)


def client(folder: Path, name: str = "") -> aiohttp.TCPConnector:
    """Connections that show a certificate."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if name:
        context.load_cert_chain(f"{folder / name}.pem", f"{folder / name}.key")
    return aiohttp.TCPConnector(ssl=context)


@pytest.mark.parametrize(
    ("name", "originator", "expected"),
    [
        ("Clamp1", "Clamp1", "2001"),
        ("Clamp1", "C", "2001"),
        ("lamp2", "Clamp2", "2001"),
        ("lamp2", "Clamp1", "4106"),
        ("lamp2", "lamp2", "4106"),
        ("server", "Clamp1", "4107"),
        ("", "Clamp1", "4107"),
    ],
)
async def test_a_certificate_names_its_ae(authority: Path, name: str, originator: str, expected: str) -> None:
    body = json.dumps({"m2m:ae": {"rn": "ae", "api": "Nx", "rr": False, "srv": ["3"]}})
    headers = {**HEADERS, "X-M2M-Origin": originator, "Content-Type": "application/json;ty=2"}
    async with running(**files(authority, "server")) as cse:
        url = cse.addresses()["http"]
        async with aiohttp.ClientSession(connector=client(authority, name)) as session:
            answer = await session.post(f"{url}/cse-in", headers=headers, data=body)
            assert answer.headers["X-M2M-RSC"] == expected


async def test_over_wss_too(authority: Path) -> None:
    async with running(**files(authority, "server")) as cse:
        url = cse.addresses()["ws"]
        async with aiohttp.ClientSession(connector=client(authority, "lamp2")) as session:
            async with session.ws_connect(url, protocols=["oneM2M.json"]) as socket:
                for originator, expected in (("Clamp2", 4103), ("Clamp1", 4106)):
                    await socket.send_json({"op": 2, "to": "cse-in", "fr": originator, "rqi": "1", "rvi": "3"})
                    assert json.loads(await socket.receive_str(timeout=30))["rsc"] == expected
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(url, protocols=["oneM2M.json"], headers={"X-M2M-Origin": "Clamp1"})
        async with aiohttp.ClientSession(connector=client(authority)) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(url, protocols=["oneM2M.json"], headers={"X-M2M-Origin": "Clamp2"})


async def test_a_certificate_of_another_authority_is_refused(authority: Path) -> None:
    async with running(**files(authority, "server")) as cse:
        async with aiohttp.ClientSession(connector=client(authority, "evil")) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"{cse.addresses()['http']}/cse-in", headers={**HEADERS, "X-M2M-Origin": "Clamp2"})
        assert not cse.requests.counts()


async def test_old_tls_is_refused(authority: Path) -> None:
    async with running(**files(authority, "server")) as cse:
        context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        port = int(cse.addresses()["http"].rpartition(":")[2])
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")


async def test_cses_know_each_other_by_their_certificates(authority: Path) -> None:
    async with running(**files(authority, "in")) as registrar:
        url = registrar.addresses()["http"]
        below = {"type": "MN", "id": "/id-mn", "name": "cse-mn", "registrar": url}
        async with running(**files(authority, "mn"), **below) as cse:
            assert cse.registration is not None
            await asyncio.wait_for(cse.registration.registered.wait(), 30)
            headers = {**HEADERS, "X-M2M-Origin": "/id-mn/Cx"}
            async with aiohttp.ClientSession(connector=client(authority, "mn")) as session:
                answer = await session.get(f"{url}/cse-in/nothing", headers=headers)
                assert answer.headers["X-M2M-RSC"] == "4004"
            async with aiohttp.ClientSession(connector=client(authority, "Clamp1")) as session:
                answer = await session.get(f"{url}/cse-in/nothing", headers=headers)
                assert answer.headers["X-M2M-RSC"] == "4106"


async def test_an_mqtts_broker_knows_the_cse_by_certificate_and_user(authority: Path, tmp_path: Path) -> None:
    port = brokers.free_port()
    (tmp_path / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nuser root\ncafile {authority / 'ca.pem'}\ncertfile {authority / 'server.pem'}\n"
        f"keyfile {authority / 'server.key'}\nrequire_certificate true\nuse_identity_as_username true\n"
        "allow_anonymous false\npersistence false\nlog_dest stderr\nlog_type error\n"
    )
    shown = {"mqtt_ca": str(authority / "ca.pem")}
    own = {"mqtt_cert": str(authority / "in.pem"), "mqtt_key": str(authority / "in.key")}
    command = [require_tool("mosquitto"), "-c", str(tmp_path / "mosquitto.conf")]
    with brokers.running(command, port):
        url = f"mqtts://127.0.0.1:{port}"
        async with running(http="", mqtt=url, mqtt_acl=True, **shown, **own) as cse:
            assert cse.addresses()["mqtt"] == url
            device = ["--cafile", str(authority / "ca.pem"), "--cert", f"{authority / 'Clamp1'}.pem"]
            device += ["--key", f"{authority / 'Clamp1'}.key", "-h", "127.0.0.1", "-p", str(port), "-W", "30"]
            device += ["-t", "/oneM2M/req/Clamp1/id-in/json", "-e", "/oneM2M/resp/Clamp1/id-in/json"]
            request = json.dumps({"op": 2, "to": "cse-in/nothing", "fr": "Clamp1", "rqi": "1", "rvi": "3"})
            process = await asyncio.create_subprocess_exec(
                require_tool("mosquitto_rr"), *device, "-m", request, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await asyncio.wait_for(process.communicate(), 60)
            assert json.loads(out)["rsc"] == 4004
        with pytest.raises(StartError, match="mqtt"):
            async with running(http="", mqtt=url, **shown):
                raise AssertionError("the broker took a stranger")


async def test_the_broker_password_is_shown_to_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    made, token = new_credential("here", "/id-in", "cse")
    CredentialFile(tmp_path / "c.json").add(made)
    with brokers.mosquitto(tmp_path) as url:
        secret = url.replace("mqtt://", f"mqtt://id-in:{token}@")
        async with running(mqtt=secret) as cse:
            assert token not in str(cse.addresses())
            assert token not in str(cse.hosting.base().attributes)
    assert token not in caplog.text


@pytest.mark.parametrize(
    ("uris", "names", "expected"),
    [
        (["urn:onem2m:ae:Clamp1"], [], "Clamp1"),
        (["urn:example:x:cse:id-mn"], [], "/id-mn"),
        (["https://x"], ["Clamp1"], "Clamp1"),
        ([], ["/id-mn"], "/id-mn"),
        ([], ["lamp"], ""),
        ([], ["C"], ""),
        (["urn:onem2m:ae:C lamp"], ["Cother"], ""),
        ([], [], ""),
    ],
)
def test_names_of_certificates(uris: list[str], names: list[str], expected: str) -> None:
    assert entity_of_names(uris, names) == expected


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"tls_ca": "ca.pem"}, "--tls-cert"),
        ({"type": "MN", "registrar": "http://%2Fid-mn:secret@host:1"}, "--tls-ca"),
        ({"mqtt": "mqtts://b", "mqtt_key": "k.pem"}, "--mqtt-key"),
        ({"mqtt": "mqtt://b", "mqtt_ca": "ca.pem"}, "mqtts://"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        load_config(options)


async def test_files_that_cannot_be_used_are_said(authority: Path, tmp_path: Path) -> None:
    for options, part in (
        ({**files(authority, "server"), "tls_ca": str(tmp_path / "none")}, "--tls-ca"),
        ({"mqtt": "mqtts://127.0.0.1:1", "mqtt_ca": str(tmp_path / "none")}, "--mqtt-ca"),
    ):
        with pytest.raises(StartError, match=part):
            async with running(**options):
                raise AssertionError("it started")
