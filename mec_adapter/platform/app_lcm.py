"""Application lifecycle façade, `app_lcm/v1`: which application instances there are, read-only [MEC 010-2 7.4]."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from mec_adapter.platform.attribute_query import AttributeQueryDep
from mec_adapter.platform.dependencies import KnownApp, PlatformDep, api_root, errors
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.http import PlatformRoute, answer
from mec_adapter.platform.wire import SelfLinks, Wire

API = "app_lcm"
router = APIRouter(route_class=PlatformRoute, tags=[API])


class InstantiatedAppState(Wire):
    """State of an instance that is instantiated [MEC 010-2 6.2.2.7]."""

    operationalState: Literal["STARTED", "STOPPED"] | None = None


class AppInstanceInfo(Wire):
    """An application instance as management sees it [MEC 010-2 6.2.2.4]; attributes may be left out by the query."""

    id: str | None = None
    appInstanceName: str | None = None
    appInstanceDescription: str | None = None
    appDId: str | None = None
    appProvider: str | None = None
    appName: str | None = None
    appSoftVersion: str | None = None
    appDVersion: str | None = None
    appPkgId: str | None = None
    instantiationState: Literal["NOT_INSTANTIATED", "INSTANTIATED"] | None = None
    instantiatedAppState: InstantiatedAppState | None = None
    links: SelfLinks | None = Field(default=None, alias="_links")


def app_instance_info(app: JsonObject, root: str) -> JsonObject:
    """Return the AppInstanceInfo of an application instance; what a self-registered one lacks is `unknown`.

    Args:
        app: its record.
        root: URI of the API.
    """
    managed = app["managed"] or {}
    registration = app["registration"] or {}
    app_id = app["appInstanceId"]
    app_d_id = managed.get("appDId") or registration.get("appDId") or "unknown"
    info = {
        "id": app_id,
        "appDId": app_d_id,
        "appProvider": managed.get("appProvider") or registration.get("appProvider") or "unknown",
        "appName": managed.get("appName") or registration["appName"],
        "appSoftVersion": managed.get("appSoftVersion", "unknown"),
        "appDVersion": managed.get("appDVersion", "unknown"),
        "appPkgId": f"pkg-{app_d_id}" if managed else "unknown",
        "instantiationState": app["instantiation"],
        "_links": {"self": {"href": f"{root}/app_instances/{app_id}"}},
    }
    if "appDescription" in managed:
        info["appInstanceDescription"] = managed["appDescription"]
    if app["instantiation"] == "INSTANTIATED":
        info["instantiatedAppState"] = {"operationalState": app["operational"]}
    return info


@router.get("/app_instances", response_model=list[AppInstanceInfo], responses=errors())
async def list_app_instances(request: Request, platform: PlatformDep, query: AttributeQueryDep) -> Response:
    """Return the application instances of the requester, with attribute filter and selectors."""
    root, client = api_root(request, platform, API), platform.client_of(request)
    apps = [app for app in platform.registry.apps.every() if client in (None, app["owner"])]
    return answer(query.apply(app_instance_info(app, root) for app in apps))


@router.get("/app_instances/{appInstanceId}", response_model=AppInstanceInfo, responses=errors())
async def read_app_instance(request: Request, platform: PlatformDep, app: KnownApp) -> Response:
    """Return one application instance."""
    return answer(app_instance_info(app, api_root(request, platform, API)))
