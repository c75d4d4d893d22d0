"""CoAPS: DTLS 1.2 with pre-shared keys and certificates, tried with libcoap's clients and with made-up datagrams."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from cse.app import Cse, StartError
from cse.bindings.dtls import DtlsEndpoint, DtlsLimits
from cse.config import CseConfig
from cse.credentials import CredentialFile, new_credential
from tests.brokers import require_tool
from tests.coap_tool import coap_client

CLIENTS = [name for name in ("coap-client-openssl", "coap-client-gnutls") if shutil.which(name)] or ["coap-client"]
AE = '{"m2m:ae":{"rn":"lamp1","api":"Nlamp","rr":false,"srv":["3"]}}'


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Cse]:
    fields: dict[str, Any] = {"http": "", "coaps": "127.0.0.1:0", "profile": "lenient", **options}
    cse = Cse(CseConfig(credentials=str(folder / "devices.json"), **fields))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(1.0)


def add(folder: Path, name: str, role: str = "device") -> str:
    """The pre-shared key of a new credential of ``C<name>``."""
    made, _ = new_credential(name, f"C{name}", role)
    CredentialFile(folder / "devices.json").add(made)
    return made.psk


@pytest.mark.parametrize("tool", CLIENTS)
async def test_libcoap_with_a_pre_shared_key(tool: str, tmp_path: Path) -> None:
    key = add(tmp_path, "lamp1")
    known = ("-u", "Clamp1", "-k", key)
    async with running(tmp_path) as cse:
        url = cse.addresses()["coaps"]
        assert url.startswith("coaps://")
        made = await coap_client(tool, f"{url}/cse-in", *known, originator="Clamp1", method="post", ty=2, body=AE)
        assert made.content["m2m:ae"]["aei"] == "Clamp1"
        read = await coap_client(tool, f"{url}/cse-in/lamp1", *known, originator="Clamp1")
        assert read.content["m2m:ae"]["rn"] == "lamp1"
        assert (await coap_client(tool, f"{url}/cse-in/lamp1", *known, originator="Cother")).rsc == 4106


@pytest.mark.parametrize("tool", CLIENTS)
async def test_wrong_and_unknown_keys_get_nothing(tool: str, tmp_path: Path) -> None:
    add(tmp_path, "lamp1")
    async with running(tmp_path) as cse:
        url = f"{cse.addresses()['coaps']}/cse-in"
        for identity in ("Clamp1", "Cnobody"):
            said = await coap_client(tool, url, "-u", identity, "-k", "0" * 32, originator="Clamp1", wait_s=3)
            assert said.code == ""
        assert not cse.requests.counts()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of an authority, a server and the device Clamp2."""
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*words: str) -> None:
        subprocess.run([require_tool("openssl"), *words], check=True, capture_output=True, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    names = {
        "server": "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "device": "subjectAltName=URI:urn:onem2m:ae:Clamp2",
    }
    for name, extension in names.items():
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extension").write_text(extension)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "extension")  # fmt: skip
    return folder


@pytest.mark.parametrize("tool", CLIENTS)
async def test_libcoap_with_a_certificate(tool: str, tmp_path: Path, authority: Path) -> None:
    files = {"tls_cert": "server.pem", "tls_key": "server.key", "tls_ca": "ca.pem"}
    options = {name: str(authority / file) for name, file in files.items()}
    async with running(tmp_path, **options) as cse:
        url = cse.addresses()["coaps"].replace("127.0.0.1", "localhost")
        proof = ("-c", str(authority / "device.pem"), "-j", str(authority / "device.key"))
        proof = (*proof, "-R", str(authority / "ca.pem"), "-C", str(authority / "ca.pem"))
        made = await coap_client(tool, f"{url}/cse-in", *proof, originator="C", method="post", ty=2, body=AE)
        assert made.content["m2m:ae"]["aei"] == "Clamp2"
        assert (await coap_client(tool, f"{url}/cse-in/lamp1", *proof, originator="Clamp1")).rsc == 4106


async def test_a_removed_key_ends_its_sessions(tmp_path: Path) -> None:
    key = add(tmp_path, "lamp1", "admin")
    async with running(tmp_path) as cse:
        url = f"{cse.addresses()['coaps']}/cse-in"
        known = ("-u", "Clamp1", "-k", key)
        assert (await coap_client(CLIENTS[0], url, *known, originator="Clamp1")).rsc == 2000
        CredentialFile(tmp_path / "devices.json").remove("lamp1")
        async with asyncio.timeout(30):
            while cse.hosting.settings.admin:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await coap_client(CLIENTS[0], url, *known, originator="Clamp1", wait_s=3)).code == ""


