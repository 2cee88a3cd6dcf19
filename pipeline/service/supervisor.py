"""Keeps a checkout's servers and its runner going, and starts again what dies: python -m pipeline.service.supervisor, behind `gan up`.

All of them hang on this process (pipeline/tether.py): whatever ends it, kill -9 too, ends them all. work/servers.json says
what runs, with the numbers of the processes and when they started, so that none is taken for a later one of the same number.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psutil

from .. import checkout
from ..engines import prefect_server, server
from ..engines.known import LOGS, STATE
from ..errors import Failure
from ..processes import GRACE_S, tethered
from . import watch

LOOK_S = 0.5  # between two looks at the processes
LONGEST_REST_S = 60  # before one that keeps dying is started again
GIVES_UP_AFTER = 2  # deaths of one that was never ready, where somebody waits for it
STEADY_S = 120  # that one must live for its earlier deaths to be forgotten
MOST_TRIES = "7"  # of a run to reach a server that is starting again: four minutes
MOST_LOG_BYTES = 10_000_000
RUNNER_GRACE_S = 30  # for a run in its middle to end its stage and its tracking run


@dataclass
class Service:
    """A process to keep going."""

    name: str
    command: list[str]
    env: dict[str, str]
    url: str | None = None  # where it answers, and has its page
    api: str | None = None  # what must answer before it counts as ready
    after: "Service | None" = None  # which must be ready before this one starts
    wanted: Callable[[], bool] = lambda: True
    grace_s: float = GRACE_S
    ready: bool = False
    deaths: int = 0
    process: subprocess.Popen | None = None
    _hold: ExitStack = field(default_factory=ExitStack)
    _started_s: float = 0.0
    _due_s: float = 0.0

    def look_after(self) -> None:
        """Start it if it is due, see whether it answers, clear up when it has died, end it where it is wanted no more."""
        if not self.wanted():
            self.end()
        elif self.process is None:
            if time.monotonic() >= self._due_s and (self.after is None or self.after.ready):
                self._start()
        elif self.process.poll() is not None:
            self._bury(self.process.returncode)
        elif not self.ready:
            self.ready = self.api is None or (self._listens(self.process) and server.is_healthy(self.api))

    def _listens(self, process: subprocess.Popen) -> bool:
        """Whether it is this process that would answer: somebody else may have taken the port since it was found free."""
        port = urllib.parse.urlsplit(self.api).port
        try:
            own = [leader := psutil.Process(process.pid), *leader.children(recursive=True)]
            sockets = [one for each in own for one in each.net_connections("tcp")]
            return any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in sockets)
        except psutil.Error:  # it is just ending
            return False

    def _start(self) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        log = self._hold.enter_context(open(LOGS / f"{self.name}.log", "ab"))
        self.process = self._hold.enter_context(tethered(self.command, self.env, self.grace_s, stdout=log, stderr=log))
        self._started_s = time.monotonic()

    def _bury(self, code: int) -> None:
        lived_s = time.monotonic() - self._started_s
        self.deaths = 1 if lived_s > STEADY_S else self.deaths + 1
        rest_s = min(2 ** (self.deaths - 1), LONGEST_REST_S)
        watch.print_dated(f"{self.name} ended with code {code} after {lived_s:.0f} s; starting it again in {rest_s} s")
        self.end()
        self._due_s = time.monotonic() + rest_s

    def end(self) -> None:
        """Its process, and what that started."""
        self._hold.close()
        self.process, self.ready = None, False

    def as_known(self) -> dict:
        """For work/servers.json."""
        known = {"url": self.url, "ready": self.ready, "deaths": self.deaths}
        return known | (identity(self.process.pid) if self.process else {})


def identity(pid: int) -> dict:
    """What tells a process from a later one of the same number."""
    try:
        return {"pid": pid, "started_s": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "started_s": 0.0}


def prefect(port: int) -> Service:
    url = server.api(port)
    return Service("prefect", server.command(port), server.prepared() | server.of_page(port), url=url.removesuffix("/api"), api=url)


def mlflow(port: int) -> Service:
    url = f"http://{prefect_server.HOST}:{port}"
    command = [sys.executable, "-m", "pipeline.engines.tracking", str(port)]
    return Service("mlflow", command, checkout.environment(), url=url, api=url)


def runner(api: str, after: Service | None) -> Service:
    """The process that runs the flow when a run is due; it ends with the runs that it started."""
    env = checkout.environment() | {"PREFECT_API_URL": api, "PREFECT_CLIENT_MAX_RETRIES": MOST_TRIES}
    return Service("runner", [sys.executable, "-m", f"{__package__}.runner"], env, after=after, grace_s=RUNNER_GRACE_S)


def watcher(api: str, after: Service | None) -> Service:
    """The process that asks for a run when new data have come."""
    env = checkout.environment() | {"PREFECT_API_URL": api}
    return Service("watch", [sys.executable, "-m", "pipeline", "watch"], env, after=after, wanted=watch.is_wanted)


@contextmanager
def kept(services: list[Service]) -> Iterator[None]:
    """They end with the block, the last one first: a run in its middle can still say how it ended."""
    try:
        yield
    finally:
        with ExitStack() as stack:
            stack.callback(STATE.unlink, missing_ok=True)
            for service in services:
                stack.callback(service.end)


def wait_for(service: Service, services: list[Service], **also: dict) -> None:
    """Until it answers; Failure if it keeps dying instead."""
    while not service.ready:
        look_after(services, **also)
        if service.deaths >= GIVES_UP_AFTER:
            raise Failure(f"{service.name} ends as it starts; see {LOGS / service.name}.log, and try: gan doctor")
        time.sleep(LOOK_S / 5)


def look_after(services: list[Service], **also: dict) -> None:
    """One look at each of them, and what is known of them (and `also`) written down if that is news."""
    for service in services:
        service.look_after()
    trim_logs()
    known = {service.name: service.as_known() for service in services if service.wanted()} | also
    if known != checkout.recall(STATE):
        checkout.remember(STATE, known)


def trim_logs() -> None:
    """A log that has grown long becomes NAME.log.1, in place of an older one. Emptied where it is, for its writers keep it open."""
    for log in LOGS.glob("*.log"):
        if log.stat().st_size > MOST_LOG_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


def main(ports: dict[str, str]) -> None:
    """Until SIGTERM. `ports`: of prefect and mlflow, where those are wanted here."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    checkout.set_up_prefect()
    with checkout.lock(checkout.SERVERS_LOCK), ExitStack() as stack:
        services = [mlflow(int(ports["mlflow"]))] if "mlflow" in ports else []
        own = prefect(int(ports["prefect"])) if "prefect" in ports else None
        api = (own.api if own else None) or os.environ["PREFECT_API_URL"]
        services += [*([own] if own else []), runner(api, after=own), watcher(api, after=own)]
        stack.enter_context(kept(services))
        watch.print_dated(f"started: {', '.join(service.name for service in services if service.wanted())}")
        me = identity(os.getpid())
        if own:
            wait_for(own, services, supervisor=me)
            stack.enter_context(server.announced(api))
        while True:
            look_after(services, supervisor=me)
            time.sleep(LOOK_S)


if __name__ == "__main__":
    try:
        main(dict(word.split("=") for word in sys.argv[1:]))
    except Failure as failure:
        watch.print_dated(str(failure))
        sys.exit(failure.exit_code)
    finally:
        watch.print_dated("ended")
