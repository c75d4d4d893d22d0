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


@pytest.mark.behaviour("MAP-1.02", "MAP-2.02", "MAP-2.03")
def test_one_service_per_binding_with_distinct_names_and_one_category() -> None:
    services = cse_services(CSE, OPTIONS)
    assert [service["serName"] for service in services] == ["onem2m-cse", "onem2m-cse-mqtt", "onem2m-cse-ws"]
    assert {str(service["serCategory"]) for service in services} == {
        str({"href": "https://www.onem2m.org/", "id": "oneM2M-CSE", "name": "IoT", "version": "R4"})
    }


@pytest.mark.behaviour("MAP-2.01", "MAP-2.04", "MAP-2.07", "MAP-2.08", "MAP-2.11", "MAP-2.13", "MAP-2.14", "MAP-4.01")
def test_http_service_field_by_field() -> None:
    service = cse_services(CSE, OPTIONS)[0]
    assert service["version"] == OPTIONS.product_version
    assert service["state"] == "ACTIVE"
    assert service["serializer"] == "JSON"
    assert service["scopeOfLocality"] == "MEC_HOST"
    assert service["consumedLocalOnly"] is False
    assert service["livenessInterval"] == 30
    assert not {"serInstanceId", "transportId", "isLocal", "_links"} & set(service)
    assert {"serName", "serCategory", "version", "state", "transportInfo", "serializer"} <= set(service)
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
    assert (told["cseName"], told["cseType"], told["binding"]) == ("cse-edge", "MN", "TS-0009")
    assert (told["releases"], told["resourceTypes"], told["serializations"]) == (BASE["srv"], BASE["srt"], BASE["csz"])


@pytest.mark.behaviour("MAP-2.11")
def test_the_cse_names_its_exposed_aes_up_to_a_limit() -> None:
    many = [{"aei": f"S{number}", "api": "Nx", "rn": f"ae{number}", "lbl": ["x"]} for number in range(100)]
    told = cse_services(CSE, OPTIONS, exposed=many)[0]["transportInfo"]["implSpecificInfo"]["onem2m"]
    assert told["ae"][0] == {"aei": "S0", "api": "Nx", "rn": "ae0"}
    assert len(told["ae"]) == 32


@pytest.mark.behaviour("MAP-2.15")
@pytest.mark.parametrize(
    ("interval", "sent"), [(30, {"livenessInterval": 30}), (0, {"livenessInterval": 0}), (None, {})]
)
def test_the_heartbeat_interval_is_proposed_left_open_or_not_offered(
    interval: int | None, sent: dict[str, int]
) -> None:
    for service in cse_services(CSE, MappingOptions(liveness_interval_s=interval)):
        assert {name: value for name, value in service.items() if name == "livenessInterval"} == sent


@pytest.mark.behaviour("MAP-2.05")
def test_a_cse_that_does_not_answer_is_inactive_and_nothing_is_ever_sent_as_suspended() -> None:
    states = {service["state"] for state in ("ACTIVE", "INACTIVE") for service in cse_services(CSE, OPTIONS, state)}
    assert states == {"ACTIVE", "INACTIVE"}


@pytest.mark.behaviour("MAP-2.02", "MAP-2.04", "MAP-2.14")
def test_names_version_and_locality_are_the_operators_choice() -> None:
    options = MappingOptions(
        service_prefix="iot", product_version="2.3.4", scope_of_locality="MEC_SYSTEM", consumed_local_only=True
    )
    services = cse_services(CSE, options)
    assert [service["serName"] for service in services] == ["iot", "iot-mqtt", "iot-ws"]
    assert {(one["version"], one["scopeOfLocality"], one["consumedLocalOnly"]) for one in services} == {
        ("2.3.4", "MEC_SYSTEM", True)
    }


@pytest.mark.behaviour("MAP-2.06")
def test_transport_ids_depend_on_cse_id_binding_and_serializer_alone() -> None:
    moved = cse_profile({**BASE, "rn": "other", "poa": ["http://10.9.9.9:1", "mqtt://10.9.9.9"]}, sp_id="//elsewhere")
    first, second = by_name(cse_services(CSE, OPTIONS)), by_name(cse_services(moved, OPTIONS))
    for name in second:
        assert mapping.transport_id_of(first[name]) == mapping.transport_id_of(second[name])
    other = cse_profile({**BASE, "csi": "/id-edge-2"})
    found = {
        mapping.transport_id_of(one) for cse in (CSE, other) for one in cse_services(cse, MappingOptions(cbor=True))
    }
    assert len(found) == 12
    assert {uuid.UUID(one).version for one in found} == {5}


