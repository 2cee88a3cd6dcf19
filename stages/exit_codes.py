"""How a stage ends: with a sentence and an exit code that says whose turn it is, and a traceback only where we are wrong."""

import socket
import sys
import traceback
import urllib.error
from collections.abc import Callable

from gan import addresses, disk, proxies
from stages import params
from stages.tracking import store

PASSES = 75  # exit code of what may pass by itself: EX_TEMPFAIL of sysexits.h


def of_process(main: Callable[[], None]) -> int:
    """The exit code of `python -m stages.<stage>`: of the stage, where no word stands behind that; else help or a refusal."""
    if not sys.argv[1:]:
        return exit_code(main)
    from stages import command_line  # not for those that run: Typer takes 0.1 s of a core

    return command_line.refuse_words(sys.modules[main.__module__], sys.argv[1:])


def exit_code(main: Callable[[], None]) -> int:
    """Run a stage; the exit code: 2 with the door's sentences, 1 with the sentence of what a user can mend, 75 where a network
    or a server was away, so that the same command may succeed later.

    A sentence is what our own code raised on purpose, or the operating system's (disk full, no permission); anything
    else is a defect and keeps its traceback.
    """
    addresses.hide_in_tracebacks()
    proxies.spare_local()
    try:
        main()
    except params.Refused as refusal:
        print(refusal, file=sys.stderr)
        return 2
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        end.code = addresses.redacted(end.code)
        if not _may_pass(end):
            raise
        print(end.code, file=sys.stderr)
        return PASSES
    except Exception as error:
        last_line = traceback.extract_tb(error.__traceback__)[-1].line or ""
        raised_by_us = isinstance(error, ValueError | LookupError) and last_line.startswith("raise ")
        if not (isinstance(error, OSError) or raised_by_us):
            raise
        print(addresses.redacted(f"error: {disk.in_words(error) if disk.is_full(error) else error}"), file=sys.stderr)
        return PASSES if _may_pass(error) else 1
    return 0


def _may_pass(error: BaseException | None) -> bool:
    """Whether it came of a network or a server that did not answer, never of what was asked of it."""
    while error is not None:
        reason = error.reason if isinstance(error, urllib.error.URLError) else None
        inner = reason if isinstance(reason, OSError) else error
        status = getattr(error, "code" if isinstance(error, urllib.error.HTTPError) else "status", None)  # aiohttp calls it so
        if isinstance(status, int):
            return status in store.MAY_PASS or status >= 500
        if isinstance(inner, store.Unusable):
            return False
        if isinstance(inner, store.Unreachable | ConnectionError | TimeoutError | socket.gaierror):
            return True
        if isinstance(inner, OSError) and inner.errno in store.AWAY:
            return True
        error = error.__cause__ or error.__context__
    return False
