"""MEC services as CAPIF service APIs and back; pure [MEC 011 clause 9]."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from mec_adapter.platform.capif_models import SERVICE_INFO, TRANSPORT_INFO
from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.problems import BadRequest

VENDOR_EXTENSION_FEATURE = "100"
"""supportedFeatures with the bit for vendor-specific extensions."""

_PROTOCOLS = {"HTTP": "HTTP_1_1", "HTTP/2": "HTTP_2", "MQTT": "MQTT", "WEBSOCKET": "WEBSOCKET"}


def description_of(service: JsonObject) -> JsonObject:
    """Return the ServiceAPIDescription of a service record: as it was published, or made from its ServiceInfo."""
    info = service["info"]
    kept = service.get("capif")
    extension = {name: info[name] for name in ("serializer", "state", "scopeOfLocality", "consumedLocalOnly")}
    extension["isLocal"] = True
    if "serCategory" in info:
        extension["category"] = info["serCategory"]
    if kept is not None:
        return {**kept, "apiName": info["serName"], "apiId": info["serInstanceId"], SERVICE_INFO: extension}
    return {
        "apiName": info["serName"],
        "apiId": info["serInstanceId"],
        "aefProfiles": [_profile(service["appInstanceId"], info)],
        "supportedFeatures": VENDOR_EXTENSION_FEATURE,
        SERVICE_INFO: extension,
    }


def _profile(app_id: str, info: JsonObject) -> JsonObject:
    transport = info["transportInfo"]
    profile: JsonObject = {
        "aefId": app_id,
        "versions": [{"apiVersion": info["version"]}],
        "protocol": _PROTOCOLS.get(transport["protocol"], transport["protocol"]),
        "dataFormat": info["serializer"],
        **_interfaces(transport["endpoint"]),
    }
    names = ("name", "description", "type", "protocol", "version", "security")
    profile[TRANSPORT_INFO] = {name: transport[name] for name in names if name in transport}
    return profile


def _interfaces(endpoint: JsonObject) -> JsonObject:
    if "fqdn" in endpoint:
        return {"domainName": endpoint["fqdn"][0]}
    pairs = [(address["host"], address["port"]) for address in endpoint.get("addresses", [])]
    for uri in endpoint.get("uris", []):
        parts = urlsplit(uri)
        try:
            pairs.append((parts.hostname or "", parts.port))
        except ValueError:
            continue
    found = [_interface(host, port) for host, port in pairs if host]
    return {"interfaceDescriptions": found} if found else {}


def _interface(host: str, port: int | None) -> JsonObject:
    try:
        kind = "ipv4Addr" if ipaddress.ip_address(host).version == 4 else "ipv6Addr"
    except ValueError:
        kind = "fqdn"
    return {kind: host, **({"port": port} if port else {})}


def service_info_of(description: JsonObject) -> JsonObject:
    """Return the ServiceInfo a published API stands for.

    Raises:
        BadRequest: it says nowhere where the API is reached.
    """
    extension: dict[str, Any] = description.get(SERVICE_INFO, {})
    profile = description["aefProfiles"][0]
    transport = {
        "id": profile["aefId"],
        **profile.get(
            TRANSPORT_INFO,
            {"name": description["apiName"], "type": "REST_HTTP", "protocol": "HTTP", "version": "1.1", "security": {}},
        ),
        "endpoint": _endpoint(profile),
    }
    info: JsonObject = {
        "serName": description["apiName"],
        "version": profile["versions"][0]["apiVersion"],
        "state": extension.get("state", "ACTIVE"),
        "serializer": extension.get("serializer", profile.get("dataFormat", "JSON")),
        "scopeOfLocality": extension.get("scopeOfLocality", "MEC_HOST"),
        "consumedLocalOnly": extension.get("consumedLocalOnly", True),
        "transportInfo": transport,
    }
    if "category" in extension:
        info["serCategory"] = extension["category"]
    return info


def _endpoint(profile: JsonObject) -> JsonObject:
    addresses = []
    for interface in profile.get("interfaceDescriptions", []):
        host = interface.get("ipv4Addr") or interface.get("ipv6Addr") or interface.get("fqdn")
        if host:
            addresses.append({"host": host, "port": interface.get("port", 80)})
    if addresses:
        return {"addresses": addresses}
    if "domainName" in profile:
        return {"fqdn": [profile["domainName"]]}
    raise BadRequest("attribute aefProfiles[0] says not where the API is; send domainName or interfaceDescriptions")
