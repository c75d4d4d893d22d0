"""How oneM2M entities are shown to MEC, version ``edgeiot/1``: pure functions from attributes to MEC data types.

A CSE becomes an application instance with one service per binding and an IoT platform; an AE becomes an application
instance with services of its own, or a device. What each field carries is
fixed by the version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from mec_adapter.mp1.app_support import AppInfo
from mec_adapter.mp1.iots import DeviceInfo, IotPlatformInfo
from mec_adapter.mp1.service_mgmt import ACTIVE, INACTIVE, SUSPENDED, ServiceInfo
from mec_adapter.mp1.types import CategoryRef, EndPointInfo, JsonObject, TransportInfo
from mec_adapter.profile import (
    MAPPING,
    CseProfile,
    MappingOptions,
    ae_id,
    ae_identity,
    identifier,
    iot_platform_id,
    transport_id,
)

CATEGORY_ID = "oneM2M-CSE"
AE_CATEGORY_ID = "oneM2M-AE"
EXPOSE_LABEL = "mec:expose"
SERVICE_LABEL = "mec:service="

_MAX_APP_NAME = 32
_MAX_LISTED = 32
_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
#: the binding a scheme of a point of access belongs to
_BINDINGS = {
    "http": "http",
    "https": "http",
    "mqtt": "mqtt",
    "mqtts": "mqtt",
    "coap": "coap",
    "coaps": "coap",
    "ws": "ws",
    "wss": "ws",
}


def category(cse: CseProfile, category_id: str = CATEGORY_ID) -> CategoryRef:
    """The serCategory all services of a CSE share."""
    return {"href": "https://www.onem2m.org/", "id": category_id, "name": "IoT", "version": cse.release}


def app_info(cse: CseProfile, options: MappingOptions, app_id: str = "") -> AppInfo:
    """The CSE as a MEC application instance [MEC 011 7.1.2.6].

    Args:
        cse: the CSE.
        options: what the operator chose.
        app_id: appInstanceId to propose, or the one MEC management gave; "" leaves the choice to the platform.
    """
    uris = [url for url in cse.poa if urlsplit(url).scheme in ("http", "https")] or list(cse.poa)
    info: AppInfo = {
        "appName": options.app_name[:_MAX_APP_NAME],
        "appProvider": options.provider,
        "appCategory": category(cse),
        "endpoint": {"uris": uris},
        "isInsByMec": False,
    }
    if app_id:
        info["appInstanceId"] = app_id
    if options.app_services:
        info["appServiceOptional"] = [
            {"serName": name, "version": version}
            for name, version in (("Location", "3.1.1"), ("ApplicationMobility", "2.2.1"), ("IoT", "3.1.1"))
        ]
    return info


def cse_services(
    cse: CseProfile, options: MappingOptions, state: str = ACTIVE, exposed: Sequence[Mapping[str, Any]] = ()
) -> list[ServiceInfo]:
    """One service per binding and serializer of a CSE.

    Args:
        cse: the CSE.
        options: what the operator chose.
        state: ACTIVE, or INACTIVE while draining or while the CSE does not answer.
        exposed: attributes of the exposed AEs, listed for consumers (at most 32).
    """
    serializers = ["JSON"]
    if options.cbor and any("cbor" in media_type for media_type in cse.serialisations):
        serializers.append("CBOR")
    found: list[ServiceInfo] = []
    for url in _one_per_binding(cse.poa):
        for serializer in serializers:
            transport = _transport(cse, options, url, serializer, exposed)
            if transport is not None:
                suffix = _suffix(urlsplit(url).scheme) + ("" if serializer == "JSON" else f"-{serializer.lower()}")
                name = options.service_prefix + suffix
                found.append(_service(cse, options, name, options.product_version, state, transport, serializer))
    return found


def _service(
    cse: CseProfile,
    options: MappingOptions,
    name: str,
    version: str,
    state: str,
    transport: TransportInfo,
    serializer: str,
    category_id: str = CATEGORY_ID,
) -> ServiceInfo:
    info: ServiceInfo = {
        "serName": name,
        "serCategory": category(cse, category_id),
        "version": version,
        "state": state,
        "transportInfo": transport,
        "serializer": serializer,
        "scopeOfLocality": options.scope_of_locality,
        "consumedLocalOnly": options.consumed_local_only,
    }
    if options.liveness_interval_s is not None:
        info["livenessInterval"] = options.liveness_interval_s
    return info


def _one_per_binding(poa: Sequence[str]) -> list[str]:
    first: dict[str, str] = {}
    for url in poa:
        first.setdefault(_suffix(urlsplit(url).scheme), url)
    return list(first.values())


def _suffix(scheme: str) -> str:
    binding = _BINDINGS.get(scheme, scheme)
    return "" if binding == "http" else f"-{binding}"


def _transport(
    cse: CseProfile, options: MappingOptions, url: str, serializer: str, exposed: Sequence[Mapping[str, Any]]
) -> TransportInfo | None:
    parts = urlsplit(url)
    binding = _BINDINGS.get(parts.scheme, "")
    if binding == "http":
        kind, protocol, version, spec = "REST_HTTP", "HTTP", "1.1", "TS-0009"
    elif binding == "mqtt":
        kind, protocol, version, spec = "MB_TOPIC_BASED", "MQTT", options.mqtt_version, "TS-0010"
    elif binding == "ws":
        kind, protocol, version, spec = "WEBSOCKET", "WEBSOCKET", "13", "TS-0020"
    elif binding == "coap" and options.coap_transport_type:
        kind, protocol, version, spec = options.coap_transport_type, "COAP", "1", "TS-0008"
    else:
        return None
    specific: JsonObject = {"onem2m": onem2m_info(cse, spec, exposed)}
    endpoint: EndPointInfo
    if binding == "mqtt":
        endpoint = _broker(url)
        specific.update(topics(cse))
    else:
        endpoint = {"uris": [f"{url.rstrip('/')}/{cse.name}"]}
    if binding == "ws":
        specific["subprotocol"] = f"oneM2M.{serializer.lower()}"
    return {
        "id": transport_id(cse, binding, serializer),
        "name": cse.stem,
        "description": f"oneM2M CSE {cse.cse_id}, {cse.name}, {cse.release}, {protocol} binding {spec}",
        "type": kind,
        "protocol": protocol,
        "version": version,
        "endpoint": endpoint,
        "security": security(options),
        "implSpecificInfo": specific,
    }


def security(options: MappingOptions) -> JsonObject:
    """SecurityInfo: what a gateway in front of the CSE asks for; oneM2M's own security cannot be said here."""
    if not options.token_endpoint:
        return {}
    return {"oAuth2Info": {"grantTypes": ["OAUTH2_CLIENT_CREDENTIALS"], "tokenEndpoint": options.token_endpoint}}


