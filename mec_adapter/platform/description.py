"""The OpenAPI description the platform serves of itself: what FastAPI sees, and the rules all its routes share."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mec_adapter.platform.authority import OPERATOR_SCOPE, SCOPES

_TEXT = {"type": "string"}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "ETag the resource has to have still; `*` takes any",
    "schema": {**_TEXT, "pattern": '^(\\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'},
}
_HEADERS: dict[str, dict[str, Any]] = {
    "201": {"Location": {"required": True, "description": "URI of the new resource", "schema": _TEXT}},
    "401": {"WWW-Authenticate": {"required": True, "description": "Which credentials to send", "schema": _TEXT}},
    "429": {"Retry-After": {"required": True, "description": "Seconds to wait", "schema": _TEXT}},
    "503": {"Retry-After": {"required": True, "description": "Seconds to wait", "schema": _TEXT}},
}


def description(app: FastAPI) -> dict[str, Any]:
    """Return the description of an application, made once.

    It is without the validation errors FastAPI adds, which are 400 ProblemDetails here, and with what it cannot see:
    If-Match where 412 is possible, headers of answers, and which scope of an access token opens what.
    """
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        secure = not app.state.platform.config.insecure_dev
        for operations in schema["paths"].values():
            for operation in operations.values():
                _complete(operation)
                if secure and (scope := next(iter(operation.get("tags", ())), "")):
                    scheme = {"operator": []} if scope == OPERATOR_SCOPE else {"oauth2": [scope]}
                    operation["security"] = [scheme]
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        if secure:
            schema["components"]["securitySchemes"] = _schemes(app.state.platform.base_url())
        app.openapi_schema = schema
    return app.openapi_schema


def _complete(operation: dict[str, Any]) -> None:
    """Put into an operation what all routes share and FastAPI does not know."""
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    responses = operation["responses"]
    responses.pop("422", None)
    if "412" in responses:
        operation.setdefault("parameters", []).append(_IF_MATCH)
    for status, response in responses.items():
        if status >= "400":
            response["content"].pop("application/json", None)
        if status in _HEADERS:
            response["headers"] = _HEADERS[status]


def _schemes(base_url: str) -> dict[str, Any]:
    scopes = {scope: f"The {scope} API" for scope in SCOPES}
    flow = {"tokenUrl": f"{base_url}/mep/v1/oauth2/token", "scopes": scopes}
    return {
        "oauth2": {"type": "oauth2", "flows": {"clientCredentials": flow}},
        "operator": {"type": "http", "scheme": "bearer", "description": "The operator's token"},
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null, which no URI can say."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{name: value for name, value in schema.items() if name != "anyOf"}}
