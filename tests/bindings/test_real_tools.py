"""curl, mosquitto_rr and libcoap's coap-client, as Debian has them: register, store, read back, and be notified.

With a token, a user or a key they talk to a CSE that believes credentials only; coap-client without TLS to one of the
profile insecure-dev.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from cse.app import Cse
from cse.config import CseConfig
from tests.brokers import require_tool
from tests.coap_tool import coap_client
from tests.trust.secure import Secure, running

AE_ID = "Ctool"
CREATE, RETRIEVE = 1, 2
_METHODS = {CREATE: "POST", RETRIEVE: "GET"}


class Tool(Protocol):
    """A tool as an originator."""

    async def ask(self, operation: int, to: str, ty: int | None = None, content: Any = None) -> tuple[int, Any]:
        """Send a request; returns the response status code and the content."""

    async def notified(self) -> Any:
        """The next notification, as the tool prints it."""


async def output(*command: str, input_wait_s: float = 60.0) -> str:
    """What a command prints; it is ended by its id when the test is."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), input_wait_s)
        return out.decode()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


class Curl:
    """curl with a token; notified through its polling channel."""

    def __init__(self, secure: Secure) -> None:
        self._url = secure.cse.addresses()["http"]
        self._token = secure.token("tool")
        self._count = 0

    async def ask(self, operation: int, to: str, ty: int | None = None, content: Any = None) -> tuple[int, Any]:
        self._count += 1
        kind = "application/json" + (f";ty={ty}" if ty else "")
        words = ["-sS", "-m", "45", "-X", _METHODS[operation], "-w", "\n%header{x-m2m-rsc}"]
        for field in (f"Authorization: Bearer {self._token}", f"X-M2M-Origin: {AE_ID}", "X-M2M-RVI: 3",
                      f"X-M2M-RI: r{self._count}", f"Content-Type: {kind}"):  # fmt: skip
            words += ["-H", field]
        words += ["-d", json.dumps(content)] if content is not None else []
        body, _, rsc = (await output(require_tool("curl"), *words, f"{self._url}/{to}")).rpartition("\n")
        return int(rsc), json.loads(body) if body else None

    async def notified(self) -> Any:
        return (await self.ask(RETRIEVE, "cse-in/tool/pch/pcu"))[1]


