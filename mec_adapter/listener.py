"""The adapter's own HTTP listener: oneM2M notifications, MEC callbacks, and its status.

A oneM2M notification is answered when it has been taken, with the response status code in X-M2M-RSC (TS-0009).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cse.onem2m.errors import CseError
from cse.onem2m.serialisation import load_cbor, load_json
from cse.onem2m.status import Status
from cse.tracing import Tracing, work
from mec_adapter.config import AdapterStartError, listen_address
from mec_adapter.metrics import AdapterMetrics
from mec_adapter.mp1.types import JsonObject

_log = logging.getLogger("mec_adapter.listener")

_MAX_BODY_BYTES = 4 * 1024 * 1024
_HTTP_STATUS = {
    Status.OK: 200,
    Status.BAD_REQUEST: 400,
    Status.NOT_FOUND: 404,
    Status.TARGET_NOT_REACHABLE: 503,
    Status.INTERNAL_SERVER_ERROR: 500,
}

#: takes one m2m:sgn object that arrived below a path; gives the status to answer with
TakeNotification = Callable[[str, Mapping[str, Any]], Awaitable[Status]]
#: gives the registry of the MEC platform, {} without a platform
ReadPlatform = Callable[[], Awaitable[Mapping[str, Any]]]
#: takes one MEC notification that arrived below a path; gives whether anybody wanted it
TakeCallback = Callable[[str, JsonObject], Awaitable[bool]]


class Listener:
    """Listens on one address.

    Args:
        listen: ``host:port``; port 0 takes a free one.
        public_url: how others reach it, "" for its own address.
        on_notification: gets what arrives at ``/onem2m/<path>``.
        on_callback: gets what arrives at ``/mec/<path>``.
        status: gives what ``/status`` shows.
        platform: gives what ``/platform`` shows; None has no such page.
        metrics: answers ``/metrics`` and ``/ready``; None has neither.
    """

    def __init__(
        self,
        listen: str,
        public_url: str,
        on_notification: TakeNotification,
        on_callback: TakeCallback,
        status: Callable[[], Mapping[str, Any]],
        platform: ReadPlatform | None = None,
        metrics: AdapterMetrics | None = None,
    ) -> None:
        self._listen = listen
        self._public_url = public_url.rstrip("/")
        self._on_notification = on_notification
        self._on_callback = on_callback
        self._status, self._platform, self._metrics = status, platform, metrics
        #: makes a span of what arrives; None makes none
        self.tracing: Tracing | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen; ``url`` is where afterwards.

        Raises:
            AdapterStartError: the address cannot be used.
        """
        host, port = listen_address(self._listen)
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_post("/onem2m/{path:.+}", self._notification)
        app.router.add_post("/mec/{path:.+}", self._callback)
        app.router.add_get("/status", self._show_status)
        if self._platform is not None:
            app.router.add_get("/platform", self._show_platform)
        app.router.add_get("/health", self._show_health)
        if self._metrics is not None:
            app.router.add_get("/ready", self._show_ready)
            app.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise AdapterStartError(
                f"cannot listen on {self._listen}: {error.strerror}; stop what uses it or choose another port"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = self._public_url or f"http://{shown}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Answer what is under way, then close."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _notification(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            content = load_cbor(raw) if "cbor" in request.headers.get("Content-Type", "") else load_json(raw)
            bodies = _bodies(content)
        except CseError as error:
            return _answer(request, Status.BAD_REQUEST, error.debug)
        if not bodies:
            return _answer(request, Status.BAD_REQUEST, 'a notification needs {"m2m:sgn": {...}}')
        for body in bodies:
            if body.get("vrq") is True:
                continue
            try:
                with work(self.tracing, "oneM2M notification", request.headers.get("traceparent")):
                    status = await self._on_notification(request.match_info["path"], body)
            except Exception:
                _log.exception("notification below %s", request.path)
                return _answer(request, Status.INTERNAL_SERVER_ERROR, "the notification could not be taken")
            if not status.is_success:
                return _answer(request, status, "the notification could not be taken")
        return _answer(request, Status.OK, "")

    async def _callback(self, request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return _problem(400, "the body is not JSON")
        if not isinstance(body, dict):
            return _problem(400, "the body is not a notification object")
        if len(body) == 1 and isinstance(inner := next(iter(body.values())), dict):
            body = inner
        with work(self.tracing, "MEC notification", request.headers.get("traceparent")):
            wanted = await self._on_callback(request.match_info["path"], body)
        return web.Response(status=204) if wanted else _problem(404, "nobody here waits for this notification")

    async def _show_status(self, request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self._status()), content_type="application/json")

    async def _show_platform(self, request: web.Request) -> web.Response:
        assert self._platform is not None  # else there is no such page
        return web.Response(body=orjson.dumps(await self._platform()), content_type="application/json")

    async def _show_health(self, request: web.Request) -> web.Response:
        return web.Response(body=b'{"status":"up"}', content_type="application/json")

    async def _show_ready(self, request: web.Request) -> web.Response:
        assert self._metrics is not None  # else there is no such page
        is_ready, parts = self._metrics.ready()
        body = orjson.dumps({"status": "ready" if is_ready else "not ready", "parts": parts})
        return web.Response(status=200 if is_ready else 503, body=body, content_type="application/json")

    async def _show_metrics(self, request: web.Request) -> web.Response:
        assert self._metrics is not None  # else there is no such page
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _bodies(content: Any) -> list[Mapping[str, Any]]:
    """The m2m:sgn objects of a notification, one or aggregated."""
    if not isinstance(content, Mapping):
        return []
    inner = content.get("m2m:sgn", content.get("m2m:agn"))
    if isinstance(inner, Mapping) and isinstance(inner.get("m2m:sgn"), list):
        inner = inner["m2m:sgn"]
    listed = inner if isinstance(inner, list) else [inner]
    return [body for body in listed if isinstance(body, Mapping)]


def _answer(request: web.Request, status: Status, debug: str) -> web.Response:
    headers = {"X-M2M-RSC": str(int(status))}
    for name in ("X-M2M-RI", "X-M2M-RVI"):
        if name in request.headers:
            headers[name] = request.headers[name]
    if status is Status.OK:
        return web.Response(status=200, headers=headers)
    body = orjson.dumps({"m2m:dbg": debug})
    return web.Response(
        status=_HTTP_STATUS.get(status, 500), headers=headers, body=body, content_type="application/json"
    )


def _problem(status: int, detail: str) -> web.Response:
    body = orjson.dumps({"status": status, "detail": detail})
    return web.Response(status=status, body=body, content_type="application/problem+json")
