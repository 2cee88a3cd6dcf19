"""`gan sweep`: many trials of one search, each a DVC experiment and an MLflow run under the sweep's own.

What is known of a sweep lies in work/sweeps/NAME.json, written whole after every change: killed, the same command goes on. All
trials are of the checkout as it was when the sweep began, whatever is edited meanwhile.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from .. import checkout
from ..checkout import environment, recall, remember
from ..engines import workspace
from ..errors import Mistake
from ..params import choosing, door, recipe, settings
from ..processes import answer
from . import pruning, space
from .trial import FAILED, RUNNING, STOPPED, TRAIN, WAITING, Attempt, Trial

FOLDER = checkout.WORK / "sweeps"
LOOK_S = 0.5  # between two looks at the trials
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
# A quick score depends on these: where a search changes them, no trial is judged by another's.
MEASURES = ("fetch.", "prepare.", "reference.", "train.quick.")
TELL_TIMEOUT_S = 120


@dataclass
class Sweep:
    """A search: its words, what it began with, its trials."""

    name: str
    words: list[str]
    search: str
    seed: int
    early_stop: bool
    began: str
    experiment: str  # MLflow's, which is the registered model's name
    metric: str  # of the gate, by which trials are ranked
    state: workspace.State
    trials: list[Trial]

    @property
    def session(self) -> str:
        """What its MLflow run is found by (stages/tracking/parent.py)."""
        return f"sweep:{self.name}@{self.began}"

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def save(self) -> None:
        content = {**vars(self), "state": asdict(self.state), "trials": [trial.content() for trial in self.trials]}
        remember(FOLDER / f"{self.name}.json", content)

    def extend(self, trials: int | None) -> None:
        """As many trials as asked for: those of a longer search begin with those of a shorter one."""
        wanted = space.points(space.parse(self.words), self.search, trials, self.seed)
        for number in range(len(self.trials), len(wanted)):
            self.trials.append(Trial(f"{self.name}-{number + 1:02d}", wanted[number]))

    def may_stop_early(self) -> bool:
        return self.early_stop and not any(key.startswith(MEASURES) for key in self.trials[0].point)


def read(name: str) -> Sweep:
    """The sweep of that name; Mistake lists those that there are."""
    content = recall(FOLDER / f"{name}.json")
    if not content:
        raise Mistake(f"there is no sweep {name!r}; there are: {', '.join(names()) or 'none yet'}")
    keys = [word.partition("=")[0] for word in content["words"]]  # JSON sorts them
    trials = [Trial.read(one | {"point": {key: one["point"][key] for key in keys}}) for one in content["trials"]]
    return Sweep(**content | {"state": workspace.State(**content["state"]), "trials": trials})


def names() -> list[str]:
    """The sweeps there are, oldest first."""
    return [path.stem for path in sorted(FOLDER.glob("*.json"), key=lambda path: recall(path).get("began", ""))]


def newest() -> Sweep:
    known = names()
    if not known:
        raise Mistake("there is no sweep yet; begin one: gan sweep train.loss.name=hinge,relativistic")
    return read(known[-1])


def open_or_begin(
    words: list[str],
    name: str | None,
    trials: int | None,
    search: str | None,
    seed: int,
    early_stop: bool,
    say: Callable[[str], None],
) -> Sweep:
    """The sweep of this command that is not finished, or a new one. Mistake before anything runs: a word, a key, a value."""
    axes = space.parse(words)
    search = space.search_of(axes, search, trials)
    settings = {"words": words, "search": search, "seed": seed}
    for known in map(read, reversed(names())):
        if (known.name == name or name is None) and {key: getattr(known, key) for key in settings} == settings:
            before = len(known.trials)
            known.extend(trials)
            changed = workspace.changed_since(known.state)
            if any(trial.status in (WAITING, RUNNING) for trial in known.trials[:before]) or not changed:
                if changed:
                    say(f"{known.name} is of the checkout as it was when it began; changed since: {', '.join(changed[:5])}")
                _check(known.trials[before:], workspace.text_of(known.state, door.PARAMS))
                known.early_stop = early_stop
                return known
    return _begun(axes, settings, _new_name(name), trials, early_stop, say)


def _new_name(name: str | None) -> str:
    """The given one, if it is free, or sweep-N."""
    taken = set(names()) | {
        ref.rpartition("/")[2].rpartition("-")[0] for ref in workspace.git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    }
    if name is None:
        return next(f"sweep-{number}" for number in range(1, len(taken) + 2) if f"sweep-{number}" not in taken)
    if not NAME.fullmatch(name):
        raise Mistake(f"--name {name!r} is none for a DVC experiment; write small letters, digits and hyphens")
    if name in taken:
        raise Mistake(f"--name {name}: there is another sweep, or experiments, of that name; choose another")
    return name


def _begun(axes: list, search: dict, name: str, trials: int | None, early_stop: bool, say: Callable[[str], None]) -> Sweep:
    text = recipe.params_text() or ""
    points = space.points(axes, search["search"], trials, search["seed"])
    planned = [Trial(f"{name}-{number:02d}", point) for number, point in enumerate(points, start=1)]
    _check(planned, text)
    state, left_out = workspace.keep_files(name)
    if left_out:
        say(f"not in the trials, since neither git nor DVC knows them: {', '.join(left_out[:5])}")
    return Sweep(
        name=name, **search, early_stop=early_stop, began=datetime.now().astimezone().isoformat(timespec="seconds"),
        experiment=str(settings.get(text, "register.name") or "ganline"),
        metric=str(settings.get(text, "register.gate.metric") or "fid"), state=state, trials=planned,
    )  # fmt: skip


def _check(trials: list[Trial], text: str) -> None:
    """Write out what the trials' points mean; Mistake holds the door's sentences about every trial's params, each once."""
    for trial, meant in zip(trials, choosing.also_meant(text, [trial.settings() for trial in trials]), strict=True):
        trial.meant = meant
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for trial in trials:
            files.append(Path(folder) / f"{trial.name}.yaml")
            files[-1].write_text(trial.params(text), "utf-8")
        door.check_all(files)