def onem2m_info(cse: CseProfile, spec: str, exposed: Sequence[Mapping[str, Any]] = ()) -> JsonObject:
    """What a oneM2M peer wants to know of a CSE beyond ServiceInfo (implSpecificInfo.onem2m)."""
    info: JsonObject = {
        "mapping": MAPPING,
        "cseId": cse.cse_id,
        "cseName": cse.name,
        "cseType": cse.cse_type,
        "releases": list(cse.releases),
        "resourceTypes": list(cse.resource_types),
        "serializations": list(cse.serialisations),
        "poa": list(cse.poa),
        "binding": spec,
        "iotPlatformId": iot_platform_id(cse),
        "ae": [{name: ae.get(name, "") for name in ("aei", "api", "rn")} for ae in exposed[:_MAX_LISTED]],
    }
    for key, value in (("spId", cse.sp_id), ("inCseId", cse.in_cse_id), ("registrarCse", cse.registrar)):
        if value:
            info[key] = value
    return info


def topics(cse: CseProfile) -> JsonObject:
    """MQTT topic filters of a CSE, seen from its devices (TS-0010 clause 6.4; MEC 033 6.5.4)."""
    stem = cse.stem
    return {
        "uplinkTopics": [f"/oneM2M/req/+/{stem}/#", f"/oneM2M/reg_req/+/{stem}/#", f"/oneM2M/resp/{stem}/+/#"],
        "downlinkTopics": [f"/oneM2M/req/{stem}/+/#", f"/oneM2M/resp/+/{stem}/#", f"/oneM2M/reg_resp/+/{stem}/#"],
        "eventTopics": [],
    }


