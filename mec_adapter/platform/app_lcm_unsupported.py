"""What the lifecycle façade leaves to real MEC management: each operation is there, and answers 501 [MEC 010-2 7.4]."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Path, Response

from mec_adapter.platform.dependencies import KnownApp
from mec_adapter.platform.http import PlatformRoute
from mec_adapter.platform.problems import NotFound, Problem

router = APIRouter(route_class=PlatformRoute, tags=["app_lcm"])

_INSTEAD = "the management API /mep/v1 (onemec mep app) creates, configures and terminates application instances"
_ON_INSTANCES = ("instantiate", "terminate", "operate", "configure_platform_for_app")
_ON_OCCURRENCES = ("cancel", "fail", "retry")


def _refuse(what: str) -> Response:
    raise Problem(501, f"this platform does not {what}; {_INSTEAD}")


async def create_app_instance() -> Response:
    """Not supported: create an application instance."""
    return _refuse("create application instances here")


async def act_on_app_instance(app: KnownApp) -> Response:
    """Not supported: act on an application instance."""
    return _refuse(f"act on application instance {app['appInstanceId']!r} here")


async def list_occurrences() -> Response:
    """Not supported: lifecycle management operation occurrences."""
    return _refuse("keep a list of lifecycle operations")


async def use_occurrence(occurrence_id: Annotated[str, Path(alias="appLcmOpOccId")]) -> Response:
    """Not there: no lifecycle management operation ever occurred on this façade."""
    raise NotFound(f"there is no lifecycle operation {occurrence_id[:128]!r}; {_INSTEAD}")


_Handler = Callable[..., Awaitable[Response]]
_ROUTES: tuple[tuple[str, list[str], _Handler], ...] = (
    ("/app_instances", ["POST"], create_app_instance),
    ("/app_instances/{appInstanceId}", ["DELETE"], act_on_app_instance),
    *((f"/app_instances/{{appInstanceId}}/{task}", ["POST"], act_on_app_instance) for task in _ON_INSTANCES),
    ("/app_lcm_op_occs", ["GET"], list_occurrences),
    ("/app_lcm_op_occs/{appLcmOpOccId}", ["GET"], use_occurrence),
    *((f"/app_lcm_op_occs/{{appLcmOpOccId}}/{task}", ["POST"], use_occurrence) for task in _ON_OCCURRENCES),
)
for _path, _methods, _handler in _ROUTES:
    # What is not done is no part of the description of what this platform does.
    router.add_api_route(_path, _handler, methods=_methods, response_model=None, include_in_schema=False)