def run(sweep: Sweep, parallel: int, show: Callable[[Sweep], None], say: Callable[[str], None]) -> None:
    """All trials that are not finished, `parallel` at a time. `show` is called whenever something may have changed."""
    if sweep.early_stop and not sweep.may_stop_early():
        say("no trial is stopped early: the search changes what the quick score is measured by")
    sweep.save()
    tell_run(sweep, params=_params(sweep), tags={"best": "not known yet"}, status="RUNNING")
    attempts: list[Attempt] = []
    try:
        while attempts or any(trial.status == WAITING for trial in sweep.trials):
            _settle(sweep, attempts, say)
            _stop_hopeless(sweep, attempts, say)
            _start(sweep, attempts, parallel, say)
            show(sweep)
            time.sleep(LOOK_S)
    except BaseException:
        _interrupt(sweep, attempts)
        raise


def _start(sweep: Sweep, attempts: list[Attempt], parallel: int, say: Callable[[str], None]) -> None:
    """The next trial, if one may begin now.

    One at a time is in the stages before the training, so that the next finds their results in DVC's cache instead of making
    them again; and two that train the same generator would write the same state, so the second waits and finds it cached too.
    """
    if len(attempts) >= parallel or not all(attempt.trains_or_trained() for attempt in attempts):
        return
    going = [attempt.trial.training() for attempt in attempts]
    trial = next((one for one in sweep.trials if one.status == WAITING and one.training() not in going), None)
    if trial is None:
        return
    trial.status = RUNNING
    sweep.save()
    attempts.append(Attempt(trial, sweep.folder, sweep.state, sweep.session))
    say(f"{trial.name} begins: {trial.words()}")


