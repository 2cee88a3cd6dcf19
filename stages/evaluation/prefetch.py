"""An iterator that works ahead in a thread: images are made while the features of those before them are taken."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_DEPTH = 8  # items made ahead at most
_END = object()


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in the same order. What the thread raises is raised here; where this is closed early, the thread ends."""
    waiting: queue.Queue = queue.Queue(_DEPTH)
    wanted = threading.Event()
    wanted.set()

    def put(item: object) -> bool:
        while wanted.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_END)
        except BaseException as error:  # whatever it is, it is the caller's
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        wanted.clear()
        thread.join()
