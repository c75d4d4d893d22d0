"""Federation enablement API, `fed_enablement/v1`: the MEC systems this one knows, itself among them [MEC 040]."""

from typing import Annotated, ClassVar, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ConfigDict, model_validator

from mec_adapter.platform.dependencies import PlatformDep, api_root, errors, listed, with_body
from mec_adapter.platform.http import PlatformRoute, answer, created, entity_tag, no_content
from mec_adapter.platform.wire import EndPointInfo, Text, Wire

API = "fed_enablement"
router = APIRouter(route_class=PlatformRoute, tags=[API])


class SystemInfoPost(Wire):
    """A MEC system as its registrant sends it: without systemId [MEC 040 6.2.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("SystemInfo",)

    systemName: Text
    systemProvider: Text


class SystemInfo(SystemInfoPost):
    """A MEC system [MEC 040 6.2.2]."""

    systemId: str


class SystemInfoUpdate(Wire):
    """What changes of a MEC system: at least one attribute [MEC 040 6.2.3]."""

    wrappers: ClassVar[tuple[str, ...]] = ("SystemInfoUpdate",)
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["systemName"], "properties": {"systemName": {"type": "string"}}},
                {"required": ["endpoint"], "properties": {"endpoint": {"type": "object"}}},
            ]
        }
    )

    systemName: Text | None = None
    endpoint: EndPointInfo | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.systemName is None and self.endpoint is None:
            raise ValueError("changes nothing; send systemName, endpoint or both")
        return self


SystemId = Annotated[str, Path(alias="systemId")]
Names = Annotated[list[str], Query(default_factory=list)]


@router.get("/fed_resources/system_info", response_model=list[SystemInfo], responses=errors())
async def list_systems(platform: PlatformDep, systemId: Names, systemName: Names, systemProvider: Names) -> Response:
    """Return the known MEC systems, with query parameters to choose among them."""
    wanted = {"systemId": listed(systemId), "systemName": listed(systemName), "systemProvider": listed(systemProvider)}
    found = [
        info
        for info in platform.federation.systems()
        if all(not values or info[name] in values for name, values in wanted.items())
    ]
    return answer(found)


@router.post("/fed_resources/system_info", status_code=201, response_model=SystemInfo, responses=with_body())
async def add_system(request: Request, platform: PlatformDep, body: SystemInfoPost) -> Response:
    """Register a MEC system."""
    system_id = platform.env(request).new_id()
    info = platform.federation.add(body.document(), system_id, platform.client_of(request))
    return created(info, f"{api_root(request, platform, API)}/fed_resources/system_info/{system_id}")


@router.get("/fed_resources/system_info/{systemId}", response_model=SystemInfo, responses=errors())
async def read_system(platform: PlatformDep, system_id: SystemId) -> Response:
    """Return one MEC system."""
    info = platform.federation.system(system_id)
    return answer(info, headers={"ETag": entity_tag(info)})


@router.patch("/fed_resources/system_info/{systemId}", response_model=SystemInfo, responses=with_body())
async def change_system(
    request: Request, platform: PlatformDep, system_id: SystemId, body: SystemInfoUpdate
) -> Response:
    """Change a MEC system."""
    return answer(platform.federation.change(system_id, body.document(), platform.client_of(request)))


@router.delete("/fed_resources/system_info/{systemId}", status_code=204, response_model=None, responses=errors(503))
async def remove_system(request: Request, platform: PlatformDep, system_id: SystemId) -> Response:
    """Forget a MEC system."""
    platform.federation.drop(system_id, platform.client_of(request))
    return no_content()
