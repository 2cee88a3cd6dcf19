"""`gan schedule`: the flow every so often, by a Prefect server of this checkout (or the one PREFECT_API_URL names)."""

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

from . import checkout, server
from .errors import Failure, Mistake
from .processes import tethered

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SHORTEST = timedelta(seconds=5)
DEPLOYMENT = "schedule"
GRACE_S = 30  # for a run in its middle to end its stage and its tracking run


def interval(every: str) -> timedelta:
    """"6h" -> six hours."""
    match = re.fullmatch(r"(\d+)\s*([smhd])", every.strip())
    if match is None:
        raise Mistake(f"--every {every!r} is no interval; write a number and s, m, h or d, as in 30s, 15m, 6h")
    found = timedelta(**{UNITS[match[2]]: int(match[1])})
    if found < SHORTEST:
        raise Mistake(f"--every {every!r} is shorter than Prefect's own step; {SHORTEST.seconds}s is the shortest")
    return found


def serve(every: str, port: int | None) -> None:
    """Serve until Ctrl-C or SIGTERM; then the server and a run in its middle end too."""
    step = interval(every)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    checkout.set_up_prefect()
    command = [sys.executable, "-m", f"{__package__}.runner", str(step.total_seconds())]
    with checkout.lock(checkout.SCHEDULE_LOCK), _api(port) as url:
        os.environ["PREFECT_API_URL"] = url
        with tethered(command, checkout.environment(), grace_s=GRACE_S) as runner:
            print(f"every {every}: {url.removesuffix('/api')}   (Ctrl-C ends it)", flush=True)
            code = runner.wait()
        raise Failure(f"the runner of the schedule ended by itself with code {code}; try: gan doctor")


@contextlib.contextmanager
def _api(port: int | None) -> Iterator[str]:
    """The address of the server to use: the one PREFECT_API_URL names, else one that lasts as long as this command."""
    if "PREFECT_API_URL" in os.environ:
        yield os.environ["PREFECT_API_URL"]
        return
    with server.launched(server.port(port)) as own:
        own.wait()
        with server.announced(own.url):
            yield own.url


def runs_put_in(url: str, timeout_s: float) -> int:
    """Give a server a deployment that is due every hour; how many runs its scheduler has put in by the time it has any."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import IntervalSchedule

    due_hourly = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)), active=True)
    with SyncPrefectClient(url) as client:
        client.create_deployment(client.create_flow_from_name("trial"), name="trial", schedules=[due_hourly])
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if runs := client.read_flow_runs():
                return len(runs)
            time.sleep(0.5)
    return 0
