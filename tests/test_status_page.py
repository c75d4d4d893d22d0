"""The delivery log as an operator reads it: over HTTP and with `onemec deliveries`; not for everybody."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cse.app import Cse
from cse.config import load_config
from cse.credentials import CredentialFile, new_credential
from cse.onem2m.primitives import Operation, Request
from cse.ports import Send

DEAD = "http://127.0.0.1:1/nobody?key=secret"


async def started(**options: Any) -> Cse:
    cse = Cse(load_config({"http": "127.0.0.1:0", "insecure_dev": True, **options}))
    await cse.start()
    return cse


@pytest.fixture
async def cse() -> AsyncIterator[Cse]:
    """A CSE that sent something to nobody."""
    running = await started()
    await running.delivery.ask(notification("n1"))
    yield running
    await running.stop()


def notification(request_id: str) -> Send:
    return Send(Request(Operation.NOTIFY, "x", "/id-in", request_id, content={"m2m:sgn": {}}), (DEAD,), timeout_s=2.0)


async def read(
    cse: Cse, path: str = "deliveries", headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, Any]:
    url = f"{cse.addresses()['http']}/_onemec/{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
        return answer.status, json.loads(await answer.text())


async def test_a_failure_is_there_with_its_reason_and_without_secrets(cse: Cse) -> None:
    status, page = await read(cse)
    assert status == 200
    (record,) = page["records"]
    assert (record["result"], record["target"], record["rqi"]) == ("failed", "http://127.0.0.1:1/nobody", "n1")
    assert "no connection" in record["reason"]
    assert "secret" not in json.dumps(page)
    assert page["last"] == 1


async def test_who_waits_is_answered_when_something_is_sent(cse: Cse) -> None:
    waiting = asyncio.create_task(read(cse, "deliveries?since=1&wait=30"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await cse.delivery.ask(notification("n2"))
    _, page = await asyncio.wait_for(waiting, 20)
    assert [record["rqi"] for record in page["records"]] == ["n2"]


async def test_targets_are_chosen(cse: Cse) -> None:
    assert (await read(cse, "deliveries?target=:1/no"))[1]["records"]
    assert not (await read(cse, "deliveries?target=elsewhere"))[1]["records"]


@pytest.mark.parametrize("query", ["since=x", "most=-1", "colour=blue", "wait=1e9"])
async def test_a_wrong_question_is_400_in_words(cse: Cse, query: str) -> None:
    status, page = await read(cse, f"deliveries?{query}")
    assert status == 400
    assert query.partition("=")[0] in page["error"]


async def test_what_is_not_there_and_not_to_be_changed(cse: Cse) -> None:
    assert (await read(cse, "nothing"))[0] == 404
    assert (await read(cse, method="DELETE"))[0] == 405


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Host": "evil.example:8080"}, {"X-Forwarded-For": "203.0.113.1"}],
    ids=["a page", "a page under another name", "by a proxy"],
)
async def test_without_credentials_only_programs_on_this_machine_are_answered(
    cse: Cse, headers: dict[str, str]
) -> None:
    status, page = await read(cse, headers=headers)
    assert status == 403
    assert "records" not in page


async def test_with_credentials_an_administrator_is_needed(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path / "credentials.json")
    tokens = {}
    for name, role in (("boss", "admin"), ("lamp", "device")):
        credential, tokens[name] = new_credential(name, f"C{name}", role)
        file.add(credential)
    cse = await started(insecure_dev=False, credentials=str(tmp_path / "credentials.json"))
    try:
        assert (await read(cse))[0] == 401
        assert (await read(cse, headers={"Authorization": "Bearer wrong"}))[0] == 401
        assert (await read(cse, headers={"Authorization": f"Bearer {tokens['lamp']}"}))[0] == 401
        assert (await read(cse, headers={"Authorization": f"Bearer {tokens['boss']}"}))[0] == 200
    finally:
        await cse.stop()


async def test_dialects_of_all_bindings_are_counted_together() -> None:
    cse = await started(profile="lenient")
    try:
        cse.dialects.uses["trailing slash"] += 2
        assert cse.endpoints.ws is not None
        cse.endpoints.ws.note("no subprotocol")
        cse.endpoints.ws.note("trailing slash")
        assert (await read(cse, "dialects"))[1] == {"dialects": {"no subprotocol": 1, "trailing slash": 3}}
    finally:
        await cse.stop()


async def command(*words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "onemec", "deliveries", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_shows_lines_and_json(cse: Cse) -> None:
    url = cse.addresses()["http"]
    code, out, _ = await command("--cse", url)
    assert code == 0
    assert "failed" in out
    assert "http://127.0.0.1:1/nobody" in out
    assert "no connection" in out
    code, out, _ = await command("--cse", url, "--json", "--target", "127.0.0.1:1")
    assert json.loads(out)["rqi"] == "n1"
    cse.delivery.post(notification("n3"))
    async with asyncio.timeout(30):
        while not cse.delivery.log.dead_letters():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)
    code, out, _ = await command("--cse", url, "--dead", "--json")
    letter = json.loads(out)
    assert (letter["result"], letter["attempt"], letter["content"]) == ("given up", 4, {"m2m:sgn": {}})


async def test_the_command_follows(cse: Cse) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "onemec", "deliveries", "--follow", "--json", "--cse", cse.addresses()["http"]),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert json.loads(await process.stdout.readline())["rqi"] == "n1"
            await cse.delivery.ask(notification("n2"))
            assert json.loads(await process.stdout.readline())["rqi"] == "n2"
    finally:
        process.terminate()
        await process.wait()


async def test_the_command_says_in_one_line_what_to_mend(cse: Cse) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        code, _, err = await command("--cse", f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "--cse" in err
