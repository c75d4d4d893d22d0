"""What handlers are given: the platform, the application instance of the path, documented errors, API roots."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.http import PROBLEM_TYPE
from mec_adapter.platform.problems import BadRequest, Forbidden
from mec_adapter.platform.shell import Platform
from mec_adapter.platform.wire import ProblemDetails

_MEANINGS = {
    400: "The request is wrong in itself; `detail` names the attribute and says what to send",
    401: "No valid access token",
    403: "Not for this requester, or not in the present status",
    404: "Nothing is there",
    406: "The client accepts no JSON",
    409: "The state of the resource does not allow it now",
    412: "If-Match names another version",
    413: "The body is too long",
    414: "The URI is too long",
    415: "The body is not JSON",
    429: "Too many requests",
    502: "Another platform answered what it should not, or nothing",
    503: "The state cannot be stored at present",
    504: "Another platform did not answer in time",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route: these errors, and those every route can answer."""
    return {
        status: {
            "description": _MEANINGS[status],
            "model": ProblemDetails,
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in sorted({400, 401, 403, 404, 406, 414, 429, *statuses})
    }


def with_body(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that takes a body or changes something."""
    return errors(413, 415, 503, *statuses)


def get_platform(request: Request) -> Platform:
    """Return the platform that serves this request."""
    platform: Platform = request.app.state.platform
    return platform


PlatformDep = Annotated[Platform, Depends(get_platform)]

AppInstanceId = Annotated[str, Path(alias="appInstanceId", description="Identifier of the application instance")]


def known_app(app_id: AppInstanceId, platform: PlatformDep) -> JsonObject:
    """Return the application instance the path names.

    Raises:
        NotFound: it is not known.
    """
    return platform.registry.apps.find(app_id)


def ready_app(app: Annotated[JsonObject, Depends(known_app)], platform: PlatformDep) -> str:
    """Return the id of the application instance the path names, which may use the platform now.

    Raises:
        NotFound: it is not known.
        Forbidden: it has to confirm that it is ready first, or has been terminated.
    """
    app_id: str = app["appInstanceId"]
    if app["instantiation"] != "INSTANTIATED":
        raise Forbidden(f"application instance {app_id!r} is terminated; create or register it again")
    if platform.config.require_ready and not app["ready"]:
        raise Forbidden("App Instance not ready. Waiting for AppReadyConfirmation: POST .../confirm_ready first")
    return app_id


KnownApp = Annotated[JsonObject, Depends(known_app)]
ReadyAppId = Annotated[str, Depends(ready_app)]


def api_root(request: Request, platform: Platform, api: str) -> str:
    """Return the URI of an API in the version the request used, e.g. `http://host/mec_app_support/v2`."""
    version = request.url.path.partition(f"/{api}/")[2].partition("/")[0]
    return f"{platform.base_url(request)}/{api}/{version}"


def flag(name: str, value: str | None) -> bool | None:
    """Return a boolean query parameter.

    Raises:
        BadRequest: it is neither true nor false.
    """
    if value is None:
        return None
    if value.lower() not in ("true", "false"):
        raise BadRequest(f"query parameter {name} is {value[:32]!r}; send true or false")
    return value.lower() == "true"


def single(request: Request, *names: str) -> None:
    """Refuse query parameters that come more than once but may not.

    Raises:
        BadRequest: names the parameter.
    """
    for name in names:
        if len(request.query_params.getlist(name)) > 1:
            raise BadRequest(f"query parameter {name} may be sent once only")


def listed(values: Iterable[str] | None) -> tuple[str, ...]:
    """Return the values of a parameter that may be repeated, comma-separated, or both."""
    return tuple(part for value in values or () for part in value.split(","))
