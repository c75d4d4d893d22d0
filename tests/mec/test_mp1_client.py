"""The Mp1 client: versions in turn, wrapped bodies, errors in words, tokens shared and renewed once, ETags."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from mec_adapter.mp1 import app_support, service_mgmt
from mec_adapter.mp1.app_support import termination_of
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Problem, Mp1Unreachable, problem
from mec_adapter.mp1.tokens import Credentials
from mec_adapter.mp1.types import as_list, unwrapped
from tests.brokers import free_port
from tests.mec.conftest import Mep, service_info

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def peer(handler: Handler) -> AsyncIterator[str]:
    """A platform of another make: whatever a handler answers, over a real socket."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[Mp1Client]:
    client = Mp1Client(url, **options)
    try:
        yield client
    finally:
        await client.close()


def guest_of(url: str) -> contextlib.AbstractAsyncContextManager[Mp1Client]:
    return client_of(url, credentials=Credentials(f"{url}/token", "me", "secret"))


async def test_v2_falls_back_to_v1_and_stays_there() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.Response(status=404 if "/v2/" in request.path else 204)

    async with peer(handler) as url, client_of(url) as client:
        await client.confirm_ready("a")
        await client.confirm_ready("a")
    assert seen == [
        "/mec_app_support/v2/applications/a/confirm_ready",
        "/mec_app_support/v1/applications/a/confirm_ready",
        "/mec_app_support/v1/applications/a/confirm_ready",
    ]


async def test_the_preferred_version_can_be_chosen() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.Response(status=204)

    async with peer(handler) as url, client_of(url, versions={"mec_app_support": ("v1",)}) as client:
        await client.confirm_ready("a")
    assert seen == ["/mec_app_support/v1/applications/a/confirm_ready"]


@pytest.mark.parametrize(
    "body",
    [
        [{"serName": "x"}],
        {"ServiceInfo": [{"serName": "x"}]},
        {"ServiceInfo": {"serName": "x"}},
        {"serviceInfoList": [{"serName": "x"}]},
    ],
)
async def test_wrapped_and_plain_lists_read_the_same(body: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    async with peer(handler) as url, client_of(url) as client:
        assert await client.services() == [{"serName": "x"}]


def test_unwrapping_leaves_real_bodies_alone() -> None:
    assert unwrapped({"state": "ACTIVE"}, "ServiceInfo") == {"state": "ACTIVE"}
    assert unwrapped({"ServiceInfo": "x"}, "ServiceInfo") == {"ServiceInfo": "x"}
    assert as_list(None) == []


async def test_registration_without_a_body_is_known_by_its_location() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=201, headers={"Location": f"{request.url}/app-7"})

    async with peer(handler) as url, client_of(url) as client:
        assert (await client.register({"appName": "x"})).get("appInstanceId") == "app-7"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"detail": "say please", "title": "t"}, "say please"),
        ({"ProblemDetails": {"title": "Forbidden"}}, "Forbidden"),
        (None, "the reason"),
        ("text", "the reason"),
    ],
)
def test_errors_become_sentences(body: Any, detail: str) -> None:
    error = problem(403, "the reason", body, "7")
    assert (error.status, error.detail, error.retry_after_s) == (403, detail, 7.0)


async def test_real_problems_and_etags(mep: Mep) -> None:
    app_id = await mep.app()
    async with client_of(mep.url) as client:
        service = await client.add_service(app_id, service_info())  # type: ignore[arg-type]
        service_id = service.get("serInstanceId", "")
        shown = await client.read_service(app_id, service_id)
        assert shown.etag
        with pytest.raises(Mp1Problem) as stale:
            await client.replace_service(app_id, service_id, shown.body, '"stale"')
        assert stale.value.status == 412
        await client.replace_service(app_id, service_id, shown.body | {"state": "INACTIVE"}, shown.etag)
        await client.remove_service(app_id, service_id)
        await client.remove_service(app_id, service_id)
        with pytest.raises(Mp1Problem) as missing:
            await client.read_service(app_id, service_id)
        assert missing.value.status == 404
        assert service_id in missing.value.detail


