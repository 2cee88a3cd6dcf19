"""Runs a command that cannot outlive its starter: python -I tether.py COMMAND...

The starter holds the other end of this process's standard input and never writes to it. When the starter goes, however it
goes (kill -9 too), the pipe closes, and the whole process group is ended: the command, and what the command started.
To be started in a new session, so that the group is its own.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 3.0  # between SIGTERM and SIGKILL
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_group_when_starter_goes() -> None:
    """Blocks until standard input closes; then SIGTERM, a little time, SIGKILL to everyone here, this process too."""
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """The command's exit code; 128 + signal number if a signal ended it."""
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # the group is told to end; this one waits for the command
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def die_with_tether() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_tether)
    threading.Thread(target=end_group_when_starter_goes, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
