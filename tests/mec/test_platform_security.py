"""Tokens of the embedded platform: client credentials, scopes per API, application instances of others, safe start."""

import base64
from typing import Any

import jwt
import pytest

from mec_adapter.platform.authority import SCOPES
from mec_adapter.platform.config import PlatformConfig, PlatformStartError, check
from tests.mec.conftest import Answer, Clock, Mep, StartMep, service_info

ADMIN = "operator-token-of-the-tests"
SECURE: dict[str, Any] = {"insecure_dev": False, "admin_token": ADMIN}
APP = {"appName": "x", "endpoint": {"uris": ["http://192.0.2.1/"]}}
TOKEN = "/mep/v1/oauth2/token"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


OPERATOR = bearer(ADMIN)


async def grant(mep: Mep, client_id: str, secret: str, **fields: str) -> Answer:
    form = {"grant_type": "client_credentials", **fields}
    return await mep.post(TOKEN, data=form, headers=basic(client_id, secret))


async def client(mep: Mep, scopes: list[str] | None = None) -> dict[str, str]:
    """Create a client and return the header with its token."""
    body: dict[str, Any] = {"name": "test"} if scopes is None else {"name": "test", "scopes": scopes}
    made = await mep.post("/mep/v1/clients", body, headers=OPERATOR)
    assert made.status == 201
    granted = await grant(mep, made.body["clientId"], made.body["clientSecret"])
    assert granted.status == 200
    return bearer(granted.body["access_token"])


