"""The console without a browser: headers, who gets in, changes from elsewhere, roles, live events that stay bounded."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cse.app import Cse
from cse.config import load_config
from cse.console.assets import read_assets
from cse.console.copies import copies
from cse.console.inspector import CONTENT_BYTES, Inspector
from cse.console.live import CLIENTS, QUEUED, Live, LiveClient
from cse.console.people import Door, Person, Refused, Role, Throttle
from cse.credentials import ADMIN, CSE, DEVICE, CredentialFile, CredentialsError, new_credential
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.brokers import free_port, require_tool

PERSON = Person("CAdmin", "", Role.ADMIN)
CHANGE = {"Content-Type": "application/json", "X-Onemec-Console": "1"}


@asynccontextmanager
async def started(**options: Any) -> AsyncIterator[Cse]:
    cse = Cse(load_config({"http": "127.0.0.1:0", "insecure_dev": True, "admin": ("CAdmin",), **options}))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(1.0)


@pytest.fixture
async def cse() -> AsyncIterator[Cse]:
    async with started() as running:
        yield running


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[Cse, dict[str, str]]]:
    """A CSE that believes nobody, and the tokens of admin, operator, viewer and a CSE."""
    path, tokens = tmp_path / "credentials.json", {}
    kinds = [("admin", "Cadmin", ADMIN, ""), ("operator", "Coperator", DEVICE, "operator")]
    for name, entity, role, console in [*kinds, ("viewer", "Cviewer", DEVICE, ""), ("other", "/id-mn", CSE, "")]:
        made, tokens[name] = new_credential(name, entity, role, console)
        CredentialFile(path).add(made)
    async with started(insecure_dev=False, admin=(), credentials=str(path)) as running:
        yield running, tokens


async def ask(
    cse: Cse, path: str, *, method: str = "", body: Any = None, headers: dict[str, str] | None = None, token: str = ""
) -> tuple[int, Any, Mapping[str, str]]:
    url = f"{cse.addresses()['http']}/console/{path}"
    fields = {**(CHANGE if body is not None else {}), **(headers or {})}
    if token:
        fields["Authorization"] = f"Bearer {token}"
    method = method or ("GET" if body is None else "POST")
    data = None if body is None else json.dumps(body)
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=fields, data=data, allow_redirects=False) as answer,
    ):
        raw = await answer.read()
        is_json = answer.content_type == "application/json"
        return answer.status, json.loads(raw) if is_json and raw else raw, answer.headers


async def primitive(cse: Cse, token: str = "", **given: Any) -> tuple[int, Any]:
    status, shown, _ = await ask(cse, "api/primitive", body=given, token=token)
    return status, shown


# --- files and headers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "app.js", "views/tree.js", "style.css", "nothing.js", "views", "api/session", "api/nothing"]
)
async def test_every_answer_has_the_policy_that_lets_nothing_else_in(cse: Cse, path: str) -> None:
    _, _, headers = await ask(cse, path)
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


def test_no_file_has_script_or_style_inside_markup_or_makes_markup_of_text() -> None:
    assets = read_assets()
    html = assets["index.html"].body.decode()
    assert html.count("<script") == 1
    assert '<script type="module" src=' in html
    assert " style=" not in html
    assert "<style" not in html
    for name, asset in assets.items():
        text = asset.body.decode()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in text, f"{name} has {word}"
        for word in ("http://", "https://"):
            used = [line for line in text.splitlines() if word in line]
            known = ("www.w3.org/2000/svg", "127.0.0.1")
            assert [line for line in used if not any(one in line for one in known)] == [], name


async def test_files_are_asked_for_once(cse: Cse) -> None:
    status, body, headers = await ask(cse, "app.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert b"import" in body
    status, body, _ = await ask(cse, "app.js", headers={"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")
    async with aiohttp.ClientSession() as session:
        url = f"{cse.addresses()['http']}/console"
        async with session.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "/console/")


async def test_the_console_can_be_left_out() -> None:
    async with started(console=False) as cse:
        status, _, headers = await ask(cse, "")
        assert status == 404 or "X-M2M-RSC" in headers


# --- who gets in -------------------------------------------------------------------------------------------------


async def test_without_login_only_addresses_of_this_network_and_no_names(cse: Cse) -> None:
    assert (await ask(cse, "api/session"))[1]["originator"] == "CAdmin"
    for headers in (
        {"Host": "evil.example"},
        {"X-Forwarded-For": "203.0.113.1"},
        {"Via": "1.1 proxy"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert (await ask(cse, "api/session", headers=headers))[0] == 403, headers
    assert (await ask(cse, "api/session", headers={"Sec-Fetch-Site": "same-origin"}))[0] == 200


async def test_who_has_no_name_with_full_access_acts_as_the_cse_itself() -> None:
    async with started(admin=()) as cse:
        assert (await ask(cse, "api/session"))[1]["originator"] == "/id-in"
        assert (await primitive(cse, op=2, to="cse-in"))[1]["rsc"] == 2000


async def test_credentials_make_roles(secure: tuple[Cse, dict[str, str]]) -> None:
    cse, tokens = secure
    for name in ("admin", "operator", "viewer"):
        status, shown, _ = await ask(cse, "api/session", token=tokens[name])
        assert (status, shown["role"], shown["originator"]) == (200, name, f"C{name}")
    assert (await ask(cse, "api/session", token=tokens["other"]))[0] == 403
    status, shown, headers = await ask(cse, "api/requests")
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await ask(cse, "api/live"))[0] == 401
    status, shown, _ = await ask(cse, "api/session")
    assert (status, shown["login"]) == (200, True)
    assert set(shown) == {"login", "why"}


async def test_an_address_may_guess_five_times_a_minute(secure: tuple[Cse, dict[str, str]]) -> None:
    cse, tokens = secure
    for _ in range(5):
        assert (await ask(cse, "api/session", token="0" * 48))[0] == 401
    status, _, headers = await ask(cse, "api/session", token=tokens["viewer"])
    assert status == 429
    assert 0 < int(headers["Retry-After"]) <= 61


def test_the_throttle_forgets() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(5):
        throttle.failed("192.0.2.1")
    with pytest.raises(Refused):
        throttle.check("192.0.2.1")
    throttle.check("192.0.2.2")
    now[0] = 61.0
    throttle.check("192.0.2.1")


def test_a_credential_has_a_role_of_the_console_or_none() -> None:
    with pytest.raises(CredentialsError, match="viewer or operator"):
        new_credential("anna", "Canna", DEVICE, "king")


# --- changes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_pages_of_elsewhere_change_nothing(cse: Cse, headers: dict[str, str], status: int) -> None:
    body = {"op": 1, "to": "cse-in", "ty": 3, "pc": {"m2m:cnt": {"rn": "forged"}}}
    assert (await ask(cse, "api/primitive", body=body, headers=headers))[0] == status
    assert (await primitive(cse, op=2, to="cse-in/forged"))[1]["rsc"] == 4004


async def test_a_change_needs_the_header_of_the_console_and_post(cse: Cse) -> None:
    url = f"{cse.addresses()['http']}/console/api/primitive"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"op": 2, "to": "cse-in"}) as answer:
            assert answer.status == 403
        async with session.get(url) as answer:
            assert answer.status == 405
        async with session.options(url, headers={"Origin": "http://evil.example"}) as answer:
            assert answer.status == 405
            assert "Access-Control-Allow-Origin" not in answer.headers
    here = cse.addresses()["http"]
    body = {"op": 2, "to": "cse-in"}
    assert (await ask(cse, "api/primitive", body=body, headers={"Origin": here}))[0] == 200


async def test_nobody_chooses_in_whose_name_he_asks(secure: tuple[Cse, dict[str, str]]) -> None:
    cse, tokens = secure
    everybody = {"acr": [{"acor": ["all"], "acop": 63}]}
    create = {"op": 1, "to": "cse-in", "fr": "Cadmin"}
    policy = {"m2m:acp": {"rn": "open", "pv": everybody, "pvs": everybody}}
    status, made = await primitive(cse, tokens["admin"], **create, ty=1, pc=policy)
    policies = [made["pc"]["m2m:acp"]["ri"]]
    for name, given in (("shared", {"acpi": policies}), ("secret", {})):
        status, made = await primitive(cse, tokens["admin"], **create, ty=3, pc={"m2m:cnt": {"rn": name, **given}})
        assert (status, made["rsc"]) == (200, 2001)
    assert (await primitive(cse, tokens["viewer"], op=2, to="cse-in/secret", fr="Cadmin"))[1]["rsc"] == 4103
    assert (await primitive(cse, tokens["viewer"], op=2, to="cse-in/shared"))[1]["rsc"] == 2000

    value = {"op": 1, "to": "cse-in/shared", "ty": 4, "pc": {"m2m:cin": {"con": "1"}}}
    assert (await primitive(cse, tokens["viewer"], **value))[0] == 403
    assert (await primitive(cse, tokens["operator"], **value))[1]["rsc"] == 2001
    for forbidden in (
        {"op": 4, "to": "cse-in/shared"},
        {"op": 3, "to": "cse-in/shared", "pc": {"m2m:cnt": {"acpi": []}}},
        {"op": 1, "to": "cse-in", "ty": 1, "pc": policy},
    ):
        assert (await primitive(cse, tokens["operator"], **forbidden))[0] == 403
    assert (await primitive(cse, tokens["admin"], op=4, to="cse-in/shared"))[1]["rsc"] == 2002


@pytest.mark.parametrize("body", [[], "x", {"op": 99, "to": "cse-in"}, {"op": 2}, {"op": 2, "to": ""}])
async def test_what_is_no_primitive_is_400_in_words(cse: Cse, body: Any) -> None:
    status, shown, _ = await ask(cse, "api/primitive", body=body)
    assert status == 400
    assert "send" in shown["error"]


# --- the inspector -----------------------------------------------------------------------------------------------


def request(to: str = "cse-in/lamp", **more: Any) -> Request:
    return Request(Operation.CREATE, to, "Clamp", "r1", release="3", resource_type=4, binding="http", **more)


async def served(asked: Request) -> Response:
    return Response(Status.CREATED, asked.request_id)


async def test_nothing_is_kept_while_nobody_looks(cse: Cse) -> None:
    assert not cse.inspector.on
    await cse.enter(Request(Operation.RETRIEVE, "cse-in", "CAdmin", "r1", release="3", binding="http"))
    assert (await ask(cse, "api/requests"))[1] == {"records": [], "recording": False}


async def test_what_is_kept_is_bounded_and_without_secrets() -> None:
    inspector = Inspector(kept=3)
    for number in range(5):
        content = {"m2m:cin": {"con": "x" * (CONTENT_BYTES if number == 4 else 1)}}
        asked = request(content=content, tokens=["jwt"])
        asked.originator = "Clamp:token"
        await inspector.serve(asked, served)
    kept = inspector.since(0)
    assert [record.number for record in kept] == [3, 4, 5]
    assert [record.whole for record in kept] == [True, True, False]
    assert kept[0].originator == "Clamp"
    assert "token" not in json.dumps([record.as_json() for record in kept])
    assert "jwt" not in json.dumps([record.as_json() for record in kept])


async def test_whoever_looks_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    inspector = Inspector()

    def fail(_record: Any) -> None:
        raise RuntimeError("a fault in the console")

    inspector.tell = fail
    assert (await inspector.serve(request(), served)).status is Status.CREATED
    assert "cannot be shown" in caplog.text


async def test_others_are_not_explained_to_viewers(secure: tuple[Cse, dict[str, str]]) -> None:
    cse, tokens = secure
    await primitive(cse, tokens["admin"], op=1, to="cse-in", ty=3, pc={"m2m:cnt": {"rn": "secret"}})
    cse.inspector.on = True
    denied = Request(Operation.RETRIEVE, "cse-in/secret", "Cviewer", "r1", release="3")
    denied.binding, denied.credential = "http", "Cviewer"
    assert (await cse.enter(denied)).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    status, shown, _ = await ask(cse, "api/explain?number=1", token=tokens["viewer"])
    assert (status, shown.get("granted"), shown.get("originator")) == (200, False, "Cviewer"), shown
    assert (await ask(cse, "api/explain?number=1", token=tokens["admin"]))[0] == 200
    assert (await ask(cse, "api/explain?number=1", token=tokens["operator"]))[0] in (403, 404)
    assert (await ask(cse, "api/replay", body={"number": 1}, token=tokens["viewer"]))[0] == 403
    # nobody sends in another's name where names are proved
    body = {"number": 1, "as": "original"}
    assert (await ask(cse, "api/replay", body=body, token=tokens["admin"]))[0] == 403
    status, again, _ = await ask(cse, "api/replay", body={"number": 1}, token=tokens["admin"])
    assert again["request"]["fr"] == "Cadmin"


async def test_contents_of_children_are_not_seen_through_requests_about_their_parent(
    secure: tuple[Cse, dict[str, str]],
) -> None:
    cse, tokens = secure
    everybody = {"acr": [{"acor": ["all"], "acop": 63}]}
    policy = {"m2m:acp": {"rn": "open", "pv": everybody, "pvs": everybody}}
    _, made = await primitive(cse, tokens["admin"], op=1, to="cse-in", ty=1, pc=policy)
    shared = {"m2m:cnt": {"rn": "shared", "acpi": [made["pc"]["m2m:acp"]["ri"]]}}
    await primitive(cse, tokens["admin"], op=1, to="cse-in", ty=3, pc=shared)
    cse.inspector.on = True

    async def admin(op: Operation, to: str, **more: Any) -> None:
        asked = Request(op, to, "Cadmin", "r1", release="3", credential="Cadmin", binding="http", **more)
        assert (await cse.enter(asked)).status.is_success

    await admin(Operation.CREATE, "cse-in/shared", resource_type=3, content={"m2m:cnt": {"rn": "s", "lbl": ["SECRET"]}})
    await admin(Operation.RETRIEVE, "cse-in/shared", result_content=4)
    await admin(Operation.CREATE, "cse-in/shared", resource_type=4, content={"m2m:cin": {"con": "PUBLIC"}})
    await admin(Operation.RETRIEVE, "cse-in/shared/la")
    _, seen, _ = await ask(cse, "api/requests", token=tokens["admin"])
    assert json.dumps(seen).count("SECRET") == 3
    _, seen, _ = await ask(cse, "api/requests", token=tokens["operator"])
    assert [record["number"] for record in seen["records"]] == [1, 2, 3, 4]
    assert "SECRET" not in json.dumps(seen)
    assert [("pc" in record["response"]) for record in seen["records"]] == [False, False, True, True]
    for name, body in (("copies?number=1", None), ("replay", {"number": 1})):
        assert (await ask(cse, f"api/{name}", body=body, token=tokens["operator"]))[0] == 403
    _, again, _ = await ask(cse, "api/replay", body={"number": 3}, token=tokens["operator"])
    assert again["response"]["rsc"] == 2001


@pytest.mark.parametrize("tool", ["curl", "mosquitto_rr", "coap-client", "Python"])
async def test_lines_to_paste_work_as_they_are(mosquitto_url: str, tmp_path: Path, tool: str) -> None:
    asked = Request(Operation.CREATE, "cse-in", "CAdmin", "r1", release="3", resource_type=3)
    asked.content = {"m2m:cnt": {"rn": "pasted", "lbl": ["it's $(id) `id`"]}}
    coap = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    async with started(mqtt=mosquitto_url, coap=coap, id=f"/id-{tool}") as cse:
        lines = copies(asked, cse.addresses(), cse.config.id, proves=False)
        line = lines[tool]
        if tool == "Python":
            script = tmp_path / "pasted.py"
            script.write_text(line)
            words = [sys.executable, str(script)]
        else:
            name = require_tool("coap-client-openssl" if tool == "coap-client" else tool)
            # coap-client has no names for the options of oneM2M answers and waits for one it understands
            words = [name, *(["-B", "1"] if tool == "coap-client" else []), *shlex.split(line)[1:]]
        done = await asyncio.create_subprocess_exec(
            *words,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        await asyncio.wait_for(done.wait(), 60)
        status, found = await primitive(cse, op=2, to="cse-in/pasted")
        assert (status, found["rsc"]) == (200, 2000)
        assert found["pc"]["m2m:cnt"]["lbl"] == asked.content["m2m:cnt"]["lbl"]


def test_lines_to_paste_never_hold_a_token() -> None:
    lines = copies(request(tokens=["jwt"]), {"http": "http://127.0.0.1:1"}, "/id-in", proves=True)
    assert "$TOKEN" in lines["curl"]
    assert "os.environ['TOKEN']" in lines["Python"]
    assert "jwt" not in lines["Python"]


# --- live events -------------------------------------------------------------------------------------------------


def test_a_slow_browser_loses_the_oldest_and_is_told() -> None:
    client = LiveClient(1, PERSON)
    for number in range(QUEUED + 25):
        client.put(b"data: %d\n\n" % number)
    bunch = client.take()
    assert bunch.startswith(b'event: dropped\ndata: {"dropped":25}\n\ndata: 25\n\n')
    assert bunch.count(b"data: ") == QUEUED + 1
    assert client.take() == b""


async def test_the_number_of_listeners_is_bounded_and_the_inspector_follows_them(cse: Cse) -> None:
    url = f"{cse.addresses()['http']}/console/api/live"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        streams = [await session.get(url) for _ in range(CLIENTS)]
        assert cse.inspector.on
        async with session.get(url) as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers
        first = await streams[0].content.readuntil(b"\n\n")
        assert first == b'event: hello\ndata: {"client":1}\n\n'
        for stream in streams:
            stream.close()
    assert cse.console is not None
    for _ in range(1500):
        if not cse.console.live.count:
            break
        await asyncio.sleep(0.02)
    assert cse.console.live.count == 0


async def test_changes_are_told_to_those_who_may_see_them(secure: tuple[Cse, dict[str, str]]) -> None:
    cse, tokens = secure
    await primitive(cse, tokens["admin"], op=1, to="cse-in", ty=3, pc={"m2m:cnt": {"rn": "secret"}})
    url = f"{cse.addresses()['http']}/console/api/live"
    async with aiohttp.ClientSession() as session:
        streams = {}
        for name in ("admin", "viewer"):
            stream = await session.get(url, headers={"Authorization": f"Bearer {tokens[name]}"})
            hello = json.loads((await stream.content.readuntil(b"\n\n")).partition(b"data: ")[2])
            streams[name] = stream
            body = {"client": hello["client"], "to": ["cse-in/secret"]}
            _, shown, _ = await ask(cse, "api/watch", body=body, token=tokens[name])
            assert len(shown["watching"]) == (1 if name == "admin" else 0)
            other = "viewer" if name == "admin" else "admin"
            assert (await ask(cse, "api/watch", body=body, token=tokens[other]))[0] == 404
        value = {"op": 1, "to": "cse-in/secret", "ty": 4, "pc": {"m2m:cin": {"con": "42"}}}
        await primitive(cse, tokens["admin"], **value)
        seen = b""
        while b"event: change" not in seen or b'"con":"42"' not in seen:
            seen += await asyncio.wait_for(streams["admin"].content.readuntil(b"\n\n"), 30)
        assert cse.console is not None
        cse.console.live.publish("stack", {"mark": 1})
        told = b""
        while b"event: stack" not in told:
            told += await asyncio.wait_for(streams["viewer"].content.readuntil(b"\n\n"), 30)
        assert b"42" not in told
        for stream in streams.values():
            stream.close()


async def test_a_stop_ends_the_streams_at_once() -> None:
    async with started() as cse, aiohttp.ClientSession() as session:
        stream = await session.get(f"{cse.addresses()['http']}/console/api/live")
        await stream.content.readuntil(b"\n\n")
        assert cse.console is not None
        cse.console.close()
        rest = await asyncio.wait_for(stream.content.read(), 30)
        assert b"event: request" not in rest


async def test_who_lost_his_credential_is_not_told_any_more() -> None:
    live = Live(heartbeat_s=0.01, still=lambda person: False)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(live.answer(PERSON, receive, send, []), 30)
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert live.count == 0


async def test_a_role_that_changed_ends_what_was_opened_with_the_old_one(secure: tuple[Cse, dict[str, str]]) -> None:
    cse, _ = secure
    door = Door(cse.config, cse.security, lambda: 0.0)
    assert door.still(Person("Coperator", "Coperator", Role.OPERATOR))
    assert not door.still(Person("Coperator", "Coperator", Role.ADMIN))
    assert not door.still(Person("Cgone", "Cgone", Role.VIEWER))
    assert door.still(Person("Ccert", "Ccert", Role.VIEWER, certified=True))
    assert door.still(PERSON)
