"""Looks for new data and asks for a run when they have come: `gan watch`, and a process of `gan up` after --on-data.

A look costs names, sizes and times of files; only where those changed, and then lay still for machine.watch.quiet, DVC is
asked, which hashes what it has not hashed yet. The run is asked for by the client, not by an automation: so it is known
whether the server took it, and one that met another run is asked for again. The event is emitted beside it, for the page.
"""

import hashlib
import os
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from .. import checkout, plan
from ..checkout import WORK, recall, remember
from ..engines import dvc, server
from ..errors import Busy, Failure, Mistake
from ..params import machine
from ..retraining import incoming
from . import deployment

STATE = WORK / "watch.json"  # whether it is wanted, and what data were trained on last
LOCK = WORK / "watch.lock"
EVENT = "ganline.data.changed"
SHARE = 10  # times what a look at the files takes lie between two of them
GIVEN_WAY = ("Skipped", "Cancelled: Deployment concurrency limit reached.")  # ends of a run that met another


@dataclass(frozen=True)
class Listing:
    """What a look at a file or folder gives: nothing is read, and a million files take no memory."""

    files: int = 0
    bytes: int = 0
    digest: int = 0  # sum of the hashes of name, size and time, so that the order does not matter


def listing(path: str) -> Listing:
    """Of a file, or of everything below a folder; nothing of one that is not there."""
    files, size, digest = 0, 0, 0
    for name, file in _below(Path(path)):
        entry = f"{name}\0{file.st_size}\0{file.st_mtime_ns}".encode(errors="surrogateescape")
        files, size = files + 1, size + file.st_size
        digest += int.from_bytes(hashlib.blake2b(entry, digest_size=8).digest())
    return Listing(files, size, digest % 2**64)


def _below(path: Path):
    waiting = [str(path)]
    if path.is_file():
        yield path.name, path.stat()
        return
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        waiting.append(entry.path)
                    else:
                        yield entry.path, entry.stat()
        except OSError:  # gone between two looks
            continue


def in_words_of(path: str, before: Listing | None, now: Listing) -> str:
    """What is new, as far as a listing tells."""
    if before is None:
        return f"{path}: {now.files} files, seen for the first time"
    more = now.files - before.files
    counts = f"{more:+d} files" if more else "as many files"
    size = f"{(now.bytes - before.bytes) / 1e6:+.1f} MB" if now.bytes != before.bytes else "others"
    return f"{path}: {counts}, {size}"


def want(wanted: bool) -> None:
    """`gan schedule --on-data` and `--off`."""
    remember(STATE, recall(STATE) | {"wanted": wanted})


def is_wanted() -> bool:
    return recall(STATE).get("wanted") is True


def in_words() -> list[str]:
    """A line for `gan schedule`, if it is wanted."""
    return [f"on new data in {', '.join(check())}"] if is_wanted() else []


def check() -> list[str]:
    """What there is to watch; Mistake if nothing is."""
    watched = [*dvc.inputs(), *(str(one.file) for one in incoming.tracked() if one.imported)]
    if not watched:
        way_out = "name a folder of your own: gan run --set prepare.source.path=…"
        raise Mistake(f"there is nothing to watch: all data are made by stages; {way_out}")
    return watched


def watch() -> None:
    """Until it is ended."""
    api = server.running()
    if api is None:
        raise Mistake("no Prefect server runs that could be asked for a run: gan up")
    checkout.set_up_prefect()
    os.environ["PREFECT_API_URL"] = api
    with checkout.lock(LOCK):
        print_dated(f"watching {', '.join(check())}")
        watcher = Watcher(api)
        while True:
            try:
                watcher.look()
            except Exception as error:  # a server that restarts, a dvc that is busy: looked at again
                if not isinstance(error, Failure):
                    print_dated(f"{type(error).__name__}: {error}")
                elif not isinstance(error, Busy):
                    print_dated(str(error))
            time.sleep(max(machine.watch_s("every"), SHARE * watcher.took_s))


def print_dated(sentence: str) -> None:
    print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {sentence}", flush=True)


@dataclass
class Watcher:
    """What is known between two looks."""

    api: str
    seen: dict[str, Listing] = field(default_factory=dict)  # that a run has dealt with
    latest: dict[str, Listing] = field(default_factory=dict)
    since_s: float = 0.0  # when the latest began to lie still
    asked: tuple[str, dict[str, Listing]] | None = None  # the run that goes, and what it was asked for
    took_s: float = 0.0  # the last look at the files
    remote_due_s: float = 0.0
    remote_said: str = ""

    def __post_init__(self) -> None:
        self.seen = {path: Listing(**one) for path, one in recall(STATE).get("seen", {}).items()}

    def look(self) -> None:
        """At the files, or at the run that was asked for because of them."""
        if self.asked is not None:
            self._follow(*self.asked)
            return
        started_s = time.monotonic()
        now = {path: listing(path) for path in dvc.inputs() if "://" not in path}
        self.took_s = time.monotonic() - started_s
        if now != self.latest:
            self.latest, self.since_s = now, time.monotonic()
        changed = [path for path in now if now[path] != self.seen.get(path)]
        if changed and time.monotonic() - self.since_s >= machine.watch_s("quiet"):
            self._ask_dvc(now, "; ".join(in_words_of(path, self.seen.get(path), now[path]) for path in changed))
        elif not changed and time.monotonic() >= self.remote_due_s:
            self._look_elsewhere(now)

    def _ask_dvc(self, now: dict[str, Listing], words: str) -> None:
        """A run for what is new by content, too; none while another goes, or the deployment is paused."""
        if checkout.holder() or (deployment.known_deployment(self.api) or {"paused": True})["paused"]:
            return
        if plan.find(print_dated):
            self._start(now, words)
        else:
            print_dated(f"{words}: nothing is stale")
            self._settle(now)

    def _look_elsewhere(self, now: dict[str, Listing]) -> None:
        """Whether data at a URL or in another repository have changed; DVC asks there."""
        self.remote_due_s = time.monotonic() + machine.watch_s("remote_every")
        if not any("://" in path for path in dvc.inputs()) and not any(one.imported for one in incoming.tracked()):
            return
        found = dvc.status().items()
        news = "; ".join(f"{stage}: {sentence}" for stage, changes in found for sentence in plan.in_words(changes))
        if news and news != self.remote_said:
            self._start(now, news)
        self.remote_said = news

    def _start(self, now: dict[str, Listing], words: str) -> None:
        run = deployment.start("data", words)
        print_dated(f"{words}: asked for run {run}")
        self.asked = str(run), now
        _emit(run, words)

    def _follow(self, run: str, what: dict[str, Listing]) -> None:
        """Once the run has ended: done with, or to be asked for again where it gave way to another."""
        end = deployment.end_of(self.api, run)
        if end is None:
            return
        self.asked = None
        print_dated(f"run {run} ended: {end}")
        if not end.startswith(GIVEN_WAY):
            self._settle(what)

    def _settle(self, what: dict[str, Listing]) -> None:
        self.seen = what
        remember(STATE, recall(STATE) | {"seen": {path: asdict(one) for path, one in what.items()}})


def _emit(run, words: str) -> None:
    from prefect.events import emit_event

    emit_event(
        EVENT,
        resource={"prefect.resource.id": "ganline.data", "prefect.resource.name": "the data of this project"},
        related=[{"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}],
        payload={"reason": words},
    )
