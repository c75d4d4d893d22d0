"""Bad input on every binding of a running CSE: the right code, words that help, never silence (trust.md R5, R6)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cse.app import Cse
from cse.bindings import coap_codec, coap_message
from cse.config import load_config
from cse.onem2m.primitives import Operation, Request
from tests.bindings.plain_clients import BINDINGS, Answer, over_coap, over_http, over_mqtt, over_websocket
from tests.brokers import free_port


@pytest.fixture
async def cse(mosquitto_url: str) -> AsyncIterator[Cse]:
    """A CSE on all bindings, with small limits."""
    config = load_config(
        {
            "http": "127.0.0.1:0",
            "coap": "127.0.0.1:0",
            "mqtt": mosquitto_url,
            "id": f"/id-bad{free_port()}",
            "insecure_dev": True,
            "admin": "CAdmin",
        }
    )
    running = Cse(config)
    await running.start()
    yield running
    await running.stop()


def creation(ty: int) -> dict[str, Any]:
    """A CREATE without its content."""
    return {"op": 1, "to": "cse-in", "fr": "CAdmin", "rqi": "1", "rvi": "3", "ty": ty}


async def _post(cse: Cse, binding: str, body: bytes, ty: int) -> tuple[int, Any]:
    """Create something with these bytes as content; gives the code and the content of the answer."""
    primitive = creation(ty)
    if binding in ("http", "coap"):
        headers = {"headers": {"Content-Type": f"application/json;ty={ty}"}} if binding == "http" else {}
        answer = await BINDINGS[binding](cse, primitive, body=body, **headers)  # type: ignore[operator]
    else:
        whole = json.dumps(primitive).encode()[:-1] + b', "pc": ' + body + b"}"
        answer = await BINDINGS[binding](cse, primitive, body=whole)  # type: ignore[operator]
    return answer.rsc, answer.content


CONTAINER = 3
BAD = {
    "empty object": (b"{}", CONTAINER, 4000, "root element"),
    "truncated": (b'{"m2m:cnt": {"rn": "x"', CONTAINER, 4000, ""),
    "not JSON": (b"rn=x", CONTAINER, 4000, ""),
    "a list": (b"[1, 2]", CONTAINER, 4000, "object"),
    "wrong root": (b'{"m2m:ae": {}}', CONTAINER, 4000, "m2m:cnt"),
    "wrong type": (b'{"m2m:cnt": {"mni": "ten"}}', CONTAINER, 4000, "mni"),
    "list for a scalar": (b'{"m2m:cnt": {"mni": [1]}}', CONTAINER, 4000, "mni"),
    "unknown attribute": (b'{"m2m:cnt": {"maxNrOfInstances": 1}}', CONTAINER, 4000, "mni"),
    "assigned attribute": (b'{"m2m:cnt": {"ri": "x"}}', CONTAINER, 4000, "ri"),
    "duplicate member": (b'{"m2m:cnt": {"rn": "x", "rn": "y"}}', CONTAINER, 4000, "twice"),
    "too deep": (b'{"m2m:cnt": {"lbl": ' + b"[" * 40 + b"]" * 40 + b"}}", CONTAINER, 4000, "deep"),
    "not a number": (b'{"m2m:cnt": {"mni": NaN}}', CONTAINER, 4000, ""),
    "beyond 64 bits": (b'{"m2m:cnt": {"mni": 99999999999999999999999}}', CONTAINER, 4000, ""),
    "NUL in a text": (b'{"m2m:cnt": {"lbl": ["a\\u0000b"]}}', CONTAINER, 4000, "NUL"),
    "lone surrogate": (b'{"m2m:cnt": {"lbl": ["\\ud800"]}}', CONTAINER, 4000, ""),
    "invalid UTF-8": (b'{"m2m:cnt": {"lbl": ["\xff\xfe"]}}', CONTAINER, 4000, ""),
    "unknown type": (b'{"m2m:cnt": {}}', 9999, 4000, "9999"),
    "not creatable": (b'{"m2m:cb": {}}', 5, 4005, ""),
}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_bad_bodies_are_answered_with_the_code_and_words_that_help(
    cse: Cse, binding: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for name, (body, ty, status, words) in BAD.items():
        rsc, content = await _post(cse, binding, body, ty)
        assert rsc == status, (name, content)
        assert words in content["m2m:dbg"], (name, content)
        assert len(content["m2m:dbg"]) > 20, name
    assert "Traceback" not in caplog.text
    # and it still serves
    rsc, content = await _post(cse, binding, b'{"m2m:cnt": {"rn": "fine"}}', CONTAINER)
    assert rsc == 2001, content


@pytest.mark.parametrize("binding", ["http", "mqtt"])
async def test_oversize_bodies_are_refused_and_the_cse_goes_on(cse: Cse, binding: str) -> None:
    body = b'{"m2m:cnt": {"lbl": ["' + b"x" * 100_000 + b'"]}}'
    rsc, content = await _post(cse, binding, body, CONTAINER)
    assert rsc == 4000
    assert "bytes" in content["m2m:dbg"]
    rsc, _ = await _post(cse, binding, b'{"m2m:cnt": {"rn": "fine"}}', CONTAINER)
    assert rsc == 2001


ADMIN, OTHER = "CAdmin", "Cother"
CNT: dict[str, Any] = {"m2m:cnt": {}}


def asked(op: int, to: str, fr: str = ADMIN, **more: Any) -> dict[str, Any]:
    """A primitive."""
    return {"op": op, "to": to, "fr": fr, "rqi": "1", "rvi": "3", **more}


#: refused requests by name: the primitive and the code
REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "no such resource": (asked(2, "cse-in/nothing"), 4004),
    "no such CSE": (asked(2, "/id-nowhere/x"), 4004),
    "release unknown": (asked(2, "cse-in", rvi="99"), 4001),
    "not yours": (asked(2, "cse-in/secret", OTHER), 4103),
    "not yours to create in": (asked(1, "cse-in", OTHER, ty=3, pc=CNT), 4103),
    "name taken": (asked(1, "cse-in", ty=3, pc={"m2m:cnt": {"rn": "secret"}}), 4105),
    "wrong parent": (asked(1, "cse-in", ty=4, pc={"m2m:cin": {"con": "x"}}), 4108),
    "DELETE of the CSEBase": (asked(4, "cse-in"), 4005),
    "UPDATE of an instance": (asked(3, "cse-in/secret/la", pc={"m2m:cin": {"con": "x"}}), 4005),
    "AE-ID taken": (asked(1, "cse-in", OTHER, ty=2, pc={"m2m:ae": {"api": "Nx", "rr": False, "srv": ["3"]}}), 4117),
    "mandatory attribute missing": (asked(1, "cse-in", "Cnew", ty=2, pc={"m2m:ae": {"rr": False, "srv": ["3"]}}), 4000),
    "api without its letter": (
        asked(1, "cse-in", "Cnew", ty=2, pc={"m2m:ae": {"api": "x", "rr": False, "srv": ["3"]}}),
        4000,
    ),
    "name of other letters": (asked(1, "cse-in", ty=3, pc={"m2m:cnt": {"rn": "a b"}}), 4000),
    "expired already": (asked(1, "cse-in", ty=3, pc={"m2m:cnt": {"et": "20200101T000000"}}), 4000),
    "request too late": (asked(2, "cse-in", rqet="20200101T000000"), 4008),
    "unknown policy": (asked(1, "cse-in", ty=3, pc={"m2m:cnt": {"acpi": ["cse-in/nope"]}}), 4000),
    "rcn that does not go with the operation": (asked(4, "cse-in/secret", rcn=2), 4000),
    "content too large for its container": (asked(1, "cse-in/secret", ty=4, pc={"m2m:cin": {"con": "x" * 50}}), 5207),
    "lbl that is no list": (asked(3, "cse-in/secret", pc={"m2m:cnt": {"lbl": "x"}}), 4000),
    "another root": (asked(3, "cse-in/secret", pc={"m2m:ae": {"lbl": ["x"]}}), 4000),
    "nct that does not go with net": (
        asked(1, "cse-in", ty=23, pc={"m2m:sub": {"nu": [ADMIN], "enc": {"net": [3]}, "nct": 2}}),
        4000,
    ),
    "group of a thing that is not there": (
        asked(1, "cse-in", ty=9, pc={"m2m:grp": {"mid": ["cse-in/no"], "mnm": 1}}),
        4004,
    ),
    "too many members": (asked(1, "cse-in", ty=9, pc={"m2m:grp": {"mid": ["cse-in/secret", ADMIN], "mnm": 1}}), 6010),
}
#: a message helps when it tells what to do, or what there is to choose from
_TELLS = re.compile(
    r"\b(send|use|choose|leave|add|write|take|make|needs?|must|may|create|only|one of|give|ask|first|instead|at most)\b"
)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_refusals_say_what_was_wrong_and_what_to_send_instead(cse: Cse, binding: str) -> None:
    policy = {"acr": [{"acor": [ADMIN], "acop": 63}]}
    prepared = [
        asked(1, "cse-in", ty=1, pc={"m2m:acp": {"rn": "acp", "pv": policy, "pvs": policy}}),
        asked(1, "cse-in", ty=3, pc={"m2m:cnt": {"rn": "secret", "mbs": 20, "acpi": ["cse-in/acp"]}}),
        asked(1, "cse-in", OTHER, ty=2, pc={"m2m:ae": {"rn": "other", "api": "Nx", "rr": False, "srv": ["3"]}}),
        asked(1, "cse-in/secret", ty=4, pc={"m2m:cin": {"con": "x"}}),
    ]
    for primitive in prepared:
        assert (await over_http(cse, primitive)).rsc == 2001
    wrong = []
    for name, (primitive, status) in REFUSED.items():
        answer = await _ask(cse, binding, primitive)
        if answer.rsc != status or len(answer.debug) < 20 or not _TELLS.search(answer.debug):
            wrong.append(f"{name}: {answer.rsc} {answer.debug}")
    assert not wrong, "\n".join(wrong)


async def _ask(cse: Cse, binding: str, primitive: dict[str, Any]) -> Answer:
    """Send a primitive as a client of that binding would."""
    names = ("rcn", "rqet")
    rest = {name: value for name, value in primitive.items() if name not in names}
    if binding == "http":
        headers = {"X-M2M-RET": primitive["rqet"]} if "rqet" in primitive else {}
        return await over_http(
            cse, rest, headers=headers, query=f"rcn={primitive['rcn']}" if "rcn" in primitive else ""
        )
    if binding == "coap":
        options = [(291, primitive["rqet"].encode())] if "rqet" in primitive else []
        options += [(15, b"rcn=%d" % primitive["rcn"])] if "rcn" in primitive else []
        return await over_coap(cse, rest, options=tuple(options))
    return await (over_mqtt if binding == "mqtt" else over_websocket)(cse, primitive)


async def test_oversize_over_coap_is_413_at_the_first_block(cse: Cse) -> None:
    request = Request(Operation.CREATE, "cse-in", "CAdmin", "1", 3, {}, "3")
    message = coap_codec.encode_request(request, path=["cse-in"])
    message.options += [
        (27, coap_message.encode_block(coap_message.Block(0, True, 6))),
        (60, (10 << 20).to_bytes(4, "big")),
    ]
    message.payload, message.message_id, message.token = b"{" + b" " * 1023, 9, b"\x02"
    host, _, port = cse.addresses()["coap"].removeprefix("coap://").rpartition(":")
    loop = asyncio.get_running_loop()
    received: asyncio.Future[bytes] = loop.create_future()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            received.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(host, int(port)))
    transport.sendto(coap_message.encode(message))
    answer = coap_message.decode(await asyncio.wait_for(received, 5))
    transport.close()
    assert coap_message.dotted(answer.code) == "4.13"
