"""Data types of the MEC profile for CAPIF [MEC 011 9.1, TS 29.222]."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from mec_adapter.platform.service_mgmt_models import Locality
from mec_adapter.platform.wire import CallbackUri, CategoryRef, Port, SecurityInfo, Text, Token, Wire

SERVICE_INFO: Final = "vendorSpecific-urn:etsi:mec:capifext:service-info"
TRANSPORT_INFO: Final = "vendorSpecific-urn:etsi:mec:capifext:transport-info"

Features = Annotated[str, StringConstraints(pattern=r"^[A-Fa-f0-9]*$", max_length=64)]
"""Supported features as a hexadecimal bit mask."""


class MecServiceInfo(Wire):
    """What only MEC says of a service."""

    serializer: Token = "JSON"
    state: Literal["ACTIVE", "INACTIVE", "SUSPENDED"] = "ACTIVE"
    scopeOfLocality: Locality = "MEC_HOST"
    consumedLocalOnly: bool = True
    isLocal: bool | None = None
    category: CategoryRef | None = None


class MecTransportInfo(Wire):
    """What only MEC says of a transport."""

    name: Text
    description: str | None = None
    type: Token
    protocol: Text
    version: Text
    security: SecurityInfo


class ApiVersion(Wire):
    """A version of an API."""

    apiVersion: Text


class InterfaceDescription(Wire):
    """Where an API is reached."""

    model_config = ConfigDict(extra="allow")

    ipv4Addr: Text | None = None
    ipv6Addr: Text | None = None
    fqdn: Text | None = None
    port: Port | None = None
    securityMethods: list[Text] | None = None


class AefProfile(Wire):
    """How an API is exposed [TS 29.222 8.2.4.2.4]; what it says beyond that comes back as it is."""

    model_config = ConfigDict(extra="allow")

    aefId: Text
    versions: Annotated[list[ApiVersion], Field(min_length=1)]
    protocol: Text | None = None
    dataFormat: Token | None = None
    securityMethods: list[Text] | None = None
    domainName: Text | None = None
    interfaceDescriptions: list[InterfaceDescription] | None = None
    transportInfo: MecTransportInfo | None = Field(default=None, alias=TRANSPORT_INFO)


class ServiceAPIDescription(Wire):
    """A published API [TS 29.222 8.2.4.2.2]; apiName is serName, apiId serInstanceId; the rest comes back as it is."""

    model_config = ConfigDict(extra="allow")
    wrappers: ClassVar[tuple[str, ...]] = ("ServiceAPIDescription",)

    apiName: Text
    apiId: str | None = None
    aefProfiles: Annotated[list[AefProfile], Field(min_length=1)]
    description: str | None = None
    supportedFeatures: Features
    serviceInfo: MecServiceInfo | None = Field(default=None, alias=SERVICE_INFO)


class ServiceAPIDescriptionPatch(Wire):
    """What changes of a published API [TS 29.222 8.2.4.2.11]."""

    wrappers: ClassVar[tuple[str, ...]] = ("ServiceAPIDescriptionPatch",)

    aefProfiles: Annotated[list[AefProfile], Field(min_length=1)] | None = None
    description: str | None = None
    serviceInfo: MecServiceInfo | None = Field(default=None, alias=SERVICE_INFO)


class DiscoveredApis(Wire):
    """The result of a discovery [MEC 011 9.1.2.1]."""

    serviceAPIDescriptions: list[ServiceAPIDescription]


CapifEvent = Literal["SERVICE_API_AVAILABLE", "SERVICE_API_UNAVAILABLE", "SERVICE_API_UPDATE"]


class EventFilter(Wire):
    """Which APIs an event has to be about [TS 29.222 8.3.4.2.4]."""

    apiIds: list[Text] | None = None


class EventSubscription(Wire):
    """A subscription to CAPIF events [TS 29.222 8.3.4.2.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("EventSubscription",)

    events: Annotated[list[CapifEvent], Field(min_length=1)]
    eventFilters: list[EventFilter] | None = None
    notificationDestination: CallbackUri
    supportedFeatures: Features | None = None


class EventSubscriptionPatch(Wire):
    """What changes of a subscription [TS 29.222 8.3.4.2.8]."""

    wrappers: ClassVar[tuple[str, ...]] = ("EventSubscriptionPatch",)

    events: Annotated[list[CapifEvent], Field(min_length=1)] | None = None
    eventFilters: list[EventFilter] | None = None
    notificationDestination: CallbackUri | None = None
