"""Application mobility service API: endpoint table and data types [MEC 021]."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from mec_adapter.mp1.types import Api, Endpoint, JsonObject

API = Api("amsi", ("v1",))

REGISTER = Endpoint("POST", "/app_mobility_services", (201, 200), "RegistrationInfo")
REPLACE = Endpoint("PUT", "/app_mobility_services/{service_id}", (200, 204), "RegistrationInfo")
DEREGISTER = Endpoint("DELETE", "/app_mobility_services/{service_id}", (204, 200))
SUBSCRIBE = Endpoint("POST", "/subscriptions", (201, 200), "MobilityProcedureSubscription")
UNSUBSCRIBE = Endpoint("DELETE", "/subscriptions/{subscription_id}", (204, 200))

SUBSCRIPTION_TYPE = "MobilityProcedureSubscription"
NOTIFICATION_TYPE = "MobilityProcedureNotification"
#: mobilityStatus [MEC 021 7.4.2]
TRIGGERED, COMPLETED, FAILED = 1, 2, 3
#: appMobilityServiceLevel: the context moves without asking the application first
WITHOUT_CONFIRMATION = 3


class AssociateId(TypedDict):
    """What identifies a device to the network [MEC 021 7.5]."""

    type: str
    value: str


class DeviceInformation(TypedDict):
    """A device served, and whether its context is at the target [MEC 021 7.2.2]."""

    associateId: AssociateId
    appMobilityServiceLevel: NotRequired[int]
    contextTransferState: NotRequired[int]


class MobilityProcedureNotification(TypedDict):
    """A device moves, or has moved [MEC 021 7.4.2]."""

    notificationType: str
    associateId: list[AssociateId]
    mobilityStatus: int
    targetAppInfo: NotRequired[JsonObject]
