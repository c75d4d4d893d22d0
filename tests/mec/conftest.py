"""A real MEC platform on a free port, a client for it, and a subscriber that listens: what the platform tests share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from mec_adapter.platform.config import NotificationPolicy, PlatformConfig
from mec_adapter.platform.run import _listen, _run, _Server
from mec_adapter.platform.server import create_app
from mec_adapter.platform.shell import Platform

FAST = NotificationPolicy(attempts=3, first_pause_s=0.01, longest_pause_s=0.05, timeout_s=1.0)


@dataclass
class Answer:
    """One HTTP answer, read."""

    status: int
    headers: Any
    body: Any

    @property
    def detail(self) -> str:
        """The sentence of a ProblemDetails answer."""
        return str(self.body["detail"])


class Mep:
    """A running platform as its clients see it, and its inside for time and figures."""

    def __init__(self, url: str, platform: Platform, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.platform = platform
        self.session = session
        self.headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Send one request; `body` becomes JSON, `data` in options goes out as it is."""
        headers = {**self.headers, **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        url = path if path.startswith("http") else self.url + path
        async with self.session.request(method, url, headers=headers, **options) as response:
            raw = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            read = await response.json(content_type=None) if is_json and raw else raw
            return Answer(response.status, response.headers, read)

    async def get(self, path: str, **options: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        """POST."""
        return await self.call("POST", path, body, **options)

    async def put(self, path: str, body: Any = None, **options: Any) -> Answer:
        """PUT."""
        return await self.call("PUT", path, body, **options)

    async def patch(self, path: str, body: Any = None, **options: Any) -> Answer:
        """PATCH."""
        return await self.call("PATCH", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        """DELETE."""
        return await self.call("DELETE", path, **options)

    async def app(self, **info: Any) -> str:
        """Register an application instance that is ready, and return its id."""
        body = {"appName": "app", "endpoint": {"uris": ["http://192.0.2.1/"]}, **info}
        answer = await self.post("/mec_app_support/v2/registrations", body)
        assert answer.status == 201, answer.body
        app_id = str(answer.body["appInstanceId"])
        ready = await self.post(f"/mec_app_support/v2/applications/{app_id}/confirm_ready", {"indication": "READY"})
        assert ready.status == 204
        return app_id

    async def service(self, app_id: str, **attributes: Any) -> dict[str, Any]:
        """Register a service and return its ServiceInfo."""
        answer = await self.post(f"/mec_service_mgmt/v1/applications/{app_id}/services", service_info(**attributes))
        assert answer.status == 201, answer.body
        return dict(answer.body)


@dataclass
class Subscriber:
    """A server that takes notifications and remembers them."""

    url: str = ""
    received: list[Any] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, count: int) -> list[Any]:
        """Return the notifications when at least `count` have come."""
        async with asyncio.timeout(30), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def take(self, request: web.Request) -> web.Response:
        """Remember a notification; answers with the next of `answers`, else 204."""
        async with self.arrived:
            self.received.append(await request.json())
            self.arrived.notify_all()
        return web.Response(status=self.answers.pop(0) if self.answers else 204)


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds, for what gives no event to wait for."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def transport(**attributes: Any) -> dict[str, Any]:
    """Return a valid TransportInfo."""
    return {
        "id": "t1",
        "name": "rest",
        "type": "REST_HTTP",
        "protocol": "HTTP",
        "version": "1.1",
        "endpoint": {"uris": ["http://192.0.2.1:8080/cse"]},
        "security": {},
        **attributes,
    }


CATEGORY = {"href": "https://www.onem2m.org/", "id": "oneM2M-CSE", "name": "IoT", "version": "R4"}


def service_info(**attributes: Any) -> dict[str, Any]:
    """Return a valid ServiceInfo to POST; an attribute given as None is left out."""
    info = {
        "serName": "onem2m-cse",
        "version": "1.0.0",
        "state": "ACTIVE",
        "serializer": "JSON",
        "transportInfo": transport(),
        **attributes,
    }
    return {name: value for name, value in info.items() if value is not None}


StartMep = Callable[..., contextlib.AbstractAsyncContextManager[Mep]]


@contextlib.asynccontextmanager
async def running(clock: Callable[[], float] | None = None, **settings: Any) -> AsyncIterator[Mep]:
    """Run a platform on a free port of 127.0.0.1 for the time of a block."""
    config = PlatformConfig(**{"port": 0, "insecure_dev": True, "notifications": FAST, **settings})
    listener = _listen(config)
    app = create_app(config, clock)
    started = asyncio.Event()
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"), started.set)
    task = asyncio.create_task(_run(server, listener))
    try:
        await started.wait()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}{config.prefix}"
        async with aiohttp.ClientSession() as session:
            yield Mep(url, app.state.platform, session)
    finally:
        task.cancel()
        await task
        listener.close()


@pytest.fixture
def start_mep() -> StartMep:
    """How to run a platform with settings of one's own."""
    return running


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until told."""
    return Clock()


@pytest.fixture
async def mep() -> AsyncIterator[Mep]:
    """A platform with its default settings, without tokens."""
    async with running() as platform:
        yield platform


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    """A server for notifications."""
    found = Subscriber()
    app = web.Application()
    app.router.add_post("/{tail:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
    yield found
    await runner.cleanup()
