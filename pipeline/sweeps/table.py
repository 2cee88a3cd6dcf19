"""A sweep to look at: its table, while it goes and after, and what its scores allow to say about the best trial."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..params.settings import spelled
from ..plan import time_in_words
from .sweep import Sweep
from .trial import FINISHED, RUNNING, Trial

LINE_S = 30  # between two lines about a trial where there is no terminal
COLOURS = {"running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red"}


def ranked(sweep: Sweep) -> list[Trial]:
    """The finished trials that have the sweep's score under its commonest protocol, best first."""
    scored = [trial for trial in sweep.trials if trial.status == FINISHED and sweep.metric in trial.scores]
    protocols = [trial.protocol for trial in scored]
    common = max(protocols, key=protocols.count, default=None)
    return sorted((trial for trial in scored if trial.protocol == common), key=lambda trial: trial.scores[sweep.metric]["mean"])


def other_protocols(sweep: Sweep) -> int:
    """How many finished trials were scored by another protocol than those that are ranked."""
    return sum(trial.status == FINISHED and sweep.metric in trial.scores for trial in sweep.trials) - len(ranked(sweep))


def not_told_apart(sweep: Sweep) -> list[Trial]:
    """Trials that may be as good as the best: their intervals overlap its own. Without intervals none is surely worse."""
    best, *others = ranked(sweep)
    high = best.scores[sweep.metric].get("high", float("inf"))
    return [trial for trial in others if trial.scores[sweep.metric].get("low", float("-inf")) <= high]


def verdict(sweep: Sweep) -> list[str]:
    """What may be said about the best trial, in sentences."""
    trials = ranked(sweep)
    if not trials:
        return [f"no trial has a score {sweep.metric} yet"]
    best = trials[0]
    said = [f"best: {best.name}, {sweep.metric} {figures(best, sweep.metric)} ({best.words()})"]
    if alike := not_told_apart(sweep):
        said.append(f"not told apart from it, their intervals overlap: {', '.join(trial.name for trial in alike)}")
    elif len(trials) > 1:
        said.append("better than every other by more than noise: no interval reaches its own")
    if others := other_protocols(sweep):
        said.append(f"not ranked with these: {others} scored by another protocol (gan compare {sweep.name})")
    return [*said, f"apply it: gan sweep apply best {sweep.name}     compare: gan compare {sweep.name}"]


def figures(trial: Trial, metric: str) -> str:
    """2.48 [1.5, 3.46]"""
    score = trial.scores.get(metric)
    if score is None:
        return ""
    interval = f" [{score['low']:.4g}, {score['high']:.4g}]" if {"low", "high"} <= score.keys() else ""
    return f"{score['mean']:.4g}{interval}"


def table(sweep: Sweep):
    """A row a trial; finished ones first by their score, then in their order."""
    from rich.table import Table

    order = ranked(sweep)
    keys = list(sweep.trials[0].point)
    drawn = Table(title=f"{sweep.name}: {' '.join(sweep.words)}, {sweep.search}", title_justify="left")
    for heading in ("trial", *(_short(key, keys) for key in keys), "status", "kimg", "quick score", sweep.metric, "took"):
        left = heading in ("trial", "status")
        drawn.add_column(heading, justify="left" if left else "right", no_wrap=left or heading == sweep.metric)
    for trial in [*order, *(trial for trial in sweep.trials if trial not in order)]:
        drawn.add_row(
            *_cells(trial, sweep.metric),
            style="bold" if order and trial is order[0] else COLOURS.get(trial.status) if trial.status == RUNNING else None,
        )
    return drawn


def _short(key: str, keys: list[str]) -> str:
    """The last parts of a key, as many as tell it from the others."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        tail = ".".join(parts[-count:])
        if sum(other == tail or other.endswith(f".{tail}") for other in keys) == 1 and count > (parts[-1] in ("name", "path")):
            return tail
    return key


def _cells(trial: Trial, metric: str) -> list[str]:
    kimg, best = (f"{max(trial.history) / 1000:g}", f"{min(trial.history.values()):.4g}") if trial.history else ("", "")
    values = [spelled(value) for value in trial.point.values()]
    took = time_in_words(trial.took_s) if trial.took_s else ""
    colour = COLOURS.get(trial.status)
    status = f"[{colour}]{trial.status}[/]" if colour else trial.status
    return [trial.name, *values, status, kimg, best, figures(trial, metric), took]


def print_table(sweep: Sweep) -> None:
    from rich.console import Console

    console = Console()
    console.print(table(sweep))
    for trial in sweep.trials:
        if trial.why:
            console.print(f"{trial.name} {trial.status}: {trial.why}", highlight=False, markup=False)
    for sentence in verdict(sweep):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def live() -> Iterator[tuple[Callable[[Sweep], None], Callable[[str], None]]]:
    """(show the sweep as it is now, say a sentence): a table that is rewritten on a terminal, lines elsewhere."""
    if not sys.stdout.isatty():
        yield _Lines().show, lambda sentence: print(sentence, flush=True)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as shown:
        yield (
            lambda sweep: shown.update(table(sweep), refresh=True),
            lambda sentence: console.print(sentence, markup=False, highlight=False),
        )


class _Lines:
    """A line about a trial when it has a new quick score, but not too often."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[int, float]] = {}  # trial -> images seen, and when

    def show(self, sweep: Sweep) -> None:
        now_s = time.monotonic()
        for trial in sweep.trials:
            nimg = max(trial.history, default=0)
            before = self.said.get(trial.name, (0, 0.0))
            if trial.status == RUNNING and nimg > before[0] and now_s - before[1] >= LINE_S:
                self.said[trial.name] = nimg, now_s
                print(f"{trial.name} {nimg / 1000:g} kimg, quick score {trial.history[nimg]:.4g}", flush=True)
