"""Management API of the platform, `/mep/v1`, in the manner of Mm5: create, list, configure, terminate; failures."""

import dataclasses
from typing import Any

from fastapi import APIRouter, Request, Response

from mec_adapter.platform.apps import new_app
from mec_adapter.platform.authority import OPERATOR_SCOPE
from mec_adapter.platform.dependencies import AppInstanceId, KnownApp, PlatformDep, errors, with_body
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.environment import Env
from mec_adapter.platform.http import PlatformRoute, answer, created, no_content
from mec_adapter.platform.management_models import (
    AppCreated,
    AppDescriptor,
    AppState,
    Asked,
    FailedNotification,
    Heartbeats,
    Status,
    TerminateRequest,
)
from mec_adapter.platform.problems import BadRequest, Conflict
from mec_adapter.platform.shell import Platform

router = APIRouter(route_class=PlatformRoute, tags=[OPERATOR_SCOPE], prefix="/mep/v1")


def managed_app(descriptor: JsonObject, owner: str | None, env: Env) -> JsonObject:
    """Return the record of a new application instance after its descriptor.

    Args:
        descriptor: an AppDescriptor as a document.
        owner: the client it is made for.
        env: time and identifiers.
    """
    app_id = descriptor.get("appInstanceId") or env.new_id()
    descriptor = {"appDId": f"appd-{app_id}", **descriptor}
    names = ("appName", "appProvider", "appDId", "appSoftVersion", "appDVersion", "appDescription")
    return {
        **new_app(app_id, owner, env),
        "managed": {name: descriptor[name] for name in names if name in descriptor},
        "configured": descriptor["configured"],
        "trafficRules": descriptor["appTrafficRule"],
        "dnsRules": descriptor["appDNSRule"],
    }


def _state(platform: Platform, app: JsonObject) -> dict[str, Any]:
    source = app["managed"] or app["registration"]
    state = {
        "appInstanceId": app["appInstanceId"],
        "appName": source["appName"],
        "managed": app["managed"] is not None,
        "registered": app["registration"] is not None,
        "instantiationState": app["instantiation"],
        "operationalState": app["operational"],
        "configured": app["configured"],
        "ready": app["ready"],
        "services": len(platform.registry.services.of_app(app["appInstanceId"])),
    }
    if app["termination"] is not None:
        remaining_s = max(0.0, app["termination"]["deadline"] - platform.clock())
        action = app["termination"]["operationAction"]
        state["termination"] = {"operationAction": action, "remainingS": round(remaining_s, 3)}
    if app["registration"] is not None:
        state["registration"] = app["registration"]
    return state


@router.post("/app_instances", status_code=201, response_model=AppCreated, responses=with_body(409))
async def create_app_instance(request: Request, platform: PlatformDep, body: AppDescriptor) -> Response:
    """Create an application instance after a small descriptor; the answer holds its credentials, shown once."""
    env = platform.env(request)
    for rules, name in ((body.appTrafficRule, "trafficRuleId"), (body.appDNSRule, "dnsRuleId")):
        ids = [getattr(rule, name) for rule in rules]
        if len(set(ids)) != len(ids):
            raise BadRequest(f"attribute {name} names two rules; give every rule its own")
    if body.appInstanceId is not None and platform.documents.find("app", body.appInstanceId) is not None:
        raise Conflict(f"application instance {body.appInstanceId!r} exists already; choose another id or none")
    client_id, secret = platform.authority.new_client(body.appName, None, env)
    app = managed_app(body.document(), client_id, env)
    platform.registry.apps.keep(app)
    location = f"{platform.base_url(request)}/mep/v1/app_instances/{app['appInstanceId']}"
    return created(
        {
            "appInstanceId": app["appInstanceId"],
            "appDId": app["managed"]["appDId"],
            "clientId": client_id,
            "clientSecret": secret,
            "tokenEndpoint": f"{platform.base_url(request)}/mep/v1/oauth2/token",
        },
        location,
    )


@router.get("/app_instances", response_model=list[AppState], responses=errors())
async def list_app_instances(platform: PlatformDep) -> Response:
    """Return all application instances, those that registered themselves too."""
    return answer([_state(platform, app) for app in platform.registry.apps.every()])


@router.get("/app_instances/{appInstanceId}", response_model=AppState, responses=errors())
async def read_app_instance(platform: PlatformDep, app: KnownApp) -> Response:
    """Return one application instance."""
    return answer(_state(platform, app))


@router.post("/app_instances/{appInstanceId}/configure", status_code=204, response_model=None, responses=errors(503))
async def configure_app_instance(platform: PlatformDep, app: KnownApp) -> Response:
    """Say that an application instance is configured, so that it may confirm that it is ready."""
    platform.registry.apps.keep(app, configured=True)
    return no_content()


@router.post(
    "/app_instances/{appInstanceId}/terminate", status_code=202, response_model=Asked, responses=with_body(409)
)
async def terminate_app_instance(
    request: Request, platform: PlatformDep, app_id: AppInstanceId, body: TerminateRequest
) -> Response:
    """Stop or terminate an application instance: gracefully when it is subscribed to that, else at once."""
    env = platform.env(request)
    platform.publish(platform.registry.terminate(app_id, body.operationAction, body.gracefulTimeoutS, env))
    return answer({"appInstanceId": app_id, **body.document()}, 202)


@router.delete("/app_instances/{appInstanceId}", status_code=204, response_model=None, responses=errors(503))
async def delete_app_instance(platform: PlatformDep, app: KnownApp) -> Response:
    """Remove an application instance at once, with its services, subscriptions and credentials."""
    platform.publish(platform.registry.remove(app["appInstanceId"]))
    platform.authority.drop_client(app["owner"], only_if_unused=True)
    return no_content()


@router.get("/notifications/failures", response_model=list[FailedNotification], responses=errors())
async def list_failures(platform: PlatformDep) -> Response:
    """Return the notifications that were given up, newest first."""
    return answer(platform.notifier.failure_list())


@router.get("/heartbeat_policy", response_model=Heartbeats, responses=errors())
async def read_heartbeat_policy(platform: PlatformDep) -> Response:
    """Return how often producers of services are asked for a sign of life."""
    policy = platform.registry.services.policy
    return answer(
        {
            "defaultIntervalS": policy.default_interval_s,
            "minIntervalS": policy.min_interval_s,
            "maxIntervalS": policy.max_interval_s,
        }
    )


@router.put("/heartbeat_policy", response_model=Heartbeats, responses=with_body())
async def change_heartbeat_policy(platform: PlatformDep, body: Heartbeats) -> Response:
    """Change how often producers are asked for a sign of life, until the platform restarts."""
    if not body.minIntervalS <= body.defaultIntervalS <= body.maxIntervalS:
        raise BadRequest("attribute defaultIntervalS has to lie between minIntervalS and maxIntervalS")
    services = platform.registry.services
    services.policy = dataclasses.replace(
        services.policy,
        default_interval_s=body.defaultIntervalS,
        min_interval_s=body.minIntervalS,
        max_interval_s=body.maxIntervalS,
    )
    return answer(body.document())


@router.get("/status", response_model=Status, responses=errors())
async def status(platform: PlatformDep) -> Response:
    """Return figures about the running platform."""
    return answer(platform.summary())
