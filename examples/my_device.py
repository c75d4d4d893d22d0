r"""A device of your own in thirty lines: registers, posts a value every second, and obeys commands.

    python examples/my_device.py mqtt://127.0.0.1:1883    (or http://127.0.0.1:8080, or coap://127.0.0.1:5683)

Then tell it something, from anywhere:

    curl http://127.0.0.1:8080/-/my-device/command -H 'X-M2M-Origin: CAdmin' -H 'X-M2M-RI: 1' -H 'X-M2M-RVI: 3' \
        -H 'Content-Type: application/json;ty=4' -d '{"m2m:cin": {"con": "faster"}}'
"""

import asyncio
import random
import sys

from cse.client import Client


async def main(url: str, cse_id: str = "/id-in") -> None:
    async with Client(url, cse_id=cse_id, originator="Cmy-device") as client:
        await client.register("Nmy-app", "my-device")
        await client.create_container("-/my-device", "data", reuse=True, mni=1000)
        await client.create_container("-/my-device", "command", reuse=True, mni=10)
        period_s = 1.0

        async def obey() -> None:
            nonlocal period_s
            commands = await client.subscribe("-/my-device/command", name="me", replace=True)
            async for command in commands:
                print("told:", command.resource["con"])
                period_s = 0.1 if command.resource["con"] == "faster" else 1.0

        obeying = asyncio.create_task(obey())
        try:
            while not obeying.done():
                await client.post("-/my-device/data", f"{random.gauss(20, 1):.2f}")
                await asyncio.sleep(period_s)
        finally:
            obeying.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
