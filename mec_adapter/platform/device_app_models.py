"""Data types of the device application interface [MEC 016 clause 6]."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from mec_adapter.platform.wire import CallbackUri, Text, Wire

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[^\x00]+$")]


class ListedApp(Wire):
    """An application a device can use [MEC 016 6.2.2]."""

    appDId: str
    appName: str
    appProvider: str
    appSoftVersion: str
    appDVersion: str
    appDescription: str


class AppListEntry(Wire):
    """An entry of the list of applications."""

    appInfo: ListedApp


class ApplicationList(Wire):
    """The applications a device can use [MEC 016 6.2.2]."""

    appList: list[AppListEntry]


class UserAppInstanceInfo(Wire):
    """The instance that serves a device [MEC 016 6.2.3]; id and URI are given by the platform."""

    appInstanceId: str | None = None
    referenceURI: str | None = None
    appLocation: dict[str, Any] | None = None


class ContextAppInfo(Wire):
    """The application a context is about [MEC 016 6.2.3]."""

    appDId: str | None = None
    appName: ShortText
    appProvider: ShortText
    appSoftVersion: ShortText | None = None
    appDVersion: Text
    appDescription: str | None = None
    userAppInstanceInfo: Annotated[list[UserAppInstanceInfo], Field(min_length=1)]
    appPackageSource: str | None = None


class AppContext(Wire):
    """The use of an application by a device [MEC 016 6.2.3]."""

    wrappers: ClassVar[tuple[str, ...]] = ("AppContext",)

    contextId: str | None = None
    associateDevAppId: ShortText
    callbackReference: CallbackUri | None = None
    appLocationUpdates: bool | None = None
    appAutoInstantiation: bool | None = None
    appInfo: ContextAppInfo


class AvailabilityAppInfo(Wire):
    """The application whose availability is asked for [MEC 016 6.2.4]."""

    appName: ShortText
    appProvider: ShortText
    appSoftVersion: ShortText | None = None
    appDVersion: Text
    appDescription: str | None = None
    availableLocations: list[dict[str, Any]] | None = None
    appPackageSource: str | None = None


class ApplicationLocationAvailability(Wire):
    """Where an application can be used [MEC 016 6.2.4]."""

    wrappers: ClassVar[tuple[str, ...]] = ("ApplicationLocationAvailability",)

    associateDevAppId: ShortText
    appInfo: AvailabilityAppInfo
