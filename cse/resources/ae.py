"""AE, type 2: an application registered here (TS-0001 clause 9.6.5, 10.2.2.2; TS-0004 clause 7.4.5)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from cse.onem2m.addressing import is_resource_name, is_url, shorten
from cse.onem2m.errors import (
    AppRuleValidationFailed,
    BadRequest,
    OriginatorHasAlreadyRegistered,
    SecurityAssociationRequired,
)
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Response
from cse.ports import Resource, Send
from cse.resources import s_stem, service_subscription
from cse.resources.declare import Context, Hooks, Privilege, declare
from cse.resources.node_links import relink

_SERIALISATIONS = frozenset(
    {"application/json", "application/cbor", "application/xml", "json", "cbor", "xml"}
    | {
        f"application/vnd.onem2m-{kind}+{form}"
        for kind in ("res", "ntfy", "preq", "prsp")
        for form in ("json", "cbor", "xml")
    }
)
#: releases whose App-IDs may begin with a small r
_SMALL_R_RELEASES = frozenset({None, "1", "2", "2a", "3"})


class AeHooks(Hooks):
    """Registration, and an AE's right to its own resource."""

    def access(self, ctx: Context, resource: Resource, privilege: Privilege, originator: str) -> bool | None:
        """An AE may do everything with its own resource; CSEs this one is registered with may notify it.

        A notification for an AE comes from the CSE that hosts the subscription, which checked the right to notify when
        the subscription was made; no policy here could name that CSE in advance.
        """
        if originator == resource.ri:
            return True
        if privilege is Privilege.NOTIFY and originator.startswith("/"):
            if any(ctx.store.referring(name, originator) for name in ("csi", "dcse")):
                return True
            # CSEs that are not below this one are known to the registrar only, which passes their requests on.
            return True if ctx.settings.registrar and originator.count("/") == 1 else None
        return None

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Registration: who may, and under which AE-ID (TS-0001 clause 10.2.2.2).

        Raises:
            BadRequest: App-ID, csz, poa or AE-ID of the wrong form.
            SecurityAssociationRequired: the originator is a CSE.
            AppRuleValidationFailed: this AE-ID or App-ID may not register here.
            ServiceSubscriptionNotEstablished: see ``service_subscription``.
            OriginatorHasAlreadyRegistered: the AE-ID is in use.
        """
        check_app_id(ctx, attributes["api"])
        _check_lists(attributes)
        stem = ctx.originator
        settings = ctx.settings
        if stem.startswith("/") or stem == shorten(settings.cse_id, settings.sp_id, settings.cse_id):
            raise SecurityAssociationRequired(f"{stem!r} is a CSE-ID: an AE registers with From 'C', 'S', or its AE-ID")
        if stem and (stem[0] not in "CS" or not is_resource_name(stem)) and not _may_keep_name(ctx, stem):
            raise BadRequest(f"AE-ID {stem!r} must begin with C or S: send From 'C', 'S' or e.g. 'Cmy-ae'")
        welcome = settings.open_registration or stem in settings.admin or (stem and stem == ctx.request.credential)
        if not welcome and not any(fnmatchcase(stem, pattern) for pattern in settings.allowed_originators):
            raise AppRuleValidationFailed(
                f"AE-ID {stem!r} may not register here: ask the operator to allow it (allowed_originators)"
            )
        if stem not in settings.admin:
            service_subscription.check(ctx, stem, attributes["api"])
        if len(stem) > 1 and ctx.store.get(stem) is not None:
            raise OriginatorHasAlreadyRegistered(
                f"AE-ID {stem!r} is registered already: use that registration, or DELETE it first"
            )

    def verify_create(
        self, ctx: Context, parent: Resource, attributes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """An S-stem is given out, and its AE announced, by the IN-CSE (TS-0001 clause 10.2.2.2)."""
        if ctx.originator.startswith("S"):
            yield from s_stem.register(ctx, parent, attributes)

    def resource_id(self, ctx: Context, attributes: dict[str, Any]) -> str:
        """The AE-ID stem: the originator's when it gave one, else a new C- or S-stem."""
        stem = attributes.get("aei") or ctx.originator
        if len(stem) > 1:
            return stem
        return ("S" if stem == "S" else "C") + ctx.env.new_id()

    def creating(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """Aei is the stem; the AE is its own creator."""
        resource.attributes["aei"] = resource.ri
        resource.internal["creator"] = resource.ri

    def created(self, ctx: Context, parent: Resource, resource: Resource) -> None:
        """The node it names hosts it."""
        relink(ctx, resource, None, resource.attributes.get("nl"))

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Csz and poa must stay usable."""
        _check_lists(changes)

    def updated(self, ctx: Context, resource: Resource, before: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
        """It may move to another node."""
        relink(ctx, resource, before.get("nl"), resource.attributes.get("nl"))

    def deleting(self, ctx: Context, resource: Resource) -> None:
        """No node hosts it any more, and the IN-CSE learns that its S-stem is not in use."""
        s_stem.deregister(ctx, resource)
        relink(ctx, resource, resource.attributes.get("nl"), None)


def check_app_id(ctx: Context, app_id: str) -> None:
    """Refuse an App-ID that is neither registered (R) nor marked as not registered (N) (TS-0001 clause 7.1.3).

    Raises:
        BadRequest: wrong first character.
    """
    if app_id[:1] in ("R", "N") and len(app_id) > 1:
        return
    if app_id[:1] == "r" and ctx.request.release in _SMALL_R_RELEASES:
        return
    raise BadRequest(
        f"attribute 'api' (App-ID) {app_id!r} must begin with N (not registered) or R: send e.g. 'N{app_id}'"
    )


def _may_keep_name(ctx: Context, stem: str) -> bool:
    # An administrator may register an AE under its own name, which then need not follow the stem rule.
    return stem in ctx.settings.admin and is_resource_name(stem)


def _check_lists(attributes: dict[str, Any]) -> None:
    for media_type in attributes.get("csz") or ():
        if media_type not in _SERIALISATIONS:
            raise BadRequest(f"attribute 'csz' holds {media_type!r}: send e.g. ['application/json']")
    if attributes.get("trps"):
        raise NotSupported("attribute 'trps' (trackRegistrationPoints) is not supported by this CSE: leave it out")
    for url in attributes.get("poa") or ():
        if not is_url(url):
            raise BadRequest(f"attribute 'poa' holds {url!r}, which is no URL: send e.g. 'http://host:port/path'")


TYPES = (declare("AE", AeHooks()),)
