"""A page for people at `/`, without scripts and with every value escaped; `/health` for supervisors."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from mec_adapter.platform.dependencies import PlatformDep
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.shell import Platform

router = APIRouter()

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2530; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .35rem .6rem; }
th { border-bottom: 2px solid #9aa7b4; } td { border-bottom: 1px solid #dde3e9; overflow-wrap: anywhere; }
.warning { background: #fff3cd; border-left: 4px solid #d39e00; padding: .5rem .8rem; }
.empty { color: #66727f; }
@media (prefers-color-scheme: dark) {
  body { background: #12171d; color: #dfe6ee; } td { border-color: #2a333d; } .warning { color: #1c2530; }
}
"""


@router.get("/health", include_in_schema=False)
async def health(platform: PlatformDep) -> Response:
    """Say whether the platform can do its work, for supervisors: 200, or 503 while it cannot store changes."""
    return PlainTextResponse("ok\n", 200) if platform.can_store else PlainTextResponse("cannot store changes\n", 503)


@router.get("/status.css", include_in_schema=False)
async def style() -> Response:
    """Return the style of the page."""
    return PlainTextResponse(_STYLE, media_type="text/css", headers={"X-Content-Type-Options": "nosniff"})


@router.get("/", include_in_schema=False)
async def page(request: Request, platform: PlatformDep) -> Response:
    """Return the page; with tokens in force it asks for the operator's as the password of any user."""
    if not platform.config.insecure_dev and not platform.is_operator(_password(request)):
        challenge = {"WWW-Authenticate": 'Basic realm="MEC platform: any user, operator token as password"', **_HEADERS}
        return PlainTextResponse("The operator's token is needed to see this page.\n", 401, challenge)
    return HTMLResponse(render(platform, platform.base_url(request)), headers=_HEADERS)


def _password(request: Request) -> str:
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def render(platform: Platform, base_url: str) -> str:
    """Return the HTML of the page."""
    summary = platform.summary()
    warning = (
        '<p class="warning">No access tokens are asked for (insecure_dev): for development only.</p>'
        if platform.config.insecure_dev
        else ""
    )
    style_path = f"{platform.config.prefix}/status.css"
    name = escape(platform.config.platform_name)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width"><title>{name}</title>
<link rel="stylesheet" href="{escape(style_path)}"></head><body>
<h1>{name} on {escape(platform.config.mec_host_id)}</h1>{warning}
<p>API root {escape(base_url)}, up for {summary["upForS"]:.0f} s, {summary["notificationsDelivered"]} notifications
delivered, {summary["notificationsWaiting"]} waiting, {summary["notificationsFailed"]} given up.
The description of all APIs is at {escape(base_url)}/openapi.json.</p>
<h2>Application instances</h2>{_table(("id", "name", "state", "ready"), _app_rows(platform))}
<h2>Services</h2>{_table(("name", "version", "state", "transport", "endpoint", "produced by"), _service_rows(platform))}
<h2>IoT platforms</h2>{_table(("id", "enabled", "transports"), _iot_rows(platform))}
<h2>Notifications given up</h2>{_table(("callback", "type", "reason"), _failure_rows(platform))}
</body></html>
"""


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return '<p class="empty">none</p>'
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{body}</table>"


def _app_rows(platform: Platform) -> Iterable[Sequence[Any]]:
    for app in platform.registry.apps.every():
        source = app["managed"] or app["registration"]
        state = "terminating" if app["termination"] else f"{app['instantiation']}, {app['operational']}".lower()
        yield app["appInstanceId"], source["appName"], state, "yes" if app["ready"] else "no"


def _service_rows(platform: Platform) -> Iterable[Sequence[Any]]:
    for service in platform.documents.every("service"):
        info = service["info"]
        transport = info["transportInfo"]
        yield (
            info["serName"],
            info["version"],
            info["state"],
            f"{transport['protocol']} {transport['version']}, {info['serializer']}",
            _endpoint(transport["endpoint"]),
            service["appInstanceId"],
        )


def _endpoint(endpoint: JsonObject) -> str:
    if "addresses" in endpoint:
        return ", ".join(f"{address['host']}:{address['port']}" for address in endpoint["addresses"])
    return ", ".join(map(str, endpoint.get("uris") or endpoint.get("fqdn") or ["alternative"]))


def _iot_rows(platform: Platform) -> Iterable[Sequence[Any]]:
    for info in platform.iot.platforms():
        transports = ", ".join(transport["protocol"] for transport in info["userTransportInfo"])
        yield info["iotPlatformId"], "yes" if info["enabled"] else "no", transports


def _failure_rows(platform: Platform) -> Iterable[Sequence[Any]]:
    for failure in platform.notifier.failure_list()[:20]:
        yield failure["callbackReference"], failure["notificationType"], failure["reason"]
