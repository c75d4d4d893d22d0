"""Running the embedded platform: ready with its address, a port in use, a clean end, TLS."""

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest

from mec_adapter.platform.run import PlatformConfig, PlatformStartError, serve
from tests.brokers import free_port


async def test_serve_says_where_it_listens_and_ends_cleanly_when_cancelled() -> None:
    urls: asyncio.Queue[str] = asyncio.Queue()
    port = free_port()
    task = asyncio.create_task(serve(PlatformConfig(port=port, insecure_dev=True, prefix="/mep1"), urls.put_nowait))
    url = await asyncio.wait_for(urls.get(), 5)
    assert url == f"http://127.0.0.1:{port}/mep1"
    async with aiohttp.ClientSession() as session, session.get(f"{url}/mec_service_mgmt/v1/services") as response:
        assert response.status == 200
    task.cancel()
    await asyncio.wait_for(task, 5)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PlatformStartError) as refused:
            await serve(PlatformConfig(port=port, insecure_dev=True))
    assert str(port) in str(refused.value)
    assert "another port" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.behaviour("M11-8.02")
async def test_unsafe_configuration_never_listens() -> None:
    port = free_port()
    with pytest.raises(PlatformStartError):
        await serve(PlatformConfig(port=port, host="0.0.0.0", insecure_dev=True))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_unknown_host_and_missing_certificate_are_one_clear_line(tmp_path: Path) -> None:
    for config in (
        PlatformConfig(host="host.invalid", port=0, admin_token="x" * 20, tls_elsewhere=True),
        PlatformConfig(port=0, insecure_dev=True, tls_certificate=f"{tmp_path}/no.pem", tls_key=f"{tmp_path}/no.key"),
        PlatformConfig(port=0, insecure_dev=True, store=f"sqlite:///{tmp_path}/missing/mep.db"),
    ):
        with pytest.raises(PlatformStartError, match=r"^[^\n]+$"):
            await serve(config)


async def test_cancelling_ends_requests_to_silent_subscribers_too() -> None:
    urls: asyncio.Queue[str] = asyncio.Queue()
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    task = asyncio.create_task(serve(PlatformConfig(port=0, insecure_dev=True), urls.put_nowait))
    url = await asyncio.wait_for(urls.get(), 5)
    async with aiohttp.ClientSession() as session:
        info = {"appName": "x", "appInstanceId": "a", "endpoint": {"uris": ["http://192.0.2.1/"]}}
        await session.post(f"{url}/mec_app_support/v2/registrations", json=info)
        callback = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        body = {
            "subscriptionType": "AppTerminationNotificationSubscription",
            "callbackReference": callback,
            "appInstanceId": "a",
        }
        await session.post(f"{url}/mec_app_support/v2/applications/a/subscriptions", json=body)
        await session.post(f"{url}/mep/v1/app_instances/a/terminate", json={"gracefulTimeoutS": 60})
    task.cancel()
    await asyncio.wait_for(task, 5)
    silent.close()


@pytest.mark.behaviour("M11-1.05")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: ASYNC221
    urls: asyncio.Queue[str] = asyncio.Queue()
    config = PlatformConfig(port=0, insecure_dev=True, tls_certificate=str(certificate), tls_key=str(key))
    task = asyncio.create_task(serve(config, urls.put_nowait))
    url = await asyncio.wait_for(urls.get(), 5)
    trusted = ssl.create_default_context(cafile=str(certificate))
    address = f"{url}/mec_service_mgmt/v1/transports"
    async with aiohttp.ClientSession() as session, session.get(address, ssl=trusted) as response:
        body = await response.json()
    old = ssl.create_default_context(cafile=str(certificate))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(address, ssl=old)
    task.cancel()
    await task
    assert url.startswith("https://")
    assert body[0]["endpoint"]["uris"] == [f"{url}/mec_service_mgmt/v1"]
