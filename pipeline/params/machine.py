"""The section `machine` of params.yaml as the pipeline reads it: fresh each time, so that a change needs no restart.

The door (stages/params.py) has checked it. What is not there has the default that stands here.
"""

from ..durations import seconds
from ..engines.dvc import PARAMS, at, read_yaml
from ..errors import Mistake


def section(name: str) -> dict:
    """A part of it; {} if it is not there."""
    found = at(_params(), f"machine.{name}")
    return found if isinstance(found, dict) else {}


def _params() -> dict:
    """{} where the door will say what is wrong with the file."""
    try:
        return read_yaml(PARAMS)
    except Mistake:
        return {}


def longest(stage: str) -> str | None:
    """What a stage may take at most, as it is written there: "24h"."""
    return section("timeouts").get(stage)


def max_drift() -> float | None:
    return section("retrain").get("max_drift")


def max_age_days() -> float | None:
    return section("retrain").get("max_age_days")


def watch_s(key: str) -> int:
    """Seconds of `every`, `quiet` or `remote_every`."""
    return seconds(section("watch").get(key) or {"every": "10s", "quiet": "30s", "remote_every": "15m"}[key])


def notices() -> list[dict]:
    """Whom to tell, each with `url` or `command`, and the events of which."""
    every = ["promoted", "registered", "failed", "drift", "age"]
    written = at(_params(), "machine.notify") or []
    return [{"events": every} | (one if isinstance(one, dict) else {"url": one}) for one in written]


def model_name() -> str | None:
    """What the registered model is called."""
    return at(_params(), "register.name")
