"""Limits of time in tests: there to end what hangs, and kept by a machine that is many times as busy as the one they were set on.

GANLINE_PATIENCE says how many times as long as an idle machine this one may take; the load of its cores comes on top.
"""

import os
import time

TIMES = float(os.environ.get("GANLINE_PATIENCE", 4))


def patient(idle_s: float) -> float:
    """The limit here and now, in seconds, of what takes up to `idle_s` on an idle machine."""
    return idle_s * TIMES * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(condition, seconds: float = 60, what: str = "it") -> object:
    """What the condition gives, as soon as that is true; it may take `seconds` on an idle machine."""
    began_s = time.monotonic()
    while (waited_s := time.monotonic() - began_s) < patient(seconds):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen in {waited_s:.0f} s")
