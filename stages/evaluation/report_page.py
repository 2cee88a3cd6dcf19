"""The report of an evaluation as one HTML file (stages/page.py)."""

import json

from stages import page
from stages.evaluation import appraisal, score_files
from stages.evaluation.metrics import Interval, Metrics

PICTURES = {
    "grid": ("Not chosen", "The first images, as they come."),
    "best": (
        "Most realistic",
        "The images of the first draw that lie deepest among real ones by their features. Chosen: no measure of the whole.",
    ),
    "worst": ("Least realistic", "Those that lie farthest out."),
    "nearest": (
        "Closest pairs",
        "The generated images that are nearest to a training image, pixel by pixel, the nearest first; the training image is below each.",
    ),
    "ways": ("Interpolations", "From one seed to the next, by the latent space's own way; a row each."),
    "map": (
        "Precision and recall, as a map",
        "Features on the plane where real images spread most: real ones grey, generated ones blue where they lie among real ones, "
        "red where not.",
    ),
}
_WIDTH, _HEIGHT = 300, 80  # of a curve


def html(
    title: str, metrics: Metrics, rules: dict, rows: list[dict], pictures: dict[str, bytes], curves: list[dict], widths: dict[str, int]
) -> str:
    """`rules`: protocol.json; `rows`: a class each; `pictures`: PNG files; `curves`: {name, points}."""
    shown = [
        {"name": name, "words": PICTURES[name], "uri": page.png_uri(content), "width": widths[name]} for name, content in pictures.items()
    ]
    return page.template("stages/evaluation/report_page.html.j2").render(
        title=title, metrics=metrics, scores=scores(metrics), findings=[appraisal.state(metrics), appraisal.copying(metrics)],
        rows=rows, pictures=shown, curves=[_drawn(one) for one in curves], protocol=_flat(rules),
    )  # fmt: skip


def scores(metrics: Metrics) -> list[dict]:
    """A row a score, with its place on an axis of its own from 0 to the largest figure."""
    measured = metrics.intervals
    return [
        {"name": said.name, "better": said.better, "says": said.meaning, **_figures(measured[key]), **_axis(measured[key])}
        for key, said in score_files.says().items()
        if key in measured
    ]


def _figures(score: Interval) -> dict[str, str]:
    return {"mean": f"{score.mean:.4g}", "interval": f"{score.low:.4g} to {score.high:.4g}", "floor": score.held_out}


def _axis(score: Interval) -> dict[str, float]:
    places = {"mean": score.mean, "low": score.low, "high": score.high, "floor": score.mean if score.floor is None else score.floor}
    low, high = min(0.0, *places.values()), max(0.0, *places.values()) or 1.0
    return {f"at_{key}": round(100 * (value - low) / (high - low), 2) for key, value in places.items()}


def _drawn(curve: dict) -> dict:
    steps, values = zip(*curve["points"])
    low, high = min(values), max(values)
    span, width = (high - low) or 1.0, (steps[-1] - steps[0]) or 1
    points = " ".join(
        f"{_WIDTH * (step - steps[0]) / width:.1f},{4 + (_HEIGHT - 8) * (high - value) / span:.1f}" for step, value in curve["points"]
    )
    return {
        "name": curve["name"],
        "points": points,
        "first": f"{values[0]:.4g}",
        "last": f"{values[-1]:.4g}",
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
    }


def _flat(content: dict, prefix: str = "") -> list[tuple[str, str]]:
    pairs = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return pairs
