"""Data types of the IoT API [MEC 033 6.2]."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mec_adapter.platform.wire import (
    EndPointInfo,
    Identifier,
    Port,
    SecurityInfo,
    Text,
    Token,
    TransportInfo,
    Wire,
    whole,
)


class KeyValuePair(Wire):
    """One piece of metadata of a device."""

    key: Text
    value: str


class TopicInfo(Wire):
    """Topics of a message bus transport [MEC 033 6.5.4]."""

    eventTopics: list[Text] = Field(default_factory=list)
    uplinkTopics: list[Text] = Field(default_factory=list)
    downlinkTopics: list[Text] = Field(default_factory=list)


class MBTransportInfo(Wire):
    """A message bus transport with its topics [MEC 033 6.5.3]."""

    id: Text
    name: Text
    description: str | None = None
    type: Literal["MB_TOPIC_BASED"]
    protocol: Text
    version: Text
    endpoint: EndPointInfo
    security: SecurityInfo
    implSpecificInfo: TopicInfo


class IotPlatformInfo(Wire):
    """An IoT platform: at least one message bus transport is mandatory [MEC 033 6.2.3]."""

    wrappers: ClassVar[tuple[str, ...]] = ("IotPlatformInfo", "IoTPlatformInfo")

    iotPlatformId: Identifier
    userTransportInfo: Annotated[list[MBTransportInfo], Field(min_length=1)]
    customServicesTransportInfo: list[TransportInfo] | None = None
    enabled: bool


class TunnelDescriptor(Wire):
    """A tunnel in a traffic rule of an AppD [MEC 010-2 6.2.1.12]."""

    tunnelType: Literal["GTP-U", "GRE", "GTP_U"]
    tunnelDstAddress: Text
    tunnelSrcAddress: Text
    tunnelSpecificData: str | None = None


class InterfaceDescriptor(Wire):
    """An interface in a traffic rule of an AppD [MEC 010-2 6.2.1.11]."""

    interfaceType: Literal["TUNNEL", "MAC", "IP"]
    tunnelInfo: TunnelDescriptor | None = None
    srcMACAddress: Text | None = None
    dstMACAddress: Text | None = None
    dstIPAddress: Text | None = None


class TrafficRuleDescriptor(Wire):
    """A traffic rule as an AppD writes it [MEC 010-2 6.2.1.9]; filterType with or without its `per`."""

    trafficRuleId: Text
    filterType: Literal["FLOW", "PACKET", "per FLOW", "per PACKET"]
    priority: Annotated[int, Field(ge=0, le=255), whole]
    trafficFilter: Annotated[list[dict[str, Any]], Field(min_length=1)]
    action: Literal[
        "DROP",
        "FORWARD_DECAPSULATED",
        "FORWARD_ENCAPSULATED",
        "PASSTHROUGH",
        "DUPLICATE_DECAPSULATED",
        "DUPLICATE_ENCAPSULATED",
    ]
    dstInterface: InterfaceDescriptor | list[InterfaceDescriptor] | None = None


class EventMsg(Wire):
    """Format of event messages [MEC 033 6.5.5]."""

    eventTopic: Text
    selectedSerializer: Token
    includeDeviceAddr: bool | None = None
    includeDeviceMetadata: bool | None = None
    includePei: bool | None = None
    includeSupi: bool | None = None
    includeImei: bool | None = None
    includeImsi: bool | None = None
    includeIccid: bool | None = None
    includeDeviceId: bool | None = None


class UplinkMsg(Wire):
    """Format of uplink messages [MEC 033 6.5.6]."""

    uplinkTopic: Text
    selectedSerializer: Token
    includeDevicePort: bool | None = None
    includeDeviceAddr: bool | None = None
    includeDeviceMetadata: bool | None = None
    includePei: bool | None = None
    includeSupi: bool | None = None
    includeImei: bool | None = None
    includeImsi: bool | None = None
    includeIccid: bool | None = None
    includeDeviceId: bool | None = None


class DeviceSpecificMessageFormats(Wire):
    """How the platform publishes for a device that cannot [MEC 033 6.5.7]."""

    eventMsgFormat: EventMsg | None = None
    uplinkMsgFormat: UplinkMsg | None = None


class DownlinkInfo(Wire):
    """How downlink messages reach a device that cannot subscribe [MEC 033 6.5.8]."""

    downlinkTopic: Text | None = None
    devicePort: Port | None = None


class DeviceInfoPost(Wire):
    """A device as its registrant sends it; `enabled` is computed by the platform and ignored here [MEC 033 6.2.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("DeviceInfo",)

    deviceAuthenticationInfo: Text
    deviceMetadata: list[KeyValuePair] | None = None
    gpsi: Text | None = None
    pei: Text | None = None
    supi: Text | None = None
    msisdn: Text | None = None
    imei: Text | None = None
    imsi: Text | None = None
    iccid: Text | None = None
    deviceId: Text
    requestedMecTrafficRule: list[TrafficRuleDescriptor] | None = None
    requestedIotPlatformId: Text | None = None
    requestedUserTransportId: Text | None = None
    deviceSpecificMessageFormats: DeviceSpecificMessageFormats | None = None
    downlinkInfo: DownlinkInfo | None = None
    clientCertificate: str | None = None


class DeviceInfo(DeviceInfoPost):
    """A device as the platform answers it, with the `enabled` it computed."""

    enabled: bool


class DevicePart(Wire):
    """A device of a list, reduced to the attributes asked for."""

    deviceMetadata: list[KeyValuePair] | None = None
    gpsi: str | None = None
    msisdn: str | None = None
    deviceId: str | None = None
    requestedMecTrafficRule: list[TrafficRuleDescriptor] | None = None
    requestedIotPlatformId: str | None = None
    requestedUserTransportId: str | None = None


class IotPlatformPart(Wire):
    """An IoT platform reduced to the attributes asked for."""

    iotPlatformId: str | None = None
    enabled: bool | None = None
    userTransportInfo: list[MBTransportInfo] | None = None
    customServicesTransportInfo: list[TransportInfo] | None = None
