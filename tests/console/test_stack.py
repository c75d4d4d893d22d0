"""What the console's server asks of neighbours, and whom it tells what: no browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cse.app import Cse
from cse.config import CseConfig, load_config, neighbours
from cse.console.moves import moves_of
from cse.console.peers import Peers
from cse.console.stack import narrowed
from cse.credentials import CredentialFile, new_credential
from tests.brokers import free_port
from tests.mec.adapter_fixtures import running_cse, until


class Neighbour:
    """A server that plays the adapter, badly when told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.status: Any = {"cse": "up"}
        self.answer = "json"

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        if self.answer == "redirect":
            raise web.HTTPFound("/elsewhere")
        if self.answer == "huge":
            return web.Response(body=b'{"a": "' + b"x" * (3 << 20) + b'"}')
        if self.answer == "text":
            return web.Response(text="not JSON")
        return web.json_response(self.status if request.path == "/status" else {"services": []})


@pytest.fixture
async def neighbour() -> AsyncIterator[tuple[Neighbour, str]]:
    found = Neighbour()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield found, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


# --- neighbours -----------------------------------------------------------------------------------------------------


async def test_only_fixed_paths_are_asked_for_and_only_with_get(neighbour: tuple[Neighbour, str]) -> None:
    server, url = neighbour
    peers = Peers({"adapter": url, "cloud": url, "elsewhere": url})
    words = await peers.ask()
    await peers.close()
    assert sorted(server.asked) == [("GET", "/health"), ("GET", "/platform"), ("GET", "/status")]
    assert {name: word.state for name, word in words.items()} == {"adapter": "up", "cloud": "up"}
    assert words["adapter"].said["/status"] == {"cse": "up"}


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        ("redirect", "it answers 302"),
        ("huge", "its answer is larger than 2097152 bytes"),
        ("text", "its answer is no JSON"),
        ("list", "its answer is no object"),
    ],
)
async def test_an_answer_that_is_none_is_said_in_words(
    neighbour: tuple[Neighbour, str], answer: str, trouble: str
) -> None:
    server, url = neighbour
    server.answer, server.status = answer, [1]
    peers = Peers({"adapter": url})
    word = (await peers.ask())["adapter"]
    await peers.close()
    assert (word.state, word.trouble) == ("down", trouble)
    assert ("GET", "/elsewhere") not in server.asked


async def test_an_adapter_that_tells_nonsense_breaks_nothing(neighbour: tuple[Neighbour, str]) -> None:
    server, url = neighbour
    server.status = {"exposed": ["?", {"ae": 7}], "sync": {"pending": "many", "containers": 3}, "services": {"a": 1}}
    async with (
        running_cse("IN", console_peers=(f"adapter={url}",)) as cse,
        aiohttp.ClientSession() as session,
        session.get(f"{cse.addresses()['http']}/console/api/stack") as answer,
    ):
        assert answer.status == 200
        shown = await answer.json()
    assert shown["exposed"] == [{"ae": "7", "app_instance_id": "", "phase": "", "state": "", "trouble": ""}]
    assert (shown["sync"]["pending"], shown["sync"]["containers"]) == (0, [])
    assert shown["adapter"]["services"] == []


async def test_who_is_away_is_down_and_who_there_is_none_of_is_off() -> None:
    peers = Peers({"adapter": f"http://127.0.0.1:{free_port()}"})
    words = await peers.ask()
    await peers.close()
    assert words["adapter"].state == "down"
    assert "no connection" in words["adapter"].trouble
    assert words["cloud"].state == "off"


def test_the_registrar_is_the_cloud_unless_another_is_named() -> None:
    options: dict[str, Any] = {"type": "MN", "id": "/id-e", "name": "cse-e", "registrar": "http://127.0.0.1:1"}
    assert neighbours(load_config(options)) == {"cloud": "http://127.0.0.1:1"}
    named = load_config({**options, "console_peers": "adapter=http://127.0.0.1:2, cloud=http://127.0.0.1:3"})
    assert neighbours(named) == {"adapter": "http://127.0.0.1:2", "cloud": "http://127.0.0.1:3"}


async def test_neighbours_are_asked_while_somebody_watches_and_no_longer(neighbour: tuple[Neighbour, str]) -> None:
    server, url = neighbour
    async with running_cse("IN", console_peers=(f"adapter={url}",)) as cse, aiohttp.ClientSession() as session:
        home = f"{cse.addresses()['http']}/console/api"
        assert server.asked == []
        async with session.get(f"{home}/live") as events:
            await until(lambda: len(server.asked) >= 6)
            text = b""
            while b"event: stack" not in text:
                text += await events.content.readline()
            data = await events.content.readline()
            assert json.loads(data.removeprefix(b"data: "))["adapter"]["state"] == "up"
        await until(lambda: cse.console is not None and cse.console.live.count == 0)
        count = len(server.asked)
        await asyncio.sleep(2.2)  # two looks later
        assert len(server.asked) <= count + 2  # what was under way
        async with session.get(f"{home}/stack?url=http://127.0.0.1:9/") as answer:
            assert answer.status == 200
        assert {path for _, path in server.asked} == {"/status", "/platform"}


# --- who is told what -----------------------------------------------------------------------------------------------