async def test_subscriptions_of_both_apis(mep: Mep) -> None:
    app_id = await mep.app()
    body = {"callbackReference": "http://127.0.0.1:9/x"}
    async with client_of(mep.url) as client:
        own = {**body, "subscriptionType": app_support.SUBSCRIPTION_TYPE, "appInstanceId": app_id}
        first = await client.subscribe(app_support.API, app_id, own)
        second = await client.subscribe(
            service_mgmt.API, app_id, {**body, "subscriptionType": service_mgmt.SUBSCRIPTION_TYPE}
        )
        assert await client.subscriptions(app_support.API, app_id) == [first]
        assert await client.subscriptions(service_mgmt.API, app_id) == [second]


async def test_heartbeats_try_plain_json_where_merge_patch_is_unknown() -> None:
    types: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        types.append(request.content_type)
        if request.content_type != "application/json":
            return web.Response(status=415)
        return web.json_response({"state": "ACTIVE", "interval": 7, "timeStamp": {}})

    async with peer(handler) as url, client_of(url) as client:
        assert await client.heartbeat(f"{url}/liveness") == 7.0
        assert await client.heartbeat(f"{url}/liveness") == 7.0
    assert types == ["application/merge-patch+json", "application/json", "application/json"]


async def test_nobody_there_and_nobody_answering() -> None:
    async with client_of(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(Mp1Unreachable, match="no connection"):
            await client.services()

    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async with peer(handler) as url, client_of(url, timeout_s=0.2) as client:
        with pytest.raises(Mp1Unreachable, match=r"0\.2 s"):
            await client.services()


class Guarded:
    """A platform that demands tokens, and its token endpoint."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.valid = ""
        self.accepts = True

    async def handler(self, request: web.Request) -> web.StreamResponse:
        """Token endpoint at /token, everything else demands a token."""
        if request.path == "/token":
            self.counts["token"] += 1
            form = await request.post()
            assert form["grant_type"] == "client_credentials"
            assert request.headers["Authorization"].startswith("Basic ")
            await asyncio.sleep(0.05)
            self.valid = f"token-{self.counts['token']}"
            return web.json_response({"access_token": self.valid, "expires_in": 3600})
        self.counts["call"] += 1
        if self.accepts and request.headers.get("Authorization") == f"Bearer {self.valid}":
            return web.json_response([])
        return web.json_response({"detail": "who are you"}, status=401)


@pytest.mark.behaviour("MAP-6.06")
async def test_concurrent_calls_share_one_token_and_one_renewal() -> None:
    guarded = Guarded()
    async with peer(guarded.handler) as url, guest_of(url) as client:
        await asyncio.gather(*[client.services() for _ in range(10)])
        assert guarded.counts == {"token": 1, "call": 10}
        guarded.valid = "revoked"
        await asyncio.gather(*[client.services() for _ in range(10)])
        assert guarded.counts["token"] == 2
        assert guarded.counts["call"] == 30


async def test_a_platform_that_refuses_every_token_is_asked_twice_only() -> None:
    guarded = Guarded()
    guarded.accepts = False
    async with peer(guarded.handler) as url, guest_of(url) as client:
        with pytest.raises(Mp1Problem) as refused:
            await client.services()
        assert refused.value.status == 401
        assert guarded.counts == {"token": 2, "call": 2}


async def test_tokens_go_to_the_platform_only_and_secrets_are_not_shown() -> None:
    guarded = Guarded()
    seen: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=204)

    async with peer(guarded.handler) as url, peer(elsewhere) as other:
        credentials = Credentials(f"{url}/token", "me", "very-secret")
        async with client_of(url, credentials=credentials) as client:
            await client.services()
            await client.heartbeat(f"{other}/liveness")
    assert seen == [None]
    assert "very-secret" not in repr(credentials)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"operationAction": "TERMINATING", "maxGracefulTimeout": 10}, ("TERMINATING", 10.0)),
        ({"operationAction": "STOPPPING", "maxGracefulTimeout": 3}, ("STOPPING", 3.0)),
        ({"operationAction": "STOPPING"}, ("STOPPING", 10.0)),
        ({"operationAction": "DANCING", "maxGracefulTimeout": 3}, None),
    ],
)
def test_termination_notifications(body: dict[str, Any], asked: tuple[str, float] | None) -> None:
    assert termination_of({"notificationType": "AppTerminationNotification", **body}) == asked
    assert termination_of(body) is None
