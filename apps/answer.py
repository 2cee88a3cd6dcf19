"""How the apps answer on the command line: what was asked wrongly is a sentence and exit code 2, never a traceback."""

import contextlib
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from gan import addresses, disk
from stages.registry import models
from stages.tracking import session, store

if TYPE_CHECKING:
    from mlflow import MlflowClient


ENDED = {130: "interrupted", 143: "told to end (SIGTERM)", 129: "its terminal closed (SIGHUP)"}  # by exit code


class Told(BaseException):
    """To end, by the signal of this number: every `finally` runs."""


def _leave(number: int, frame: object) -> None:
    raise Told(number)


def with_sentences(name: str, main: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run an app; what it refuses goes to standard error as a sentence, and so does that it was ended before its end."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup holds
            signal.signal(number, _leave)
    addresses.hide_in_tracebacks()
    try:
        return main(arguments)
    except (KeyboardInterrupt, Told) as end:
        code = 128 + (end.args[0] if isinstance(end, Told) else signal.SIGINT)
        with contextlib.suppress(OSError):  # its terminal may have gone
            print(f"{name}: {ENDED[code]}; run the same command again", file=sys.stderr, flush=True)
        return code
    except (models.NotFound, store.Refused, store.Unreachable, ValueError, OSError) as error:
        said = disk.in_words(error) if isinstance(error, OSError) and disk.is_full(error) else error
        print(addresses.redacted(f"{name}: {said}"), file=sys.stderr)
        return 2


def share(text: str) -> float:
    """A number above 0, at most 1."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise typer.BadParameter(f"{text} is no number above 0, at most 1")
    return number


def registry() -> tuple[str, "MlflowClient"]:
    """The address of the registry and a client of it; NotFound where nothing was registered yet."""
    return tracking_store("nothing is registered yet")


def tracking_store(nothing: str) -> tuple[str, "MlflowClient"]:
    """The address of the tracking store and a client of it; NotFound says `nothing` where there is none yet."""
    uri = session.tracking_uri()
    database = store.database_of(uri)
    if database and not database.is_file():
        raise models.NotFound(f"{nothing} ({database} is missing): gan run")
    return uri, store.client(uri)