async def register(session: aiohttp.ClientSession, home: str, name: str, token: str) -> None:
    body = {"m2m:ae": {"rn": name, "api": f"Norg.{name}", "rr": False, "srv": ["3"]}}
    headers = {"Authorization": f"Bearer {token}", "X-M2M-Origin": f"C{name}", "X-M2M-RI": name, "X-M2M-RVI": "3"}
    headers["Content-Type"] = "application/json;ty=2"
    async with session.post(f"{home}/cse-in", json=body, headers=headers) as answer:
        assert answer.status == 201, await answer.text()


async def test_somebody_is_told_of_what_he_may_see_only(tmp_path: Path, neighbour: tuple[Neighbour, str]) -> None:
    server, url = neighbour
    server.status = {
        "exposed": [
            {"ae": "cse-in/mine", "app_instance_id": "app-1", "phase": "SERVING", "state": "ACTIVE", "trouble": ""},
            {"ae": "cse-in/other", "app_instance_id": "app-2", "phase": "SERVING", "state": "ACTIVE", "trouble": ""},
        ],
        "sync": {"cloud": "up", "containers": [{"path": "cse-in/other/data"}], "pending": 0},
    }
    file = tmp_path / "credentials.json"
    tokens = {}
    for name in ("mine", "other", "boss"):
        credential, tokens[name] = new_credential(name, f"C{name}", "admin" if name == "boss" else "device")
        CredentialFile(file).add(credential)
    config = CseConfig(http="127.0.0.1:0", credentials=str(file), console_peers=(f"adapter={url}",))
    cse = Cse(config)
    await cse.start()
    try:
        home = cse.addresses()["http"]
        shown = {}
        async with aiohttp.ClientSession() as session:
            for name in ("mine", "other"):
                await register(session, home, name, tokens[name])
            for name in ("mine", "boss"):
                headers = {"Authorization": f"Bearer {tokens[name]}"}
                async with session.get(f"{home}/console/api/stack", headers=headers) as answer:
                    shown[name] = await answer.json()
            async with session.get(f"{home}/console/api/stack") as answer:
                assert answer.status == 401
    finally:
        await cse.stop(1.0)
    assert {one["name"] for one in shown["boss"]["aes"]} == {"mine", "other"}
    assert shown["boss"]["adapter"]["address"] == url
    mine = shown["mine"]
    assert [one["name"] for one in mine["aes"]] == ["mine"]
    assert [one["app_instance_id"] for one in mine["exposed"]] == ["app-1"]
    assert mine["sync"]["containers"] == []
    assert mine["adapter"]["address"] == ""
    assert "cse-in/other" not in json.dumps(mine)


def test_what_belongs_to_a_hidden_ae_is_hidden_too() -> None:
    shown: dict[str, Any] = {
        "aes": [{"path": "c/a"}, {"path": "c/b"}],
        "aeCount": 2,
        "exposed": [{"ae": "c/a", "app_instance_id": "1"}, {"ae": "c/b", "app_instance_id": "2"}],
        "platform": {
            "apiRoot": "http://mep",
            "trouble": "http://mep: no connection",
            "services": [{"appInstanceId": "1"}, {"appInstanceId": "2"}, {"appInstanceId": "3"}],
            "apps": [{"id": "2"}, {"id": "3"}],
        },
        "sync": {"containers": [{"path": "c/b/data"}, {"path": "c/a/data"}]},
        "moves": [{"aeId": "Ca"}, {"aeId": "Cb"}],
        "adapter": {"address": "http://adapter"},
        "cloud": {"address": "http://cloud"},
    }
    found = narrowed(shown, lambda to: to.startswith("c/a") or to == "Ca")
    assert found["aes"] == [{"path": "c/a"}]
    assert [one["appInstanceId"] for one in found["platform"]["services"]] == ["1", "3"]
    assert found["platform"]["apps"] == [{"id": "3"}]
    assert found["sync"]["containers"] == [{"path": "c/a/data"}]
    assert found["moves"] == [{"aeId": "Ca"}]
    assert "http" not in json.dumps(found)
    assert shown["adapter"]["address"]  # the document itself is whole


# --- moves ----------------------------------------------------------------------------------------------------------


def test_steps_make_moves_and_what_is_no_step_is_left_out() -> None:
    steps = [
        {"move": "m1", "aeId": "Ca", "from": "/a", "to": "/b", "phase": phase, "at": at, **more}
        for phase, at, more in (
            ("PREPARING", 1.0, {}),
            ("SWITCHING", 2.0, {}),
            ("MOVED", 2.5, {"attach_s": 0.1, "copied": 3, "trouble": ""}),
        )
    ]
    contents = [json.dumps(one) for one in reversed(steps)]
    rubbish: list[Any] = ["{", 17, None, {}, {"move": "m2", "phase": "MOVED", "at": "late"}, {"move": "m3", "at": 3}]
    (move,) = moves_of([*rubbish, *contents])
    assert (move["phase"], move["attach_s"], move["copied"]) == ("MOVED", 0.1, 3)
    assert [one["phase"] for one in move["steps"]] == ["PREPARING", "SWITCHING", "MOVED"]
    many = [{"move": f"m{number}", "phase": "PREPARING", "at": 1} for number in range(150)]
    assert len(moves_of(many)) == 100
