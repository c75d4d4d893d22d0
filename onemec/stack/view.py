"""The live view."""

import asyncio
from onemec.stack.observe import Observer
from onemec.stack.parts import StackConfig
from onemec.stack.supervisor import Supervisor


class View:
    def __init__(self, config: StackConfig, supervisor: Supervisor, observer: Observer) -> None:
        pass

    async def show(self, stop: asyncio.Event) -> None:
        await stop.wait()
