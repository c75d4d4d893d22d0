"""Twelve ways to be somebody else, on five bindings: none is taken, each has its exact response status code (TP-14).

The credential is always that of the AE lamp1 (or none); the target is what belongs to the entity that is claimed.
"""

import asyncio
import base64
import json
import secrets as random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from cse.bindings.coap_message import CON, Message, decode, encode
from tests.brokers import require_tool
from tests.coap_tool import coap_client
from tests.trust.secure import Secure, running, within

NONE = "no credential"
#: case -> (From, target, what is done)
CASES: dict[str, tuple[str, str]] = {
    NONE: ("Clamp1", "cse-in/lamp1"),
    "a worthless credential": ("Clamp1", "cse-in/lamp1"),
    "another AE": ("Cother", "cse-in/other"),
    "an administrator": ("Cops", "cse-in/other"),
    "the CSE itself": ("/id-in", "cse-in/other"),
    "an AE of another CSE": ("/id-mn/Cx", "cse-in/other"),
    "another CSE": ("/id-mn", "cse-in/other"),
    "another AE, absolute": ("//onemec.local/id-in/Cother", "cse-in/other"),
    "its own name in other letters": ("clAMP1", "cse-in/lamp1"),
    "another AE, percent-encoded": ("%43other", "cse-in/other"),
    "another AE and a space": ("Cother ", "cse-in/other"),
    "two originators": ("Clamp1", "cse-in/other"),
}
EXPECTED = {
    NONE: 4107,
    "a worthless credential": 4107,
    "another AE, percent-encoded": 4000,
    "another AE and a space": 4000,
    "two originators": 4000,
}
#: where a binding can say no before there is a primitive, or reads it differently: why is said with the entry
DIFFERENT = {
    ("http", "another AE and a space"): 4106,  # white space around a header's value is no part of it
    ("ws", "another AE and a space"): 4106,  # a connection has an owner, with whom every From is compared first
    ("ws", "another AE, percent-encoded"): 4106,
}
#: a DTLS handshake or a CONNECT that fails, and a topic that may not be written, get no oneM2M answer
NO_ANSWER = 0


