"""One hop from the event loop to a worker thread, with an exact outcome when it is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def hop(pool: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    """Run `function` in the pool; a cancellation waits for what has begun and forgets what has not."""
    job = pool.submit(contextvars.copy_context().run, function)
    waiter = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if not job.cancel():
            await _outlast(waiter)
        raise


async def _outlast(waiter: asyncio.Future[T]) -> None:
    """Wait for a job that has begun, however often this task is cancelled meanwhile."""
    while not waiter.done():
        try:
            await asyncio.wait({waiter})
        except asyncio.CancelledError:
            continue  # the first cancellation is raised again by the caller once the outcome stands
    if not waiter.cancelled():
        waiter.exception()  # looked at, so that the loop does not report it as lost
