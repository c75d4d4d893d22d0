"""Data types of the application support API [MEC 011 7.1]."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from mec_adapter.platform.wire import (
    CallbackUri,
    CategoryRef,
    EndPointInfo,
    Identifier,
    Integer,
    SecurityInfo,
    SelfLinks,
    Text,
    TimeStamp,
    Token,
    UInt32,
    Wire,
    present,
    whole,
)


class TransportDescriptor(Wire):
    """A transport a service dependency asks for [MEC 010-2 6.2.1.19]."""

    name: Text
    description: str | None = None
    type: Token
    protocol: Text
    version: Text
    security: SecurityInfo
    implSpecificInfo: dict[str, Any] | str | None = None


class TransportDependency(Wire):
    """Transport and serializers of a service dependency [MEC 010-2 6.2.1.18]."""

    transport: TransportDescriptor
    serializers: Annotated[list[Token], Field(min_length=1)]
    labels: Annotated[list[Text], Field(min_length=1)]


class ServiceDependency(Wire):
    """A service the application needs or can use [MEC 010-2 6.2.1.17]."""

    serName: Text
    serCategory: CategoryRef | None = None
    version: Text
    serTransportDependencies: list[TransportDependency] | None = None
    requestedPermissions: Any = None


class FeatureDependency(Wire):
    """A platform feature the application needs or can use [MEC 010-2 6.2.1.8]."""

    featureName: Text
    version: Text


_SAID_BY_APPD = ("appServiceRequired", "appServiceOptional", "appFeatureRequired", "appFeatureOptional")
_BY_MEC: dict[str, Any] = {"required": ["isInsByMec"], "properties": {"isInsByMec": {"const": True}}}


class AppInfo(Wire):
    """The registration of an application instance [MEC 011 7.1.2.6]."""

    wrappers: ClassVar[tuple[str, ...]] = ("AppInfo",)

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": _BY_MEC,
                    "then": present(appInstanceId="string", appDId="string"),
                    "else": present(endpoint="object"),
                },
                {
                    "if": {"anyOf": [_BY_MEC, present(appDId="string")]},
                    "then": {"properties": {name: {"type": "null"} for name in _SAID_BY_APPD}},
                },
            ]
        }
    )

    appName: Text
    appProvider: Text | None = None
    appCategory: CategoryRef | None = None
    appDId: Text | None = None
    appInstanceId: Identifier | None = None
    endpoint: EndPointInfo | None = None
    appServiceRequired: list[ServiceDependency] | None = None
    appServiceOptional: list[ServiceDependency] | None = None
    appFeatureRequired: list[FeatureDependency] | None = None
    appFeatureOptional: list[FeatureDependency] | None = None
    isInsByMec: bool = False
    appProfile: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.isInsByMec:
            for name in ("appInstanceId", "appDId"):
                if getattr(self, name) is None:
                    raise ValueError(f"has isInsByMec true but no {name}; send the {name} given by MEC management")
        elif self.endpoint is None:
            raise ValueError("has no endpoint; send it, as isInsByMec is false or absent")
        if self.isInsByMec or self.appDId is not None:
            for name in _SAID_BY_APPD:
                if getattr(self, name) is not None:
                    raise ValueError(f"has {name} although an AppD exists (appDId); leave it out, the AppD says it")
        return self


class AppReadyConfirmation(Wire):
    """The application instance is up and running [MEC 011 7.1.4.4]."""

    wrappers: ClassVar[tuple[str, ...]] = ("AppReadyConfirmation",)

    indication: Literal["READY"]


def _mend_typo(value: Any) -> Any:
    return "STOPPING" if value == "STOPPPING" else value


class AppTerminationConfirmation(Wire):
    """The application instance is ready to be stopped [MEC 011 7.1.4.3]; the misprint STOPPPING is understood."""

    wrappers: ClassVar[tuple[str, ...]] = ("AppTerminationConfirmation",)

    operationAction: Annotated[Literal["STOPPING", "TERMINATING"], BeforeValidator(_mend_typo)]


class AppTerminationNotificationSubscriptionPost(Wire):
    """A subscription to the termination of the own instance, as sent [MEC 011 7.1.3.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("AppTerminationNotificationSubscription",)

    subscriptionType: Literal["AppTerminationNotificationSubscription"]
    callbackReference: CallbackUri
    appInstanceId: Text


class AppTerminationNotificationSubscription(AppTerminationNotificationSubscriptionPost):
    """A subscription to the termination of the own instance, as answered."""

    links: SelfLinks = Field(alias="_links")


class TrafficFilter(Wire):
    """Which packets a traffic rule is about [MEC 011 7.1.5.3]."""

    srcAddress: list[Text] | None = None
    dstAddress: list[Text] | None = None
    srcPort: list[Text] | None = None
    dstPort: list[Text] | None = None
    protocol: list[Text] | None = None
    tag: list[Text] | None = None
    uri: list[Text] | None = None
    packetLabel: list[Text] | None = None
    srcTunnelAddress: list[Text] | None = None
    tgtTunnelAddress: list[Text] | None = None
    srcTunnelPort: list[Text] | None = None
    dstTunnelPort: list[Text] | None = None
    qCI: Integer | None = None
    dSCP: Integer | None = None
    tC: Integer | None = None


class TunnelInfo(Wire):
    """A tunnel towards an interface [MEC 011 7.1.5.4]."""

    tunnelType: Literal["GTP_U", "GRE"]
    tunnelDstAddress: Text | None = None
    tunnelSrcAddress: Text | None = None


class DestinationInterface(Wire):
    """Where matching packets go [MEC 011 7.1.5.5]."""

    interfaceType: Literal["TUNNEL", "MAC", "IP"]
    tunnelInfo: TunnelInfo | None = None
    srcMacAddress: Text | None = None
    dstMacAddress: Text | None = None
    dstIpAddress: Text | None = None


TrafficAction = Literal[
    "DROP",
    "FORWARD_DECAPSULATED",
    "FORWARD_ENCAPSULATED",
    "PASSTHROUGH",
    "DUPLICATE_DECAPSULATED",
    "DUPLICATE_ENCAPSULATED",
]


def _when_action(start: str, count: int) -> dict[str, Any]:
    """Return the JSON schema for "an action that begins so has that many destination interfaces"."""
    sized = {"type": ["array", "null"], "maxItems": 0}
    if count:
        sized = {"type": "array", "minItems": count, "maxItems": count}
    then: dict[str, Any] = {"properties": {"dstInterface": sized}}
    if count:
        then["required"] = ["dstInterface"]
    return {"if": {"properties": {"action": {"pattern": f"^{start}"}}}, "then": then}


def _interfaces(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class TrafficRule(Wire):
    """A traffic rule [MEC 011 7.1.2.2]; a single dstInterface may come without its list."""

    wrappers: ClassVar[tuple[str, ...]] = ("TrafficRule",)

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [_when_action("DROP", 0), _when_action("DUPLICATE", 2), _when_action("(FORWARD|PASS)", 1)]
        }
    )

    trafficRuleId: Identifier
    filterType: Literal["FLOW", "PACKET"]
    priority: Annotated[int, Field(ge=0, le=255), whole]
    trafficFilter: Annotated[list[TrafficFilter], Field(min_length=1)]
    action: TrafficAction
    dstInterface: Annotated[
        Annotated[list[DestinationInterface], Field(max_length=2)] | None, BeforeValidator(_interfaces)
    ] = None
    state: Literal["ACTIVE", "INACTIVE"]

    @model_validator(mode="after")
    def _interfaces_match_action(self) -> Self:
        wanted = 0 if self.action == "DROP" else 2 if self.action.startswith("DUPLICATE") else 1
        found = len(self.dstInterface or ())
        if found != wanted:
            raise ValueError(f"has {found} dstInterface for action {self.action}; send {wanted}")
        return self


