"""Browsers and scripts on the HTTP port: pages of other origins (CORS), and changes as server-sent events (?watch)."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest

from cse.app import Cse
from cse.bindings.http_watch import Watches
from cse.config import ConfigError, CseConfig, load_config
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable

PAGE = "https://app.example"
HEADERS = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "1", "X-M2M-RVI": "3"}


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Cse]:
    fields: dict[str, Any] = {"http": "127.0.0.1:0", "insecure_dev": True, "admin": ("CAdmin",), **options}
    cse = Cse(CseConfig(**fields))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(1.0)


@asynccontextmanager
async def session(cse: Cse) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cse.addresses()["http"]) as http:
        yield http


async def create(http: aiohttp.ClientSession, to: str, ty: int, root: str, **attributes: Any) -> None:
    headers = {**HEADERS, "Content-Type": f"application/json;ty={ty}"}
    async with http.post(to, data=orjson.dumps({root: attributes}), headers=headers) as answer:
        assert answer.status == 201, await answer.text()


# --- pages of other origins ------------------------------------------------------------------------------------------


async def test_an_allowed_page_may_ask_and_read_what_oneM2M_says_in_headers() -> None:
    async with running(cors_origins=(PAGE,)) as cse, session(cse) as http:
        preflight = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-m2m-origin, content-type",
        }
        async with http.options("/cse-in/ae", headers=preflight) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            asked = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
            assert {"x-m2m-origin", "x-m2m-ri", "x-m2m-rvi", "content-type", "authorization"} <= asked
            assert "Access-Control-Allow-Credentials" not in answer.headers
        for path, status in (("/cse-in", 200), ("/cse-in/nothing", 404)):
            async with http.get(path, headers={**HEADERS, "Origin": PAGE}) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == PAGE
                assert answer.headers["Vary"] == "Origin"
                shown = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
                assert {"X-M2M-RSC", "X-M2M-RI", "X-M2M-RVI"} <= shown


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://app.example", f"{PAGE}.evil", "null", f"{PAGE}:444"]
)
async def test_other_pages_are_told_nothing(origin: str) -> None:
    async with running(cors_origins=(PAGE,)) as cse, session(cse) as http:
        preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        async with http.options("/cse-in", headers=preflight) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
        async with http.get("/cse-in", headers={**HEADERS, "Origin": origin}) as answer:
            assert answer.status == 200
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
            assert answer.headers["Vary"] == "Origin"


async def test_every_page_may_come_without_credentials_when_the_list_says_so() -> None:
    async with running(cors_origins=("*",)) as cse, session(cse) as http:
        answer = await http.get("/cse-in", headers={**HEADERS, "Origin": "https://any.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_without_a_list_no_page_may_come() -> None:
    async with running() as cse, session(cse) as http:
        answer = await http.options("/cse-in", headers={"Origin": PAGE, "Access-Control-Request-Method": "GET"})
        assert answer.status == 405
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "https://app.example/x", "ftp://x", "https://"]
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigError, match="no origin of pages"):
        load_config({"cors_origins": (origin,)})


# --- server-sent events ----------------------------------------------------------------------------------------------


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The notifications of a stream."""
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield orjson.loads(line[6:])["m2m:sgn"]


