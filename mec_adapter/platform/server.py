"""The FastAPI application of the embedded MEC platform: all routers, one error form, one description."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, FastAPI, Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mec_adapter.platform import (
    app_lcm,
    app_lcm_unsupported,
    app_support,
    capif,
    credentials,
    device_app,
    federation,
    iot,
    location,
    management,
    mobility,
    notifications,
    service_mgmt,
    status_page,
)
from mec_adapter.platform.config import PlatformConfig, check
from mec_adapter.platform.description import description
from mec_adapter.platform.http import add_error_handlers, problem_response
from mec_adapter.platform.problems import NotFound
from mec_adapter.platform.shell import Platform

_APIS: tuple[tuple[APIRouter, str], ...] = (
    (app_support.router, "/mec_app_support/v1"),
    (app_support.router, "/mec_app_support/v2"),
    (service_mgmt.router, "/mec_service_mgmt/v1"),
    (iot.router, "/iots/v1"),
    (capif.router, ""),
    (federation.router, "/fed_enablement/v1"),
    (mobility.router, "/amsi/v1"),
    (location.router, "/location/v2"),
    (app_lcm.router, "/app_lcm/v1"),
    (app_lcm_unsupported.router, "/app_lcm/v1"),
    (device_app.router, "/dev_app/v1"),
    (management.router, ""),
    (federation.commands, ""),
    (mobility.commands, ""),
    (location.commands, ""),
    (credentials.router, ""),
    (notifications.router, ""),
    (status_page.router, ""),
)


def create_app(config: PlatformConfig, clock: Callable[[], float] | None = None) -> FastAPI:
    """Return the application of one platform.

    Args:
        config: how it is to behave; `host` and `port` only matter for links here.
        clock: seconds since 1970 for tests; None takes a steady clock.

    Raises:
        PlatformStartError: the configuration is unsafe or its store cannot be used.
    """
    check(config)
    platform = Platform(config, clock)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ticking = asyncio.create_task(platform.run())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await platform.close()

    app = FastAPI(
        title=config.platform_name,
        description="MEC platform in a box: Mp1 (MEC 011), IoT API (MEC 033), and its management",
        version="1.0.0",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.platform = platform
    add_error_handlers(app)
    app.router.routes.extend(_routes())
    if config.prefix:
        app.add_middleware(_OnlyBelow, prefix=config.prefix)
    app.openapi = lambda: description(app)  # type: ignore[method-assign]
    return app


@functools.cache
def _routes() -> tuple[BaseRoute, ...]:
    """Return the routes of all APIs; they hold no state, so all platforms of a process share them."""
    every = APIRouter()
    for router, path in _APIS:
        every.include_router(router, prefix=path)
    return tuple(every.routes)


class _OnlyBelow:
    """ASGI middleware: what is not below the prefix is not there."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not str(scope["path"]).startswith(self._prefix + "/"):
            missing = NotFound(f"no resource has this path; all are below {self._prefix}")
            await problem_response(Request(scope), missing)(scope, receive, send)
            return
        if scope["type"] == "websocket" and not str(scope["path"]).startswith(self._prefix + "/"):
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "root_path": self._prefix}
        await self._app(scope, receive, send)
