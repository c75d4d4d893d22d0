"""Application instances known to the platform: registration, readiness, termination, rules; pure [MEC 011 5.2]."""

from typing import Any

from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env
from mec_adapter.platform.problems import BadRequest, Conflict, Forbidden, NotFound

APP = "app"


class AppRegistry:
    """The application instances, each one document.

    An instance is known because MEC management created it (`managed`), because it registered itself
    (`registration`), or both. It is gone when neither holds.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def find(self, app_id: str) -> JsonObject:
        """Return the record of an application instance.

        Raises:
            NotFound: no such instance.
        """
        app = self._documents.find(APP, app_id)
        if app is None:
            raise NotFound(
                f"application instance {app_id[:128]!r} is not known; register it with POST .../registrations"
            )
        return app

    def every(self) -> list[JsonObject]:
        """Return all records, oldest first."""
        return self._documents.every(APP)

    def keep(self, app: JsonObject, **changes: Any) -> JsonObject:
        """Store a record with some members changed and return it."""
        app = {**app, **changes}
        self._documents.keep(APP, app["appInstanceId"], app)
        return app

    def drop(self, app_id: str) -> None:
        """Forget an instance."""
        self._documents.drop(APP, app_id)

    def register(self, info: JsonObject, owner: str | None, env: Env) -> JsonObject:
        """Register an application instance by its own request [MEC 011 7.2.13].

        A second registration of the same appInstanceId wins over the first; the caller has removed what the
        first one had before.

        Args:
            info: AppInfo without `appInstanceId` when the platform is to choose it.
            owner: the client whose token registers it, None without tokens.
            env: time and identifiers.

        Returns:
            The new record.

        Raises:
            BadRequest: it contradicts what management knows of this instance.
            Forbidden: the instance belongs to another client.
        """
        app_id = info.get("appInstanceId") or env.new_id()
        info = {**info, "appInstanceId": app_id}
        known = self._documents.find(APP, app_id)
        if known is not None:
            self.check_owner(known, owner)
            _agree_with_descriptor(known, info)
        return self.keep(known or new_app(app_id, owner, env), registration=info, ready=False)

    def check_owner(self, app: JsonObject, owner: str | None) -> None:
        """Refuse a client that the instance does not belong to.

        Raises:
            Forbidden: it belongs to another client.
        """
        if owner is not None and app["owner"] != owner:
            raise Forbidden(f"application instance {app['appInstanceId']!r} belongs to another client")

    def registration(self, app_id: str) -> JsonObject:
        """Return the AppInfo of a registered instance.

        Raises:
            NotFound: unknown or not registered.
        """
        registration: JsonObject | None = self.find(app_id)["registration"]
        if registration is None:
            raise NotFound(f"application instance {app_id!r} has no registration; POST .../registrations creates one")
        return registration

    def update_registration(self, app_id: str, info: JsonObject) -> None:
        """Replace the AppInfo of a registered instance [MEC 011 7.2.14].

        Raises:
            NotFound: unknown or not registered.
            BadRequest: the body names another appInstanceId, or contradicts management.
        """
        self.registration(app_id)
        app = self.find(app_id)
        if info.get("appInstanceId", app_id) != app_id:
            raise BadRequest(f"attribute appInstanceId is not that of the path; send {app_id!r} or leave it out")
        _agree_with_descriptor(app, info)
        self.keep(app, registration={**info, "appInstanceId": app_id})

    def confirm_ready(self, app_id: str) -> None:
        """Note that an instance is up and running [MEC 011 5.2.2].

        Raises:
            NotFound: unknown instance.
            Conflict: management has not instantiated or configured it yet, or it is being terminated.
        """
        app = self.find(app_id)
        if app["instantiation"] != "INSTANTIATED" or not app["configured"]:
            raise Conflict(f"application instance {app_id!r} is not instantiated and configured yet; try again later")
        if app["termination"] is not None:
            raise Conflict(f"application instance {app_id!r} is being terminated; it cannot become ready")
        if not app["ready"]:
            self.keep(app, ready=True, operational="STARTED")

    def begin_termination(self, app_id: str, action: str, timeout_s: int, env: Env) -> None:
        """Note that an instance is asked to end, until confirmed or `timeout_s` seconds are over.

        Raises:
            NotFound: unknown instance.
            Conflict: not instantiated, or a termination is under way already.
        """
        app = self.find(app_id)
        if app["instantiation"] != "INSTANTIATED":
            raise Conflict(f"application instance {app_id!r} is not instantiated; there is nothing to terminate")
        if app["termination"] is not None:
            raise Conflict(f"application instance {app_id!r} is being terminated already; wait for it")
        self.keep(app, termination={"operationAction": action, "deadline": env.now + timeout_s})

    def confirm_termination(self, app_id: str, action: str) -> None:
        """Check that an instance may confirm its termination now [MEC 011 5.2.3].

        Raises:
            NotFound: unknown instance.
            Conflict: no termination is under way, or another one.
        """
        termination = self.find(app_id)["termination"]
        if termination is None:
            raise Conflict(f"no termination of application instance {app_id!r} is ongoing; there is nothing to confirm")
        if termination["operationAction"] != action:
            raise Conflict(
                f"attribute operationAction is {action}, but {termination['operationAction']} is ongoing; send that"
            )

    def terminations_due(self, now: float) -> list[JsonObject]:
        """Return the instances whose time to end gracefully is over."""
        return [app for app in self.every() if app["termination"] and app["termination"]["deadline"] <= now]

    def next_deadline(self) -> float | None:
        """Return when the next termination is due, in seconds since 1970."""
        return min((app["termination"]["deadline"] for app in self.every() if app["termination"]), default=None)

    def rule(self, app_id: str, kind: str, rule_id: str) -> JsonObject:
        """Return one traffic or DNS rule.

        Args:
            app_id: the application instance.
            kind: `traffic` or `dns`.
            rule_id: its trafficRuleId or dnsRuleId.

        Raises:
            NotFound: unknown instance or rule.
        """
        rules: list[JsonObject] = self.find(app_id)[f"{kind}Rules"]
        for rule in rules:
            if rule[f"{kind}RuleId"] == rule_id:
                return rule
        raise NotFound(
            f"application instance {app_id!r} has no {kind} rule {rule_id[:128]!r}; rules come from its descriptor"
        )

    def replace_rule(self, app_id: str, kind: str, rule_id: str, rule: JsonObject) -> None:
        """Replace a traffic or DNS rule that exists [MEC 011 7.2.8, 7.2.10].

        Raises:
            NotFound: unknown instance or rule.
            BadRequest: the body names another rule.
        """
        self.rule(app_id, kind, rule_id)
        name = f"{kind}RuleId"
        if rule[name] != rule_id:
            raise BadRequest(f"attribute {name} is {rule[name]!r}, but the path names {rule_id!r}; send that")
        app = self.find(app_id)
        rules = [rule if old[name] == rule_id else old for old in app[f"{kind}Rules"]]
        self.keep(app, **{f"{kind}Rules": rules})


def new_app(app_id: str, owner: str | None, env: Env) -> JsonObject:
    """Return the record of an instance that has just become known."""
    return {
        "appInstanceId": app_id,
        "owner": owner,
        "since": env.now,
        "registration": None,
        "managed": None,
        "instantiation": "INSTANTIATED",
        "configured": True,
        "ready": False,
        "operational": "STARTED",
        "termination": None,
        "trafficRules": [],
        "dnsRules": [],
    }


def _agree_with_descriptor(app: JsonObject, info: JsonObject) -> None:
    """Refuse AppInfo that differs from the AppD of the instance [MEC 011 7.1.2.6]."""
    managed = app["managed"]
    if managed is None:
        return
    for name in ("appName", "appDId"):
        if name in info and info[name] != managed[name]:
            raise BadRequest(f"attribute {name} is not that of the AppD; send {managed[name]!r}")
    if managed.get("appProvider") and info.get("appProvider", managed["appProvider"]) != managed["appProvider"]:
        raise BadRequest(f"attribute appProvider is not that of the AppD; send {managed['appProvider']!r}")
