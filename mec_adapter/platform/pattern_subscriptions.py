"""Subscriptions after the pattern of MEC 009 6.12a: test notification, expiry; pure. Used by MEC 013 and MEC 021."""

from typing import Self

from pydantic import ConfigDict, model_validator

from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env, time_stamp
from mec_adapter.platform.events import Delivery, Event, SubscriptionEnded, subscription_href
from mec_adapter.platform.problems import BadRequest, Forbidden, NotFound
from mec_adapter.platform.wire import CallbackUri, TimeStamp, Wire, present


class WebsockNotifConfig(Wire):
    """Asks for notifications over a WebSocket that the subscriber opens; the platform names its URI."""

    requestWebsocketUri: bool | None = None
    websocketUri: str | None = None


class PatternSubscription(Wire):
    """What all subscriptions of this pattern have in common; with both ways given, callbackReference is taken."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                present(callbackReference="string"),
                {
                    "required": ["websockNotifConfig"],
                    "properties": {
                        "websockNotifConfig": {
                            "type": "object",
                            "required": ["requestWebsocketUri"],
                            "properties": {"requestWebsocketUri": {"const": True}},
                        }
                    },
                },
            ]
        }
    )

    callbackReference: CallbackUri | None = None
    requestTestNotification: bool | None = None
    websockNotifConfig: WebsockNotifConfig | None = None
    expiryDeadline: TimeStamp | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.callbackReference is None and not (
            self.websockNotifConfig is not None and self.websockNotifConfig.requestWebsocketUri
        ):
            raise ValueError(
                "says not how to notify; send callbackReference, or websockNotifConfig with requestWebsocketUri true"
            )
        return self


class PatternSubscriptions:
    """The subscriptions of one kind, each one document {id, owner, collection, body, key of its WebSocket or None}.

    Args:
        documents: where they are kept.
        kind: under which name.
        wrapped: notifications are wrapped in an object that names their type [MEC 013].
    """

    def __init__(self, documents: Documents, kind: str, wrapped: bool = False) -> None:
        self._documents = documents
        self._kind = kind
        self._wrapped = wrapped

    def add(self, body: JsonObject, collection: str, owner: str | None, env: Env) -> tuple[JsonObject, list[Event]]:
        """Keep a subscription.

        Args:
            body: the subscription as sent.
            collection: URI of the list it is in, as the subscriber used it.
            owner: the client it belongs to, None without tokens.
            env: time and identifiers.

        Returns:
            Its record, and the test notification when one is asked for.

        Raises:
            BadRequest: it would have expired already.
        """
        _check_deadline(body, env.now)
        subscription_id = f"sub-{env.new_id()}"
        record = {"id": subscription_id, "owner": owner, "collection": collection}
        record = _reached(record, body, env)
        self._documents.keep(self._kind, subscription_id, record)
        return record, self._test(record)

    def find(self, subscription_id: str, owner: str | None) -> JsonObject:
        """Return a record.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        record = self._documents.find(self._kind, subscription_id)
        if record is None:
            raise NotFound(f"subscription {subscription_id[:128]!r} does not exist")
        if owner is not None and record["owner"] != owner:
            raise Forbidden(f"subscription {subscription_id[:128]!r} belongs to another client")
        return record

    def replace(
        self, subscription_id: str, body: JsonObject, owner: str | None, env: Env
    ) -> tuple[JsonObject, list[Event]]:
        """Replace what a subscription says.

        Returns:
            Its record, and the test notification when one is asked for.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
            BadRequest: another type than before, or expired already.
        """
        record = self.find(subscription_id, owner)
        if record["body"]["subscriptionType"] != body["subscriptionType"]:
            raise BadRequest(f"attribute subscriptionType cannot change; send {record['body']['subscriptionType']!r}")
        _check_deadline(body, env.now)
        record = _reached(record, body, env)
        self._documents.keep(self._kind, subscription_id, record)
        return record, self._test(record)

    def drop(self, subscription_id: str, owner: str | None) -> list[Event]:
        """Remove a subscription.

        Raises:
            NotFound: there is none of this id.
            Forbidden: it belongs to another client.
        """
        self.find(subscription_id, owner)
        self._documents.drop(self._kind, subscription_id)
        return [SubscriptionEnded(subscription_id)]

    def every(self, owner: str | None = None) -> list[JsonObject]:
        """Return the records of one client, or all of them."""
        return [record for record in self._documents.every(self._kind) if owner in (None, record["owner"])]

    def of_socket(self, key: str) -> JsonObject | None:
        """Return the record of the subscription whose WebSocket has this key, None when there is none."""
        return next((record for record in self.every() if record.get("socket") == key), None)

    def notification(self, record: JsonObject, body: JsonObject) -> Delivery:
        """Return a notification for one of these subscriptions, with the link to it, wrapped where they are."""
        sent = _delivery(record, body)
        if not self._wrapped:
            return sent
        name = str(body["notificationType"])
        return Delivery(sent.subscription_id, sent.callback, {name[0].lower() + name[1:]: sent.body})

    def tick(self, now: float) -> list[Event]:
        """Remove what has expired, and tell the subscribers [MEC 009 6.12a]."""
        events: list[Event] = []
        for record in self.every():
            deadline = record["body"].get("expiryDeadline")
            if deadline is not None and _seconds(deadline) <= now:
                self._documents.drop(self._kind, record["id"])
                body = {"notificationType": "ExpiryNotification", "timeStamp": time_stamp(now)}
                events.append(self.notification(record, {**body, "expiryDeadline": deadline}))
        return events

    def next_deadline(self) -> float | None:
        """Return when the next subscription expires, in seconds since 1970."""
        deadlines = [record["body"].get("expiryDeadline") for record in self.every()]
        return min((_seconds(deadline) for deadline in deadlines if deadline is not None), default=None)

    def _test(self, record: JsonObject) -> list[Event]:
        """Return the test notification of a callback; a WebSocket proves itself by being opened."""
        if not record["body"].get("requestTestNotification") or record["socket"] is not None:
            return []
        return [self.notification(record, {"notificationType": "TestNotification"})]


def _delivery(record: JsonObject, body: JsonObject) -> Delivery:
    """Return a notification for a subscription, with the link to it."""
    links = {"subscription": {"href": subscription_href(record)}}
    way = record["body"].get("callbackReference") or record["body"]["websockNotifConfig"]["websocketUri"]
    return Delivery(record["id"], way, {**body, "_links": links})


def _reached(record: JsonObject, body: JsonObject, env: Env) -> JsonObject:
    """Return the record with its body, which names the one way its notifications go [MEC 009 6.12a]."""
    if "callbackReference" in body:
        kept = {name: value for name, value in body.items() if name != "websockNotifConfig"}
        return {**record, "body": kept, "socket": None}
    key = record.get("socket") or env.new_id()
    uri = f"ws{env.base_url.removeprefix('http')}/notifications/{key}"
    config = {"requestWebsocketUri": True, "websocketUri": uri}
    return {**record, "body": {**body, "websockNotifConfig": config}, "socket": key}


def shown(record: JsonObject, collection: str) -> JsonObject:
    """Return a subscription as it is answered."""
    return {**record["body"], "_links": {"self": {"href": f"{collection}/{record['id']}"}}}


def _seconds(stamp: JsonObject) -> float:
    return float(stamp["seconds"] + stamp["nanoSeconds"] / 1_000_000_000)


def _check_deadline(body: JsonObject, now: float) -> None:
    deadline = body.get("expiryDeadline")
    if deadline is not None and _seconds(deadline) <= now:
        raise BadRequest("attribute expiryDeadline is in the past; send a later one, or leave it out")
