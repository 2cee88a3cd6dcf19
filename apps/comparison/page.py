"""A comparison as one HTML file (stages/page.py): tables, grids side by side, curves over one another."""

import io
import math

from PIL import Image

from apps.comparison import table
from apps.comparison.runs import CURVES, Run
from apps.comparison.table import Group
from stages import page

_WIDTH, _HEIGHT, _MARGIN = 320, 150, 4  # of a curve
_LOG_FROM = 20.0  # largest over smallest value, from which an axis is logarithmic
_ENLARGED = 320  # a grid is drawn at least as wide
# Okabe and Ito's colours, told apart by the colour-blind too, and some of Tol's
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999933", "#882255", "#44aa99", "#aa4499")


def html(groups: list[Group], metrics: list[str]) -> str:
    """`metrics`: the columns, those of table.SHOWN first; the others are folded."""
    runs = [run for group in groups for run in group.runs]
    names = [label for group in groups for label in group.table["run"]]
    colours = {run.id: COLOURS[place % len(COLOURS)] for place, run in enumerate(runs)}
    return page.template("apps/comparison/page.html.j2").render(
        groups=[_shown(group, metrics, colours) for group in groups],
        count=len(runs), rule=" ".join((table.__doc__ or "").split("\n\n")[1].split()),
        grids=[{"name": name, "colour": colours[run.id], **_grid(run.grid)} for run, name in zip(runs, names) if run.grid],
        curves=[curve for key in CURVES if (curve := _curve(key, runs, names, colours))],
    )  # fmt: skip


def _shown(group: Group, metrics: list[str], colours: dict[str, str]) -> dict:
    by, *others = metrics
    columns = table.shown(group, [by, *(name for name in others if name in table.SHOWN)])
    more = table.shown(group, [name for name in others if name not in table.SHOWN]).drop(columns=["rank", *group.params, *table.COST])
    first = [rank is not None and rank[0] == 1 for rank in group.ranks]
    tables = [
        {"columns": list(one.columns), "rows": [
            {"cells": row, "colour": colours[run.id], "first": may_be_best}
            for row, run, may_be_best in zip(one.values.tolist(), group.runs, first)
        ]}
        for one in (columns, more)
    ]  # fmt: skip
    return {"title": group.title(), "verdict": group.verdict(), "scored": group.protocol is not None, "tables": tables}


def _grid(content: bytes) -> dict:
    with Image.open(io.BytesIO(content)) as image:
        return {"uri": page.png_uri(content), "width": image.width * max(1, round(_ENLARGED / image.width))}


def _curve(key: str, runs: list[Run], names: list[str], colours: dict[str, str]) -> dict | None:
    """The same measure of all runs on common axes; None if no run has it."""
    drawn = [(name, run, run.curves[key]) for run, name in zip(runs, names) if run.curves.get(key)]
    values = [value for _, _, points in drawn for _, value in points if math.isfinite(value)]
    if not values:
        return None
    low, high, last = min(values), max(values), max(points[-1][0] for _, _, points in drawn) or 1
    logarithmic = low > 0 and high / low >= _LOG_FROM
    scale = math.log if logarithmic else float
    span = (scale(high) - scale(low)) or 1.0
    lines = [
        {"name": name, "colour": colours[run.id], "last": f"{points[-1][1]:.4g}", "points": " ".join(
            f"{_WIDTH * step / last:.1f},{_MARGIN + (_HEIGHT - 2 * _MARGIN) * (scale(high) - scale(value)) / span:.1f}"
            for step, value in points if math.isfinite(value)
        )}
        for name, run, points in drawn
    ]  # fmt: skip
    return {
        "name": key,
        "lines": lines,
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
        "kimg": f"{last / 1000:g}",
        "logarithmic": logarithmic,
    }