async def test_addresses_that_are_made_up_cost_nothing(tmp_path: Path) -> None:
    add(tmp_path, "lamp1")
    async with running(tmp_path) as cse:
        endpoint = secured(cse)
        hello = client_hello()
        answers = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.setblocking(False)
            peer.bind(("127.0.0.1", 0))
            where = urlsplit(cse.addresses()["coaps"])
            target = (where.hostname, where.port)
            loop = asyncio.get_running_loop()
            for junk in (b"", b"\x16", hello[:40], b"\x17" + hello[1:], b"\xff" * 1400, hello):
                peer.sendto(junk, target)
            async with asyncio.timeout(30):
                answer = await loop.sock_recv(peer, 2000)
            answers += 1
            assert answer[13] == 3, "HelloVerifyRequest"
            assert len(answer) < len(hello)
            for number in range(300):
                endpoint.datagram_received(hello, ("192.0.2.1", 1000 + number))
        assert (endpoint.sessions, endpoint.half_open) == (0, 0)


async def test_handshakes_that_are_not_gone_on_with_are_few_and_forgotten(tmp_path: Path) -> None:
    add(tmp_path, "lamp1")
    async with running(tmp_path) as cse:
        endpoint = secured(cse)
        endpoint._limits = DtlsLimits(half_open=3, handshake_s=0.1)
        for number in range(6):
            address = ("192.0.2.1", 1000 + number)
            endpoint._greeted = address
            endpoint.datagram_received(client_hello(endpoint._cookie()), address)
        assert (endpoint.sessions, endpoint.half_open) == (3, 3)
        async with asyncio.timeout(30):
            while endpoint.half_open:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert endpoint.sessions == 0


async def test_a_lost_flight_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, "lamp1")
    async with running(tmp_path) as cse:
        endpoint = secured(cse)
        sent: list[bytes] = []
        transport = SimpleNamespace(sendto=lambda data, _address: sent.append(data))
        monkeypatch.setattr(endpoint, "_transport", transport)
        address = ("192.0.2.1", 1000)
        endpoint._greeted = address
        endpoint.datagram_received(client_hello(endpoint._cookie()), address)
        first = len(sent)
        assert sent[0][13] == 2, "ServerHello"
        async with asyncio.timeout(30):
            while len(sent) < 2 * first:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert sent[first][13] == 2, "ServerHello once more"
        monkeypatch.undo()


async def test_files_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(StartError, match="--coaps"):
        async with running(tmp_path, tls_cert=str(wrong)):
            raise AssertionError("it started")


def secured(cse: Cse) -> DtlsEndpoint:
    assert cse.endpoints.coaps is not None
    assert cse.endpoints.coaps._secured is not None
    return cse.endpoints.coaps._secured


def client_hello(cookie: bytes = b"") -> bytes:
    """A ClientHello that offers PSK with AES-128-GCM and CCM_8 (RFC 6347 clause 4.2)."""
    suites = bytes.fromhex("00a8c0a8")
    body = b"\xfe\xfd" + bytes(32) + b"\0" + bytes([len(cookie)]) + cookie
    body += len(suites).to_bytes(2) + suites + b"\x01\0"
    sequence = b"\0\x01" if cookie else b"\0\0"
    handshake = b"\x01" + len(body).to_bytes(3) + sequence + b"\0\0\0" + len(body).to_bytes(3) + body
    return b"\x16\xfe\xfd\0\0" + bytes(5) + sequence[1:] + len(handshake).to_bytes(2) + handshake
