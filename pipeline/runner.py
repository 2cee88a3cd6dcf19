"""Runs the flow when a run of it is due: python -m pipeline.runner, a process of `gan up` and `gan schedule`.

It stands in a process group with the runs that it starts, so that they end with it.
"""

import asyncio
import warnings

from prefect.runner import Runner

from . import deployment, zombies

QUERY_S = 5  # between two questions whether a run is due


def serve() -> None:
    """The deployment as it is, with the schedule that the server keeps of it; a run at a time."""
    runner = Runner(name=deployment.NAME, pause_on_shutdown=False, limit=1, query_seconds=QUERY_S)
    runner.add_deployment(deployment.made())
    asyncio.run(runner.start())


if __name__ == "__main__":
    # Prefect 3.8's own SIGTERM handler calls its async stop without awaiting it: nothing is lost, this process ends.
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
    zombies.end("the next runner", deployed=True)  # those of the one before hung on it
    serve()
