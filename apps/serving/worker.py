"""One thread that computes, and a short queue before it: images are made one request at a time, by the card's threads."""

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Work = Callable[[threading.Event], T]  # looks now and then whether it is abandoned, and ends early then


class Busy(Exception):
    """The queue is full."""


class TooSlow(Exception):
    """The answer did not come in time."""


class Worker:
    """Computes what is handed to it, in order, in a thread that the process does not wait for when it ends."""

    def __init__(self, *, most_waiting: int, timeout_s: float):
        self.timeout_s = timeout_s
        self._waiting: queue.Queue = queue.Queue(maxsize=most_waiting)
        threading.Thread(target=self._compute, name="worker", daemon=True).start()

    async def run(self, work: Work[T]) -> T:
        """What `work` returns; Busy at once where too many wait, TooSlow after `timeout_s`, waiting included."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        abandoned = threading.Event()
        try:
            self._waiting.put_nowait((future, work, abandoned))
        except queue.Full:
            raise Busy from None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.timeout_s)
        except TimeoutError:
            raise TooSlow from None
        finally:
            abandoned.set()

    def _compute(self) -> None:
        while True:
            future, work, abandoned = self._waiting.get()
            if abandoned.is_set() or not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work(abandoned))
            except Exception as error:
                future.set_exception(error)