def _broker(url: str) -> EndPointInfo:
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 1883)
    return {"addresses": [{"host": parts.hostname or "", "port": port}]}


def iot_platform_info(cse: CseProfile, options: MappingOptions) -> IotPlatformInfo | None:
    """The CSE as an IoT platform [MEC 033 6.2.3]; None without an MQTT binding, which MEC 033 demands."""
    user: list[TransportInfo] = []
    custom: list[TransportInfo] = []
    for url in _one_per_binding(cse.poa):
        transport = _transport(cse, options, url, "JSON", ())
        if transport is None:
            continue
        if transport["type"] == "MB_TOPIC_BASED":
            user.append({**transport, "implSpecificInfo": topics(cse)})
        else:
            custom.append(transport)
    if not user:
        return None
    info: IotPlatformInfo = {"iotPlatformId": iot_platform_id(cse), "userTransportInfo": user, "enabled": True}
    if custom:
        info["customServicesTransportInfo"] = custom
    return info


# --- AEs ---------------------------------------------------------------------------------------------------


def is_exposed(ae: Mapping[str, Any]) -> bool:
    """Whether an AE asks to be shown to MEC."""
    return EXPOSE_LABEL in (ae.get("lbl") or ())


def app_id_name(ae: Mapping[str, Any]) -> str:
    """The App-ID without the letter that says whether it is registered."""
    api = str(ae.get("api", ""))
    return api[1:].lstrip(".") if api[:1] in ("R", "N", "r") else api


def ae_app_info(cse: CseProfile, ae: Mapping[str, Any], path: str, options: MappingOptions) -> AppInfo:
    """An AE as a MEC application instance.

    Args:
        cse: its registrar.
        ae: its attributes.
        path: its structured CSE-relative address.
        options: what the operator chose.
    """
    poa = [str(url) for url in ae.get("poa") or ()]
    return {
        "appName": (str(ae.get("apn") or "") or app_id_name(ae) or ae_id(cse, ae))[:_MAX_APP_NAME],
        "appProvider": options.provider,
        "appCategory": category(cse, AE_CATEGORY_ID),
        "appInstanceId": ae_identity(cse, ae),
        "endpoint": {"uris": poa or [resource_url(cse, path)]},
        "isInsByMec": False,
    }


def resource_url(cse: CseProfile, path: str) -> str:
    """The URL of a resource at its CSE, so that access control and subscriptions apply."""
    base = cse.http_base or f"{(cse.poa or ('',))[0].rstrip('/')}/{cse.name}"
    return f"{base}/{path.partition('/')[2]}".rstrip("/")


def ae_services(
    cse: CseProfile,
    ae: Mapping[str, Any],
    path: str,
    options: MappingOptions,
    *,
    containers: Sequence[str] = (),
    alive: bool = True,
) -> list[ServiceInfo]:
    """The services of an exposed AE: ``onem2m-ae-<App-ID>``, or one for each label ``mec:service=<name>``.

    Args:
        cse: its registrar.
        ae: its attributes.
        path: its structured CSE-relative address.
        options: what the operator chose.
        containers: structured addresses of its containers.
        alive: whether it is judged alive.
    """
    labels = [str(label) for label in ae.get("lbl") or ()]
    names = [label[len(SERVICE_LABEL) :] for label in labels if label.startswith(SERVICE_LABEL)]
    unreachable = ae.get("rr") is False and (options.strict_reachability or bool(ae.get("poa")))
    state = ACTIVE if alive and not unreachable else INACTIVE
    identity = ae_identity(cse, ae)
    specific: JsonObject = {
        "mapping": MAPPING,
        "identity": identity,
        "registeredAt": ae.get("ct", ""),
        "aeId": ae_id(cse, ae),
        "api": ae.get("api", ""),
        "rn": ae.get("rn", ""),
        "ri": ae.get("ri", ""),
        "csi": cse.cse_id,
        "cseId": cse.cse_id,
        "rr": ae.get("rr") is not False,
        "lbl": labels,
        "containers": list(containers[:_MAX_LISTED]),
        "releases": list(ae.get("srv") or ()),
    }
    if ae.get("or"):
        specific["ontologyRef"] = ae["or"]
    found = []
    for name in names or [f"onem2m-ae-{app_id_name(ae)}"]:
        transport: TransportInfo = {
            "id": identifier("ae-transport", identity, name),
            "name": str(ae.get("rn") or ae_id(cse, ae)),
            "description": f"oneM2M AE {ae_id(cse, ae)} at CSE {cse.cse_id}, HTTP binding TS-0009",
            "type": "REST_HTTP",
            "protocol": "HTTP",
            "version": "1.1",
            "endpoint": {"uris": [resource_url(cse, path)]},
            "security": security(options),
            "implSpecificInfo": {"onem2m": specific},
        }
        version = _ae_version(ae)
        found.append(_service(cse, options, name, version, state, transport, "JSON", AE_CATEGORY_ID))
    return found


