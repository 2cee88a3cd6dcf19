"""`gan run`: what changed, and only that, from raw images to a registered generator."""

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from gan import addresses

from .. import checkout, plan
from ..engines import dvc, remote, server
from ..errors import Failure
from ..news import summary
from ..params import door, recipe
from . import relocation

UNUSED = ("SCHEDULER", "LATE_RUNS", "CANCELLATION_CLEANUP", "FOREMAN", "PAUSE_EXPIRATIONS", "TRIGGERS", "REPOSSESSOR", "CLEANUP_RECONCILER")
BRIEF = {  # of a server for one run of the flow: no page, no schedule
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in UNUSED},
}


def print_aside(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def run(recipe_name: str | None, settings: list[str]) -> None:
    """Edit params.yaml if asked, check it, and run what is stale through Prefect; without that, say "nothing changed"."""
    checkout.enter()
    with checkout.lock():
        recipe.apply(recipe_name, settings)
        door.check()
        remote.check()
        relocation.mend(print_aside)
        stale = dvc.patiently(lambda: plan.find(print_aside), print_aside)
        if not stale:
            print("nothing changed")
            return
        _run(stale)
        summary.show()


def _run(stale: plan.Stale) -> None:
    """Through the Prefect server that runs already, else through one that lasts as long as this run."""
    print_aside(f"stages to run: {', '.join(stale.reasons)}, and what depends on them")
    checkout.set_up_prefect()
    url = server.running()
    if url is not None:
        if not server.answers(url):  # then it is the one that the environment names
            raise Failure(
                f"the Prefect server that PREFECT_API_URL names, {url}, does not answer; start it, or unset PREFECT_API_URL: "
                "gan run then starts one of its own"
            )
        _flow(url)(stale)
        return
    own = _until_exit(server.launched(server.any_free_port(), settings=BRIEF))
    flow = _flow(own.url)  # the import takes as long as half the server's start
    dvc.graph()  # which the flow will want; the server goes on starting meanwhile
    own.wait()
    flow(stale)


def _until_exit(resource: AbstractContextManager[server.Server]) -> server.Server:
    """Keep it till this process exits. Called before Prefect is imported, so it ends after Prefect has sent its last words."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(resource)


def _flow(url: str) -> Callable[[plan.Stale], None]:
    """The flow, imported when Prefect's settings are made. A server that dies meanwhile costs its record, and nothing else."""
    os.environ["PREFECT_API_URL"] = url
    import httpx

    from ..engines import zombies
    from ..flow import pipeline

    def run(stale: plan.Stale) -> None:
        zombies.end("the next gan run", deployed=False)
        try:
            pipeline(stale.reasons, stale.forced)
        except httpx.TransportError as error:
            _leave(addresses.redacted(f"the Prefect server {url} went away ({error})"))

    return run


def _leave(reason: str) -> None:
    """End at once: Prefect would try for minutes to tell a server that is gone. Exit code 0 if all that was stale has run."""
    left = plan.find(print_aside)
    if left:
        print_aside(f"gan: {reason} before {', '.join(left.reasons)} ran; the same command goes on from there")
    else:
        print_aside(f"{reason}; all stages ran, only its page does not know it")
        summary.show()
    sys.stdout.flush()
    os._exit(1 if left else 0)
