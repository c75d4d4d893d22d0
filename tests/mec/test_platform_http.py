"""What holds for every API of the embedded platform: errors as ProblemDetails, methods, bodies, media types, prefix."""

import json
from typing import Any

import pytest

from tests.mec.conftest import Mep, StartMep, service_info

PROBLEM = "application/problem+json"


def is_problem(answer: Any, status: int) -> None:
    assert answer.status == status
    assert answer.headers["Content-Type"] == PROBLEM
    assert set(answer.body) == {"type", "title", "status", "detail", "instance"}
    assert answer.body["status"] == status
    assert answer.detail


@pytest.mark.behaviour("M11-1.02")
async def test_unknown_path_is_404(mep: Mep) -> None:
    for path in ("/nothing", "/mec_service_mgmt/v1", "/mec_service_mgmt/v1/", "/mec_service_mgmt/v2/services"):
        is_problem(await mep.get(path), 404)
    is_problem(await mep.get("/mec_service_mgmt/v1/services/"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/mec_service_mgmt/v1/services", "GET"),
        ("DELETE", "/mec_service_mgmt/v1/transports", "GET"),
        ("PATCH", "/mec_service_mgmt/v1/applications/a/services", "GET, POST"),
        ("POST", "/mec_service_mgmt/v1/applications/a/services/s", "DELETE, GET, PUT"),
        ("PUT", "/mec_service_mgmt/v1/applications/a/subscriptions/s", "DELETE, GET"),
        ("PUT", "/mec_service_mgmt/v1/applications/a/services/s/liveness", "GET, PATCH"),
        ("GET", "/mec_app_support/v1/registrations", "POST"),
        ("PATCH", "/mec_app_support/v2/registrations/a", "DELETE, GET, PUT"),
        ("GET", "/mec_app_support/v1/applications/a/confirm_ready", "POST"),
        ("PUT", "/mec_app_support/v2/applications/a/confirm_termination", "POST"),
        ("POST", "/mec_app_support/v2/timing/current_time", "GET"),
        ("POST", "/mec_app_support/v2/applications/a/dns_rules/d", "GET, PUT"),
        ("DELETE", "/iots/v1/registered_devices", "GET, POST"),
        ("PATCH", "/iots/v1/registered_iot_platforms/p", "DELETE, GET, PUT"),
    ],
)
@pytest.mark.behaviour("M11-1.03")
async def test_other_methods_are_405_and_allow_names_those_that_exist(
    mep: Mep, method: str, path: str, allowed: str
) -> None:
    answer = await mep.call(method, path)
    is_problem(answer, 405)
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"{", "not valid JSON"),
        (b"", "no body"),
        (b"null", "object"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"serName":"a","serName":"b"}', "twice"),
        (b'{"livenessInterval":NaN}', "NaN"),
        (b'{"livenessInterval":1e999}', "double"),
        (b'{"livenessInterval":' + b"9" * 30 + b"}", "livenessInterval"),
        (b'{"livenessInterval":' + b"9" * 5000 + b"}", "double"),
        (b'{"serName":"\\ud800"}', "surrogate"),
        (b'{"serName":"\\u0000"}', "serName"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "nested"),
        (b"[" * 100_000, "nested"),
    ],
)
@pytest.mark.behaviour("M11-1.02", "M11-1.07")
async def test_malformed_body_is_400(mep: Mep, body: bytes, hint: str) -> None:
    path = f"/mec_service_mgmt/v1/applications/{await mep.app()}/services"
    answer = await mep.post(path, data=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 400)
    assert hint in answer.detail