class Mosquitto:
    """mosquitto_rr for requests, mosquitto_sub for what the CSE sends, both with user and token."""

    def __init__(self, secure: Secure) -> None:
        host, port = secure.broker
        self._known = ["-h", host, "-p", str(port), "-u", AE_ID, "-P", secure.token("tool"), "-q", "1", "-W", "45"]
        self._count = 0

    async def ask(self, operation: int, to: str, ty: int | None = None, content: Any = None) -> tuple[int, Any]:
        self._count += 1
        primitive = {"op": operation, "to": to, "fr": AE_ID, "rqi": f"r{self._count}", "rvi": "3"}
        primitive |= {"ty": ty, "pc": content} if ty else {}
        kind = "reg_" if ty == 2 else ""
        topics = [f"/oneM2M/{kind}{way}/{AE_ID}/id-in/json" for way in ("req", "resp")]
        words = ["-t", topics[0], "-e", topics[1], "-m", json.dumps(primitive)]
        answer = json.loads(await output(require_tool("mosquitto_rr"), *self._known, *words))
        return answer["rsc"], answer.get("pc")

    async def listen(self) -> None:
        """Subscribe to what the CSE sends; from then on nothing is missed."""
        words = ["-d", "-C", "1", "-t", f"/oneM2M/req/+/{AE_ID}/#"]
        self._sub = await asyncio.create_subprocess_exec(
            require_tool("stdbuf"), "-oL", require_tool("mosquitto_sub"), *self._known, *words,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await self._line("SUBACK")

    async def notified(self) -> Any:
        line = await self._line("{")
        await self._sub.wait()
        return json.loads(line)

    async def _line(self, part: str) -> str:
        assert self._sub.stdout is not None
        async for line in self._sub.stdout:
            text = line.decode()
            if part in text and (part != "{" or text.startswith(part)):
                return text
        raise AssertionError(f"mosquitto_sub ended without {part}")


class CoapClient:
    """One of libcoap's clients; notified through its polling channel."""

    def __init__(self, tool: str, url: str, *known: str) -> None:
        self._tool, self._url, self._known = tool, url, known
        self._count = 0

    async def ask(self, operation: int, to: str, ty: int | None = None, content: Any = None) -> tuple[int, Any]:
        self._count += 1
        answer = await coap_client(
            self._tool, f"{self._url}/{to}", *self._known, originator=AE_ID, method=_METHODS[operation].lower(),
            ty=ty, body=json.dumps(content) if content is not None else "", request_id=f"r{self._count}", wait_s=45,
        )  # fmt: skip
        return answer.rsc, answer.content

    async def notified(self) -> Any:
        return (await self.ask(RETRIEVE, "cse-in/tool/pch/pcu"))[1]


async def tell_a_story(tool: Tool, *, polls: bool, poa: str = "") -> None:
    """Register, make a container, subscribe, store, read the latest back, be notified."""
    ae: dict[str, Any] = {"rn": "tool", "api": "Ntool", "rr": bool(poa), "srv": ["3"]}
    ae |= {"poa": [poa]} if poa else {}
    rsc, made = await tool.ask(CREATE, "cse-in", 2, {"m2m:ae": ae})
    assert (rsc, made["m2m:ae"]["aei"]) == (2001, AE_ID)
    if polls:
        assert (await tool.ask(CREATE, "cse-in/tool", 15, {"m2m:pch": {"rn": "pch"}}))[0] == 2001
    assert (await tool.ask(CREATE, "cse-in/tool", 3, {"m2m:cnt": {"rn": "data"}}))[0] == 2001
    subscription = {"rn": "sub", "nu": [f"/id-in/{AE_ID}"], "enc": {"net": [3]}, "nct": 1}
    assert (await tool.ask(CREATE, "cse-in/tool/data", 23, {"m2m:sub": subscription}))[0] == 2001
    listening = asyncio.create_task(tool.notified())
    try:
        await asyncio.sleep(0)
        assert (await tool.ask(CREATE, "cse-in/tool/data", 4, {"m2m:cin": {"con": "21.5"}}))[0] == 2001
        rsc, latest = await tool.ask(RETRIEVE, "cse-in/tool/data/la")
        assert (rsc, latest["m2m:cin"]["con"]) == (2000, "21.5")
        notification = await asyncio.wait_for(listening, 60)
    finally:
        listening.cancel()
    event = find(notification, "m2m:sgn")["nev"]
    assert event["rep"]["m2m:cin"]["con"] == "21.5"


def find(value: Any, name: str) -> Any:
    """The member of that name, however deep."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        found = find(inner, name)
        if found is not None:
            return found
    return None


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    async with running(tmp_path) as found:
        yield found


async def test_curl_with_a_token(secure: Secure) -> None:
    await tell_a_story(Curl(secure), polls=True)


async def test_mosquitto_rr_with_a_user(secure: Secure) -> None:
    host, port = secure.broker
    tool = Mosquitto(secure)
    # mosquitto_sub has no session to come back to: what is sent before it listens is kept for nobody
    await tool.listen()
    await tell_a_story(tool, polls=False, poa=f"mqtt://{host}:{port}")


@pytest.mark.parametrize("tool", ["coap-client-openssl", "coap-client-gnutls"])
async def test_coap_client_with_a_pre_shared_key(secure: Secure, tool: str) -> None:
    if not shutil.which(tool):
        require_tool(tool)
    key = secure.secrets["tool"].credential.psk
    await tell_a_story(CoapClient(tool, secure.cse.addresses()["coaps"], "-u", AE_ID, "-k", key), polls=True)


@asynccontextmanager
async def insecure() -> AsyncIterator[Cse]:
    cse = Cse(CseConfig(http="", coap="127.0.0.1:0", insecure_dev=True, credentials=""))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(1.0)


async def test_coap_client_without_tls() -> None:
    async with insecure() as cse:
        await tell_a_story(CoapClient("coap-client-notls", cse.addresses()["coap"]), polls=True)
