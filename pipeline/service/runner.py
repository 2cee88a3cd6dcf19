"""Runs the flow when a run of it is due: python -m pipeline.service.runner, a process of `gan up` and `gan schedule`.

It stands in a process group with the runs that it starts, so that they end with it.
"""

import asyncio
import warnings
from collections.abc import Awaitable, Callable

from prefect._internal import observers
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.runner import Runner, _scheduled_run_poller
from prefect.states import Completed

from ..engines import zombies
from ..retraining import rules
from . import deployment

QUERY_S = 5  # between two questions whether a run is due


async def patiently(workload: Callable[[], Awaitable], interval: float, **_: object) -> None:
    """In place of Prefect's own loop, which gives up at the third failure in a row and leaves a process that does nothing:
    a server that comes back finds its runner asking, and a run in its middle goes on meanwhile."""
    while True:
        try:
            await workload()
        except Exception as error:
            print(f"no answer of the Prefect server ({type(error).__name__}: {error}); asking again in {interval:.0f} s", flush=True)
        await asyncio.sleep(interval)


def serve() -> None:
    """The deployment as it is, with the schedule that the server keeps of it; a run at a time."""
    _scheduled_run_poller.critical_service_loop = patiently  # type: ignore[attr-defined, assignment]  # imported there by name
    observers.critical_service_loop = patiently  # type: ignore[attr-defined, assignment]  # likewise; neither takes one as a parameter
    runner = Runner(name=deployment.NAME, pause_on_shutdown=False, limit=1, query_seconds=QUERY_S)
    runner.add_deployment(deployment.made())
    asyncio.run(runner.start())


def skip_late() -> None:
    """Runs that were due while nothing ran here, longer ago than their schedule allows: without a process for each."""
    waiting = FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}})
    own = DeploymentFilter.model_validate({"name": {"any_": [deployment.NAME]}})
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=waiting, deployment_filter=own):
            if late := rules.lateness(run.expected_start_time, run.parameters.get("late_limit_s")):
                client.set_flow_run_state(run.id, Completed(name="Skipped", message=late), force=True)


if __name__ == "__main__":
    # Prefect 3.8's own SIGTERM handler calls its async stop without awaiting it: nothing is lost, this process ends.
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
    zombies.end("the next runner", deployed=True)  # those of the one before hung on it
    skip_late()
    serve()