Ask = Callable[[str, str, str], Awaitable[tuple[int, str]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secure(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secure]:
    async with running(tmp_path_factory.mktemp("secure")) as found:
        yield found


async def http(secure: Secure, case: str, originator: str, target: str) -> tuple[int, str]:
    """A request over a raw connection, so that headers can stand twice."""
    where = urlsplit(secure.cse.addresses()["http"])
    lines = [f"GET /{target} HTTP/1.1", f"Host: {where.netloc}", "X-M2M-RI: r1", "X-M2M-RVI: 3"]
    lines += [f"X-M2M-Origin: {originator}", "Connection: close"]
    if case == "two originators":
        lines.append("X-M2M-Origin: Cother")
    if case != NONE:
        token = "x" * 48 if case == "a worthless credential" else secure.token("lamp1")
        lines.append(f"Authorization: Bearer {token}")
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = (await asyncio.wait_for(reader.read(), 30)).decode()
    writer.close()
    found = [line.partition(":")[2] for line in answer.splitlines() if line.lower().startswith("x-m2m-rsc")]
    return int(found[0]), answer


async def ws(secure: Secure, case: str, originator: str, target: str) -> tuple[int, str]:
    """A handshake with the token, then a primitive."""
    url = secure.cse.addresses()["ws"]
    headers = {}
    if case != NONE:
        token = "x" * 48 if case == "a worthless credential" else secure.token("lamp1")
        headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(url, protocols=["oneM2M.json"], headers=headers) as socket:
                await socket.send_str(primitive(case, originator, target))
                answer = await socket.receive_str(timeout=30)
        except aiohttp.WSServerHandshakeError as error:
            return {401: 4107}.get(error.status, NO_ANSWER), ""
    return json.loads(answer)["rsc"], answer


async def coap(secure: Secure, case: str, originator: str, target: str) -> tuple[int, str]:
    """Plain CoAP proves nothing, so whoever it is, he gets what one without credentials gets."""
    return await datagram(urlsplit(secure.cse.addresses()["coap"]).port or 0, case, originator, target)


async def datagram(port: int, case: str, originator: str, target: str) -> tuple[int, str]:
    options = [(11, part.encode()) for part in target.split("/")]
    options += [(271, b"3"), (279, originator.encode()), (283, b"r1")]
    if case == "two originators":
        options.append((279, b"Cother"))
    message = Message(1, CON, random.randbelow(1 << 16), random.token_bytes(4), sorted(options, key=lambda o: o[0]))
    loop = asyncio.get_running_loop()
    received: asyncio.Future[bytes] = loop.create_future()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            if not received.done():
                received.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", port))
    try:
        transport.sendto(encode(message))
        answer = decode(await asyncio.wait_for(received, 30))
    finally:
        transport.close()
    rsc = [value for number, value in answer.options if number == 307]
    return int.from_bytes(rsc[0]) if rsc else NO_ANSWER, answer.payload.decode(errors="replace")


async def coaps(secure: Secure, case: str, originator: str, target: str) -> tuple[int, str]:
    """The client of libcoap with the pre-shared key."""
    tool = "coap-client-openssl"
    key = "0" * 32 if case == "a worthless credential" else secure.secrets["lamp1"].credential.psk
    known = ["-u", "Clamp1", "-k", key]
    if case == NONE:
        known = ["-u", "Cnobody", "-k", "0" * 32]
    if case == "two originators":
        known += ["-O", "279,Cother"]
    wait_s = 3 if case in (NONE, "a worthless credential") else 20
    url = f"{secure.cse.addresses()['coaps']}/{target}"
    answer = await coap_client(tool, url, *known, originator=originator, wait_s=wait_s)
    return answer.rsc, json.dumps(answer.content)


async def mqtt(secure: Secure, case: str, originator: str, target: str) -> tuple[int, str]:
    """mosquitto_rr as lamp1 on lamp1's topics."""
    if case in (NONE, "a worthless credential"):
        return await rr(secure, "" if case == NONE else "x" * 48, "Clamp1", primitive(case, originator, target))
    return await rr(secure, secure.token("lamp1"), "Clamp1", primitive(case, originator, target))


async def rr(secure: Secure, token: str, level: str, payload: str, wait_s: int = 20) -> tuple[int, str]:
    """What mosquitto_rr prints for a request on somebody's topic."""
    host, port = secure.broker
    words = ["-h", host, "-p", str(port), "-q", "1", "-W", str(wait_s)]
    words += ["-u", "Clamp1", "-P", token] if token else []
    words += ["-t", f"/oneM2M/req/{level}/id-in/json", "-e", f"/oneM2M/resp/{level}/id-in/json", "-m", payload]
    process = await asyncio.create_subprocess_exec(
        require_tool("mosquitto_rr"), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), wait_s + 20)
    text = out.decode()
    return json.loads(text)["rsc"] if text.startswith("{") else NO_ANSWER, text


def primitive(case: str, originator: str, target: str) -> str:
    """A RETRIEVE as JSON; two originators are two members of one name."""
    text = json.dumps({"op": 2, "to": target, "rqi": "r1", "rvi": "3", "fr": originator})
    return text[:-1] + ', "fr": "Cother"}' if case == "two originators" else text


BINDINGS = {"http": http, "ws": ws, "mqtt": mqtt, "coap": coap, "coaps": coaps}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_is_taken_for_somebody_else(secure: Secure, binding: str, case: str) -> None:
    originator, target = CASES[case]
    rsc, body = await BINDINGS[binding](secure, case, originator, target)
    assert "secret-of" not in body
    expected = DIFFERENT.get((binding, case), EXPECTED.get(case, 4106))
    if binding == "coap" and expected == 4106:
        expected = 4107
    if binding in ("mqtt", "coaps") and expected == 4107:
        expected = NO_ANSWER
    assert rsc == expected, body


@pytest.mark.parametrize("binding", [name for name in BINDINGS if name != "coap"])
@pytest.mark.asyncio(loop_scope="module")
async def test_who_proves_who_it_is_is_served(secure: Secure, binding: str) -> None:
    rsc, body = await BINDINGS[binding](secure, "", "Clamp1", "cse-in/lamp1")
    assert rsc == 2000
    assert "secret-of-lamp1" in body


@pytest.mark.asyncio(loop_scope="module")
async def test_a_topic_of_somebody_else_reaches_nobody(secure: Secure) -> None:
    before = sum(secure.cse.requests.counts().values())
    for level in ("Cother", "Cops", "id-mn", "id-in"):
        request = json.dumps({"op": 2, "to": "cse-in/other", "rqi": "r", "rvi": "3"})
        rsc, text = await rr(secure, secure.token("lamp1"), level, request, wait_s=1)
        assert (rsc, text) == (NO_ANSWER, "")
    assert sum(secure.cse.requests.counts().values()) == before


@pytest.mark.asyncio(loop_scope="module")
async def test_basic_names_who_the_token_is_of(secure: Secure) -> None:
    url = f"{secure.cse.addresses()['http']}/cse-in/lamp1"
    headers = {"X-M2M-Origin": "Clamp1", "X-M2M-RI": "1", "X-M2M-RVI": "3"}
    token = secure.token("lamp1")
    for user, password, expected in (
        ("Clamp1", token, "2000"),
        ("Cother", token, "4107"),
        ("Clamp1", secure.token("other"), "4107"),
        ("Clamp1", "", "4107"),
    ):
        value = base64.b64encode(f"{user}:{password}".encode()).decode()
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers={**headers, "Authorization": f"Basic {value}"}) as answer,
        ):
            assert answer.headers["X-M2M-RSC"] == expected


