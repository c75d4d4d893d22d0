"""An originator's view of any oneM2M CSE, over any binding: the public Python SDK (TS-0001 clause 8, TS-0004).

Example::

    async with Client("http://127.0.0.1:8080", originator="Cmy-ae") as client:
        await client.register("Nmy-app", "my-ae")
        await client.create_container("-/my-ae", "data")
        await client.post("-/my-ae/data", "21.5")
        async with await client.subscribe("-/my-ae/data") as subscription:
            async for notification in subscription:
                print(notification.resource["con"])

``BlockingClient`` has the same calls for code without ``async``.
"""

from cse.client.blocking import BlockingClient, BlockingNotifications, BlockingSubscription
from cse.client.client import Client
from cse.client.errors import RequestFailed, Unreachable
from cse.client.notifications import Notification, Subscription
from cse.client.polling import PollingTransport
from cse.client.transports import (
    CoapTransport,
    HttpTransport,
    MqttTransport,
    Transport,
    WebSocketTransport,
    open_transport,
)
from cse.client.watching import watch

__all__ = [
    "BlockingClient",
    "BlockingNotifications",
    "BlockingSubscription",
    "Client",
    "CoapTransport",
    "HttpTransport",
    "MqttTransport",
    "Notification",
    "PollingTransport",
    "RequestFailed",
    "Subscription",
    "Transport",
    "Unreachable",
    "WebSocketTransport",
    "open_transport",
    "watch",
]
