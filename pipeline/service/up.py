"""`gan up` and `gan down`: the servers of this checkout and its runner, apart from any terminal (supervisor.py)."""

import os
import signal
import subprocess
import sys
import time
import urllib.parse

import psutil

from .. import checkout
from ..engines import server, tracking
from ..engines.known import LOGS, STATE, TITLES, lines, supervised
from ..errors import Busy, Failure
from ..processes import GRACE_S
from . import deployment, watch
from .supervisor import GIVES_UP_AFTER, RUNNER_GRACE_S

MLFLOW_PORT = 5000
START_TIMEOUT_S = 300
END_TIMEOUT_S = RUNNER_GRACE_S + 2 * GRACE_S + 10
LEFT_ALONE_S = 5  # more than the tether's own grace
SERVICES = tuple(TITLES)


def up(port: int | None, mlflow_port: int | None) -> None:
    """Start what does not run, wait until all of it answers, say where."""
    if supervised():
        _wait(None)
        print("they run already")
    else:
        if holder := checkout.holder(checkout.SERVERS_LOCK):
            raise Busy(f"refused: {holder} has a Prefect server of this checkout; end it first")
        before = checkout.recall(STATE)
        _end_what_is_left(before)
        _wait(_detached(_ports(port, mlflow_port, before)))
    for line in [*lines(), *(f"schedule {line}" for line in schedule())]:
        print(line)
    print("end them: gan down")


def _ports(port: int | None, mlflow_port: int | None, before: dict) -> list[str]:
    """For the servers that are wanted here; where they ended without `gan down`, those they had, unless somebody else has them now."""
    ports = []
    if "PREFECT_API_URL" not in os.environ:
        ports.append(f"prefect={server.port(port, _port_of(before, 'prefect') or server.USUAL_PORT)}")
    if not tracking.is_served():
        ports.append(f"mlflow={server.port(mlflow_port, _port_of(before, 'mlflow') or MLFLOW_PORT, '--mlflow-port')}")
    return ports


def _port_of(state: dict, name: str) -> int | None:
    return urllib.parse.urlsplit((state.get(name) or {}).get("url") or "").port


def _detached(ports: list[str]) -> subprocess.Popen:
    """The supervisor, in a session of its own: it outlives this command and its terminal."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / "supervisor.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.supervisor", *ports], env=checkout.environment(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _wait(supervisor: subprocess.Popen | None) -> None:
    """Until everything answers; Failure where the supervisor that was just started ends before, or it takes too long."""
    began_s = time.monotonic()
    while not _all_ready():
        if supervisor is not None and supervisor.poll() is not None and not supervised():
            raise Failure(f"the servers ended as they started; see {LOGS}/supervisor.log, and try: gan doctor")
        for name, known in checkout.recall(STATE).items():
            if not known.get("ready", True) and known["deaths"] >= GIVES_UP_AFTER:
                raise Failure(f"{TITLES[name]} ends as it starts; see {LOGS / name}.log, and try: gan doctor (gan down first)")
        if (took_s := time.monotonic() - began_s) > server.patient(START_TIMEOUT_S):
            raise Failure(f"the servers gave no answer in {took_s:.0f} s; see {LOGS}/, and try: gan doctor")
        time.sleep(0.1)


def _all_ready() -> bool:
    state = checkout.recall(STATE)
    return supervised() and all(state[name]["ready"] for name in SERVICES if name in state)


def schedule() -> list[str]:
    """When the flow runs by itself, as the server that runs says; [] if it never does, or no server does."""
    found = server.running()
    return [*deployment.in_words(found), *watch.in_words()] if found else []


def down() -> None:
    """End what `gan up` started, and nothing else."""
    state = checkout.recall(STATE)
    if not supervised():
        if holder := checkout.holder(checkout.SERVERS_LOCK):
            raise Busy(f"{holder} is not of gan up; end it where it runs")
        left = _end_what_is_left()
        print(f"ended {', '.join(left)}, whose supervisor was gone" if left else "nothing of gan up runs here")
        return
    supervisor = psutil.Process(state["supervisor"]["pid"])
    _refuse_while_a_run_needs_them(supervisor)
    supervisor.terminate()
    if not _gone(supervisor, END_TIMEOUT_S):
        supervisor.kill()  # what hangs on it ends with it
    _end_what_is_left(state)
    print("\n".join(f"ended {TITLES[name]:<8} {state[name]['url'] or ''}".rstrip() for name in SERVICES if name in state))


def _refuse_while_a_run_needs_them(supervisor: psutil.Process) -> None:
    """A run of the runner ends with it, and goes on from there; one that a person started would lose its server."""
    pid = checkout.holders_pid()
    if pid is not None and pid not in {process.pid for process in supervisor.children(recursive=True)}:
        raise Busy(f"refused: {checkout.holder()} uses the Prefect server; wait for it, or end it first")


def _gone(process: psutil.Process, timeout_s: float) -> bool:
    """Whether it has ended by then; nobody may be there to reap it."""
    deadline_s = time.monotonic() + timeout_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.1)
    return True


def _end_what_is_left(state: dict | None = None) -> list[str]:
    """Servers whose supervisor was killed end by themselves within seconds; names of those that did not, and do now."""
    state = checkout.recall(STATE) if state is None else state
    deadline_s = time.monotonic() + LEFT_ALONE_S
    while (left := [name for name in SERVICES if _is(state.get(name) or {})]) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    for name in left:
        os.killpg(state[name]["pid"], signal.SIGKILL)
    STATE.unlink(missing_ok=True)
    return [TITLES[name] for name in left]


def _is(known: dict) -> bool:
    """Whether the very process that was known so still lives."""
    try:
        process = psutil.Process(known.get("pid") or 0)
        return process.create_time() == known["started_s"] and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError):
        return False
