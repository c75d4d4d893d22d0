"""HTTPS and WSS: one port, one certificate, and starts that cannot work."""

import ssl
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cse.app import Cse, StartError
from cse.bindings.websocket import WebSocketBinding
from cse.client import Client
from cse.client.transports import HttpTransport, WebSocketTransport
from cse.config import ConfigError, CseConfig, load_config
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable
from tests.brokers import require_tool


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Certificate and key of 127.0.0.1, made by openssl."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        [require_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def config(**options: Any) -> CseConfig:
    fields: dict[str, Any] = {"http": "127.0.0.1:0", "insecure_dev": True, "admin": ("CAdmin",), **options}
    return CseConfig(**fields)


async def test_https_and_wss_serve_clients_that_know_the_certificate(certificate: tuple[str, str]) -> None:
    cse = Cse(config(tls_cert=certificate[0], tls_key=certificate[1]))
    await cse.start()
    try:
        addresses = cse.addresses()
        assert addresses["http"].startswith("https://")
        assert addresses["ws"].startswith("wss://")
        known = ssl.create_default_context(cafile=certificate[0])
        for transport in (HttpTransport(addresses["http"], tls=known), WebSocketTransport(addresses["ws"], tls=known)):
            async with Client(transport, originator="CAdmin") as client:
                assert (await client.retrieve("-"))["poa"] == [addresses["http"], addresses["ws"]]
            await transport.close()
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientSSLError):
                await session.get(addresses["http"] + "/cse-in")
        binding = WebSocketBinding(_never, "/id-x", lenient=False)
        send = Send(Request(Operation.RETRIEVE, "cse-in", "/id-x", "1"), (addresses["ws"],), "/id-in")
        with pytest.raises(Unreachable, match="certificate"):
            await binding.send(addresses["ws"], send)
    finally:
        await cse.stop(1.0)


async def _never(request: Request) -> Response:
    return Response(Status.NOT_FOUND, request.request_id)


async def test_a_start_without_usable_files_says_what_to_mend(certificate: tuple[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for cert, key in ((str(tmp_path / "none.pem"), ""), (str(wrong), ""), (certificate[0], ""), (certificate[0], "x")):
        cse = Cse(config(tls_cert=cert, tls_key=key))
        with pytest.raises(StartError, match="--tls-cert"):
            await cse.start()


def test_a_key_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="--tls-cert"):
        load_config({"tls_key": "key.pem"})
