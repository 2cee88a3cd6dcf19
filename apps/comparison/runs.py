"""Runs of MLflow as a comparison needs them: found by what one may call them, with their scores, cost, curves and grid."""

import re
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.registry import models

if TYPE_CHECKING:
    from mlflow import MlflowClient

NEWEST = 10
CURVES = ("quick_fid", "diversity", "loss/discriminator", "loss/generator")
GRID = "evaluate/grid.png"
PROTOCOL = "evaluate.protocol"  # the tags of one begin so
IN_WORDS = "name, alias or version of a model (digits/3), a run's id or name, a sweep or an experiment"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass
class Run:
    """One execution."""

    id: str
    name: str
    params: dict[str, str]
    scores: dict[str, dict[str, float]]  # metric -> mean, low, high, floor; without an interval mean only
    cost: dict[str, float | None]
    protocol: str | None  # hash; None where nothing was evaluated
    protocol_name: str | None
    status: str = "FINISHED"
    tags: dict[str, str] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    grid: bytes | None = None


def found(client: "MlflowClient", words: list[str], experiment: str) -> list[Any]:
    """MLflow's runs by their names, in the order asked for; without names the newest finished ones, the newest first."""
    if not words:
        runs = _of_experiment(client, experiment)
        if not runs:
            raise models.NotFound(f"the experiment {experiment!r} has no finished run yet: gan run")
        return runs
    runs = [run for name in words for run in _called(client, name, experiment)]
    return list({run.info.run_id: run for run in runs}.values())


def _of_experiment(client: "MlflowClient", name: str) -> list[Any]:
    place = client.get_experiment_by_name(name)
    return [] if place is None else _search(client, [place.experiment_id], "attributes.status = 'FINISHED'")[:NEWEST]


def _search(client: "MlflowClient", experiments: list[str], words: str) -> list[Any]:
    """The newest first; without the runs of sweeps themselves, which made nothing."""
    runs = client.search_runs(experiments, words, order_by=["attributes.start_time DESC"], max_results=1000)
    return [run for run in runs if run.data.tags.get("ganline.kind") != "sweep"]


def _called(client: "MlflowClient", name: str, experiment: str) -> list[Any]:
    """The runs that a word means; NotFound lists what there is."""
    from mlflow.exceptions import MlflowException

    if _ID.fullmatch(name):
        try:
            return [client.get_run(name)]
        except MlflowException:
            raise models.NotFound(f"{name!r} is no run of this store") from None
    if re.search(r"[/@]", name) and " " not in name:
        _, version = models.find(name)
        if not version.run_id:
            raise models.NotFound(f"{name} was registered without a run; name another version, or a run")
        return [client.get_run(version.run_id)]
    everywhere = [one.experiment_id for one in client.search_experiments()]
    quoted = name.replace("'", "")
    for asked in (f"tags.sweep = '{quoted}' AND attributes.status = 'FINISHED'", f"attributes.run_name = '{quoted}'"):
        if runs := _search(client, everywhere, asked):
            newest = {run.info.run_name: run for run in reversed(runs)}  # a trial that was killed may have run twice
            return list(newest.values())
    if runs := _of_experiment(client, name):
        return runs
    known = [run.info.run_name for run in _of_experiment(client, experiment)]
    raise models.NotFound(f"{name!r} is no {IN_WORDS}; the newest runs: {', '.join(dict.fromkeys(known)) or 'none'}")


def read(client: "MlflowClient", run: Any, pictures: bool) -> Run:
    """What a comparison shows of a run. `pictures`: its curves and its grid too."""
    tags, metrics = run.data.tags, run.data.metrics
    return Run(
        id=run.info.run_id, name=run.info.run_name, params=run.data.params, scores=_scores(metrics), cost=_cost(client, run),
        protocol=tags.get(f"{PROTOCOL}.hash"), protocol_name=tags.get(f"{PROTOCOL}.name"), status=run.info.status, tags=tags,
        curves={key: points for key in CURVES if (points := _curve(client, run.info.run_id, key))} if pictures else {},
        grid=_grid(client, run.info.run_id) if pictures else None,
    )  # fmt: skip


def _scores(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """{"fid/mean": 2.0, "fid/low": 1.9} -> {"fid": {"mean": 2.0, "low": 1.9}}: metrics that have a mean."""
    names = [key.removesuffix("/mean") for key in metrics if key.endswith("/mean") and not key.startswith("best/")]
    parts = ("mean", "low", "high", "floor")
    return {name: {part: metrics[f"{name}/{part}"] for part in parts if f"{name}/{part}" in metrics} for name in names}


def _cost(client: "MlflowClient", run: Any) -> dict[str, float | None]:
    """Of the training, also where another run executed it and this one took its results."""
    maker = run.data.tags.get("produced_by.train", run.info.run_id)
    trained = run if maker == run.info.run_id else client.get_run(maker)
    metrics = trained.data.metrics
    seen = [step for step, _ in _curve(client, maker, "quick_fid")]
    speeds = [value for _, value in _curve(client, maker, "speed/images_per_s")]
    return {
        "kimg": max(seen) / 1000 if seen else None,
        "train s": metrics.get("system/train_s"),
        "images/s": statistics.median(speeds) if speeds else None,
        "peak MB": metrics.get("system/train_peak_memory_mb"),
        "resumed at kimg": float(resumed) / 1000 if (resumed := trained.data.tags.get("resumed_from_nimg")) else None,
    }


def _curve(client: "MlflowClient", run_id: str, key: str) -> list[tuple[int, float]]:
    points = {point.step: point.value for point in client.get_metric_history(run_id, key)}
    return sorted(points.items())


def _grid(client: "MlflowClient", run_id: str) -> bytes | None:
    """The images of the first seeds; None where nothing was evaluated."""
    folder, _, name = GRID.rpartition("/")
    if not any(one.path == GRID for one in client.list_artifacts(run_id, folder)):
        return None
    with tempfile.TemporaryDirectory() as temporary:
        return Path(client.download_artifacts(run_id, GRID, temporary)).read_bytes()
