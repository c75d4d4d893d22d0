"""A MEC application: finds a oneM2M CSE through its MEC platform, registers as an AE and takes what devices send.
Only ``cse.client`` and plain HTTP to Mp1: ``python examples/mec_app.py --mep http://127.0.0.1:8081``
"""

import argparse
import asyncio
import contextlib
import json
import signal
import uuid

from aiohttp import ClientSession, web

from cse.client import Client, RequestFailed, Unreachable

CATEGORY = {"href": "https://www.onem2m.org/", "id": "oneM2M-CSE", "name": "IoT", "version": "R4"}
options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--mep", default="http://127.0.0.1:8081", help="apiRoot of the MEC platform")
options.add_argument("--originator", default="Cmec-app", help="AE-ID to register with")
options.add_argument("--host", default="127.0.0.1", help="own address, as CSE and platform reach it")
options.add_argument("--label", action="append", help="only containers with this label (repeat)")


class MecApp:
    """The containers it hears, the instances it has seen."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.settings, self.containers, self.seen, self.news = settings, set(), set(), asyncio.Event()

    async def announced(self, request: web.Request) -> web.Response:
        """The platform says that a CSE came, changed or went."""
        print(f"MEC: {await request.text()}", flush=True)
        self.news.set()
        return web.Response(status=204)

    async def find_cse(self, mp1: ClientSession, callback: str) -> tuple[str, str]:
        """Become an application instance, subscribe to CSEs, and ask until one is there: its URL and CSE-ID."""
        support, services = f"{self.settings.mep}/mec_app_support/v2", f"{self.settings.mep}/mec_service_mgmt/v1"
        app_id = str(uuid.uuid5(uuid.NAMESPACE_URL, self.settings.originator))
        app = {"appName": "mec-app-example", "appInstanceId": app_id, "endpoint": {"uris": [callback]}}
        await mp1.post(f"{support}/registrations", json=app)
        await mp1.post(f"{support}/applications/{app_id}/confirm_ready", json={"indication": "READY"})
        wanted = {"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": callback}
        wanted |= {"filteringCriteria": {"serCategories": [CATEGORY]}}
        await mp1.post(f"{services}/applications/{app_id}/subscriptions", json=wanted)
        while True:
            self.news.clear()
            answer = await mp1.get(f"{services}/services?ser_category_id=oneM2M-CSE")
            for service in await answer.json():
                transport = service["transportInfo"]
                if transport["type"] == "REST_HTTP" and service["state"] == "ACTIVE":
                    cse = transport["implSpecificInfo"]["onem2m"]
                    return transport["endpoint"]["uris"][0].removesuffix("/" + cse["cseName"]), cse["cseId"]
            await asyncio.wait([asyncio.create_task(self.news.wait())], timeout=5)

    def take(self, container: str, instance: dict[str, object]) -> None:
        """Print an instance as a line of JSON, once, however often it comes."""
        if (container, instance["rn"]) not in self.seen:
            self.seen.add((container, instance["rn"]))
            print(json.dumps({"container": container, "rn": instance["rn"], "con": instance["con"]}), flush=True)

    async def listen(self, client: Client, container: str) -> None:
        """Subscribe to a container, read what was there before, then take what comes."""
        with contextlib.suppress(RequestFailed, Unreachable):
            subscription = await client.subscribe(container, types=[4], name="mec-app", replace=True)
            for instance in (await client.retrieve(container, rcn=8, filter={"ty": [4], "lvl": 1})).get("m2m:cin", []):
                self.take(container, instance)
            async for notification in subscription:
                self.take(container, notification.resource)
        self.containers.discard(container)

    async def run(self, mp1: ClientSession, callback: str) -> None:
        """Find the CSE, register there, and follow its containers."""
        cse_url, cse_id = await self.find_cse(mp1, callback)
        own = {"originator": self.settings.originator, "listen": f"{self.settings.host}:0"}
        async with Client(cse_url, cse_id=cse_id, **own) as client:
            await client.register("Norg.onemec.mec-app", "mec-app")
            async with asyncio.TaskGroup() as tasks:
                while True:
                    with contextlib.suppress(RequestFailed, Unreachable):
                        for new in set(await client.discover(types=[3], labels=self.settings.label)) - self.containers:
                            self.containers.add(new)
                            tasks.create_task(self.listen(client, new))
                    print(json.dumps({"cse": cse_url, "received": len(self.seen)}), flush=True)
                    await asyncio.sleep(1)


async def main() -> None:
    server, app = web.Application(), MecApp(options.parse_args())
    server.router.add_post("/", app.announced)
    await (runner := web.AppRunner(server)).setup()
    await web.TCPSite(runner, app.settings.host, 0).start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with ClientSession() as mp1:
        await app.run(mp1, f"http://{app.settings.host}:{runner.addresses[0][1]}/")


with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
    asyncio.run(main())
