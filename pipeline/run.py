"""`gan run`: what changed, and only that, from raw images to a registered generator."""

import signal
import sys

from . import checkout, door, plan, recipe, server, summary


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def run(recipe_name: str | None, settings: list[str]) -> None:
    """Edit params.yaml if asked, check it, and run what is stale through Prefect; without that, say "nothing changed"."""
    checkout.enter()
    signal.signal(signal.SIGTERM, _end)
    with checkout.lock():
        recipe.apply(recipe_name, settings)
        door.check()
        stale = plan.find(say)
        if not stale:
            print("nothing changed")
            return
        _run(stale)
        summary.show()


def _run(stale: plan.Stale) -> None:
    """Through the local Prefect server where one runs (`gan schedule`), else through one embedded in this process."""
    say(f"stages to run: {', '.join(stale.reasons)}, and what depends on them")
    checkout.set_up_prefect()
    server.use_if_it_runs()
    from .flow import pipeline

    pipeline(stale.reasons, stale.forced)


def _end(number: int, frame: object) -> None:
    """SIGTERM ends this as Ctrl-C does: every `finally` runs, no process stays."""
    sys.exit(128 + number)
