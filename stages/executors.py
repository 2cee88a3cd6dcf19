"""Runs one function over many blocks, in their order: in this process, in one a core, or on a Dask cluster.

Where a block runs changes no byte of what comes out.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

Function = Callable[[Any], Any]
_MOST_ENDED_IN_A_ROW = 5
_ENDLESS = (
    f"more than {_MOST_ENDED_IN_A_ROW} worker processes ended one after another: it is not the pictures (out of memory?); "
    "set machine.workers to 1 to decode in the stage's own process, and see what it says"
)


def in_order(
    function: Function, blocks: Iterable[Any], machine: Any, apart: Callable[[Any], list], given_up: Function
) -> Iterator[Any]:
    """function(block) of each block. A block that ends its worker is taken `apart`; the part that does it is `given_up`.

    `machine`: the section of that name: workers (0: one a core, 1: this process), prepare.executor, prepare.address.
    """
    if machine.prepare.executor == "dask":
        return _on_dask(function, blocks, machine.prepare.address)
    workers = machine.workers or os.cpu_count() or 1
    return map(function, blocks) if workers == 1 else _Local(function, workers, apart, given_up).run(blocks)


def _on_dask(function: Function, blocks: Iterable[Any], address: str) -> Iterator[Any]:
    """A worker that dies is replaced by another: Dask runs its blocks again."""
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("machine.prepare.executor is dask, which is not installed: pip install 'ganline[dask]'") from None
    try:
        client = Client(address, timeout=5)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"machine.prepare.address is {address}, where no Dask scheduler answers ({error}); start one (dask scheduler), "
            "or set machine.prepare.executor to local"
        ) from None
    with client:
        width = 2 * max(1, sum(client.nthreads().values())) + 2
        yield from _window(lambda block: client.submit(function, block, pure=False, retries=3), blocks, width, lambda job: job.result())


def _window(submit: Function, blocks: Iterable[Any], width: int, result: Function) -> Iterator[Any]:
    """A few blocks ahead, so that memory stays flat."""
    waiting: collections.deque = collections.deque()
    for block in blocks:
        waiting.append(submit(block))
        if len(waiting) >= width:
            yield result(waiting.popleft())
    while waiting:
        yield result(waiting.popleft())


class _Local:
    """Worker processes of this machine, which end with this one however that ends."""

    def __init__(self, function: Function, workers: int, apart: Callable[[Any], list], given_up: Function):
        self.function, self.workers, self.apart, self.given_up = function, workers, apart, given_up

    def run(self, blocks: Iterable[Any]) -> Iterator[Any]:
        self.pool = _pool(self.workers)
        self.waiting: collections.deque = collections.deque()
        try:
            for block in blocks:
                self.waiting.append((block, self.pool.submit(self.function, block)))
                if len(self.waiting) >= 2 * self.workers + 2:
                    yield from self._oldest()
            while self.waiting:
                yield from self._oldest()
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def _oldest(self) -> Iterator[Any]:
        block, job = self.waiting.popleft()
        try:
            yield job.result()
        except BrokenProcessPool:  # by this block or by one beside it
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = _pool(self.workers)
            yield from self._one_by_one(block)
            self.waiting = collections.deque((one, self.pool.submit(self.function, one)) for one, _ in self.waiting)

    def _one_by_one(self, block: Any) -> Iterator[Any]:
        alone, ended_in_a_row = _pool(1), 0
        try:
            for part in self.apart(block):
                try:
                    yield alone.submit(self.function, part).result()
                    ended_in_a_row = 0
                except BrokenProcessPool:
                    if (ended_in_a_row := ended_in_a_row + 1) > _MOST_ENDED_IN_A_ROW:
                        raise ValueError(_ENDLESS) from None
                    yield self.given_up(part)
                    alone.shutdown()
                    alone = _pool(1)
        finally:
            alone.shutdown()


def _pool(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker)


def _begin_worker() -> None:
    """A worker waits for work without looking whether anybody is left to give it some."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Workers started inside inherit one thread of arithmetic each: as many as cores are there already."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
