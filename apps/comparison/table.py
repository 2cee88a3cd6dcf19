"""Runs as a pandas table: the params that differ, scores with intervals, what the intervals allow to say of ranks, cost.

A rank is the range of places that a run may have. Its best place is one behind the runs whose intervals lie wholly on the
better side of its own, its worst is one before those wholly on the worse side. So 1 is better than every other by more than
noise, and 1–3 may be the best, but is not told apart from two others at least. Scores of different protocols never meet in
one ranking.
"""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from apps.comparison.runs import Run
from stages.evaluation import score_files

SHOWN = ("fid", "kid", "precision", "recall")  # where there is little room
COST = ("kimg", "train s", "images/s", "peak MB")
LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Group:
    """Runs that one protocol scored, the best first."""

    protocol: str | None
    name: str | None
    metric: str
    table: pd.DataFrame
    runs: list[Run]
    ranks: list[tuple[int, int] | None]  # of `runs`: best and worst place by `metric`
    params: list[str]  # that differ, as columns of the table

    def title(self) -> str:
        if self.protocol is None:
            return "not evaluated"
        return f"protocol {self.name} {self.protocol[:12]}"

    def verdict(self) -> str:
        """What may be said about the best one; of runs without scores, why they have none."""
        if self.protocol is None:
            return "; ".join(f"{self.label(place)}: {run.tags.get('stopped', run.status.lower())}" for place, run in enumerate(self.runs))
        first = [self.label(place) for place, rank in enumerate(self.ranks) if rank and rank[0] == 1]
        if not first:
            return f"no run has a score {self.metric}"
        if len(first) == 1:
            return f"best by {self.metric}: {first[0]}" + (", by more than noise" if sum(map(bool, self.ranks)) > 1 else "")
        return f"best by {self.metric}: {first[0]}; not told apart from it: {', '.join(first[1:])}"

    def label(self, place: int) -> str:
        return str(self.table["run"].iloc[place])


def better(metric: str) -> str:
    """Which is better: lower or higher."""
    said = score_files.says().get(metric.rpartition("/")[2])
    return said.better if said else LOWER


def interval(run: Run, metric: str) -> tuple[float, float] | None:
    """Where the score may lie; anywhere if no interval is known. None without a score."""
    score = run.scores.get(metric)
    if score is None or not math.isfinite(score["mean"]):
        return None
    return score.get("low", -math.inf), score.get("high", math.inf)


def ranks(intervals: list[tuple[float, float] | None], which: str) -> list[tuple[int, int] | None]:
    """Best and worst place of each; None where there is no score."""
    known = [one for one in intervals if one is not None]
    flipped = [(-high, -low) for low, high in known] if which == HIGHER else known
    places = []
    for low, high in flipped:
        surely_better = sum(other[1] < low for other in flipped)
        surely_worse = sum(other[0] > high for other in flipped)
        places.append((1 + surely_better, len(flipped) - surely_worse))
    rest = iter(places)
    return [None if one is None else next(rest) for one in intervals]


def differing(runs: list[Run]) -> list[str]:
    """Params that are not the same in all runs, in the order of params.yaml."""
    keys = list(dict.fromkeys(key for run in runs for key in run.params))
    return [key for key in keys if len({run.params.get(key) for run in runs}) > 1]


def labels(runs: list[Run]) -> list[str]:
    """Names that tell the runs apart: with the beginning of the id where a name occurs twice."""
    names = [run.name for run in runs]
    return [f"{run.name} {run.id[:8]}" if names.count(run.name) > 1 else run.name for run in runs]


def groups(runs: list[Run], metric: str) -> list[Group]:
    """A table a protocol, that of most runs first; what was not evaluated last."""
    called = dict(zip((run.id for run in runs), labels(runs)))
    protocols = list(dict.fromkeys(run.protocol for run in runs))
    protocols.sort(key=lambda one: (one is None, -sum(run.protocol == one for run in runs)))
    params = differing(runs)
    return [_group([run for run in runs if run.protocol == protocol], metric, params, called) for protocol in protocols]


def _group(runs: list[Run], metric: str, params: list[str], called: dict[str, str]) -> Group:
    sign = -1 if better(metric) == HIGHER else 1
    runs = sorted(runs, key=lambda run: sign * run.scores[metric]["mean"] if interval(run, metric) else math.inf)
    places = ranks([interval(run, metric) for run in runs], better(metric))
    rows = [_row(run, called[run.id], place, params) for run, place in zip(runs, places)]
    return Group(runs[0].protocol, runs[0].protocol_name, metric, pd.DataFrame(rows), runs, places, params)


def _row(run: Run, label: str, place: tuple[int, int] | None, params: list[str]) -> dict:
    row: dict[str, Any] = {"run": label, "id": run.id, "protocol": run.protocol, "rank": in_words(place)}
    row |= {key: run.params.get(key) for key in params}
    for name, score in run.scores.items():
        row |= {name: score["mean"]} | {f"{name} {part}": score[part] for part in ("low", "high") if part in score}
    return row | run.cost


def in_words(place: tuple[int, int] | None) -> str | None:
    if place is None:
        return None
    return str(place[0]) if place[0] == place[1] else f"{place[0]}–{place[1]}"


def score_in_words(run: Run, metric: str) -> str:
    """2.48 [1.5, 3.46]"""
    score = run.scores.get(metric)
    if score is None:
        return "–"
    return f"{score['mean']:.4g}" + (f" [{score['low']:.4g}, {score['high']:.4g}]" if {"low", "high"} <= score.keys() else "")


def cost_in_words(run: Run, name: str) -> str:
    """A figure; the seconds of a resumed training are those since it went on."""
    value = run.cost.get(name)
    if value is None:
        return "–"
    return f"{value:.4g}" + ("+" if name == "train s" and run.cost.get("resumed at kimg") else "")


def shown(group: Group, metrics: list[str]) -> pd.DataFrame:
    """The table as people read it: figures with their intervals in one cell."""
    frame = pd.DataFrame({"run": group.table["run"], "rank": group.table["rank"].fillna("–")})
    for key in group.params:
        frame[key] = group.table[key].fillna("–")
    for metric in metrics:
        if any(metric in run.scores for run in group.runs):
            frame[metric] = [score_in_words(run, metric) for run in group.runs]
    for name in COST:
        frame[name] = [cost_in_words(run, name) for run in group.runs]
    return frame


def fitting(frame: pd.DataFrame, first: list[str], width: int) -> tuple[pd.DataFrame, list[str]]:
    """The table with as many columns as a line of `width` characters holds, the `first` before others; and those left out."""
    wanted = [*first, *(name for name in frame.columns if name not in first)]
    kept: set[str] = set()
    used = 1
    for name in wanted:
        used += 3 + max(len(str(cell)) for cell in (name, *frame[name]))
        if used > width and kept:
            break
        kept.add(name)
    return frame[[name for name in frame.columns if name in kept]], [name for name in wanted if name not in kept]


def markdown(frame: pd.DataFrame) -> str:
    """A table of GitHub's Markdown."""
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in row) + " |" for row in rows)