@pytest.mark.behaviour("M11-8.01")
async def test_without_a_token_everything_is_401_with_a_challenge(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        described = (await mep.get("/openapi.json")).body["paths"]
        for template, operations in described.items():
            path = template.replace("{", "").replace("}", "")
            for method in operations:
                if path == TOKEN:
                    continue
                answer = await mep.call(method.upper(), path, {})
                assert answer.status == 401, (method, path)
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.behaviour("M11-8.03")
async def test_client_credentials(start_mep: StartMep) -> None:
    async with start_mep(**SECURE, token_lifetime_s=600) as mep:
        made = await mep.post("/mep/v1/clients", {"name": "cse"}, headers=OPERATOR)
        assert made.body["tokenEndpoint"] == mep.url + TOKEN
        granted = await grant(mep, made.body["clientId"], made.body["clientSecret"], scope="mec_service_mgmt iots")
        assert granted.status == 200
        assert granted.headers["Cache-Control"] == "no-store"
        assert (granted.body["token_type"], granted.body["expires_in"]) == ("Bearer", 600)
        assert granted.body["scope"] == "mec_service_mgmt iots"
        in_form = {
            "grant_type": "client_credentials",
            "client_id": made.body["clientId"],
            "client_secret": made.body["clientSecret"],
        }
        assert (await mep.post(TOKEN, data=in_form)).status == 200
        header = bearer(granted.body["access_token"])
        assert (await mep.get("/mec_service_mgmt/v1/services", headers=header)).status == 200


@pytest.mark.behaviour("M11-8.04")
async def test_wrong_grants(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        made = (await mep.post("/mep/v1/clients", {"name": "x", "scopes": ["iots"]}, headers=OPERATOR)).body
        name, secret = made["clientId"], made["clientSecret"]
        for answer in (
            await grant(mep, name, "wrong"),
            await grant(mep, "nobody", secret),
            await grant(mep, "nobody", ""),
            await mep.post(TOKEN, data={"grant_type": "client_credentials"}),
            await mep.post(TOKEN, data={"grant_type": "client_credentials"}, headers={"Authorization": "Basic !"}),
        ):
            assert (answer.status, answer.body["error"]) == (401, "invalid_client")
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
        beyond = await grant(mep, name, secret, scope="iots location")
        assert (beyond.status, beyond.body["error"]) == (400, "invalid_scope")
        other = await grant(mep, name, secret, grant_type="password")
        assert (other.status, other.body["error"]) == (400, "unsupported_grant_type")
        assert (await mep.post(TOKEN, data=b"x=1", headers={"Content-Type": "text/plain"})).status == 415
        twice = b"grant_type=client_credentials&grant_type=client_credentials"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await mep.post(TOKEN, data=twice, headers=form)).body["error"] == "invalid_request"
        assert (await mep.post("/mep/v1/clients", {"name": "x", "scopes": ["mep"]}, headers=OPERATOR)).status == 400


@pytest.mark.behaviour("M11-8.05")
async def test_scope_opens_one_api_only(start_mep: StartMep) -> None:
    paths = {
        "mec_app_support": "/mec_app_support/v1/timing/current_time",
        "mec_service_mgmt": "/mec_service_mgmt/v1/services",
        "iots": "/iots/v1/registered_devices",
        "capif": "/service-apis/v1/allServiceAPIs",
        "fed_enablement": "/fed_enablement/v1/fed_resources/system_info",
        "amsi": "/amsi/v1/app_mobility_services",
        "location": "/location/v2/queries/zones",
        "app_lcm": "/app_lcm/v1/app_instances",
        "dev_app": "/dev_app/v1/app_list",
    }
    assert set(paths) == set(SCOPES)
    async with start_mep(**SECURE) as mep:
        for scope in paths:
            header = await client(mep, [scope])
            for other, path in paths.items():
                answer = await mep.get(path, headers=header)
                assert answer.status == (200 if other == scope else 403), (scope, other)
                if other != scope:
                    assert other in answer.detail
                    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
            assert (await mep.get("/mep/v1/app_instances", headers=header)).status == 403


@pytest.mark.behaviour("M11-8.05")
async def test_operator_token_opens_management_only(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        assert (await mep.get("/mep/v1/app_instances", headers=OPERATOR)).status == 200
        assert (await mep.get("/mec_service_mgmt/v1/services", headers=OPERATOR)).status == 403
        assert (await mep.get("/mep/v1/app_instances", headers=bearer(ADMIN + "x"))).status == 401


@pytest.mark.behaviour("M11-1.06", "M11-8.06")
async def test_application_instances_of_others_are_403(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        mine, other = await client(mep), await client(mep)
        created = await mep.post("/mec_app_support/v2/registrations", APP, headers=mine)
        assert created.status == 201
        app_id = created.body["appInstanceId"]
        services = f"/mec_service_mgmt/v1/applications/{app_id}/services"
        info = (await mep.post(services, service_info(livenessInterval=5), headers=mine)).body
        own, liveness = info["_links"]["self"]["href"], info["_links"]["liveness"]["href"]
        support = f"/mec_app_support/v2/applications/{app_id}"
        attempts: list[tuple[str, str, Any]] = [
            ("GET", f"/mec_app_support/v2/registrations/{app_id}", None),
            ("PUT", f"/mec_app_support/v2/registrations/{app_id}", APP),
            ("DELETE", f"/mec_app_support/v2/registrations/{app_id}", None),
            ("POST", "/mec_app_support/v2/registrations", {**APP, "appInstanceId": app_id}),
            ("POST", f"{support}/confirm_ready", {"indication": "READY"}),
            ("POST", f"{support}/confirm_termination", {"operationAction": "STOPPING"}),
            ("GET", f"{support}/traffic_rules", None),
            ("GET", f"{support}/dns_rules", None),
            ("GET", f"{support}/subscriptions", None),
            ("GET", services, None),
            ("POST", services, service_info()),
            ("GET", own, None),
            ("PUT", own, service_info()),
            ("DELETE", own, None),
            ("GET", liveness, None),
            ("PATCH", liveness, {"state": "ACTIVE"}),
            ("GET", f"/mec_service_mgmt/v1/applications/{app_id}/subscriptions", None),
        ]
        for method, path, body in attempts:
            answer = await mep.call(method, path, body, headers=other)
            assert answer.status == 403, (method, path)
            assert answer.detail
        assert (await mep.get(own, headers=mine)).body == info
        assert (await mep.get(f"/mec_service_mgmt/v1/services/{info['serInstanceId']}", headers=other)).status == 200
        unknown = await mep.get("/mec_app_support/v2/registrations/nobody", headers=other)
        assert unknown.status == 404


@pytest.mark.behaviour("M11-8.06")
async def test_managed_instance_is_bound_to_the_credentials_made_with_it(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        made = (await mep.post("/mep/v1/app_instances", {"appName": "m"}, headers=OPERATOR)).body
        granted = await grant(mep, made["clientId"], made["clientSecret"])
        own = bearer(granted.body["access_token"])
        path = f"/mec_app_support/v2/applications/{made['appInstanceId']}/confirm_ready"
        assert (await mep.post(path, {"indication": "READY"}, headers=await client(mep))).status == 403
        assert (await mep.post(path, {"indication": "READY"}, headers=own)).status == 204
        gone = await mep.delete(f"/mep/v1/app_instances/{made['appInstanceId']}", headers=OPERATOR)
        assert gone.status == 204
        assert (await mep.post(path, {"indication": "READY"}, headers=own)).status == 401


@pytest.mark.behaviour("OTH-1.10")
async def test_iot_registrations_of_others_cannot_be_taken(start_mep: StartMep) -> None:
    device = {"deviceAuthenticationInfo": "a", "deviceId": "d", "enabled": True}
    async with start_mep(**SECURE) as mep:
        mine, other = await client(mep), await client(mep)
        own = (await mep.post("/iots/v1/registered_devices", device, headers=mine)).headers["Location"]
        assert (await mep.post("/iots/v1/registered_devices", device, headers=other)).status == 403
        assert (await mep.put(own, device, headers=other)).status == 403
        assert (await mep.delete(own, headers=other)).status == 403
        assert (await mep.get(own, headers=other)).status == 200
        assert (await mep.delete(own, headers=mine)).status == 204


@pytest.mark.behaviour("M11-8.07")
async def test_token_ends_with_time_and_with_its_client(start_mep: StartMep, clock: Clock) -> None:
    path = "/mec_service_mgmt/v1/services"
    async with start_mep(clock, **SECURE, token_lifetime_s=60) as mep:
        made = (await mep.post("/mep/v1/clients", {"name": "x"}, headers=OPERATOR)).body
        header = bearer((await grant(mep, made["clientId"], made["clientSecret"])).body["access_token"])
        clock.now += 59
        assert (await mep.get(path, headers=header)).status == 200
        clock.now += 1
        over = await mep.get(path, headers=header)
        assert (over.status, "invalid_token" in over.headers["WWW-Authenticate"]) == (401, True)
        header = bearer((await grant(mep, made["clientId"], made["clientSecret"])).body["access_token"])
        assert (await mep.get(path, headers=header)).status == 200
        assert [entry["clientId"] for entry in (await mep.get("/mep/v1/clients", headers=OPERATOR)).body] == [
            made["clientId"]
        ]
        own = f"/mep/v1/clients/{made['clientId']}"
        assert (await mep.get(own, headers=OPERATOR)).body["name"] == "x"
        assert (await mep.delete(own, headers=OPERATOR)).status == 204
        assert (await mep.get(path, headers=header)).status == 401
        assert (await mep.delete(own, headers=OPERATOR)).status == 404
        assert (await mep.get(own, headers=OPERATOR)).status == 404


@pytest.mark.behaviour("M11-8.01")
async def test_forged_tokens_are_401(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        made = (await mep.post("/mep/v1/clients", {"name": "x"}, headers=OPERATOR)).body
        good = (await grant(mep, made["clientId"], made["clientSecret"])).body["access_token"]
        key = mep.platform.documents.find("signing_key", "signing_key")
        assert key is not None
        claims = jwt.decode(good, options={"verify_signature": False})

        def signed(changes: dict[str, Any], secret: str = key["key"], algorithm: str = "HS256") -> str:
            changed = {name: value for name, value in {**claims, **changes}.items() if value is not None}
            return jwt.encode(changed, secret, algorithm=algorithm)

        forged = {
            "other key": signed({}, "x" * 64),
            "no algorithm": signed({}, "", "none"),
            "other algorithm": signed({}, algorithm="HS512"),
            "other audience": signed({"aud": "another-mep"}),
            "other issuer": signed({"iss": "another-mep"}),
            "no expiry": signed({"exp": None}),
            "no subject": signed({"sub": None}),
            "unknown client": signed({"sub": "client-nobody"}),
            "no token": "abc",
        }
        for name, token in forged.items():
            answer = await mep.get("/mec_service_mgmt/v1/services", headers=bearer(token))
            assert answer.status == 401, name
        for header in ("Basic abc", "Bearer", "Bearer ", good):
            answer = await mep.get("/mec_service_mgmt/v1/services", headers={"Authorization": header})
            assert answer.status == 401, header
        assert (await mep.get("/mec_service_mgmt/v1/services", headers=bearer(signed({})))).status == 200


async def test_secrets_are_shown_once_and_kept_as_digests(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        made = (await mep.post("/mep/v1/clients", {"name": "x"}, headers=OPERATOR)).body
        assert made["clientSecret"] not in str((await mep.get("/mep/v1/clients", headers=OPERATOR)).body)
        assert made["clientSecret"] not in str(mep.platform.documents.every("client"))
        assert ADMIN not in repr(mep.platform.config)


async def test_transport_of_the_platform_names_the_token_endpoint(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        answer = await mep.get("/mec_service_mgmt/v1/transports", headers=await client(mep))
        assert answer.body[0]["security"] == {
            "oAuth2Info": {"grantTypes": ["OAUTH2_CLIENT_CREDENTIALS"], "tokenEndpoint": mep.url + TOKEN}
        }


async def test_status_page_asks_for_the_operator(start_mep: StartMep) -> None:
    async with start_mep(**SECURE) as mep:
        assert (await mep.get("/health")).status == 200
        refused = await mep.get("/")
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
        for password, status in ((ADMIN, 200), ("wrong", 401)):
            answer = await mep.session.get(mep.url + "/", headers=basic("me", password))
            assert answer.status == status


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"insecure_dev": True, "host": "0.0.0.0"}, "loopback only"),
        ({"insecure_dev": True, "host": "::"}, "loopback only"),
        ({"insecure_dev": True, "host": "edge.example"}, "loopback only"),
        ({}, "admin token"),
        ({"admin_token": "short"}, "16"),
        ({"admin_token": ADMIN, "host": "0.0.0.0"}, "TLS"),
        ({"insecure_dev": True, "prefix": "mep1"}, "prefix"),
        ({"insecure_dev": True, "prefix": "/mep1/"}, "prefix"),
        ({"insecure_dev": True, "store": "postgresql://x"}, "sqlite:///"),
        ({"insecure_dev": True, "tls_key": "x.pem"}, "tls_certificate"),
        ({"insecure_dev": True, "callback_networks": ("10.0.0.0/99",)}, "10.0.0.0/99"),
    ],
)
@pytest.mark.behaviour("M11-8.02")
def test_unsafe_or_wrong_configurations_are_refused_in_one_line(settings: dict[str, Any], hint: str) -> None:
    with pytest.raises(PlatformStartError) as refused:
        check(PlatformConfig(**settings))
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"insecure_dev": True},
        {"insecure_dev": True, "host": "localhost"},
        {"insecure_dev": True, "host": "::1"},
        {"insecure_dev": True, "host": "0.0.0.0", "allow_insecure_network": True},
        {"admin_token": ADMIN},
        {"admin_token": ADMIN, "host": "0.0.0.0", "tls_elsewhere": True},
        {"admin_token": ADMIN, "host": "0.0.0.0", "tls_certificate": "a.pem", "tls_key": "b.pem"},
    ],
)
def test_safe_configurations_are_taken(settings: dict[str, Any]) -> None:
    check(PlatformConfig(**settings))


