"""The requests of a binding that are being served: how many, and how a binding that stops ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cse.onem2m.primitives import Request, Response
from cse.ports import Begin, Cancellable, Done, Serve


class UnderWay:
    """Starts requests and knows those that have no answer yet.

    Args:
        serve: executes a request.
        begin: the same without a task; None makes one for each request.
    """

    def __init__(self, serve: Serve, begin: Begin | None = None) -> None:
        self._serve, self._begin = serve, begin
        self._works: dict[int, Cancellable | None] = {}
        self._number = 0
        self._over = asyncio.Event()

    def __len__(self) -> int:
        return len(self._works)

    def start(self, request: Request, done: Done, failed: Callable[[Exception], None]) -> None:
        """Have a request served.

        Args:
            request: decoded.
            done: gets the response, maybe before this returns.
            failed: gets what was raised in its place.
        """
        self._number = number = self._number + 1
        self._works[number] = None

        def answered(response: Response) -> None:
            if self._leave(number):
                done(response)

        if self._begin is None:
            self._works[number] = asyncio.get_running_loop().create_task(self._ask(number, request, done, failed))
            return
        try:
            work = self._begin(request, answered)
        except Exception as error:
            self._leave(number)
            failed(error)
            return
        if number in self._works:
            self._works[number] = work

    async def finish(self, timeout_s: float) -> None:
        """Wait until all are answered; after ``timeout_s`` seconds the others are given up."""
        if self._works:
            self._over.clear()
            try:
                await asyncio.wait_for(self._over.wait(), timeout_s)
            except TimeoutError:
                late = [work for work in self._works.values() if work is not None]
                self._works.clear()
                for work in late:
                    work.cancel()

    async def _ask(self, number: int, request: Request, done: Done, failed: Callable[[Exception], None]) -> None:
        try:
            response = await self._serve(request)
        except Exception as error:
            if self._leave(number):
                failed(error)
        else:
            if self._leave(number):
                done(response)

    def _leave(self, number: int) -> bool:
        """Forget a request; returns whether it was still waited for."""
        known = number in self._works
        if known:
            del self._works[number]
            if not self._works:
                self._over.set()
        return known
