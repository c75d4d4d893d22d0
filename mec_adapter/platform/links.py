"""Links of subscriptions as answered on Mp1 [MEC 011 6.2.2, 6.3.2]."""

from collections.abc import Iterable

from mec_adapter.platform.documents import JsonObject


def with_self(record: JsonObject, collection: str) -> JsonObject:
    """Return a subscription with its `_links`.

    Args:
        record: the subscription as kept.
        collection: URI of the list it is in.
    """
    return {**record["body"], "_links": {"self": {"href": f"{collection}/{record['id']}"}}}


def link_list(records: Iterable[JsonObject], collection: str) -> JsonObject:
    """Return the SubscriptionLinkList of some subscriptions."""
    entries = [
        {"href": f"{collection}/{record['id']}", "subscriptionType": record["body"]["subscriptionType"]}
        for record in records
    ]
    return {"_links": {"self": {"href": collection}, "subscriptions": entries}}
