"""Serves the flow at an interval: python -m pipeline.runner SECONDS, a process of `gan schedule`.

It stands in a process group with the runs that it starts, so that they end with it.
"""

import sys
import warnings
from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.flows import EntrypointType
from prefect.states import Crashed

from . import checkout
from .flow import pipeline
from .schedule import DEPLOYMENT


def serve(step: timedelta) -> None:
    """One run at a time; one that is due while another goes is dropped, and so are all but one after a downtime."""
    pipeline.serve(
        name=DEPLOYMENT,
        interval=step,
        limit=1,
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        pause_on_shutdown=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
        print_starting_message=False,
    )


def end_zombies() -> None:
    """Runs whose process was killed stay "Running" on a server of one's own, and hold the place of the next."""
    going = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    own = DeploymentFilter.model_validate({"name": {"any_": [DEPLOYMENT]}})
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=going, deployment_filter=own):
            if checkout.holder() is None:
                client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)


if __name__ == "__main__":
    # Prefect 3.8's own SIGTERM handler calls its async stop without awaiting it: nothing is lost, this process ends.
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
    end_zombies()
    serve(timedelta(seconds=float(sys.argv[1])))
