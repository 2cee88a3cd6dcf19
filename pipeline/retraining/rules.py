"""When a run that nobody started by hand trains, and why: late ones are skipped, small drifts wait, an old champion is said.

The same inputs make the same bytes, so age alone is no reason to train: it lets new data through that drifted too little
otherwise, and where nothing is new it is said, once for each champion.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..checkout import WORK, recall, remember
from ..engines import tracking
from ..errors import Failure
from ..params import machine
from ..plan import time_in_words
from . import drift

SAID = WORK / "age.json"


@dataclass(frozen=True)
class Cause:
    """Why a run is there."""

    trigger: str = "hand"  # hand, schedule, data; drift and age where those decided
    reason: str = ""

    def overruled(self, trigger: str, reason: str) -> "Cause":
        return Cause(trigger, f"{reason}; looked at by {self.trigger}{f', {self.reason}' if self.reason else ''}")


@dataclass(frozen=True)
class Verdict:
    """Whether to train on data that are new, and the sentence why."""

    trains: bool
    cause: Cause
    sentence: str = ""


def lateness(due: datetime | None, limit_s: float | None) -> str | None:
    """A sentence if a run is too late to start now."""
    if due is None or limit_s is None:
        return None
    late = datetime.now(UTC) - due
    if late <= timedelta(seconds=limit_s):
        return None
    words = f"{time_in_words(late.total_seconds())} late, more than the limit of {time_in_words(limit_s)}"
    return f"skipped: due at {due.astimezone():%Y-%m-%d %H:%M %Z}, {words} (gan schedule --late-limit)"


def verdict(cause: Cause, session: str) -> Verdict:
    """About a run where nothing but data is new. Without machine.retrain.max_drift it trains."""
    most = machine.max_drift()
    if most is None:
        return Verdict(True, cause)
    answer = drift.ask(session)
    if not answer.get("comparable"):
        return Verdict(True, cause, f"trained on without asking how far they drifted: {answer['sentence']}")
    if answer["ratio"] > most:
        over = f"{answer['sentence']}, over machine.retrain.max_drift {most:g}"
        return Verdict(True, cause.overruled("drift", over), over)
    if old := too_old():
        return Verdict(True, cause.overruled("age", old), old)
    return Verdict(False, cause, f"not trained: {answer['sentence']}, not over machine.retrain.max_drift {most:g}")


def too_old() -> str | None:
    """A sentence if the champion is older than machine.retrain.max_age_days."""
    most, name = machine.max_age_days(), machine.model_name()
    if most is None or name is None:
        return None
    try:
        champion = tracking.champion(name)
    except Failure:
        return None
    if champion is None:
        return None
    age = datetime.now(UTC) - champion.made
    if age <= timedelta(days=most):
        return None
    days = age / timedelta(days=1)
    return f"champion {name} version {champion.version} is {days:.1f} days old, over machine.retrain.max_age_days {most:g}"


def news_of_age(sentence: str) -> bool:
    """Whether it was not said before of this champion."""
    subject = sentence.partition(" is ")[0]
    if recall(SAID).get("said") == subject:
        return False
    remember(SAID, {"said": subject})
    return True