@pytest.mark.behaviour("MAP-2.09")
def test_every_service_has_exactly_one_kind_of_endpoint() -> None:
    for service in cse_services(CSE, MappingOptions(coap_transport_type="REST_COAP", cbor=True)):
        (kind,) = service["transportInfo"]["endpoint"]
        assert kind == ("addresses" if service["transportInfo"]["protocol"] == "MQTT" else "uris")


@pytest.mark.behaviour("MAP-4.02")
def test_mqtt_topics_write_inner_slashes_as_colons() -> None:
    told = mapping.topics(CseProfile("/id-edge/one", "cse"))
    assert told["uplinkTopics"][0] == "/oneM2M/req/+/id-edge:one/#"
    assert told["eventTopics"] == []


@pytest.mark.behaviour("MAP-2.08")
def test_the_mqtt_version_is_that_of_the_broker() -> None:
    services = by_name(cse_services(CSE, MappingOptions(mqtt_version="5.0")))
    assert services["onem2m-cse-mqtt"]["transportInfo"]["version"] == "5.0"


@pytest.mark.behaviour("MAP-2.12", "MAP-4.02")
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


@pytest.mark.behaviour("MAP-4.03", "MAP-4.04")
def test_websocket_and_coap() -> None:
    websocket = by_name(cse_services(CSE, OPTIONS))["onem2m-cse-ws"]["transportInfo"]
    assert (websocket["type"], websocket["protocol"], websocket["version"]) == ("WEBSOCKET", "WEBSOCKET", "13")
    assert websocket["endpoint"] == {"uris": ["wss://10.0.0.5:8443/ws/cse-edge"]}
    assert websocket["implSpecificInfo"]["subprotocol"] == "oneM2M.json"
    assert "onem2m-cse-coap" not in by_name(cse_services(CSE, OPTIONS))
    extended = by_name(cse_services(CSE, MappingOptions(coap_transport_type="REST_COAP")))["onem2m-cse-coap"]
    assert (extended["transportInfo"]["type"], extended["transportInfo"]["protocol"]) == ("REST_COAP", "COAP")
    assert extended["transportInfo"]["endpoint"] == {"uris": ["coap://10.0.0.5:5683/cse-edge"]}


@pytest.mark.behaviour("MAP-2.13")
def test_cbor_is_a_service_of_its_own_behind_a_flag() -> None:
    services = by_name(cse_services(CSE, MappingOptions(cbor=True)))
    assert services["onem2m-cse-cbor"]["serializer"] == "CBOR"
    assert len({mapping.transport_id_of(service) for service in services.values()}) == len(services)


@pytest.mark.behaviour("MAP-2.10")
def test_security_names_the_gateway() -> None:
    options = MappingOptions(token_endpoint="https://gw.example/token")
    assert cse_services(CSE, options)[0]["transportInfo"]["security"] == {
        "oAuth2Info": {"grantTypes": ["OAUTH2_CLIENT_CREDENTIALS"], "tokenEndpoint": "https://gw.example/token"}
    }


@pytest.mark.behaviour("MAP-1.01", "MAP-2.16")
def test_app_info_of_the_cse() -> None:
    info = app_info(CSE, OPTIONS, cse_app_id(CSE))
    assert info["appName"] == "onem2m-edge-cse"
    assert info["isInsByMec"] is False
    assert info["endpoint"] == {"uris": ["http://10.0.0.5:8080"]}
    assert info["appInstanceId"] == cse_app_id(CSE)
    assert "appInstanceId" not in app_info(CSE, OPTIONS)
    assert (info["appProvider"], info["appCategory"]["id"]) == ("oneM2M", "oneM2M-CSE")
    assert [one["serName"] for one in info["appServiceOptional"]] == ["Location", "ApplicationMobility", "IoT"]
    assert "appServiceOptional" not in app_info(CSE, MappingOptions(app_services=False))


@pytest.mark.behaviour("MAP-1.03", "MAP-4.05", "MAP-5.05")
def test_iot_platform_needs_mqtt() -> None:
    info = iot_platform_info(CSE, OPTIONS)
    assert info is not None
    assert info["iotPlatformId"] == iot_platform_id(CSE)
    assert info["userTransportInfo"][0]["implSpecificInfo"]["eventTopics"] == []
    assert [transport["type"] for transport in info["customServicesTransportInfo"]] == ["REST_HTTP", "WEBSOCKET"]
    assert iot_platform_info(CseProfile("/id", "cse", poa=("http://h:1",)), OPTIONS) is None