async def test_older_clients_may_send_their_token_with_their_name(tmp_path: Path) -> None:
    async with running(tmp_path, profile="lenient") as secure, aiohttp.ClientSession() as session:
        url = f"{secure.cse.addresses()['http']}/cse-in/lamp1"
        for name, token, expected in (
            ("Clamp1", secure.token("lamp1"), "2000"),
            ("Cother", secure.token("lamp1"), "4000"),
            ("Clamp1", "wrong", "4000"),
        ):
            headers = {"X-M2M-Origin": f"{name}:{token}", "X-M2M-RI": "1", "X-M2M-RVI": "3"}
            async with session.get(url, headers=headers) as answer:
                assert answer.headers["X-M2M-RSC"] == expected
        assert secure.cse.dialects.uses["token in the originator"] == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_an_ae_registers_under_the_name_its_credential_is_for(secure: Secure) -> None:
    url = f"{secure.cse.addresses()['http']}/cse-in"
    headers = {"X-M2M-RI": "1", "X-M2M-RVI": "3", "Authorization": f"Bearer {secure.token('ops')}"}
    headers["Content-Type"] = "application/json;ty=2"
    body = json.dumps({"m2m:ae": {"rn": "ops", "api": "Nops", "rr": False, "srv": ["3"]}})
    async with aiohttp.ClientSession() as session:
        for originator, expected in (("Cnew", "4106"), ("S", "4106"), ("/id-mn", "4106"), ("C", "2001")):
            sent = {**headers, "X-M2M-Origin": originator}
            async with session.post(url, headers=sent, data=body) as answer:
                assert answer.headers["X-M2M-RSC"] == expected
                found = await answer.json()
        assert found["m2m:ae"]["aei"] == "Cops"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_cse_speaks_for_those_below_it_only(secure: Secure) -> None:
    url = f"{secure.cse.addresses()['http']}/cse-in/nothing"
    headers = {"X-M2M-RI": "1", "X-M2M-RVI": "3", "Authorization": f"Bearer {secure.token('mn')}"}
    for originator, expected in (
        ("/id-mn", "4004"),
        ("/id-mn/Cx", "4004"),
        ("/id-mn-b/Cx", "4106"),
        ("/id-other/Cx", "4106"),
        ("Clamp1", "4106"),
        ("Cops", "4106"),
        ("/id-in/Cops", "4106"),
        ("/id-in", "4106"),
    ):
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers={**headers, "X-M2M-Origin": originator}) as answer,
        ):
            assert answer.headers["X-M2M-RSC"] == expected, originator


@pytest.mark.asyncio(loop_scope="module")
async def test_a_browser_proves_it_in_the_subprotocol(secure: Secure) -> None:
    url = secure.cse.addresses()["ws"]
    async with aiohttp.ClientSession() as session:
        offered = ["oneM2M.json", f"bearer.{secure.token('lamp1')}"]
        async with session.ws_connect(url, protocols=offered) as socket:
            assert socket.protocol == "oneM2M.json"
            await socket.send_str(primitive("", "Clamp1", "cse-in/lamp1"))
            assert json.loads(await socket.receive_str(timeout=30))["rsc"] == 2000
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url, protocols=["oneM2M.json", "bearer.nothing"])


async def test_an_open_connection_ends_with_its_credential(tmp_path: Path) -> None:
    from cse.credentials import CredentialFile

    async with running(tmp_path) as secure, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {secure.token('lamp1')}"}
        async with session.ws_connect(
            secure.cse.addresses()["ws"], protocols=["oneM2M.json"], headers=headers
        ) as socket:
            CredentialFile(secure.path).remove("lamp1")
            message = await within(socket.receive(), 30)
            assert message is not None
            assert socket.close_code == 1008