def _settle(sweep: Sweep, attempts: list[Attempt], say: Callable[[str], None]) -> None:
    """Read what the trials wrote, and put away those that have ended."""
    for attempt in list(attempts):
        ended = attempt.process.poll() is not None
        if attempt.look():
            sweep.save()
        if not ended:
            continue
        if attempt.trial.status != STOPPED:
            attempt.settle()
        attempt.close()
        attempts.remove(attempt)
        sweep.save()
        say(f"{attempt.trial.name} {attempt.trial.status}{_result(sweep, attempt.trial)}")


def _result(sweep: Sweep, trial: Trial) -> str:
    score = trial.scores.get(sweep.metric)
    return f": {trial.why}" if trial.why else f": {sweep.metric} {score['mean']:.4g}" if score else ""


def _stop_hopeless(sweep: Sweep, attempts: list[Attempt], say: Callable[[str], None]) -> None:
    """End trainings by the median rule. Theirs leaves with an exit code, so DVC never records a shortened out."""
    if not sweep.may_stop_early():
        return
    for attempt in attempts:
        trial = attempt.trial
        others = [other.history for other in sweep.trials if other is not trial and other.history]
        reason = pruning.judge(trial.history, others, attempt.total_nimg)
        if reason is None or trial.status == STOPPED or attempt.stage() != TRAIN:
            continue
        trial.status, trial.why = STOPPED, str(reason)
        sweep.save()
        _tag(attempt, {"stopped": trial.why})  # before its run ends with its process
        attempt.ask_to_end(signal.SIGTERM)


def _interrupt(sweep: Sweep, attempts: list[Attempt]) -> None:
    """All trials end at once, each with the time to save its state, and wait for the same command."""
    for attempt in attempts:
        attempt.ask_to_end(signal.SIGTERM)
    for attempt in attempts:
        attempt.close()
    for trial in sweep.trials:
        if trial.status == RUNNING:  # one that was just beginning is no attempt yet
            trial.status = WAITING
            workspace.remove(sweep.folder / trial.name)
    sweep.save()
    tell_run(sweep, status="KILLED")


def wait_again(sweep: Sweep, retry: bool) -> None:
    """Trials that ran when this sweep was killed; `retry`: failed and stopped ones too."""
    for trial in sweep.trials:
        if trial.status == RUNNING or (retry and trial.status in (FAILED, STOPPED)):
            trial.status, trial.why = WAITING, None


def _params(sweep: Sweep) -> dict[str, str]:
    axes = dict(word.split("=", 1) for word in sweep.words)
    return axes | {"search": sweep.search, "search_seed": str(sweep.seed), "early_stop": str(sweep.early_stop).lower()}


def tell_run(sweep: Sweep, **words: object) -> None:
    """Say something of the sweep's own MLflow run: params, tags, metrics, status. An outage there stops no trial."""
    command = ["--session", sweep.session, "--experiment", sweep.experiment, "--name", sweep.name]
    _say_to_mlflow(["open", *command], words)


def _tag(attempt: Attempt, tags: dict[str, str]) -> None:
    journal = attempt.journal()
    if journal is not None:
        _say_to_mlflow(["note", "--folder", str(journal.parent)], {"tags": tags})


def _say_to_mlflow(arguments: list[str], words: dict) -> None:
    command = [sys.executable, "-m", "stages.tracking.parent", *arguments, "--words", json.dumps(words)]
    try:
        result = answer(command, environment(), timeout_s=TELL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return
    for line in result.stderr.splitlines():
        print(line, file=sys.stderr)


def trial_of(sweep: Sweep, called: str) -> Trial:
    """A trial by its number or name."""
    for number, trial in enumerate(sweep.trials, start=1):
        if called == trial.name or (called.isdecimal() and int(called) == number):
            return trial
    raise Mistake(f"{sweep.name} has no trial {called!r}; it has 1 to {len(sweep.trials)}")