@pytest.mark.behaviour("MAP-3.01", "MAP-3.02", "MAP-3.05")
def test_ae_as_application_instance() -> None:
    info = ae_app_info(CSE, AE, "cse-edge/gateway", OPTIONS)
    assert info["appName"] == "A gateway with a name that is far too long"[:32]
    assert info["endpoint"] == {"uris": ["http://10.0.0.5:8080/cse-edge/gateway"]}
    assert info["appInstanceId"] == ae_identity(CSE, AE)
    assert ae_app_info(CSE, {**AE, "poa": ["http://gw/"]}, "cse-edge/gateway", OPTIONS)["endpoint"] == {
        "uris": ["http://gw/"]
    }
    assert ae_app_info(CSE, {**AE, "apn": ""}, "cse-edge/gateway", OPTIONS)["appName"] == "org.example.gw.2"


@pytest.mark.behaviour("MAP-3.06", "MAP-3.08", "MAP-3.09")
def test_ae_service_field_by_field() -> None:
    (service,) = ae_services(CSE, AE, "cse-edge/gateway", OPTIONS, containers=["cse-edge/gateway/data"])
    assert service["serName"] == "onem2m-ae-org.example.gw.2"
    assert service["version"] == "2"
    assert service["state"] == "ACTIVE"
    assert service["transportInfo"]["endpoint"] == {"uris": ["http://10.0.0.5:8080/cse-edge/gateway"]}
    told = service["transportInfo"]["implSpecificInfo"]["onem2m"]
    assert (told["aeId"], told["csi"], told["identity"]) == ("Sgateway", "/id-edge-1", ae_identity(CSE, AE))
    assert told["containers"] == ["cse-edge/gateway/data"]
    assert (told["api"], told["rn"], told["ri"], told["rr"]) == ("Norg.example.gw.2", "gateway", "Sgateway", True)
    assert (told["lbl"], told["releases"]) == (["mec:expose"], ["4"])
    (described,) = ae_services(CSE, {**AE, "or": "urn:ontology"}, "cse-edge/gateway", OPTIONS)
    assert described["transportInfo"]["implSpecificInfo"]["onem2m"]["ontologyRef"] == "urn:ontology"


@pytest.mark.behaviour("MAP-3.07")
def test_the_service_of_an_ae_leads_to_its_resource_whatever_its_poa_is() -> None:
    (service,) = ae_services(CSE, {**AE, "poa": ["http://gw:80/"]}, "cse-edge/gateway", OPTIONS)
    assert service["transportInfo"]["endpoint"] == {"uris": ["http://10.0.0.5:8080/cse-edge/gateway"]}


@pytest.mark.behaviour("MAP-3.08")
@pytest.mark.parametrize(("api", "version"), [("Norg.example.gw.2", "2"), ("Norg.example.gw", "1"), ("R0a", "1")])
def test_the_version_of_an_ae_is_the_end_of_its_app_id(api: str, version: str) -> None:
    (service,) = ae_services(CSE, {**AE, "api": api}, "cse-edge/gateway", OPTIONS)
    assert service["version"] == version


@pytest.mark.behaviour("MAP-3.10")
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


@pytest.mark.behaviour("MAP-3.10")
def test_reachability_taken_strictly() -> None:
    options = MappingOptions(strict_reachability=True)
    (service,) = ae_services(CSE, {**AE, "rr": False}, "cse-edge/gateway", options)
    assert service["state"] == "INACTIVE"


@pytest.mark.behaviour("MAP-3.06")
def test_labels_name_more_services() -> None:
    labels = ["mec:expose", "mec:service=camera", "mec:service=door"]
    services = ae_services(CSE, {**AE, "lbl": labels}, "cse-edge/gateway", OPTIONS)
    assert [service["serName"] for service in services] == ["camera", "door"]
    assert len({mapping.transport_id_of(service) for service in services}) == 2


@pytest.mark.behaviour("MAP-3.03")
def test_s_identities_follow_the_ae_and_c_identities_do_not() -> None:
    other = cse_profile({**BASE, "csi": "/id-edge-2"}, sp_id="//sp.example")
    assert ae_identity(CSE, AE) == ae_identity(other, AE)
    assert ae_identity(CSE, {**AE, "aei": "/id-edge-1/Sgateway"}) == ae_identity(CSE, AE)
    local = {**AE, "aei": "Cgateway"}
    assert ae_identity(CSE, local) != ae_identity(other, local)
    labelled = {**local, "lbl": ["mec:identity=gw-7"]}
    assert ae_identity(CSE, labelled) == ae_identity(other, labelled)


@pytest.mark.behaviour("MAP-5.01", "MAP-5.02", "MAP-5.03", "MAP-5.04")
def test_device() -> None:
    info = device_info(CSE, AE, OPTIONS, node={"ni": "urn:dev:mac:0a"})
    assert info["deviceId"] == "urn:dev:mac:0a"
    assert device_info(CSE, AE, OPTIONS)["deviceId"] == "Sgateway"
    assert {"key": "onem2m.api", "value": "Norg.example.gw.2"} in info["deviceMetadata"]
    assert not {"imei", "imsi", "iccid"} & set(info)
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
