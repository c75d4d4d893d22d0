"""Mapping edgeiot/1: every field of the mapping, identities that never change, and what the platform's models say."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mec_adapter import mapping
from mec_adapter.mapping import ae_app_info, ae_services, app_info, cse_services, device_info, iot_platform_info
from mec_adapter.platform.app_support_models import AppInfo
from mec_adapter.platform.iot_models import DeviceInfoPost, IotPlatformInfo
from mec_adapter.platform.service_mgmt_models import ServiceInfoPost
from mec_adapter.profile import (
    CseProfile,
    MappingOptions,
    ae_identity,
    cse_app_id,
    cse_profile,
    iot_platform_id,
    transport_id,
)

BASE = {
    "csi": "/id-edge-1",
    "rn": "cse-edge",
    "cst": 2,
    "srv": ["3", "4"],
    "srt": [1, 2, 3, 4, 5],
    "csz": ["application/json", "application/cbor"],
    "poa": ["http://10.0.0.5:8080", "mqtt://10.0.0.6", "coap://10.0.0.5:5683", "wss://10.0.0.5:8443/ws"],
}
CSE = cse_profile(BASE, registrar="/id-in", sp_id="//sp.example", in_cse_id="/id-in")
OPTIONS = MappingOptions()
AE: dict[str, Any] = {
    "aei": "Sgateway",
    "ri": "Sgateway",
    "rn": "gateway",
    "api": "Norg.example.gw.2",
    "apn": "A gateway with a name that is far too long",
    "lbl": ["mec:expose"],
    "rr": True,
    "srv": ["4"],
}


def by_name(services: list[Any]) -> dict[str, Any]:
    return {service["serName"]: service for service in services}


def test_profile_of_a_csebase() -> None:
    assert CSE.stem == "id-edge-1"
    assert (CSE.cse_type, CSE.release, CSE.registrar, CSE.in_cse_id) == ("MN", "R4", "/id-in", "/id-in")
    assert CSE.http_base == "http://10.0.0.5:8080/cse-edge"


def test_one_service_per_binding_with_distinct_names_and_one_category() -> None:
    services = cse_services(CSE, OPTIONS)
    assert [service["serName"] for service in services] == ["onem2m-cse", "onem2m-cse-mqtt", "onem2m-cse-ws"]
    assert {str(service["serCategory"]) for service in services} == {
        str({"href": "https://www.onem2m.org/", "id": "oneM2M-CSE", "name": "IoT", "version": "R4"})
    }


def test_http_service_field_by_field() -> None:
    service = cse_services(CSE, OPTIONS)[0]
    assert service["version"] == OPTIONS.product_version
    assert service["state"] == "ACTIVE"
    assert service["serializer"] == "JSON"
    assert service["scopeOfLocality"] == "MEC_HOST"
    assert service["consumedLocalOnly"] is False
    assert service["livenessInterval"] == 30
    assert not {"serInstanceId", "transportId", "isLocal", "_links"} & set(service)
    transport = service["transportInfo"]
    assert transport["id"] == transport_id(CSE, "http", "JSON")
    assert transport["name"] == "id-edge-1"
    assert transport["description"] == "oneM2M CSE /id-edge-1, cse-edge, R4, HTTP binding TS-0009"
    assert (transport["type"], transport["protocol"], transport["version"]) == ("REST_HTTP", "HTTP", "1.1")
    assert transport["endpoint"] == {"uris": ["http://10.0.0.5:8080/cse-edge"]}
    assert transport["security"] == {}
    told = transport["implSpecificInfo"]["onem2m"]
    assert told["cseId"] == "/id-edge-1"
    assert (told["spId"], told["inCseId"], told["registrarCse"]) == ("//sp.example", "/id-in", "/id-in")
    assert told["iotPlatformId"] == iot_platform_id(CSE)
    assert told["poa"] == BASE["poa"]
    assert told["mapping"] == "edgeiot/1"


def test_mqtt_service_has_the_broker_and_topics() -> None:
    transport = by_name(cse_services(CSE, OPTIONS))["onem2m-cse-mqtt"]["transportInfo"]
    assert (transport["type"], transport["protocol"]) == ("MB_TOPIC_BASED", "MQTT")
    assert transport["endpoint"] == {"addresses": [{"host": "10.0.0.6", "port": 1883}]}
    assert transport["implSpecificInfo"]["uplinkTopics"] == [
        "/oneM2M/req/+/id-edge-1/#",
        "/oneM2M/reg_req/+/id-edge-1/#",
        "/oneM2M/resp/id-edge-1/+/#",
    ]
    assert transport["implSpecificInfo"]["downlinkTopics"] == [
        "/oneM2M/req/id-edge-1/+/#",
        "/oneM2M/resp/+/id-edge-1/#",
        "/oneM2M/reg_resp/+/id-edge-1/#",
    ]


def test_websocket_and_coap() -> None:
    websocket = by_name(cse_services(CSE, OPTIONS))["onem2m-cse-ws"]["transportInfo"]
    assert (websocket["type"], websocket["protocol"], websocket["version"]) == ("WEBSOCKET", "WEBSOCKET", "13")
    extended = by_name(cse_services(CSE, MappingOptions(coap_transport_type="REST_COAP")))["onem2m-cse-coap"]
    assert (extended["transportInfo"]["type"], extended["transportInfo"]["protocol"]) == ("REST_COAP", "COAP")
    assert extended["transportInfo"]["endpoint"] == {"uris": ["coap://10.0.0.5:5683/cse-edge"]}


def test_cbor_is_a_service_of_its_own_behind_a_flag() -> None:
    services = by_name(cse_services(CSE, MappingOptions(cbor=True)))
    assert services["onem2m-cse-cbor"]["serializer"] == "CBOR"
    assert len({mapping.transport_id_of(service) for service in services.values()}) == len(services)


def test_security_names_the_gateway() -> None:
    options = MappingOptions(token_endpoint="https://gw.example/token")
    assert cse_services(CSE, options)[0]["transportInfo"]["security"] == {
        "oAuth2Info": {"grantTypes": ["OAUTH2_CLIENT_CREDENTIALS"], "tokenEndpoint": "https://gw.example/token"}
    }


def test_app_info_of_the_cse() -> None:
    info = app_info(CSE, OPTIONS, cse_app_id(CSE))
    assert info["appName"] == "onem2m-edge-cse"
    assert info["isInsByMec"] is False
    assert info["endpoint"] == {"uris": ["http://10.0.0.5:8080"]}
    assert info["appInstanceId"] == cse_app_id(CSE)
    assert "appInstanceId" not in app_info(CSE, OPTIONS)


def test_iot_platform_needs_mqtt() -> None:
    info = iot_platform_info(CSE, OPTIONS)
    assert info is not None
    assert info["iotPlatformId"] == iot_platform_id(CSE)
    assert info["userTransportInfo"][0]["implSpecificInfo"]["eventTopics"] == []
    assert [transport["type"] for transport in info["customServicesTransportInfo"]] == ["REST_HTTP", "WEBSOCKET"]
    assert iot_platform_info(CseProfile("/id", "cse", poa=("http://h:1",)), OPTIONS) is None


def test_ae_as_application_instance() -> None:
    info = ae_app_info(CSE, AE, "cse-edge/gateway", OPTIONS)
    assert info["appName"] == "A gateway with a name that is far too long"[:32]
    assert info["endpoint"] == {"uris": ["http://10.0.0.5:8080/cse-edge/gateway"]}
    assert info["appInstanceId"] == ae_identity(CSE, AE)
    assert ae_app_info(CSE, {**AE, "poa": ["http://gw/"]}, "cse-edge/gateway", OPTIONS)["endpoint"] == {
        "uris": ["http://gw/"]
    }
    assert ae_app_info(CSE, {**AE, "apn": ""}, "cse-edge/gateway", OPTIONS)["appName"] == "org.example.gw.2"


def test_ae_service_field_by_field() -> None:
    (service,) = ae_services(CSE, AE, "cse-edge/gateway", OPTIONS, containers=["cse-edge/gateway/data"])
    assert service["serName"] == "onem2m-ae-org.example.gw.2"
    assert service["version"] == "2"
    assert service["state"] == "ACTIVE"
    assert service["transportInfo"]["endpoint"] == {"uris": ["http://10.0.0.5:8080/cse-edge/gateway"]}
    told = service["transportInfo"]["implSpecificInfo"]["onem2m"]
    assert (told["aeId"], told["csi"], told["identity"]) == ("Sgateway", "/id-edge-1", ae_identity(CSE, AE))
    assert told["containers"] == ["cse-edge/gateway/data"]


@pytest.mark.parametrize(
    ("ae", "alive", "state"),
    [
        ({}, True, "ACTIVE"),
        ({}, False, "INACTIVE"),
        ({"rr": None}, True, "ACTIVE"),
        ({"rr": False, "poa": ["http://gw/"]}, True, "INACTIVE"),
        ({"rr": False}, True, "ACTIVE"),
    ],
)
def test_ae_state(ae: dict[str, Any], alive: bool, state: str) -> None:
    (service,) = ae_services(CSE, {**AE, **ae}, "cse-edge/gateway", OPTIONS, alive=alive)
    assert service["state"] == state


def test_reachability_taken_strictly() -> None:
    options = MappingOptions(strict_reachability=True)
    (service,) = ae_services(CSE, {**AE, "rr": False}, "cse-edge/gateway", options)
    assert service["state"] == "INACTIVE"


def test_labels_name_more_services() -> None:
    labels = ["mec:expose", "mec:service=camera", "mec:service=door"]
    services = ae_services(CSE, {**AE, "lbl": labels}, "cse-edge/gateway", OPTIONS)
    assert [service["serName"] for service in services] == ["camera", "door"]
    assert len({mapping.transport_id_of(service) for service in services}) == 2


def test_s_identities_follow_the_ae_and_c_identities_do_not() -> None:
    other = cse_profile({**BASE, "csi": "/id-edge-2"}, sp_id="//sp.example")
    assert ae_identity(CSE, AE) == ae_identity(other, AE)
    assert ae_identity(CSE, {**AE, "aei": "/id-edge-1/Sgateway"}) == ae_identity(CSE, AE)
    local = {**AE, "aei": "Cgateway"}
    assert ae_identity(CSE, local) != ae_identity(other, local)
    labelled = {**local, "lbl": ["mec:identity=gw-7"]}
    assert ae_identity(CSE, labelled) == ae_identity(other, labelled)


def test_device() -> None:
    info = device_info(CSE, AE, OPTIONS, node={"ni": "urn:dev:mac:0a"})
    assert info["deviceId"] == "urn:dev:mac:0a"
    assert info["deviceAuthenticationInfo"] == "oneM2M:Sgateway"
    assert info["requestedIotPlatformId"] == iot_platform_id(CSE)
    assert info["requestedUserTransportId"] == transport_id(CSE, "mqtt", "JSON")


def test_the_platform_takes_all_of_it() -> None:
    """The embedded platform's own models check what the mapping makes, in the strict sense of the tables."""
    for service in (*cse_services(CSE, OPTIONS), *ae_services(CSE, AE, "cse-edge/gateway", OPTIONS)):
        ServiceInfoPost.model_validate(service)
    AppInfo.model_validate(app_info(CSE, OPTIONS, cse_app_id(CSE)))
    AppInfo.model_validate(ae_app_info(CSE, AE, "cse-edge/gateway", OPTIONS))
    IotPlatformInfo.model_validate(iot_platform_info(CSE, OPTIONS))
    DeviceInfoPost.model_validate(device_info(CSE, AE, OPTIONS))