class DnsRule(Wire):
    """A DNS rule [MEC 011 7.1.2.3]; without ttl it never expires."""

    wrappers: ClassVar[tuple[str, ...]] = ("DnsRule",)

    dnsRuleId: Identifier
    domainName: Text
    ipAddressType: Literal["IP_V4", "IP_V6"]
    ipAddress: Text
    ttl: UInt32 | None = None
    state: Literal["ACTIVE", "INACTIVE"]


class NtpServerInfo(Wire):
    """An NTP server [MEC 011 7.1.2.4]."""

    ntpServerAddrType: Literal["IP_ADDRESS", "DNS_NAME"]
    ntpServerAddr: str
    minPollingInterval: Annotated[int, Field(ge=3, le=17)]
    maxPollingInterval: Annotated[int, Field(ge=3, le=17)]
    localPriority: int
    authenticationOption: Literal["NONE", "SYMMETRIC_KEY", "AUTO_KEY"]
    authenticationKeyNum: int | None = None


class PtpMasterInfo(Wire):
    """A PTP master [MEC 011 7.1.2.4]."""

    ptpMasterIpAddress: str
    ptpMasterLocalPriority: int
    delayReqMaxRate: int


class TimingCaps(Wire):
    """What the platform offers for timing [MEC 011 7.1.2.4]."""

    timeStamp: TimeStamp | None = None
    ntpServers: list[NtpServerInfo] | None = None
    ptpMasters: list[PtpMasterInfo] | None = None


class CurrentTime(Wire):
    """The time of the platform [MEC 011 7.1.2.5]."""

    seconds: UInt32
    nanoSeconds: UInt32
    timeSourceStatus: Literal["TRACEABLE", "NONTRACEABLE"]