@pytest.mark.behaviour("M11-8.06", "OTH-3.04")
async def test_what_others_own_in_the_other_apis_is_403(start_mep: StartMep) -> None:
    callback = "http://192.0.2.1/callback"
    mobility = {
        "subscriptionType": "MobilityProcedureSubscription",
        "callbackReference": callback,
        "filterCriteria": {},
    }
    zone = {"subscriptionType": "ZoneLocationEventSubscription", "callbackReference": callback, "zoneId": "zone-a"}
    context = {
        "associateDevAppId": "d",
        "appInfo": {"appName": "x", "appProvider": "p", "appDVersion": "1", "userAppInstanceInfo": [{}]},
    }
    api = {
        "apiName": "a",
        "aefProfiles": [{"aefId": "a", "versions": [{"apiVersion": "1"}], "domainName": "a.example"}],
        "supportedFeatures": "0",
    }
    async with start_mep(**SECURE) as mep:
        mine, other = await client(mep), await client(mep)
        app_id = (await mep.post("/mec_app_support/v2/registrations", APP, headers=mine)).body["appInstanceId"]
        registration = {"serviceConsumerId": {"appInstanceId": app_id}}
        system = {"systemName": "s", "systemProvider": "p"}
        made: list[tuple[str, Any, list[str]]] = [
            (f"/published-apis/v1/{app_id}/service-apis", api, ["GET", "PUT", "DELETE"]),
            ("/amsi/v1/app_mobility_services", registration, ["GET", "PUT", "DELETE"]),
            ("/amsi/v1/subscriptions", mobility, ["GET", "PUT", "DELETE"]),
            ("/location/v2/subscriptions/zones", zone, ["GET", "PUT", "DELETE"]),
            ("/dev_app/v1/app_contexts", context, ["PUT", "DELETE"]),
            ("/fed_enablement/v1/fed_resources/system_info", system, ["DELETE"]),
        ]
        for path, body, methods in made:
            created = await mep.post(path, body, headers=mine)
            assert created.status == 201, (path, created.body)
            for method in methods:
                sent = body if method == "PUT" else None
                answer = await mep.call(method, created.headers["Location"], sent, headers=other)
                assert answer.status == 403, (method, path)
        assert (await mep.post(made[0][0], api, headers=other)).status == 403
        events = {"events": ["SERVICE_API_AVAILABLE"], "notificationDestination": callback}
        assert (await mep.post(f"/capif-events/v1/{app_id}/subscriptions", events, headers=other)).status == 403
        assert (await mep.post("/amsi/v1/app_mobility_services", registration, headers=other)).status == 403
        assert (await mep.get("/amsi/v1/app_mobility_services", headers=other)).body == []
        assert (await mep.get("/app_lcm/v1/app_instances", headers=other)).body == []
        assert (await mep.get(f"/app_lcm/v1/app_instances/{app_id}", headers=other)).status == 403
        lists = await mep.get("/location/v2/subscriptions/zones", headers=other)
        assert lists.body["notificationSubscriptionList"]["subscription"] == []
        assert (await mep.post("/mep/v1/mobility_events", {}, headers=mine)).status == 403
        assert (await mep.put("/mep/v1/location_users/u", {"accessPointId": "ap-a1"}, headers=mine)).status == 403
