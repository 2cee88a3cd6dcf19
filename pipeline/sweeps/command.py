"""What `gan sweep` does with its words: run a search, show one, apply a trial."""

from dataclasses import dataclass

from .. import checkout
from ..engines import dvc, workspace
from ..errors import Failure, Mistake
from ..params import recipe, settings
from ..processes import stream
from . import sweep, table
from .sweep import Sweep
from .trial import FAILED, FINISHED, WAITING

BEST = "best"


@dataclass(frozen=True)
class Options:
    """Those of `gan sweep`, as they were typed."""

    trials: int | None
    parallel: int
    search: str | None
    seed: int
    name: str | None
    resume: str | None
    early_stop: bool
    retry: bool


def run(words: list[str], options: Options) -> int:
    """The exit code: 1 where a trial failed."""
    checkout.enter()
    if words[:1] == ["show"]:
        _only(words, 2, "gan sweep show [NAME]")
        table.print_table(_named(words[1:]))
        return 0
    if words[:1] == ["apply"]:
        _only(words, 3, "gan sweep apply best|TRIAL [NAME]")
        return _apply(words[1] if len(words) > 1 else BEST, words[2:])
    with checkout.lock():
        return _run(words, options)


def _only(words: list[str], most: int, usage: str) -> None:
    if len(words) > most:
        raise Mistake(f"{' '.join(words[most:])!r} is too much; write {usage}")


def _named(words: list[str]) -> Sweep:
    return sweep.read(words[0]) if words else sweep.newest()


def _run(words: list[str], options: Options) -> int:
    with table.live() as (show, say):
        begun = _found(words, options, say)
        sweep.wait_again(begun, options.retry)
        if any(trial.status == WAITING for trial in begun.trials):
            say(f"{begun.name}: {len(begun.trials)} trials, {begun.search} search; interrupted, the same command goes on")
            sweep.run(begun, options.parallel, show, say)
        else:
            say(f"{begun.name} is finished; more trials: --trials N, failed and stopped ones again: --retry")
        _tell_end(begun)
    table.print_table(begun)
    return int(any(trial.status == FAILED for trial in begun.trials))


def _found(words: list[str], options: Options, say) -> Sweep:
    if options.resume is None:
        if not words:
            raise Mistake("nothing to search; write what to try, as in: gan sweep train.loss.name=hinge,relativistic")
        return sweep.open_or_begin(words, options.name, options.trials, options.search, options.seed, options.early_stop, say)
    if words:
        raise Mistake(f"--resume {options.resume} goes on with its own search; leave {' '.join(words)!r} out")
    begun = sweep.read(options.resume)
    begun.extend(options.trials)
    return begun


def _tell_end(begun: Sweep) -> None:
    """The best trial and its scores, on the sweep's own MLflow run."""
    ranked = table.ranked(begun)
    if not ranked:
        sweep.tell_run(begun, status="FAILED")
        return
    best = ranked[0]
    scores = {f"best/{name}/{key}": score[key] for name, score in best.scores.items() for key in ("mean", "low", "high") if key in score}
    values = {f"best.{key}": settings.spelled(value) for key, value in best.point.items()}
    alike = ", ".join(trial.name for trial in table.not_told_apart(begun)) or "none"
    tags = {"best": best.name, "best.not_told_apart_from": alike, "protocol.hash": best.protocol or "unknown", **values}
    sweep.tell_run(begun, tags=tags, metrics=scores, status="FINISHED")


def _apply(called: str, words: list[str]) -> int:
    """Put a finished trial's params and results into the checkout: `dvc exp apply`, which then needs only to register."""
    named = _named(words)
    if called.lower() == BEST:
        ranked = table.ranked(named)
        if not ranked:
            raise Mistake(f"{named.name} has no finished trial with a score {named.metric} yet; see: gan sweep show {named.name}")
        if others := table.other_protocols(named):
            raise Mistake(
                f"{others} of the trials of {named.name} were scored by another protocol, so none is the best of all; "
                f"compare them (gan compare {named.name}) and name one: gan sweep apply TRIAL {named.name}"
            )
        trial = ranked[0]
    else:
        trial = sweep.trial_of(named, called)
    if trial.status != FINISHED:
        raise Mistake(f"{trial.name} is {trial.status}, not finished: it has no results; see: gan sweep show {named.name}")
    if workspace.experiment(trial.name) is None:
        raise Failure(f"the DVC experiment {trial.name} is gone (dvc exp list -A); its params again: gan run {_settings(trial)}")
    with checkout.lock():
        if changed := workspace.changed_since(named.state, trial.name):
            raise Mistake(
                f"changed since {named.name} began, and dvc exp apply would put back: {', '.join(changed[:5])}. "
                f"Only the params of {trial.name}, on the files of now: gan run {_settings(trial)}"
            )
        replaceable = recipe.loses_nothing()
        code, _ = stream([*dvc.DVC, "exp", "apply", trial.name], workspace.environment(), lambda line: None, dvc.CHATTER)
    if code != 0:
        raise Failure(f"dvc exp apply {trial.name} failed; its own words stand above")
    if replaceable:
        recipe.remember_as_own()
    if called.lower() == BEST and (alike := table.not_told_apart(named)):
        print(f"mind: its interval overlaps those of {', '.join(one.name for one in alike)}: it cannot be called better than they")
    print(f"{trial.name} is applied: {trial.words()}; gan run registers it as no experiment does: the gate may make it champion")
    return 0


def _settings(trial) -> str:
    return " ".join(f"--set '{one}'" for one in trial.settings())