@pytest.mark.behaviour("M11-1.07")
async def test_body_of_another_media_type_is_415(mep: Mep) -> None:
    path = f"/mec_service_mgmt/v1/applications/{await mep.app()}/services"
    body = json.dumps(service_info()).encode()
    for media_type in ("text/plain", "application/xml", "multipart/form-data"):
        is_problem(await mep.post(path, data=body, headers={"Content-Type": media_type}), 415)
    good = await mep.post(path, data=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert good.status == 201


async def test_body_without_a_media_type_is_taken_as_json(mep: Mep) -> None:
    path = f"/mec_service_mgmt/v1/applications/{await mep.app()}/services"
    answer = await mep.post(path, data=json.dumps(service_info()).encode(), skip_auto_headers=["Content-Type"])
    assert answer.status == 201


@pytest.mark.behaviour("M11-1.07")
async def test_body_that_is_too_long_is_413(start_mep: StartMep) -> None:
    async with start_mep(max_body_bytes=2000) as mep:
        path = f"/mec_service_mgmt/v1/applications/{await mep.app()}/services"
        is_problem(await mep.post(path, service_info(serName="x" * 3000)), 413)
        assert (await mep.post(path, service_info())).status == 201


@pytest.mark.behaviour("M11-3.06")
async def test_uri_that_is_too_long_is_414(mep: Mep) -> None:
    is_problem(await mep.get(f"/mec_service_mgmt/v1/services?ser_name={'x' * 9000}"), 414)
    assert (await mep.get(f"/mec_service_mgmt/v1/services?ser_name={'x' * 4000}")).status == 200


@pytest.mark.behaviour("M11-1.10")
async def test_who_accepts_no_json_is_406(mep: Mep) -> None:
    for accepted in ("application/xml", "text/html, text/plain;q=0.5"):
        is_problem(await mep.get("/mec_service_mgmt/v1/services", headers={"Accept": accepted}), 406)
    for accepted in ("*/*", "application/json", "application/*", "text/html, */*;q=0.1", "application/problem+json"):
        assert (await mep.get("/mec_service_mgmt/v1/services", headers={"Accept": accepted})).status == 200


@pytest.mark.behaviour("M11-1.08")
async def test_unknown_attributes_are_ignored(mep: Mep) -> None:
    info = await mep.service(await mep.app(), fromTheFuture={"a": 1})
    assert "fromTheFuture" not in info


async def test_several_faults_are_named_together(mep: Mep) -> None:
    path = f"/mec_service_mgmt/v1/applications/{await mep.app()}/services"
    answer = await mep.post(path, service_info(serName=None, version=7))
    assert "serName" in answer.detail
    assert "version" in answer.detail


@pytest.mark.behaviour("M11-8.11")
async def test_links_follow_the_host_the_client_used_or_the_public_url(mep: Mep, start_mep: StartMep) -> None:
    body = {"appName": "x", "endpoint": {"uris": ["http://a/"]}}
    answer = await mep.post("/mec_app_support/v2/registrations", body, headers={"Host": "mep.example:9999"})
    assert answer.headers["Location"].startswith("http://mep.example:9999/mec_app_support/v2/registrations/")
    async with start_mep(public_url="https://edge.example") as public:
        answer = await public.post("/mec_app_support/v2/registrations", body)
        assert answer.headers["Location"].startswith("https://edge.example/mec_app_support/v2/registrations/")


@pytest.mark.behaviour("M11-1.04")
async def test_prefix_is_before_every_path_and_every_link(start_mep: StartMep) -> None:
    async with start_mep(prefix="/sbx1abc/mep1") as mep:
        assert mep.url.endswith("/sbx1abc/mep1")
        app_id = await mep.app()
        info = await mep.service(app_id)
        own = info["_links"]["self"]["href"]
        assert own.startswith(f"{mep.url}/mec_service_mgmt/v1/applications/{app_id}/services/")
        assert (await mep.get(own)).body == info
        is_problem(await mep.get(own.replace("/sbx1abc/mep1", "")), 404)
        is_problem(await mep.call("PATCH", own), 405)


async def test_two_platforms_in_one_process_know_nothing_of_each_other(mep: Mep, start_mep: StartMep) -> None:
    async with start_mep() as other:
        app_id = await mep.app()
        await mep.service(app_id)
        assert (await other.get("/mec_service_mgmt/v1/services")).body == []
        assert (await other.get(f"/mec_app_support/v2/registrations/{app_id}")).status == 404


async def test_a_fault_of_the_platform_is_500_without_details(mep: Mep) -> None:
    mep.platform.registry.services.select = None  # type: ignore[method-assign, assignment]
    answer = await mep.get("/mec_service_mgmt/v1/services")
    is_problem(answer, 500)
    assert "Traceback" not in json.dumps(answer.body)
    assert "NoneType" not in json.dumps(answer.body)


@pytest.mark.behaviour("M11-1.09")
async def test_every_json_path_of_the_description_answers(mep: Mep) -> None:
    described = (await mep.get("/openapi.json")).body
    assert "/mec_app_support/v1/registrations" in described["paths"]
    assert "/mec_app_support/v2/registrations" in described["paths"]
    for template, operations in described["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], (template, method)
            assert any(status < "400" for status in operation["responses"])
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == [PROBLEM], (template, method, status)
