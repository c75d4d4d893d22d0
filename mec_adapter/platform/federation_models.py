"""Data types of the federation enablement API and of the operator's part in it [MEC 040 clause 6]."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from mec_adapter.platform.wire import CallbackUri, EndPointInfo, SelfLinks, Text, TimeStamp, Wire


class SystemInfoPost(Wire):
    """A MEC system as its registrant sends it: without systemId [MEC 040 6.2.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("SystemInfo",)

    model_config = ConfigDict(json_schema_extra={"allOf": [{"properties": {"systemId": {"type": "null"}}}]})

    systemName: Text
    systemProvider: Text

    @model_validator(mode="before")
    @classmethod
    def _without_id(cls, data: Any) -> Any:
        inner = data.get("SystemInfo", data) if isinstance(data, dict) else data
        if isinstance(inner, dict) and inner.get("systemId") is not None:
            raise ValueError("has systemId, which the platform gives; leave it out")
        return data


class SystemInfo(Wire):
    """A MEC system [MEC 040 6.2.2]."""

    systemId: str
    systemName: str
    systemProvider: str


class SystemInfoUpdate(Wire):
    """What changes of a MEC system: at least one attribute [MEC 040 6.2.3]."""

    wrappers: ClassVar[tuple[str, ...]] = ("SystemInfoUpdate",)
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["systemName"], "properties": {"systemName": {"type": "string"}}},
                {"required": ["endpoint"], "properties": {"endpoint": {"type": "object"}}},
            ]
        }
    )

    systemName: Text | None = None
    endpoint: EndPointInfo | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.systemName is None and self.endpoint is None:
            raise ValueError("changes nothing; send systemName, endpoint or both")
        return self


class SystemUpdateNotificationSubscriptionPost(Wire):
    """A subscription to updates of MEC systems, as sent; without systemId it is about all [MEC 040 6.3.2]."""

    wrappers: ClassVar[tuple[str, ...]] = ("SystemUpdateNotificationSubscription",)

    subscriptionType: Literal["SystemUpdateNotificationSubscription"]
    callbackReference: CallbackUri
    systemId: list[Text] | None = None
    expiryDeadline: TimeStamp | None = None


class SystemUpdateNotificationSubscription(SystemUpdateNotificationSubscriptionPost):
    """A subscription to updates of MEC systems, as answered."""

    links: SelfLinks = Field(alias="_links")


class PeerCredentials(Wire):
    """How this platform gets tokens of another one [MEC 009 6.16]."""

    clientId: Text
    clientSecret: Text
    tokenEndpoint: CallbackUri


class FederationPeerPost(SystemInfoPost):
    """Another MEC system as the operator makes it known: with the root of its APIs, and credentials where needed."""

    apiRoot: Annotated[CallbackUri, Field(description="What stands before /mec_service_mgmt/v1 there")]
    credentials: PeerCredentials | None = None


class FederationSystem(SystemInfo):
    """A known MEC system as the operator sees it."""

    own: bool
    apiRoot: str | None = None
