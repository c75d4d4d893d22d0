"""``onemec device``: credentials before and while a CSE runs, and the lines it prints."""

import asyncio
import json
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
from typer.testing import CliRunner

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from cse.credentials import Credentials
from onemec.cli import app
from tests.brokers import require_tool


def device(path: Path, *words: str, code: int = 0) -> Any:
    """What the command says: JSON, or the line on stderr when it fails."""
    done = CliRunner().invoke(app, ["device", *words, "--credentials", str(path), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if code == 0 else done.stderr


def test_secrets_are_shown_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    made = device(path, "add", "lamp1")
    assert (made["id"], made["role"], made["mqtt_user"]) == ("Clamp1", "device", "Clamp1")
    assert made["token"] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert device(path, "list") == [{"name": "lamp1", "id": "Clamp1", "role": "device"}]
    for line in made["lines"].values():
        assert made["token"] in line or made["psk"] in line
    fresh = device(path, "rotate", "lamp1")
    assert fresh["token"] != made["token"]
    assert fresh["psk"] != made["psk"]
    assert device(path, "remove", "lamp1") == {"removed": "lamp1", "id": "Clamp1"}
    assert device(path, "list") == []


def test_a_role_in_the_console_is_kept_with_the_credential(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    device(path, "add", "anna", "--console", "operator")
    device(path, "rotate", "anna")
    known = Credentials(path)
    assert known.console_role("Canna") == "operator"
    assert known.console_role("Cnobody") == ""
    assert "viewer or operator" in device(path, "add", "bob", "--console", "king", code=1)
    assert "--console" in device(path, "add", "ops", "--admin", "--console", "operator", code=2)


def test_what_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    device(path, "add", "lamp1")
    for words, part in (
        (("add", "lamp1"), "rotate or remove it first"),
        (("add", "other", "--ae-id", "Clamp1"), "rotate or remove it first"),
        (("add", "a/b"), "is no name"),
        (("add", "x", "--ae-id", "lamp"), "begin it with C or S"),
        (("add", "x", "--cse", "id-mn"), "is no CSE-ID"),
        (("remove", "nobody"), "there are lamp1"),
        (("rotate", "nobody"), "there are lamp1"),
    ):
        error = device(path, *words, code=1)
        assert part in error
        assert len(error.strip().splitlines()) == 1
    path.write_text("[]")
    assert "no file of onemec device" in device(path, "list", code=1)


async def test_a_running_cse_knows_a_new_device_at_once_and_forgets_a_removed_one(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    cse = Cse(CseConfig(http="127.0.0.1:0", credentials=str(path), profile="lenient"))
    await cse.start()
    try:
        url = cse.addresses()["http"]
        made = device(path, "add", "lamp1", "--url", url)
        words = shlex.split(made["lines"]["curl: registers it"])
        curl = await asyncio.create_subprocess_exec(
            require_tool("curl"), "-s", "-D", "-", *words[1:], stdout=asyncio.subprocess.PIPE
        )
        answer, _ = await curl.communicate()
        assert b"x-m2m-rsc: 2001" in answer.lower()
        assert b'"aei":"Clamp1"' in answer
        headers = {"X-M2M-Origin": "Clamp1", "X-M2M-RI": "1", "Authorization": f"Bearer {made['token']}"}
        async with aiohttp.ClientSession() as session:

            async def status() -> str:
                async with session.get(f"{url}/cse-in/lamp1", headers=headers) as found:
                    return found.headers["X-M2M-RSC"]

            assert await status() == "2000"
            device(path, "remove", "lamp1")
            async with asyncio.timeout(30):
                while await status() != "4107":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        await cse.stop(1.0)


async def test_the_line_for_coap_registers_the_device(tmp_path: Path) -> None:
    path, tool = tmp_path / "devices.json", require_tool("coap-client-openssl")
    device(path, "add", "lamp1")
    cse = Cse(CseConfig(http="", coaps="127.0.0.1:0", credentials=str(path)))
    await cse.start()
    try:
        made = device(path, "rotate", "lamp1", "--coaps", cse.addresses()["coaps"])
        line = made["lines"]["coap-client-openssl: registers it"]
        async with asyncio.timeout(60):
            answer = b""
            while b'"aei":"Clamp1"' not in answer:  # until the CSE has read the new key
                shell = await asyncio.create_subprocess_shell(
                    line.replace("coap-client-openssl", tool), stdout=asyncio.subprocess.PIPE
                )
                answer, _ = await shell.communicate()
    finally:
        await cse.stop(1.0)


async def test_an_administrator_proves_it(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    made = device(path, "add", "ops", "--admin")
    cse = Cse(CseConfig(http="127.0.0.1:0", credentials=str(path)))
    await cse.start()
    try:
        url = f"{cse.addresses()['http']}/cse-in"
        headers = {"X-M2M-Origin": "Cops", "X-M2M-RI": "1", "X-M2M-RVI": "3"}
        async with aiohttp.ClientSession() as session:
            async with session.get(url, headers=headers) as found:
                assert found.headers["X-M2M-RSC"] == "4107"
            proven = {**headers, "Authorization": f"Bearer {made['token']}"}
            async with session.delete(f"{url}/nothing", headers=proven) as found:
                assert found.headers["X-M2M-RSC"] == "4004"
    finally:
        await cse.stop(1.0)


async def test_our_own_client_and_commands_take_the_credential_in_the_url(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    made = device(path, "add", "lamp1")
    cse = Cse(CseConfig(http="127.0.0.1:0", credentials=str(path)))
    await cse.start()
    try:
        urls = {name: url.replace("://", f"://Clamp1:{made['token']}@") for name, url in cse.addresses().items()}
        async with Client(urls["http"], originator="Clamp1") as client:
            await client.create("-", 2, {"m2m:ae": {"rn": "lamp1", "api": "Nx", "rr": False, "srv": ["3"]}})
        async with Client(urls["ws"], originator="Clamp1") as client:
            assert (await client.retrieve("-/lamp1"))["aei"] == "Clamp1"
        command = [sys.executable, "-m", "onemec", "get", "-/lamp1", "--cse", urls["http"], "--as", "Clamp1", "--json"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert b'"Clamp1"' in out
    finally:
        await cse.stop(1.0)


def test_a_cse_that_strangers_reach_and_nobody_can_prove_himself_to_does_not_start(tmp_path: Path) -> None:
    for words, part in (
        (("--http", "0.0.0.0:0"), "give --tls-cert"),
        (("--http", "off", "--coap", "0.0.0.0:0"), "use --coaps"),
        (("--http", "off", "--coaps", "0.0.0.0:0"), "nobody has a credential"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "onemec", "cse", *words, "--credentials", str(tmp_path / "none.json")],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode != 0
        assert part in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_mosquitto_files_bind_topics_to_users(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    device(path, "add", "lamp1")
    device(path, "add", "here", "--cse", "/id-in")
    written = device(path, "mosquitto", str(tmp_path / "mosquitto"))
    assert written["users"] == ["Clamp1", "id-in"]
    assert "pattern write /oneM2M/req/%u/#" in (tmp_path / "mosquitto/onemec.acl").read_text()
    assert all(stat.S_IMODE(Path(file).stat().st_mode) == 0o600 for file in written["files"])
