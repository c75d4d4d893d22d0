"""Data types of the management API in the manner of Mm5 (own API, `/mep/v1`)."""

from typing import Annotated, Literal

from pydantic import Field

from mec_adapter.platform.app_support_models import AppInfo, DnsRule, TrafficRule
from mec_adapter.platform.federation_models import SystemInfo
from mec_adapter.platform.wire import Identifier, Text, Wire, whole

GracefulTimeout = Annotated[int, Field(ge=0, le=86_400), whole]
Interval = Annotated[int, Field(ge=1, le=86_400), whole]


class TrafficRuleOfApp(TrafficRule):
    """A traffic rule of a descriptor; INACTIVE until the application instance activates it, unless said otherwise."""

    state: Literal["ACTIVE", "INACTIVE"] = "INACTIVE"


class DnsRuleOfApp(DnsRule):
    """A DNS rule of a descriptor; INACTIVE until the application instance activates it, unless said otherwise."""

    state: Literal["ACTIVE", "INACTIVE"] = "INACTIVE"


class AppDescriptor(Wire):
    """What is needed of an AppD to create an application instance [MEC 010-2 6.2.1.2, abridged]."""

    appName: Text
    appProvider: Text = "unknown"
    appDId: Text | None = None
    appSoftVersion: Text = "1.0"
    appDVersion: Text = "1.0"
    appDescription: str | None = None
    appInstanceId: Identifier | None = None
    appTrafficRule: list[TrafficRuleOfApp] = Field(default_factory=list)
    appDNSRule: list[DnsRuleOfApp] = Field(default_factory=list)
    configured: bool = True


class AppCreated(Wire):
    """A new application instance and the credentials it is to be started with."""

    appInstanceId: str
    appDId: str
    clientId: str
    clientSecret: str
    tokenEndpoint: str


class Termination(Wire):
    """A termination under way."""

    operationAction: Literal["STOPPING", "TERMINATING"]
    remainingS: float


class Asked(Wire):
    """A termination that was asked for."""

    appInstanceId: str
    operationAction: Literal["STOPPING", "TERMINATING"]
    gracefulTimeoutS: int


class AppState(Wire):
    """An application instance as management sees it, self-registered ones included."""

    appInstanceId: str
    appName: str
    managed: bool
    registered: bool
    instantiationState: Literal["NOT_INSTANTIATED", "INSTANTIATED"]
    operationalState: Literal["STARTED", "STOPPED"]
    configured: bool
    ready: bool
    services: int
    termination: Termination | None = None
    registration: AppInfo | None = None


class TerminateRequest(Wire):
    """How to end an application instance; gracefulTimeoutS 0 ends it at once."""

    operationAction: Literal["STOPPING", "TERMINATING"] = "TERMINATING"
    gracefulTimeoutS: GracefulTimeout = 30


class Heartbeats(Wire):
    """The heartbeat policy; a changed interval reaches producers with the answer to their next heartbeat."""

    defaultIntervalS: Interval
    minIntervalS: Interval
    maxIntervalS: Interval


class FailedNotification(Wire):
    """A notification that was given up."""

    subscriptionId: str
    callbackReference: str
    notificationType: str
    attempts: int
    reason: str
    seconds: int


class Status(Wire):
    """Figures about the running platform."""

    mecHostId: str
    name: str
    system: SystemInfo
    upForS: float
    insecureDev: bool
    applications: int
    services: int
    notificationsDelivered: int
    notificationsWaiting: int
    notificationsFailed: int
