"""Device application interface, `dev_app/v1`: devices find applications and are told where they run [MEC 016]."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from mec_adapter.platform.dependencies import PlatformDep, api_root, errors, listed, single, with_body
from mec_adapter.platform.device_app_models import AppContext, ApplicationList, ApplicationLocationAvailability
from mec_adapter.platform.device_app_registry import listed_app, serving_app
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.http import PlatformRoute, answer, created, no_content
from mec_adapter.platform.problems import BadRequest

API = "dev_app"
router = APIRouter(route_class=PlatformRoute, tags=[API])


Names = Annotated[list[str], Query(default_factory=list)]
ContextId = Annotated[str, Path(alias="contextId")]


@router.get("/app_list", response_model=ApplicationList, responses=errors())
async def app_list(
    request: Request,
    platform: PlatformDep,
    appName: Names,
    appProvider: Names,
    appSoftVersion: Names,
    vendorId: Names,
    serviceCont: Annotated[str | None, Query(json_schema_extra={"enum": ["0", "1"]})] = None,
) -> Response:
    """Return the applications that run here. Service continuity and vendor extensions are not offered by any."""
    single(request, "serviceCont")
    if serviceCont not in (None, "0", "1"):
        raise BadRequest("query parameter serviceCont: send 0 (not required) or 1 (required)")
    wanted = {
        "appName": listed(appName),
        "appProvider": listed(appProvider),
        "appSoftVersion": listed(appSoftVersion),
    }
    found: dict[tuple[Any, ...], JsonObject] = {}
    for app in platform.registry.apps.every():
        info = listed_app(app)
        if app["instantiation"] == "INSTANTIATED" and all(not v or info[n] in v for n, v in wanted.items()):
            found.setdefault(tuple(info.values()), {"appInfo": info})
    return answer({"appList": [] if vendorId or serviceCont == "1" else list(found.values())})


@router.post("/app_contexts", status_code=201, response_model=AppContext, responses=with_body())
async def create_context(request: Request, platform: PlatformDep, body: AppContext) -> Response:
    """Give a device application the running instance of an application; nothing is instantiated for it."""
    platform.check_callback(body.callbackReference)
    owner, env = platform.client_of(request), platform.env(request)
    context = platform.device_apps.create(body.document(), platform.registry.apps, owner, env)
    return created(context, f"{api_root(request, platform, API)}/app_contexts/{context['contextId']}")


@router.put("/app_contexts/{contextId}", status_code=204, response_model=None, responses=with_body())
async def change_context(request: Request, platform: PlatformDep, context_id: ContextId, body: AppContext) -> Response:
    """Change callbackReference or location of a context."""
    platform.check_callback(body.callbackReference)
    platform.device_apps.change(context_id, body.document(), platform.client_of(request))
    return no_content()


@router.delete("/app_contexts/{contextId}", status_code=204, response_model=None, responses=errors(503))
async def delete_context(request: Request, platform: PlatformDep, context_id: ContextId) -> Response:
    """Remove a context."""
    platform.publish(platform.device_apps.drop(context_id, platform.client_of(request)))
    return no_content()


@router.post("/obtain_app_loc_availability", response_model=ApplicationLocationAvailability, responses=with_body())
async def location_availability(platform: PlatformDep, body: ApplicationLocationAvailability) -> Response:
    """Return where an application can be used: in the zones of this platform when it runs here."""
    asked = body.document()
    serving_app(asked["appInfo"], platform.registry.apps)
    zones = [{"appLocation": {"area": {"coordinates": area}}} for area in platform.location.areas()]
    return answer({**asked, "appInfo": {**asked["appInfo"], "availableLocations": zones}})
