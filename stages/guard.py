"""A stage ends when the `dvc` that started it is gone: nobody would record what it makes, and the next run would meet it.

DVC leaves its stage running when it is killed. What stands between them (a shell) may be killed alone, too. The kernel's
own signal (PR_SET_PDEATHSIG) would come sooner than the watch, but before this process can end those that help it.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

POLL_S = 0.5
LEAVE_S = 10.0  # that a stage gets to save what it has after it was asked to end

_asked, _saves = threading.Event(), threading.Event()


class Left(BaseException):
    """A stage ended because it was asked to; a sentence says what it saved."""


@contextlib.contextmanager
def saving_when_asked() -> Iterator[Callable[[], bool]]:
    """In between, SIGTERM does not end this process: it makes the function that is handed out true, and the stage leaves."""
    _asked.clear()
    before = signal.signal(signal.SIGTERM, lambda number, frame: _asked.set())
    _saves.set()
    try:
        yield _asked.is_set
    finally:
        _saves.clear()
        signal.signal(signal.SIGTERM, before)


def die_with_dvc() -> None:
    """Call first in a stage's main(). Without a `dvc` above (a stage run by hand) nothing is watched."""
    chain = chain_to_dvc(psutil.Process())
    if chain:
        threading.Thread(target=_watch, args=(chain,), name="die_with_dvc", daemon=True).start()


def chain_to_dvc(process: psutil.Process) -> list[psutil.Process]:
    """The ancestors up to the nearest `dvc`, nearest first; [] if none is one."""
    chain = []
    for ancestor in process.parents():
        chain.append(ancestor)
        if _is_dvc(ancestor):
            return chain
    return []


def _is_dvc(process: psutil.Process) -> bool:
    """`dvc …`, `python …/bin/dvc …` or `python -m dvc …`."""
    try:
        words = process.cmdline()[:3]
    except psutil.Error:
        return False
    return any(Path(word).name == "dvc" for word in words)


def _watch(chain: list[psutil.Process]) -> None:
    while all(map(_lives, chain)) and os.getppid() == chain[0].pid:
        time.sleep(POLL_S)
    if _saves.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
        deadline_s = time.monotonic() + LEAVE_S
        while _saves.is_set() and time.monotonic() < deadline_s:
            time.sleep(POLL_S / 10)
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    os.kill(os.getpid(), signal.SIGKILL)


def _lives(process: psutil.Process) -> bool:
    """Whether it is the same process still (its number may be another's now), and no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