def _ae_version(ae: Mapping[str, Any]) -> str:
    last = str(ae.get("api", "")).rpartition(".")[2]
    return last if last.isdigit() else "1"


def device_info(
    cse: CseProfile, ae: Mapping[str, Any], options: MappingOptions, node: Mapping[str, Any] | None = None
) -> DeviceInfo:
    """An AE (with its node, when there is one) as a device [MEC 033 6.2.2].

    Args:
        cse: its registrar.
        ae: its attributes.
        options: what the operator chose.
        node: attributes of its ``<node>``, with its child resources when they are known.
    """
    aei = ae_id(cse, ae)
    metadata = [{"key": "onem2m.aeId", "value": aei}, {"key": "onem2m.api", "value": str(ae.get("api", ""))}]
    metadata += _device_metadata(node or {})
    info: DeviceInfo = {
        "deviceAuthenticationInfo": f"oneM2M:{aei}",
        "deviceId": str((node or {}).get("ni") or aei),
        "enabled": True,
        "deviceMetadata": metadata,
        "requestedIotPlatformId": iot_platform_id(cse),
    }
    if any(urlsplit(url).scheme in ("mqtt", "mqtts") for url in cse.poa):
        info["requestedUserTransportId"] = transport_id(cse, "mqtt", "JSON")
    return info


def _device_metadata(node: Mapping[str, Any]) -> list[JsonObject]:
    """What the [deviceInfo] of a node says: its label (a MAC address or EUI, mostly), manufacturer and model."""
    listed = node.get("m2m:dvi") or ()
    found = listed[0] if isinstance(listed, list) and listed else listed
    if not isinstance(found, Mapping):
        return []
    names = {"dlb": "onem2m.deviceLabel", "man": "onem2m.manufacturer", "mod": "onem2m.deviceModel"}
    return [{"key": key, "value": str(found[name])} for name, key in names.items() if found.get(name)]


# --- comparing and recognising -----------------------------------------------------------------------------


def transport_id_of(info: Mapping[str, Any]) -> str:
    """The transportInfo.id of a service as the platform shows it, "" when it has none."""
    transport = info.get("transportInfo")
    return str(transport.get("id", "")) if isinstance(transport, dict) else ""


def onem2m_of(info: Mapping[str, Any]) -> JsonObject:
    """The oneM2M part of a service's implSpecificInfo, {} when it has none."""
    transport = info.get("transportInfo")
    specific = transport.get("implSpecificInfo") if isinstance(transport, dict) else None
    part = specific.get("onem2m") if isinstance(specific, dict) else None
    return part if isinstance(part, dict) else {}


def app_id_of(info: Mapping[str, Any]) -> str:
    """The appInstanceId in the self link of a service, "" when it does not say."""
    links = info.get("_links")
    own = links.get("self") if isinstance(links, dict) else None
    href = str(own.get("href", "")) if isinstance(own, dict) else ""
    segments = href.split("/")
    return segments[segments.index("applications") + 1] if "applications" in segments[:-1] else ""


def differs(wanted: ServiceInfo, shown: Mapping[str, Any]) -> bool:
    """Whether a service as the platform shows it is not what is wanted.

    What the platform computes is left out. SUSPENDED counts as ACTIVE: a heartbeat brings it back.
    """
    for name, value in wanted.items():
        if name == "livenessInterval":
            continue
        other = shown.get(name)
        if name == "state" and other == SUSPENDED and value == ACTIVE:
            continue
        if other != value:
            return True
    return False
