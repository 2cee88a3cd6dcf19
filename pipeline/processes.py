"""Runs commands as processes: output streamed as it comes, and no process left behind however this one ends."""

import codecs
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gan import addresses

TETHER = Path(__file__).with_name("tether.py")
GRACE_S = 12.0  # between SIGTERM and SIGKILL: a training saves its state within 10
TAIL_CHARACTERS = 20_000
READ_BYTES = 65_536
MAX_READS_AFTER_THE_END = 64  # more than a pipe holds
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def leave_when_told() -> None:
    """SIGTERM, and SIGHUP of a terminal that closes, end this process as Ctrl-C does: every `finally` runs. nohup holds."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


def answer(command: list[str], env: dict[str, str], timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end and keep what it says."""
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s)


@contextmanager
def tethered(command: list[str], env: dict[str, str], grace_s: float = GRACE_S, **options) -> Iterator[subprocess.Popen]:
    """A command in a process group of its own, which ends with the `with` block, or with this process."""
    process = subprocess.Popen(
        [sys.executable, "-I", str(TETHER), *command], env=env, stdin=subprocess.PIPE, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        end_group(process, grace_s)


def end_group(process: subprocess.Popen, grace_s: float) -> None:
    """SIGTERM to the whole group, SIGKILL to whatever of it is left after the grace."""
    deadline_s = time.monotonic() + grace_s
    signal_group(process, signal.SIGTERM)
    while group_is_alive(process) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    signal_group(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def signal_group(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        pass


def group_is_alive(process: subprocess.Popen) -> bool:
    """Whether any process of the group still runs; reaps the leader."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def stream(
    command: list[str],
    env: dict[str, str],
    line: Callable[[str], None],
    chatter: re.Pattern[str],
    timeout_s: float | None = None,
) -> tuple[int, str]:
    """Run a command; its output goes to the terminal as it comes and to `line` line by line. Exit code and last output.

    TimeoutError after `timeout_s`: its group has been told to end, and was given the time to save what it has.

    A progress bar (text rewritten after a carriage return) reaches `line` in its last form only, without colours.
    Whole lines that match `chatter` go nowhere.
    """
    lines = Lines(line, chatter)
    with tethered(command, env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for text in _output(process, timeout_s):
            lines.feed(text)
        code = process.wait()
    lines.close()
    return code, lines.tail


def _output(process: subprocess.Popen, timeout_s: float | None) -> Iterator[str]:
    """Text as it comes, until the process ends: a grandchild that keeps the pipe open does not hold this up."""
    assert process.stdout is not None, "started with a pipe"
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    reads_after_the_end = 0
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while reads_after_the_end < MAX_READS_AFTER_THE_END:
            ended = process.poll() is not None
            reads_after_the_end += ended
            if time.monotonic() > deadline_s and not ended:
                raise TimeoutError
            if selector.select(timeout=0 if ended else 0.2):
                data = os.read(process.stdout.fileno(), READ_BYTES)
                if not data:
                    return
                yield decoder.decode(data)
            elif ended:
                return


class Lines:
    """Cuts streamed text into lines for terminal and log, and keeps the last of it."""

    def __init__(self, line: Callable[[str], None], chatter: re.Pattern[str]):
        self.line, self.chatter = line, chatter
        self.rest = self.tail = ""
        self.shown = 0  # characters of `rest` that the terminal has already

    def feed(self, text: str) -> None:
        self.tail = (self.tail + text)[-TAIL_CHARACTERS:]
        *whole, rest = (self.rest + text).split("\n")
        for one in whole:
            self._end(addresses.redacted(one) + "\n")
        self.rest = rest
        if "\r" in rest:  # a progress bar: it is rewritten before its line ends
            self._show(rest)

    def close(self) -> None:
        if self.rest:
            self._end(self.rest)
        self.rest = ""

    def _end(self, line: str) -> None:
        last_form = COLOUR.sub("", line).rstrip().rpartition("\r")[2]
        if self.shown or not self.chatter.fullmatch(last_form):
            self._show(line)
        if not self.chatter.fullmatch(last_form):
            self.line(last_form)
        self.shown = 0

    def _show(self, text: str) -> None:
        sys.stdout.write(text[self.shown :])
        sys.stdout.flush()
        self.shown = len(text)
