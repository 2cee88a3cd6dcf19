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
from .errors import Mistake

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SHORTEST = timedelta(seconds=5)
DEPLOYMENT = "schedule"


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
    with checkout.lock(checkout.SCHEDULE_LOCK), _api(port) as url:
        os.environ["PREFECT_API_URL"] = url
        _end_zombies()
        print(f"every {every}: {url.removesuffix('/api')}   (Ctrl-C ends it)", flush=True)
        _serve(step)


@contextlib.contextmanager
def _api(port: int | None) -> Iterator[str]:
    """The address of the server to use: the one PREFECT_API_URL names, else one that lasts as long as this command."""
    if "PREFECT_API_URL" in os.environ:
        yield os.environ["PREFECT_API_URL"]
        return
    with server.launched(server.port(port)) as own, server.announced(own.url):
        own.wait()
        yield own.url


def _serve(step: timedelta) -> None:
    """One run at a time; one that is due while another goes is dropped, and so are all but one after a downtime."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.flows import EntrypointType

    from .flow import pipeline

    pipeline.serve(
        name=DEPLOYMENT,
        interval=step,
        limit=1,
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        pause_on_shutdown=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
        print_starting_message=False,
    )


def _end_zombies() -> None:
    """Runs whose process was killed stay "Running" on a server of one's own, and hold the place of the next."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.states import Crashed

    going = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    own = DeploymentFilter.model_validate({"name": {"any_": [DEPLOYMENT]}})
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=going, deployment_filter=own):
            if checkout.holder() is None:
                client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)


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
