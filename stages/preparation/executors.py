"""Runs one function over many blocks, in their order: in this process, in one a core, or on a Dask cluster.

Where a block runs changes no byte of what comes out.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Function = Callable[[Any], Any]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MOST_ENDED_IN_A_ROW = 5
_ENDLESS = (
    f"more than {_MOST_ENDED_IN_A_ROW} worker processes ended one after another: it is not the pictures (out of memory?); "
    "set machine.workers to 1 to decode in the stage's own process, and see what it says"
)


class Workers(concurrent.futures.ProcessPoolExecutor):
    """Processes that are started at once and make themselves ready."""

    def __init__(self, count: int, ready: Callable[[], object] = int):
        super().__init__(count, multiprocessing.get_context("spawn"), _begin_worker, (ready,))
        for _ in range(count):
            self.submit(int)  # starts a process, as long as none is idle

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[T]:
        with _lean():
            return super().submit(function, *args, **kwargs)


@contextmanager
def _lean() -> Iterator[None]:
    """A process started inside has one thread of arithmetic, since there are as many processes as cores; and it does not
    import the module that `python -m` was given, of which it needs nothing."""
    main, before = sys.modules["__main__"], {name: os.environ.get(name) for name in _THREADS}
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def started(machine: Any, ready: Callable[[], None]) -> Iterator[Workers | None]:
    """Worker processes for `in_order`, which make themselves `ready` while this process does something else; None if there
    are to be none. `machine` as there, or None where it is not known."""
    workers = _count(machine) if machine and machine.prepare.executor == "local" else 1
    if workers == 1:
        yield None
        return
    pool = Workers(workers, ready)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_order(
    function: Function, blocks: Iterable[Any], machine: Any, apart: Callable[[Any], list], given_up: Function,
    pool: Workers | None = None,
) -> Iterator[Any]:  # fmt: skip
    """function(block) of each block. A block that ends its worker is taken `apart`; the part that does it is `given_up`.

    `machine`: the section of that name: workers (0: one a core, 1: this process), prepare.executor, prepare.address.
    `pool`: what `started` gave.
    """
    if machine.prepare.executor == "dask":
        return _on_dask(function, blocks, machine.prepare.address)
    workers = _count(machine)
    return map(function, blocks) if workers == 1 else _Local(function, workers, apart, given_up).run(blocks, pool)


def _count(machine: Any) -> int:
    return machine.workers or os.cpu_count() or 1


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

    def run(self, blocks: Iterable[Any], pool: Workers | None) -> Iterator[Any]:
        self.pool = pool or Workers(self.workers)
        self.waiting: collections.deque = collections.deque()
        try:
            for block in blocks:
                self.waiting.append((block, self._submit(block)))
                if len(self.waiting) >= 2 * self.workers + 2:
                    yield from self._oldest()
            while self.waiting:
                yield from self._oldest()
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, block: Any) -> concurrent.futures.Future:
        try:
            return self.pool.submit(self.function, block)
        except BrokenProcessPool as error:  # by a block before it: found out when its turn comes
            job: concurrent.futures.Future[Any] = concurrent.futures.Future()
            job.set_exception(error)
            return job

    def _oldest(self) -> Iterator[Any]:
        block, job = self.waiting.popleft()
        try:
            yield job.result()
        except BrokenProcessPool:  # by this block or by one beside it
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = Workers(self.workers)
            yield from self._one_by_one(block)
            self.waiting = collections.deque((one, self._submit(one)) for one, _ in self.waiting)

    def _one_by_one(self, block: Any) -> Iterator[Any]:
        alone, ended_in_a_row = Workers(1), 0
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
                    alone = Workers(1)
        finally:
            alone.shutdown()


def _begin_worker(ready: Callable[[], object]) -> None:
    """A worker waits for work without looking whether anybody is left to give it some."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ready()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    os._exit(1)
