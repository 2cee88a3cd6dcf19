"""What tests have done by worker processes, which import it by name from here; some of it ends its process, as a decoder's bug would."""

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


def square(number: int) -> int:
    return number**2


def square_or_end(number: int) -> int:
    return os._exit(1) if number == 17 else square(number)


def given_up(number: int) -> int:
    """In the place of what ended its process."""
    return -number
