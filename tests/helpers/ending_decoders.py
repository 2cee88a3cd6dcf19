"""Decoders that end their process, as a bug in one would; in a module of their own, since workers import them by name."""

import os
import signal

from stages.preparation import decoding


def crash(job: decoding.Job, block) -> decoding.Decoded:
    """Decodes; one name ends the process."""
    if "007" in "".join(block.names):
        os.kill(os.getpid(), signal.SIGKILL)
    return decoding.decode(job, block)


def end(job: decoding.Job, block) -> decoding.Decoded:
    os.kill(os.getpid(), signal.SIGKILL)