async def watching(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream"), await answer.text()
    assert await asyncio.wait_for(answer.content.readline(), 5) == b": watching\n"
    return events(answer)


async def nearest(stream: AsyncIterator[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    event = (await asyncio.wait_for(anext(stream), 5))["nev"]
    return event["net"], next(iter(event["rep"].values()))


async def test_changes_of_a_resource_and_its_children_arrive_in_order() -> None:
    async with running() as cse, session(cse) as http:
        await create(http, "/cse-in", 3, "m2m:cnt", rn="c")
        async with http.get("/cse-in/c?watch", headers=HEADERS) as answer:
            stream = await watching(answer)
            for number in range(30):
                await create(http, "/cse-in/c", 4, "m2m:cin", con=str(number))
            got = [await nearest(stream) for _ in range(30)]
            assert [(net, cin["con"]) for net, cin in got] == [(3, str(number)) for number in range(30)]
            headers = {**HEADERS, "Content-Type": "application/json"}
            async with http.put("/cse-in/c", data=b'{"m2m:cnt":{"lbl":["x"]}}', headers=headers) as updated:
                assert updated.status == 200
            net, container = await nearest(stream)
            assert (net, container["lbl"]) == (1, ["x"])
            await create(http, "/cse-in/c", 3, "m2m:cnt", rn="inner")
            assert (await nearest(stream))[1]["rn"] == "inner"
            await create(http, "/cse-in/c/inner", 4, "m2m:cin", con="of the grandchild, which is not watched")
            async with http.delete("/cse-in/c/inner", headers=HEADERS) as deleted:
                assert deleted.status == 200
            assert (await nearest(stream))[0] == 4
            async with http.delete("/cse-in/c", headers=HEADERS) as deleted:
                assert deleted.status == 200
            assert (await nearest(stream))[0] == 2
            assert [event async for event in stream] == [], "a watch ends with its resource"
        assert cse.hosting.watched == set()
        assert cse.delivery.counts.failed == 0


async def test_nothing_is_watched_any_more_when_the_client_is_gone() -> None:
    async with running() as cse, session(cse) as http:
        async with http.get("/cse-in?watch", headers=HEADERS) as answer:
            await watching(answer)
            assert cse.hosting.watched == {"id-in"}
        async with asyncio.timeout(5):
            while cse.hosting.watched:  # noqa: ASYNC110 - the server learns of it when the socket is closed
                await asyncio.sleep(0.01)


async def test_two_watchers_see_the_same() -> None:
    async with (
        running() as cse,
        session(cse) as http,
        http.get("/cse-in?watch", headers=HEADERS) as one,
        http.get("/cse-in?watch", headers=HEADERS) as two,
    ):
        streams = [await watching(one), await watching(two)]
        await create(http, "/cse-in", 3, "m2m:cnt", rn="c")
        assert [(await nearest(stream))[1]["rn"] for stream in streams] == ["c", "c"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "rsc"),
    [
        ("/cse-in/nothing?watch", HEADERS, 404, "4004"),
        ("/cse-in?watch", {**HEADERS, "X-M2M-Origin": "Cnobody"}, 403, "4103"),
        ("/cse-in?watch", {}, 400, "4000"),
        ("/cse-in?watch&originator=Cnobody", {}, 403, "4103"),
        ("/cse-in?watch&fu=1", HEADERS, 400, "4000"),
        ("/cse-in?watch&rcn=4", HEADERS, 400, "4000"),
        ("/cse-in?watch&atrl=lbl", HEADERS, 400, "4000"),
        ("/cse-in?watch&originator=%20%0a", {}, 400, "4000"),
    ],
)
async def test_who_may_not_retrieve_may_not_watch(path: str, headers: dict[str, str], status: int, rsc: str) -> None:
    async with running() as cse, session(cse) as http, http.get(path, headers=headers) as answer:
        assert (answer.status, answer.headers["X-M2M-RSC"]) == (status, rsc), await answer.text()
        assert cse.hosting.watched == set()


async def test_an_event_source_of_a_page_names_itself_in_the_query() -> None:
    async with running(cors_origins=(PAGE,)) as cse, session(cse) as http:
        headers = {"Origin": PAGE, "Accept": "text/event-stream"}
        async with http.get("/cse-in?watch&originator=CAdmin", headers=headers) as answer:
            await watching(answer)
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["X-M2M-RSC"] == "2000"


async def test_proof_is_wanted_for_watches_too() -> None:
    async with running(insecure_dev=False, admin=()) as cse, session(cse) as http:
        answer = await http.get("/cse-in?watch&originator=CAdmin")
        assert answer.headers["X-M2M-RSC"] == "4107"


async def test_curl_is_enough() -> None:
    curl = shutil.which("curl")
    assert curl, "curl is missing: apt-get install curl"
    async with running() as cse, session(cse) as http:
        process = await asyncio.create_subprocess_exec(
            curl, "-sN", "-H", "X-M2M-Origin: CAdmin", f"{cse.addresses()['http']}/cse-in?watch",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            assert await asyncio.wait_for(process.stdout.readline(), 5) == b": watching\n"
            await create(http, "/cse-in", 3, "m2m:cnt", rn="seen-by-curl")
            async with asyncio.timeout(5):
                while not (line := await process.stdout.readline()).startswith(b"data: "):
                    assert line
            assert orjson.loads(line[6:])["m2m:sgn"]["nev"]["rep"]["m2m:cnt"]["rn"] == "seen-by-curl"
        finally:
            process.kill()
            await process.wait()


# --- the stream without a CSE ----------------------------------------------------------------------------------------


class Stream:
    """An ASGI request that watches, and what it got."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {"raw_path": b"/cse-in", "query_string": b"watch", "client": ("::1", 1)}
        self.scope["headers"] = [(b"x-m2m-origin", b"C1")]
        self.gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.started = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if len(self.sent) == 2:
            self.started.set()
        await self.may_go_on.wait()


def event(number: int) -> Send:
    content = {"m2m:sgn": {"nev": {"net": 1, "rep": {"m2m:cb": {"st": number}}}}}
    return Send(Request(Operation.NOTIFY, "id-in", "/id-in", str(number), content=content), target="?watch")


def watches(statuses: list[Status], **options: Any) -> Watches:
    async def serve(request: Request) -> Response:
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        return Response(status, request.request_id, {"m2m:cb": {"ri": "id-in"}})

    return Watches(serve, set(), lambda ri: True, release="3", lenient=False, **options)


async def test_a_watcher_that_falls_behind_is_let_go() -> None:
    stream, subject = Stream(), watches([Status.OK])
    task = asyncio.create_task(subject.answer(stream.scope, stream.receive, stream.send, (), "", lambda _: ""))
    await asyncio.wait_for(stream.started.wait(), 5)
    stream.may_go_on.clear()
    for number in range(400):
        await subject.send("watch://id-in", event(number))
    stream.may_go_on.set()
    await asyncio.wait_for(task, 5)
    data = [message for message in stream.sent if message.get("body", b"").startswith(b"data")]
    assert 256 <= len(data) <= 257
    assert stream.sent[-2]["body"] == b": too far behind\n\n"
    assert subject.count == 0


async def test_an_idle_stream_gets_comments_until_the_right_to_watch_is_withdrawn() -> None:
    stream = Stream()
    subject = watches([Status.OK, Status.OK, Status.OK, Status.ORIGINATOR_HAS_NO_PRIVILEGE], keep_alive_s=0.02)
    await asyncio.wait_for(subject.answer(stream.scope, stream.receive, stream.send, (), "", lambda _: ""), 5)
    assert [message["body"] for message in stream.sent[2:]] == [b":\n\n", b":\n\n", b""]


async def test_a_point_of_access_with_the_scheme_of_watches_reaches_nobody() -> None:
    subject = watches([Status.OK])
    send = event(1)
    with pytest.raises(Unreachable):
        await subject.send("watch://id-in", Send(send.request, ("watch://id-in",)))
