"""Runs commands as processes: output streamed as it comes, and no process left behind however this one ends."""

import codecs
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

TETHER = Path(__file__).with_name("tether.py")
GRACE_S = 5.0  # between SIGTERM and SIGKILL
TAIL_CHARACTERS = 20_000
READ_BYTES = 65_536
MAX_READS_AFTER_THE_END = 64  # more than a pipe holds
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def answer(command: list[str], env: dict[str, str], timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end and keep what it says."""
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s)


@contextmanager
def tethered(command: list[str], env: dict[str, str], **options) -> Iterator[subprocess.Popen]:
    """A command in a process group of its own, which ends with the `with` block, or with this process."""
    process = subprocess.Popen(
        [sys.executable, "-I", str(TETHER), *command], env=env, stdin=subprocess.PIPE, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen) -> None:
    """SIGTERM to the whole group, SIGKILL to whatever of it is left after GRACE_S."""
    deadline_s = time.monotonic() + GRACE_S
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


def stream(command: list[str], env: dict[str, str], line: Callable[[str], None]) -> tuple[int, str]:
    """Run a command; its output goes to the terminal as it comes and to `line` line by line. Exit code and last output.

    A progress bar (text rewritten after a carriage return) reaches `line` in its last form only, without colours.
    """
    lines = Lines(line)
    with tethered(command, env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for text in _output(process):
            sys.stdout.write(text)
            sys.stdout.flush()
            lines.feed(text)
        code = process.wait()
    lines.close()
    return code, lines.tail


def _output(process: subprocess.Popen) -> Iterator[str]:
    """Text as it comes, until the process ends: a grandchild that keeps the pipe open does not hold this up."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    reads_after_the_end = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while reads_after_the_end < MAX_READS_AFTER_THE_END:
            ended = process.poll() is not None
            reads_after_the_end += ended
            if selector.select(timeout=0 if ended else 0.2):
                data = os.read(process.stdout.fileno(), READ_BYTES)
                if not data:
                    return
                yield decoder.decode(data)
            elif ended:
                return


class Lines:
    """Cuts streamed text into whole lines, and keeps the last of it."""

    def __init__(self, line: Callable[[str], None]):
        self.line, self.rest, self.tail = line, "", ""

    def feed(self, text: str) -> None:
        self.tail = (self.tail + text)[-TAIL_CHARACTERS:]
        *whole, self.rest = (self.rest + text).split("\n")
        for one in whole:
            self._say(one)

    def close(self) -> None:
        self._say(self.rest)
        self.rest = ""

    def _say(self, one: str) -> None:
        last_form = COLOUR.sub("", one).rstrip("\r").rpartition("\r")[2].rstrip()
        if last_form:
            self.line(last_form)