def test_differs_sees_what_we_decide_and_nothing_else() -> None:
    wanted = cse_services(CSE, OPTIONS)[0]
    shown = {**wanted, "serInstanceId": "x", "isLocal": True, "livenessInterval": 60, "_links": {}}
    assert not mapping.differs(wanted, shown)
    assert not mapping.differs(wanted, {**shown, "state": "SUSPENDED"})
    assert mapping.differs(wanted, {**shown, "state": "INACTIVE"})
    assert mapping.differs(wanted, {**shown, "version": "9"})


def test_app_id_from_a_self_link() -> None:
    own = {"_links": {"self": {"href": "http://mep/mec_service_mgmt/v1/applications/app-7/services/s"}}}
    assert mapping.app_id_of(own) == "app-7"
    assert mapping.app_id_of({"_links": {"self": {"href": "http://mep/x/applications"}}}) == ""
    assert mapping.app_id_of({}) == ""


@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_identities_are_stable_uuid5(cse_id: str, aei: str, sp_id: str) -> None:
    cse = CseProfile("/" + cse_id, "cse", sp_id=sp_id)
    ae = {"aei": aei}
    assert ae_identity(cse, ae) == ae_identity(cse, dict(ae))
    assert uuid.UUID(ae_identity(cse, ae)).version == 5


@given(st.dictionaries(st.sampled_from(["aei", "ri", "api", "apn", "rn", "lbl", "poa", "srv"]), st.none()))
def test_missing_and_null_attributes_do_no_harm(ae: dict[str, Any]) -> None:
    assert ae_services(CSE, ae, "cse-edge/x", OPTIONS)
    assert ae_app_info(CSE, ae, "cse-edge/x", OPTIONS)["isInsByMec"] is False
