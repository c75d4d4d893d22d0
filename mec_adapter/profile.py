"""What the mapping starts from: a CSE's profile, the operator's choices, and identifiers that never change.

Every identifier is a UUIDv5 of oneM2M identifiers, so that it is the same after a restart and, for AE-IDs that are
unique in the service provider, at every edge CSE.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MAPPING = "edgeiot/1"
IDENTITY_LABEL = "mec:identity="

#: root of all identifiers made here
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:onemec:" + MAPPING)
_CSE_TYPES = {1: "IN", 2: "MN", 3: "ASN"}


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """What an operator may choose.

    Attributes:
        service_prefix: serName of the HTTP service; other bindings append ``-mqtt``, ``-coap``, ``-ws``.
        app_name: appName of the CSE.
        provider: appProvider.
        product_version: version of the services.
        liveness_interval_s: proposed heartbeat interval; 0 lets the platform choose, None offers no heartbeats.
        scope_of_locality: LocalityType of the services.
        consumed_local_only: whether only applications of the same host see the services.
        coap_transport_type: extension value for a CoAP service, e.g. ``REST_COAP``; "" lists CoAP in the poa only.
        cbor: also advertise a CBOR service per binding (an extension of the enumeration).
        token_endpoint: OAuth2 token endpoint of a gateway in front of the CSE, "" for none.
        mqtt_version: protocol version of the MQTT binding.
        strict_reachability: an AE with ``rr`` false is INACTIVE always; else only when it has points of access of
            its own. Without any, its CSE serves its data whatever ``rr`` says.
        app_services: whether AppInfo names the optional services (Location, mobility, IoT).
    """

    service_prefix: str = "onem2m-cse"
    app_name: str = "onem2m-edge-cse"
    provider: str = "oneM2M"
    product_version: str = "0.1.0"
    liveness_interval_s: int | None = 30
    scope_of_locality: str = "MEC_HOST"
    consumed_local_only: bool = False
    coap_transport_type: str = ""
    cbor: bool = False
    token_endpoint: str = ""
    mqtt_version: str = "3.1.1"
    strict_reachability: bool = False
    app_services: bool = True


@dataclass(frozen=True, slots=True)
class CseProfile:
    """A CSE as its CSEBase describes it.

    Attributes:
        cse_id: CSE-ID with leading slash.
        name: resourceName of the CSEBase.
        cse_type: IN, MN or ASN.
        sp_id: M2M-SP-ID, "" when unknown.
        in_cse_id: CSE-ID of the IN-CSE, "" when unknown.
        registrar: CSE-ID of its registrar CSE, "" for none.
        releases: supported release versions.
        resource_types: supported resource types.
        serialisations: media types.
        poa: points of access.
    """

    cse_id: str
    name: str
    cse_type: str = "MN"
    sp_id: str = ""
    in_cse_id: str = ""
    registrar: str = ""
    releases: tuple[str, ...] = ()
    resource_types: tuple[int, ...] = ()
    serialisations: tuple[str, ...] = ("application/json",)
    poa: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The CSE-ID as it stands in names and topics: without its slash, inner slashes as colons."""
        return self.cse_id.lstrip("/").replace("/", ":")

    @property
    def release(self) -> str:
        """The newest supported release as the category version, e.g. ``R4``."""
        return "R" + (self.releases[-1] if self.releases else "4")

    @property
    def http_base(self) -> str:
        """The URL of the CSEBase over HTTP, "" when the CSE has no such point of access."""
        for url in self.poa:
            if urlsplit(url).scheme in ("http", "https"):
                return f"{url.rstrip('/')}/{self.name}"
        return ""


def cse_profile(base: Mapping[str, Any], *, registrar: str = "", sp_id: str = "", in_cse_id: str = "") -> CseProfile:
    """A CSE's profile from the attributes of its CSEBase.

    Args:
        base: attributes by short names.
        registrar: CSE-ID of the registrar CSE when known.
        sp_id: M2M-SP-ID when the CSEBase does not tell (``spi``).
        in_cse_id: CSE-ID of the IN-CSE when the CSEBase does not tell (``ici``).
    """
    kind = base.get("cst")
    return CseProfile(
        cse_id=str(base.get("csi", "")),
        name=str(base.get("rn", "")),
        cse_type=_CSE_TYPES.get(kind, "MN") if isinstance(kind, int) else "MN",
        sp_id=str(base.get("spi") or sp_id),
        in_cse_id=str(base.get("ici") or in_cse_id),
        registrar=registrar,
        releases=tuple(str(release) for release in base.get("srv") or ()),
        resource_types=tuple(number for number in base.get("srt") or () if isinstance(number, int)),
        serialisations=tuple(base.get("csz") or ("application/json",)),
        poa=tuple(str(url) for url in base.get("poa") or ()),
    )


def identifier(*parts: str) -> str:
    """A UUIDv5 that depends on the parts alone."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


def cse_app_id(cse: CseProfile) -> str:
    """The appInstanceId this CSE proposes."""
    return identifier("app", cse.sp_id, cse.cse_id)


def iot_platform_id(cse: CseProfile) -> str:
    """The iotPlatformId of a CSE."""
    return identifier("iot-platform", cse.cse_id)


def transport_id(cse: CseProfile, binding: str, serializer: str) -> str:
    """The transportInfo.id of one service of a CSE; what own services are known by after a restart."""
    return identifier("transport", cse.cse_id, binding, serializer)


def ae_identity(cse: CseProfile, ae: Mapping[str, Any]) -> str:
    """The appInstanceId of an AE: the same at every CSE of the service provider for an S-AE-ID or a given identity."""
    for label in ae.get("lbl") or ():
        if isinstance(label, str) and label.startswith(IDENTITY_LABEL):
            return identifier("ae", cse.sp_id, label[len(IDENTITY_LABEL) :])
    aei = ae_id(cse, ae)
    if aei.startswith("S"):
        return identifier("ae", cse.sp_id, aei)
    return identifier("ae", cse.sp_id, cse.cse_id, aei)


def ae_id(cse: CseProfile, ae: Mapping[str, Any]) -> str:
    """The stem of an AE-ID, however the CSE writes it."""
    full = str(ae.get("aei") or ae.get("ri") or "")
    return full.removeprefix(cse.cse_id + "/").lstrip("/")
