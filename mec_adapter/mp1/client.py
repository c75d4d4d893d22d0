"""A client for Mp1: MEC 011 application support and service management, and MEC 033, over aiohttp.

Tolerant of what is in the field: API versions are tried in turn, bodies may be wrapped, ETags may be missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from cse.tracing import Tracing
from mec_adapter.mp1 import app_support, iots, service_mgmt
from mec_adapter.mp1.app_support import AppInfo
from mec_adapter.mp1.errors import Mp1Error, Mp1Problem, Mp1Unreachable, problem
from mec_adapter.mp1.service_mgmt import ServiceInfo
from mec_adapter.mp1.tokens import Credentials, TokenSource
from mec_adapter.mp1.types import Api, Endpoint, JsonObject, as_list, unwrapped

_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_MERGE_PATCH = "application/merge-patch+json"


#: status, reason, headers and body of an answer
_Exchanged = tuple[int, str, Mapping[str, str], bytes]
#: told of each request: method, path, HTTP status (0: no answer), seconds until then
Asked = Callable[[str, str, int, float], None]


def _nobody(method: str, path: str, status: int, duration_s: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: status, decoded body (None when empty), ETag and Location ("" when missing)."""

    status: int
    body: Any
    etag: str = ""
    location: str = ""


class Mp1Client:
    """Speaks to one MEC platform.

    Args:
        root_url: apiRoot, e.g. ``http://mep:8081`` or ``https://try-mec.etsi.org/sbx1abc/mep1``.
        credentials: OAuth2 client credentials; None sends no token.
        versions: apiVersions by apiName, the preferred one first; missing APIs take the defaults of their tables.
        headers: sent with every request, e.g. a session cookie of a hosted sandbox.
        timeout_s: for one request in all.
        clock: monotonic seconds.
        asked: told of each request.
        tracing: makes a span of each request; None makes none.
    """

    def __init__(
        self,
        root_url: str,
        *,
        credentials: Credentials | None = None,
        versions: Mapping[str, tuple[str, ...]] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        asked: Asked = _nobody,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._asked, self._clock = asked, clock
        self.root_url = root_url.rstrip("/")
        self._versions = dict(versions or {})
        self._proven: dict[str, str] = {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(2.0, timeout_s))
        self._session = aiohttp.ClientSession(
            headers=dict(headers or {}), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        self._tokens = TokenSource(credentials, self._session, timeout_s, clock) if credentials else None
        self._patch_type = _MERGE_PATCH

    async def close(self) -> None:
        """Close idle connections."""
        await self._session.close()

    # --- application support -----------------------------------------------------------------------------

    async def register(self, info: AppInfo) -> AppInfo:
        """Register an application instance; returns AppInfo with its appInstanceId [MEC 011 7.2.13]."""
        answer = await self.call(app_support.API, app_support.REGISTER, info)
        body = dict(answer.body) if isinstance(answer.body, dict) else {}
        if not body.get("appInstanceId"):
            body["appInstanceId"] = answer.location.rstrip("/").rpartition("/")[2] or info.get("appInstanceId", "")
        if not body["appInstanceId"]:
            raise Mp1Problem(answer.status, "the platform registered the application but gave it no appInstanceId")
        return cast(AppInfo, body)

    async def read_registration(self, app_id: str) -> Answer:
        """The registration of an application instance."""
        return await self.call(app_support.API, app_support.READ_REGISTRATION, app_id=app_id)

    async def update_registration(self, app_id: str, info: AppInfo) -> None:
        """Replace the registration of an application instance."""
        await self.call(app_support.API, app_support.UPDATE_REGISTRATION, info, app_id=app_id)

    async def deregister(self, app_id: str) -> None:
        """Remove an application instance; that it is gone already is as good."""
        await self._gone(app_support.API, app_support.DEREGISTER, app_id=app_id)

    async def confirm_ready(self, app_id: str) -> None:
        """Say that the application instance is up and running."""
        await self.call(app_support.API, app_support.CONFIRM_READY, {"indication": "READY"}, app_id=app_id)

    async def confirm_termination(self, app_id: str, action: str, link: str = "") -> None:
        """Say that the application instance has finished.

        Args:
            app_id: the instance.
            action: operationAction of the notification.
            link: the notification's confirmTermination link; used only when it names the instance.
        """
        body = {"operationAction": action}
        if link and f"/{app_id}/" in link:
            await self.call_url("POST", link, (204, 200), body)
        else:
            await self.call(app_support.API, app_support.CONFIRM_TERMINATION, body, app_id=app_id)

    # --- service management --------------------------------------------------------------------------------

    async def services(self, **query: str | list[str]) -> list[ServiceInfo]:
        """The services available on the platform, e.g. ``services(ser_category_id="oneM2M-CSE")``."""
        answer = await self.call(service_mgmt.API, service_mgmt.SERVICES, params=query)
        return cast(list[ServiceInfo], as_list(answer.body))

    async def own_services(self, app_id: str) -> list[ServiceInfo]:
        """The services an application instance produces."""
        answer = await self.call(service_mgmt.API, service_mgmt.OWN_SERVICES, app_id=app_id)
        if answer.body is None:
            raise Mp1Unreachable(f"{self.root_url} answered without saying which services there are")
        return cast(list[ServiceInfo], as_list(answer.body))

    async def add_service(self, app_id: str, info: ServiceInfo) -> ServiceInfo:
        """Register a service; returns it as the platform keeps it."""
        answer = await self.call(service_mgmt.API, service_mgmt.ADD_SERVICE, info, app_id=app_id)
        return cast(ServiceInfo, answer.body if isinstance(answer.body, dict) else {})

    async def read_service(self, app_id: str, service_id: str) -> Answer:
        """One service with its ETag."""
        return await self.call(service_mgmt.API, service_mgmt.READ_SERVICE, app_id=app_id, service_id=service_id)

    async def replace_service(self, app_id: str, service_id: str, info: ServiceInfo, etag: str = "") -> ServiceInfo:
        """Replace a service.

        Args:
            app_id: producer.
            service_id: serInstanceId.
            info: all of it.
            etag: sent as If-Match when not "".
        """
        answer = await self.call(
            service_mgmt.API, service_mgmt.REPLACE_SERVICE, info, etag=etag, app_id=app_id, service_id=service_id
        )
        return cast(ServiceInfo, answer.body if isinstance(answer.body, dict) else info)

    async def remove_service(self, app_id: str, service_id: str) -> None:
        """Deregister a service; that it is gone already is as good."""
        await self._gone(service_mgmt.API, service_mgmt.REMOVE_SERVICE, app_id=app_id, service_id=service_id)

    async def heartbeat(self, liveness_url: str) -> float | None:
        """Send a sign of life; returns the new interval in seconds when the platform wants another one."""
        body = {"state": service_mgmt.ACTIVE}
        try:
            answer = await self.call_url("PATCH", liveness_url, (204, 200), body, self._patch_type)
        except Mp1Problem as error:
            if error.status != 415 or self._patch_type != _MERGE_PATCH:
                raise
            self._patch_type = "application/json"
            answer = await self.call_url("PATCH", liveness_url, (204, 200), body, self._patch_type)
        info = unwrapped(answer.body, "ServiceLivenessInfo")
        interval = info.get("interval") if isinstance(info, dict) else None
        return float(interval) if isinstance(interval, int | float) and interval > 0 else None

    # --- subscriptions of both APIs --------------------------------------------------------------------------

    async def subscriptions(self, api: Api, app_id: str) -> list[str]:
        """Addresses of the subscriptions of an application instance in one API."""
        table = app_support if api is app_support.API else service_mgmt
        answer = await self.call(api, table.SUBSCRIPTIONS, app_id=app_id)
        links = answer.body.get("_links", {}) if isinstance(answer.body, dict) else {}
        listed = links.get("subscriptions") or links.get("subscription") or []
        return [str(entry["href"]) for entry in as_list(listed) if entry.get("href")]

    async def subscribe(self, api: Api, app_id: str, subscription: JsonObject) -> str:
        """Create a subscription; returns its address, "" when the platform does not tell."""
        table = app_support if api is app_support.API else service_mgmt
        answer = await self.call(api, table.SUBSCRIBE, subscription, app_id=app_id)
        links = answer.body.get("_links", {}) if isinstance(answer.body, dict) else {}
        return str(links.get("self", {}).get("href", "")) or answer.location

    # --- IoT API ------------------------------------------------------------------------------------------------

    async def put_iot_platform(self, info: iots.IotPlatformInfo) -> bool:
        """Register an IoT platform, or bring its registration up to date; returns whether it was not there."""
        platform_id = info["iotPlatformId"]
        try:
            known = await self.call(iots.API, iots.READ_PLATFORM, platform_id=platform_id)
        except Mp1Problem as error:
            if error.status != 404:
                raise
            await self.call(iots.API, iots.REGISTER_PLATFORM, info)
            return True
        if known.body != info:
            await self.call(iots.API, iots.UPDATE_PLATFORM, info, etag=known.etag, platform_id=platform_id)
        return False

    async def remove_iot_platform(self, platform_id: str) -> None:
        """Deregister an IoT platform."""
        await self._gone(iots.API, iots.DEREGISTER_PLATFORM, platform_id=platform_id)

    async def register_device(self, info: iots.DeviceInfo) -> str:
        """Register a device; returns its registeredDeviceId."""
        answer = await self.call(iots.API, iots.REGISTER_DEVICE, info)
        return answer.location.rstrip("/").rpartition("/")[2] or info["deviceId"]

    async def read_device(self, device_id: str) -> Answer:
        """One registered device with its ETag."""
        return await self.call(iots.API, iots.READ_DEVICE, device_id=device_id)

    async def update_device(self, device_id: str, info: iots.DeviceInfo) -> None:
        """Replace the registration of a device."""
        await self.call(iots.API, iots.UPDATE_DEVICE, info, device_id=device_id)

    async def devices(self) -> list[JsonObject]:
        """The registered devices that have a traffic rule."""
        return as_list((await self.call(iots.API, iots.DEVICES)).body)

    async def remove_device(self, device_id: str) -> None:
        """Deregister a device."""
        await self._gone(iots.API, iots.DEREGISTER_DEVICE, device_id=device_id)

    # --- the wire -------------------------------------------------------------------------------------------------

    async def call(
        self,
        api: Api,
        endpoint: Endpoint,
        body: Any = None,
        *,
        params: Mapping[str, str | list[str]] | None = None,
        etag: str = "",
        **path: str,
    ) -> Answer:
        """One operation of an API.

        Args:
            api: which API; its versions are tried in turn until one does not answer 404.
            endpoint: which operation.
            body: sent as JSON when not None.
            params: query parameters; lists are repeated.
            etag: sent as If-Match when not "".
            path: values of the endpoint's placeholders.

        Raises:
            Mp1Unreachable: no answer.
            Mp1Problem: an error answer.
        """
        relative = endpoint.path.format(**{name: quote(value, safe="") for name, value in path.items()})
        proven = self._proven.get(api.name)
        versions = (proven,) if proven else self._versions.get(api.name, api.versions)
        refusal: Mp1Error | None = None
        for version in versions:
            url = f"{self.root_url}/{api.name}/{version}{relative}"
            try:
                answer = await self.call_url(
                    endpoint.method, url, endpoint.success, body, params=params, etag=etag, type_name=endpoint.body
                )
            except Mp1Problem as error:
                if error.status != 404:
                    # Any other answer comes from the API itself, so this version exists.
                    self._proven[api.name] = version
                    raise
                refusal = refusal or error
                continue
            self._proven[api.name] = version
            return answer
        raise refusal or Mp1Problem(404, f"no version of {api.name} is configured")

    async def call_url(
        self,
        method: str,
        url: str,
        success: tuple[int, ...],
        body: Any = None,
        content_type: str = "application/json",
        *,
        params: Mapping[str, str | list[str]] | None = None,
        etag: str = "",
        type_name: str = "",
    ) -> Answer:
        """One request to an address the platform gave (a link), or that ``call`` built; see there."""
        headers = {"Accept": "application/json"}
        data = None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = content_type
        if etag:
            headers["If-Match"] = etag
        query = [(name, one) for name, value in (params or {}).items() for one in _values(value)]
        # A token is for this platform alone, wherever its links may point.
        tokens = self._tokens if urlsplit(url)[:2] == urlsplit(self.root_url)[:2] else None
        token = ""
        for last in (False, True):
            if tokens is not None:
                # The second time round, the token that was refused is named, so that another one is fetched.
                token = await tokens.token(token)
                headers["Authorization"] = f"Bearer {token}"
            status, reason, answer_headers, raw = await self._exchange(method, url, data, headers, query)
            if status != 401 or tokens is None or last:
                break
        decoded = _decoded(raw)
        if status not in success:
            raise problem(status, reason, decoded, answer_headers.get("Retry-After"))
        if raw and decoded is None:
            # Half an answer must not pass for an empty one: what is there would be registered a second time.
            raise Mp1Unreachable(f"{self.root_url} answered {method} {urlsplit(url).path} with what is no JSON")
        etag_given, location = answer_headers.get("ETag", ""), answer_headers.get("Location", "")
        return Answer(status, unwrapped(decoded, type_name), etag_given, location)

    async def _exchange(
        self, method: str, url: str, data: bytes | None, headers: dict[str, str], query: list[tuple[str, str]]
    ) -> _Exchanged:
        if self._tracing is None:
            return await self._ask(method, url, data, headers, query)
        with self._tracing.call(f"Mp1 {method}", headers, **{"url.path": urlsplit(url).path}) as span:
            answer = await self._ask(method, url, data, headers, query)
            span.set_attribute("http.response.status_code", answer[0])
            return answer

    async def _ask(
        self, method: str, url: str, data: bytes | None, headers: dict[str, str], query: list[tuple[str, str]]
    ) -> _Exchanged:
        began_s, status = self._clock(), 0
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, params=query, timeout=self._timeout, allow_redirects=False
            ) as answer:
                status = answer.status
                raw = await answer.content.read(_MAX_ANSWER_BYTES)
                while not answer.content.at_eof() and len(raw) < _MAX_ANSWER_BYTES:
                    raw += await answer.content.read(_MAX_ANSWER_BYTES - len(raw))
                return answer.status, answer.reason or "", answer.headers, raw
        except TimeoutError as error:
            raise Mp1Unreachable(f"{self.root_url} gave no answer in {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Mp1Unreachable(f"{self.root_url}: {_reason(error)}") from error
        finally:
            self._asked(method, urlsplit(url).path, status, self._clock() - began_s)

    async def _gone(self, api: Api, endpoint: Endpoint, **path: Any) -> None:
        try:
            await self.call(api, endpoint, **path)
        except Mp1Problem as error:
            if error.status not in (404, 410):
                raise


def _values(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _decoded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection ({error.os_error.strerror or error.os_error})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before an answer came"
    return f"{type(error).__name__} {error}".strip()
